package source_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/holdfast-backup/holdfast/snapshot/source"
)

func sniffFile(t *testing.T, path string) source.Format {
	t.Helper()
	disk, err := source.OpenDisk(context.Background(), path, nil)
	require.NoError(t, err)
	defer disk.Close()
	f, err := source.Sniff(disk, disk.Size(), disk.Device())
	require.NoError(t, err)
	return f
}

// TestSniffRealImages asks the tools that make images.
func TestSniffRealImages(t *testing.T) {
	for _, c := range []struct {
		tool string
		args []string
		size int64
		want source.Format
	}{
		{"mkfs.ext4", []string{"-q", "-F"}, 16 << 20, source.Ext},
		{"mkfs.ext4", []string{"-q", "-F", "-b", "1024", "-O", "^has_journal"}, 2 << 20, source.Ext},
		{"mkfs.ext2", []string{"-q", "-F"}, 4 << 20, source.Ext},
		{"mkfs.xfs", []string{"-q"}, 320 << 20, source.XFS},
		{"mkfs.btrfs", []string{"-q"}, 128 << 20, source.Btrfs},
		{"mkfs.f2fs", []string{"-q"}, 64 << 20, source.F2FS},
		{"mkfs.ntfs", []string{"-q", "-F"}, 16 << 20, source.NTFS},
		{"mkfs.exfat", nil, 16 << 20, source.ExFAT},
		{"mkfs.vfat", []string{"-F", "12"}, 2 << 20, source.FAT},
		{"mkfs.vfat", []string{"-F", "16"}, 16 << 20, source.FAT},
		{"mkfs.vfat", []string{"-F", "32"}, 64 << 20, source.FAT},
		{"mkswap", nil, 1 << 20, source.Swap},
		{"mkswap", []string{"-p", "65536"}, 4 << 20, source.Swap},
	} {
		t.Run(c.tool, func(t *testing.T) {
			require.Equal(t, c.want, sniffFile(t, makeImage(t, c.size, c.tool, c.args...)))
		})
	}
	for format, want := range map[string]source.Format{
		"qcow2": source.QCOW2, "vmdk": source.VMDK, "vdi": source.VDI, "vpc": source.VHD, "vhdx": source.VHDX, "raw": source.Plain,
	} {
		t.Run("qemu-img "+format, func(t *testing.T) {
			image := filepath.Join(t.TempDir(), "image")
			run(t, "qemu-img", "create", "-q", "-f", format, image, "10M")
			require.Equal(t, want, sniffFile(t, image))
		})
	}
	t.Run("qemu-img fixed VHD", func(t *testing.T) {
		image := filepath.Join(t.TempDir(), "image")
		run(t, "qemu-img", "create", "-q", "-f", "vpc", "-o", "subformat=fixed", image, "10M")
		require.Equal(t, source.VHD, sniffFile(t, image))
	})
	for label, want := range map[string]source.Format{"gpt": source.GPT, "dos": source.MBR} {
		t.Run("sfdisk "+label, func(t *testing.T) {
			image := makeImage(t, 16<<20, "true")
			script := filepath.Join(t.TempDir(), "script")
			write(t, script, "label: "+label+"\n,4M\n,\n")
			run(t, "sh", "-c", needTool(t, "sfdisk")+" -q "+image+" < "+script)
			require.Equal(t, want, sniffFile(t, image))
		})
	}
}

// handmade returns an image with bytes at offsets.
func handmade(size int, parts map[int]string) []byte {
	b := make([]byte, size)
	for off, s := range parts {
		copy(b[off:], s)
	}
	return b
}

func TestSniffHeaders(t *testing.T) {
	const size = 1 << 20
	part := func(status, typ byte, start, count uint32) string {
		e := make([]byte, 16)
		e[0], e[4] = status, typ
		binary.LittleEndian.PutUint32(e[8:], start)
		binary.LittleEndian.PutUint32(e[12:], count)
		return string(e)
	}
	ext := func(magic string) map[int]string {
		return map[int]string{1024: "\x10\x00\x00\x00\x40", 1024 + 0x38: magic, 1024 + 0x3a: "\x01"}
	}
	for name, c := range map[string]struct {
		parts map[int]string
		want  source.Format
	}{
		"zeros":                    {nil, source.Plain},
		"text":                     {map[int]string{0: "package main\n"}, source.Plain},
		"MBR":                      {map[int]string{446: part(0x80, 0x83, 64, 1000), 510: "\x55\xaa"}, source.MBR},
		"MBR, last entry":          {map[int]string{494: part(0, 7, 64, 1000), 510: "\x55\xaa"}, source.MBR},
		"MBR without entries":      {map[int]string{510: "\x55\xaa"}, source.Plain},
		"MBR past the end":         {map[int]string{446: part(0, 0x83, 4000, 1000), 510: "\x55\xaa"}, source.Plain},
		"MBR with a bad flag":      {map[int]string{446: part(0x80, 0x83, 64, 1000), 462: part(0x12, 0x83, 64, 1000), 510: "\x55\xaa"}, source.Plain},
		"MBR with an odd entry":    {map[int]string{446: part(0x80, 0x83, 64, 1000), 462: part(0, 0, 64, 0), 510: "\x55\xaa"}, source.Plain},
		"MBR with an empty entry":  {map[int]string{446: part(0x80, 0x83, 64, 0), 510: "\x55\xaa"}, source.Plain},
		"MBR without signature":    {map[int]string{446: part(0x80, 0x83, 64, 1000)}, source.Plain},
		"GPT":                      {map[int]string{446: part(0, 0xee, 1, 2000), 510: "\x55\xaa", 512: "EFI PART\x00\x00\x01\x00"}, source.GPT},
		"GPT, sectors of 4096":     {map[int]string{4096: "EFI PART\x00\x00\x01\x00"}, source.GPT},
		"GPT of another version":   {map[int]string{512: "EFI PART\x00\x00\x09\x00"}, source.Plain},
		"ext":                      {ext("\x53\xef"), source.Ext},
		"ext, magic wrong":         {ext("\x54\xef"), source.Plain},
		"ext, magic alone":         {map[int]string{1024 + 0x38: "\x53\xef"}, source.Plain},
		"LVM":                      {map[int]string{512: "LABELONE", 512 + 24: "LVM2 001"}, source.LVM},
		"LVM, fourth sector":       {map[int]string{3 * 512: "LABELONE", 3*512 + 24: "LVM2 001"}, source.LVM},
		"LVM, fifth sector":        {map[int]string{4 * 512: "LABELONE", 4*512 + 24: "LVM2 001"}, source.Plain},
		"MD":                       {map[int]string{4096: "\xfc\x4e\x2b\xa9"}, source.MDRaid},
		"LUKS":                     {map[int]string{0: "LUKS\xba\xbe\x00\x02"}, source.LUKS},
		"btrfs":                    {map[int]string{65600: "_BHRfS_M"}, source.Btrfs},
		"NTFS":                     {map[int]string{3: "NTFS    ", 510: "\x55\xaa"}, source.NTFS},
		"BitLocker":                {map[int]string{3: "-FVE-FS-"}, source.BitLocker},
		"APFS":                     {map[int]string{32: "NXSB"}, source.APFS},
		"HFS+":                     {map[int]string{1024: "H+\x00\x04"}, source.HFS},
		"HFSX":                     {map[int]string{1024: "HX\x00\x05"}, source.HFS},
		"ISO":                      {map[int]string{0x8001: "CD001"}, source.ISO9660},
		"squashfs":                 {map[int]string{0: "hsqs"}, source.SquashFS},
		"VMDK descriptor":          {map[int]string{0: "# Disk DescriptorFile\nversion=1"}, source.VMDK},
		"fixed VHD":                {map[int]string{size - 512: "conectix"}, source.VHD},
		"FAT with a jump too long": {map[int]string{0: "\xe8", 510: "\x55\xaa"}, source.Plain},
	} {
		b := handmade(size, c.parts)
		got, err := source.Sniff(bytes.NewReader(b), size, false)
		require.NoError(t, err, name)
		require.Equal(t, c.want, got, name)
		require.Equal(t, c.want != source.Plain, got.Aligned(), name)
		if c.want != source.VHD {
			require.Equal(t, c.want, source.SniffBytes(b[:source.SniffLen], size), name)
		}
	}
}

func TestSniffErrors(t *testing.T) {
	got, err := source.Sniff(stub(func([]byte, int64) (int, error) { return 0, fs.ErrClosed }), 1<<20, false)
	require.ErrorIs(t, err, fs.ErrClosed)
	require.Equal(t, source.Plain, got)
	got, err = source.Sniff(bytes.NewReader([]byte("hsqs")), 1<<20, false)
	require.NoError(t, err, "shorter than it was")
	require.Equal(t, source.SquashFS, got)
	got, err = source.Sniff(bytes.NewReader(nil), 0, false)
	require.NoError(t, err)
	require.Equal(t, source.Plain, got)
	got, err = source.Sniff(nil, 1<<20, true)
	require.NoError(t, err)
	require.Equal(t, source.BlockDevice, got)
	got, err = source.Sniff(stub(func(p []byte, off int64) (int, error) {
		if off > 0 {
			return 0, io.ErrClosedPipe
		}
		return len(p), nil
	}), 1<<20, false)
	require.NoError(t, err, "a bad last sector is found when it is read")
	require.Equal(t, source.Plain, got)
}

func FuzzSniff(f *testing.F) {
	f.Add(handmade(1024, map[int]string{0: "\xeb\x3c\x90", 510: "\x55\xaa"}), int64(1<<20))
	f.Add(handmade(70000, map[int]string{512: "EFI PART\x00\x00\x01\x00"}), int64(70000))
	f.Add(handmade(2048, map[int]string{1024: "\x10\x00\x00\x00\x40", 1080: "\x53\xef\x01"}), int64(2048))
	f.Add([]byte("QFI\xfb"), int64(0))
	f.Add([]byte{}, int64(-1))
	f.Fuzz(func(t *testing.T, head []byte, size int64) {
		got := source.SniffBytes(head, size)
		require.Equal(t, got != source.Plain, got.Aligned())
		again, err := source.Sniff(bytes.NewReader(head), int64(len(head)), false)
		require.NoError(t, err)
		if size == int64(len(head)) && again != source.VHD {
			require.Equal(t, got, again)
		}
	})
}

func BenchmarkSniff(b *testing.B) {
	path := filepath.Join(b.TempDir(), "f")
	require.NoError(b, os.WriteFile(path, make([]byte, 1<<20), 0o600))
	file, err := os.Open(path)
	require.NoError(b, err)
	defer file.Close()
	b.ReportAllocs()
	for b.Loop() {
		if f, err := source.Sniff(file, 1<<20, false); err != nil || f != source.Plain {
			b.Fatal(f, err)
		}
	}
}

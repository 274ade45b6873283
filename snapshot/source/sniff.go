package source

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
)

// Format is a kind of content that is laid out in blocks, so that equal data lies at equal offsets in its block.
type Format uint8

// The formats that Sniff knows. Plain is everything else.
const (
	Plain Format = iota
	BlockDevice
	MBR
	GPT
	Ext
	XFS
	Btrfs
	F2FS
	NTFS
	ExFAT
	FAT
	APFS
	HFS
	ISO9660
	SquashFS
	Swap
	LVM
	LUKS
	BitLocker
	MDRaid
	QCOW2
	VMDK
	VDI
	VHD
	VHDX
)

var formatNames = [...]string{
	"plain", "block device", "MBR", "GPT", "ext", "XFS", "btrfs", "F2FS", "NTFS", "exFAT", "FAT", "APFS", "HFS+",
	"ISO 9660", "SquashFS", "swap", "LVM", "LUKS", "BitLocker", "MD RAID", "qcow2", "VMDK", "VDI", "VHD", "VHDX",
}

// String returns the format's usual name.
func (f Format) String() string {
	if int(f) < len(formatNames) {
		return formatNames[f]
	}
	return fmt.Sprintf("format(%d)", uint8(f))
}

// Aligned reports whether the content is laid out in blocks of 4 KiB or multiples, which the chunker should respect.
func (f Format) Aligned() bool { return f != Plain }

// SniffLen is how many bytes from the start of the content Sniff looks at.
const SniffLen = btrfsMagic + 8

// Sniff returns the format of the content of r, of size bytes; a block device needs no look. An error to read the start
// is returned, except that of an end that came too early, and then the format is what the rest tells.
func Sniff(r io.ReaderAt, size int64, blockDevice bool) (Format, error) {
	if blockDevice {
		return BlockDevice, nil
	}
	head := make([]byte, max(0, min(size, SniffLen)))
	n, err := r.ReadAt(head, 0)
	if err == io.EOF || errors.Is(err, io.ErrUnexpectedEOF) || n == len(head) {
		err = nil
	}
	f := SniffBytes(head[:n], size)
	if f == Plain && size%sector == 0 && size >= vhdMin {
		foot := make([]byte, 8) // a fixed VHD has its header at the end
		if n, ferr := r.ReadAt(foot, size-sector); n == len(foot) && string(foot) == "conectix" {
			return VHD, nil
		} else if ferr != nil && !errors.Is(ferr, io.EOF) && errors.Is(ferr, fs.ErrClosed) {
			err = ferr
		}
	}
	return f, err
}

const (
	sector     = 512
	vhdMin     = 3 * sector
	btrfsMagic = 64<<10 + 64
)

// magic is bytes that a format has at an offset.
type magic struct {
	off    int
	text   string
	format Format
}

// magics are the signatures that are enough by themselves, those before others that they may contain.
var magics = [...]magic{
	{0, "QFI\xfb", QCOW2},
	{0, "KDMV", VMDK},
	{0, "COWD", VMDK},
	{0, "# Disk DescriptorFile", VMDK},
	{0x40, "\x7f\x10\xda\xbe", VDI},
	{0, "conectix", VHD},
	{0, "vhdxfile", VHDX},
	{0, "LUKS\xba\xbe", LUKS},
	{0, "XFSB", XFS},
	{3, "NTFS    ", NTFS},
	{3, "EXFAT   ", ExFAT},
	{3, "-FVE-FS-", BitLocker},
	{32, "NXSB", APFS},
	{0, "hsqs", SquashFS},
	{0x400, "\x10\x20\xf5\xf2", F2FS},
	{0x8001, "CD001", ISO9660},
	{btrfsMagic, "_BHRfS_M", Btrfs},
	{4096, "\xfc\x4e\x2b\xa9", MDRaid},
	{4096 - 10, "SWAPSPACE2", Swap},
	{4096 - 10, "SWAP-SPACE", Swap},
	{16384 - 10, "SWAPSPACE2", Swap},
	{65536 - 10, "SWAPSPACE2", Swap},
}

// SniffBytes is Sniff for those who have the first bytes of the content, SniffLen or as many as there are, at hand. It
// does not know fixed VHD images, whose header is at the end.
func SniffBytes(head []byte, size int64) Format {
	for _, m := range magics {
		if len(head) >= m.off+len(m.text) && string(head[m.off:m.off+len(m.text)]) == m.text {
			return m.format
		}
	}
	for _, test := range [...]struct {
		is     func([]byte, int64) bool
		format Format
	}{{isLVM, LVM}, {isGPT, GPT}, {isExt, Ext}, {isHFS, HFS}, {isFAT, FAT}, {isMBR, MBR}} {
		if test.is(head, size) {
			return test.format
		}
	}
	return Plain
}

// isLVM finds the label of a physical volume in one of the first four sectors.
func isLVM(b []byte, _ int64) bool {
	for off := 0; off < 4*sector && len(b) >= off+sector; off += sector {
		if bytes.HasPrefix(b[off:], []byte("LABELONE")) && string(b[off+24:off+32]) == "LVM2 001" {
			return true
		}
	}
	return false
}

// isGPT finds the table's header in the second sector, of 512 or 4096 bytes.
func isGPT(b []byte, _ int64) bool {
	for _, off := range []int{sector, 4096} {
		if len(b) >= off+16 && string(b[off:off+8]) == "EFI PART" && binary.LittleEndian.Uint16(b[off+10:]) == 1 {
			return true
		}
	}
	return false
}

// isExt checks, beside a magic of two bytes, that the block size and the state are possible.
func isExt(b []byte, _ int64) bool {
	const super = 1024
	if len(b) < super+0x60 {
		return false
	}
	sb := b[super:]
	le := binary.LittleEndian
	return le.Uint16(sb[0x38:]) == 0xef53 && le.Uint32(sb[0x18:]) <= 6 && le.Uint16(sb[0x3a:]) <= 7 &&
		le.Uint32(sb[0x00:]) > 0 && le.Uint32(sb[0x04:]) > 0
}

// isHFS finds HFS+ or HFSX, in its known versions.
func isHFS(b []byte, _ int64) bool {
	const header = 1024
	if len(b) < header+4 {
		return false
	}
	h := string(b[header : header+4])
	return h == "H+\x00\x04" || h == "HX\x00\x05"
}

func bootSector(b []byte) bool { return len(b) >= sector && b[510] == 0x55 && b[511] == 0xaa }

// isFAT checks the fields of a boot sector that FAT depends on. Its type string is only a label.
func isFAT(b []byte, _ int64) bool {
	if !bootSector(b) || b[0] != 0xeb && b[0] != 0xe9 {
		return false
	}
	le := binary.LittleEndian
	bytesPer, per := le.Uint16(b[11:]), b[13]
	power2 := func(n int) bool { return n > 0 && n&(n-1) == 0 }
	return power2(int(bytesPer)) && bytesPer >= 512 && bytesPer <= 4096 && power2(int(per)) &&
		le.Uint16(b[14:]) > 0 && (b[16] == 1 || b[16] == 2) && (b[21] == 0xf0 || b[21] >= 0xf8) &&
		(le.Uint16(b[19:]) != 0 || le.Uint32(b[32:]) != 0)
}

// isMBR wants at least one partition, and every entry possible: boot flag 0 or 0x80, and in a disk of this size.
func isMBR(b []byte, size int64) bool {
	if !bootSector(b) {
		return false
	}
	used := 0
	for off := 446; off < 510; off += 16 {
		e := b[off : off+16]
		start, count := int64(binary.LittleEndian.Uint32(e[8:])), int64(binary.LittleEndian.Uint32(e[12:]))
		if e[0]&0x7f != 0 {
			return false
		}
		if e[4] == 0 {
			if start != 0 || count != 0 {
				return false
			}
			continue
		}
		if start == 0 || count == 0 || start > size/sector {
			return false
		}
		used++
	}
	return used > 0
}

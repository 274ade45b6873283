package crypto_test

import (
	"strings"
	"testing"

	"github.com/holdfast-backup/holdfast/crypto"
	"github.com/stretchr/testify/require"
)

// opens reports whether a slot made for one credential is opened by another.
func opens(t *testing.T, s crypto.Sealer, c crypto.Credential) bool {
	t.Helper()
	admin, _ := newRing(t, crypto.AES256GCM)
	b, _, err := crypto.SealSlot(admin, crypto.ID{}, "", s)
	require.NoError(t, err)
	slot, err := crypto.DecodeSlot(b)
	require.NoError(t, err)
	_, err = slot.Open(c)
	if err != nil {
		require.ErrorIs(t, err, crypto.ErrWrongCredential)
	}
	return err == nil
}

func TestKeyFileText(t *testing.T) {
	text, c := crypto.NewKeyFile()
	require.Regexp(t, `^holdfast-key-1 [0-9a-f]{64}\n$`, string(text))
	for _, form := range []string{string(text), strings.TrimSpace(string(text)), "\r\n" + strings.TrimSpace(string(text)) + "\r\n",
		"holdfast-key-1 " + strings.ToUpper(string(text)[15:])} {
		got, err := crypto.ParseKeyFile(form)
		require.NoError(t, err)
		require.True(t, opens(t, c, got))
	}
	other, _ := crypto.NewKeyFile()
	got, err := crypto.ParseKeyFile(other)
	require.NoError(t, err)
	require.False(t, opens(t, c, got))
	for _, bad := range []string{"", "holdfast-key-1", "holdfast-key-2" + string(text)[14:], string(text) + "0", string(text)[:78], "x" + string(text),
		strings.Replace(string(text), " ", "  ", 1), string(text)[:77] + "g\n"} {
		_, err = crypto.ParseKeyFile(bad)
		require.Error(t, err, "%q", bad)
	}
}

func TestIdentityText(t *testing.T) {
	text, id, err := crypto.NewIdentity()
	require.NoError(t, err)
	require.Regexp(t, `^holdfast-identity-1 [0-9a-f]{64}\n$`, string(text))
	back, err := crypto.ParseIdentity(text)
	require.NoError(t, err)
	require.Equal(t, id.Recipient().Text(), back.Recipient().Text())
	require.True(t, opens(t, id.Recipient(), back))

	pub := id.Recipient().Text()
	require.Equal(t, string(pub), id.Recipient().String()+"\n")
	require.Len(t, pub, len("holdfast-recipient-1 ")+2*1220+1)
	to, err := crypto.ParseRecipient(pub)
	require.NoError(t, err)
	require.True(t, opens(t, to, id))

	// The right complaint for the wrong file.
	_, err = crypto.ParseRecipient(text)
	require.ErrorContains(t, err, "it is a holdfast-identity-1")
	_, err = crypto.ParseIdentity(pub)
	require.ErrorContains(t, err, "it is a holdfast-recipient-1")
	_, err = crypto.ParseKeyFile(text)
	require.ErrorContains(t, err, "it is a holdfast-identity-1")
}

func TestRecipientTypos(t *testing.T) {
	_, id, err := crypto.NewIdentity()
	require.NoError(t, err)
	text := string(id.Recipient().Text())
	for i := len("holdfast-recipient-1 "); i < len(text)-1; i++ {
		digit := byte('0')
		if text[i] == '0' {
			digit = '1'
		}
		_, err := crypto.ParseRecipient(text[:i] + string(digit) + text[i+1:])
		require.ErrorContains(t, err, "checksum", "character %d", i)
	}
	_, err = crypto.ParseRecipient(text[:len(text)-3])
	require.Error(t, err)
}

func TestRecoveryText(t *testing.T) {
	text, c := crypto.NewRecovery()
	require.Regexp(t, `^([0-9A-HJKMNP-TV-Z]{5}-){11}[0-9A-HJKMNP-TV-Z]{5}$`, text)
	spoken := strings.NewReplacer("0", "o", "1", "l").Replace(text)
	shouted := strings.NewReplacer("0", "O", "1", "I").Replace(text)
	for _, form := range []string{text, strings.ToLower(text), strings.ReplaceAll(text, "-", ""), strings.ReplaceAll(text, "-", " "),
		" " + strings.ReplaceAll(text, "-", "\r\n") + "\n", spoken, shouted, strings.ReplaceAll(strings.ToLower(text), "1", "i"), strings.ReplaceAll(text, "1", "L"),
		strings.ReplaceAll(text, "", "-")} {
		got, err := crypto.ParseRecovery(form)
		require.NoError(t, err, "a form of a good key")
		require.True(t, opens(t, c, got))
	}
}

// A fixed key, so that the 40-bit checksum is tried on the same typos in every run.
const recoveryText = "000G4-0R40M-30E20-9185G-R38E1-W8124-GK2GA-HC5RR-34D1P-70X3R-FYAA7-9AYC0"

func TestRecoveryTypos(t *testing.T) {
	good := strings.ReplaceAll(recoveryText, "-", "")
	_, err := crypto.ParseRecovery(good)
	require.NoError(t, err)
	for i := range good {
		for _, c := range "0123456789ABCDEFGHJKMNPQRSTVWXYZ" {
			if byte(c) == good[i] {
				continue
			}
			_, err := crypto.ParseRecovery(good[:i] + string(c) + good[i+1:])
			require.ErrorContains(t, err, "checksum", "character %d as %c", i, c)
		}
		for _, c := range "Uu*é\x00" {
			_, err := crypto.ParseRecovery(good[:i] + string(c) + good[i+1:])
			require.ErrorContains(t, err, "never occurs")
			require.ErrorContains(t, err, "character ")
		}
		if i > 0 && good[i] != good[i-1] {
			_, err := crypto.ParseRecovery(good[:i-1] + good[i:i+1] + good[i-1:i] + good[i+1:])
			require.ErrorContains(t, err, "checksum", "characters %d and %d swapped", i-1, i)
		}
		_, err := crypto.ParseRecovery(good[:i] + good[i+1:])
		require.ErrorContains(t, err, "59 characters")
		_, err = crypto.ParseRecovery(good[:i] + "0" + good[i:])
		require.ErrorContains(t, err, "61 characters")
	}
	_, err = crypto.ParseRecovery(strings.Repeat("A", 1<<20))
	require.ErrorContains(t, err, "1048576 characters")
}

package crypto

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// spellings are the ways in which four bytes of a secret could show up in text.
func spellings(secret []byte) []string {
	s := secret[:4]
	hexa := hex.EncodeToString(s)
	list := []string{string(s), hexa, strings.ToUpper(hexa), base64.StdEncoding.EncodeToString(secret)[:5]}
	for _, verb := range []string{"%d", "%x", "%#x", "%X", "%o", "%b", "%q", "%U", "%v", "%#v", "%c"} {
		t := fmt.Sprintf(verb, s)
		list = append(list, strings.Trim(t, "[]\"{}"), strings.TrimSuffix(strings.TrimPrefix(t, "[]byte{"), "}"))
	}
	j, _ := json.Marshal([4]byte(s))
	return append(list, strings.Trim(string(j), "[]"))
}

// printed renders v in every way that a program might by accident. An array type cannot guard against %p and %w, which bypass
// its methods; vet refuses both.
func printed(v any, byValue bool) map[string]string {
	out := map[string]string{}
	verbs := []string{"%v", "%+v", "%#v", "%s", "%x", "%X", "%#x", "%q", "%d", "%o", "%b", "%c", "%U", "%t", "%e", "% x", "%08d", "%!"}
	if !byValue {
		verbs = append(verbs, "%p", "%w")
	}
	for _, verb := range verbs {
		out[verb] = fmt.Sprintf(verb, v)
	}
	out["Sprint"] = fmt.Sprint(v)
	out["Errorf"] = fmt.Errorf("failed: %w, %v", fmt.Errorf("%v", v), v).Error()
	j, err := json.Marshal(v)
	out["json"] = fmt.Sprintf("%s %v", j, err)
	var text, js bytes.Buffer
	slog.New(slog.NewTextHandler(&text, nil)).Info("m", "v", v, slog.Group("g", "v", v))
	slog.New(slog.NewJSONHandler(&js, nil)).Info("m", "v", v, slog.Any("v", []any{v}))
	out["slog text"], out["slog json"] = text.String(), js.String()
	return out
}

type hiding struct {
	ring    *Keyring
	value   Keyring
	pw      *PassphraseCredential
	pwValue PassphraseCredential
	cred    Credential
	file    KeyFile
	id      Identity
	rec     Recovery
	hasher  *Hasher
}

type showing struct {
	Key    Key
	PKey   *Key
	List   []Key
	Map    map[string]Key
	Ring   *Keyring
	Value  *Keyring
	Creds  []Credential
	Hasher *Hasher
}

func TestSecretsAreNotPrinted(t *testing.T) {
	admin := twoEpochs(t)
	key := NewKey()
	const pw = "Tr0ub4dor&3"
	pass := Passphrase(pw)
	_, file := NewKeyFile()
	recText, rec := NewRecovery()
	_, id, err := NewIdentity()
	require.NoError(t, err)
	hasher, err := admin.Hasher(Data)
	require.NoError(t, err)
	dataID := idKey(admin.s().id, Data)

	s := admin.s()
	secrets := [][]byte{[]byte(pw), key[:], s.id[:], s.cut[:], s.seed[:], dataID[:], file.secret()[:], rec.secret()[:], id.priv().seed[:]}
	for _, e := range s.epochs {
		secrets = append(secrets, e.mapKey[:], e.data.seed[:], e.meta.seed[:])
	}
	bad := []string{recText[:11]}
	for _, b := range secrets {
		bad = append(bad, spellings(b)...)
	}
	creds := []Credential{pass, file, id, rec}
	hide := hiding{admin, *admin, pass, *pass, file, *file, *id, *rec, hasher}
	show := showing{key, &key, []Key{key}, map[string]Key{"k": key}, admin, admin, creds, hasher}
	keys := []any{key, &key, []Key{key}, map[Key]Key{key: key}, show, &show, []any{admin, creds, key}}
	others := []any{admin, *admin, pass, *pass, file, *file, id, *id, rec, *rec, hasher, hide, &hide, creds, []any{admin, creds, &key}}
	for i, v := range append(keys, others...) {
		for how, text := range printed(v, i < len(keys)) {
			for _, b := range bad {
				require.NotContains(t, text, b, "%T printed with %s", v, how)
			}
		}
	}
}

func TestPlaceholders(t *testing.T) {
	key := NewKey()
	k, _, err := NewKeyring(AES256GCM)
	require.NoError(t, err)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%q", "%d"} {
		require.Equal(t, "[key]", fmt.Sprintf(verb, key))
		require.Equal(t, "[key]", fmt.Sprintf(verb, &key))
		require.Equal(t, "[secret]", fmt.Sprintf(verb, k))
		require.Equal(t, "[secret]", fmt.Sprintf(verb, *k))
		require.Equal(t, "[secret]", fmt.Sprintf(verb, Passphrase("x")))
	}
	require.Equal(t, "[key]", key.String()+key.GoString()[5:])
	require.Equal(t, "[secret]", k.String()+k.GoString()[8:])
	_, file := NewKeyFile()
	_, rec := NewRecovery()
	for _, v := range []any{key, &key, k, Passphrase("x"), file, rec} {
		_, err := json.Marshal(v)
		require.ErrorIs(t, err, errSecret, "%T", v)
	}
}

// Errors about credentials do not repeat them.
func TestErrorsHideCredentials(t *testing.T) {
	text, _ := NewKeyFile()
	rec, _ := NewRecovery()
	idText, _, err := NewIdentity()
	require.NoError(t, err)
	for n := range len(text) - 1 {
		_, err := ParseKeyFile(text[:n])
		require.Error(t, err)
		checkQuiet(t, err, string(text)[15:])
		_, err = ParseIdentity(idText[:n])
		require.Error(t, err)
		checkQuiet(t, err, string(idText)[20:])
		_, err = ParseIdentity(text[:n])
		require.Error(t, err)
		checkQuiet(t, err, string(text)[15:])
	}
	for n := range rec {
		_, err := ParseRecovery(rec[:n])
		require.Error(t, err)
		checkQuiet(t, err, rec)
	}
}

func checkQuiet(t *testing.T, err error, secret string) {
	t.Helper()
	for i := 0; i+5 <= len(secret)-1; i++ {
		require.NotContains(t, err.Error(), secret[i:i+5])
	}
}

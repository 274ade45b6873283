package crypto_test

import (
	"errors"
	"fmt"

	"github.com/holdfast-backup/holdfast/crypto"
)

// A box hides and protects its plaintext; the associated data is protected only.
func ExampleSealBox() {
	key := crypto.NewKey()
	box := crypto.SealBox(nil, crypto.AES256GCM, &key, "example", []byte("attack at dawn"), []byte("header"))

	plain, err := crypto.OpenBox(nil, crypto.AES256GCM, &key, "example", box, []byte("header"))
	fmt.Printf("%s %v\n", plain, err)

	box[len(box)-1] ^= 1
	_, err = crypto.OpenBox(nil, crypto.AES256GCM, &key, "example", box, []byte("header"))
	fmt.Println(errors.Is(err, crypto.ErrAuth))
	// Output:
	// attack at dawn <nil>
	// true
}

// The life of a keyring: made once for a domain, restricted for a machine that only writes, and kept in a slot.
func ExampleKeyring() {
	admin, public, err := crypto.NewKeyring(crypto.AES256GCM)
	if err != nil {
		fmt.Println(err)
		return
	}
	genesis := crypto.Hash([]byte("ledger entry 0, which holds the domain, the suite and the public keys"))
	writer, err := admin.Restrict(crypto.Writer)
	if err != nil {
		fmt.Println(err)
		return
	}
	object, info, err := crypto.SealSlot(writer, genesis, "web server", crypto.Passphrase("correct horse"))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(info.Kind, info.Role, info.Label)

	slot, err := crypto.DecodeSlot(object)
	if err != nil {
		fmt.Println(err)
		return
	}
	_, err = slot.Open(crypto.Passphrase("wrong horse"))
	fmt.Println(errors.Is(err, crypto.ErrWrongCredential))

	keys, err := slot.Open(crypto.Passphrase("correct horse"))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(keys.Bind(admin.Domain(), admin.Suite(), public))

	// A writer makes session keys that it cannot open again.
	_, entry, err := keys.NewSessionKey(crypto.Data)
	fmt.Println(err)
	_, err = keys.OpenSessionKey(crypto.Data, &entry)
	fmt.Println(err)
	_, err = admin.OpenSessionKey(crypto.Data, &entry)
	fmt.Println(err)
	// Output:
	// password writer web server
	// true
	// <nil>
	// <nil>
	// opening a session key of class DATA: a writer holds no DATA private key
	// <nil>
}

// Ids are keyed: the same chunk has another id in another domain.
func ExampleKeyring_Hasher() {
	ids := map[crypto.ID]bool{}
	for range 2 {
		k, _, err := crypto.NewKeyring(crypto.AES256GCM)
		if err != nil {
			fmt.Println(err)
			return
		}
		h, err := k.Hasher(crypto.Data)
		if err != nil {
			fmt.Println(err)
			return
		}
		ids[h.Sum([]byte("a chunk"))] = true
	}
	fmt.Println(len(ids))
	// Output: 2
}

// Secrets do not reach a log by accident.
func ExampleKey() {
	fmt.Printf("%v %x %s\n", crypto.NewKey(), crypto.NewKey(), crypto.Passphrase("hunter2"))
	// Output: [key] [key] [secret]
}

// A recovery key is typed from paper: small mistakes do not matter, and others are found.
func ExampleParseRecovery() {
	_, err := crypto.ParseRecovery("ooog4 0r40m 30e20 9185g r38e1 w8124 gk2ga hc5rr 34dlp 70x3r fyaa7 9ayc0")
	fmt.Println(err)
	_, err = crypto.ParseRecovery("000G4-0R40M-30E20-9185G-R38E1-W8124-GK2GA-HC5RR-34D1P-70X3R-FYAA7-9AYC1")
	fmt.Println(err)
	// Output:
	// <nil>
	// reading a recovery key: its checksum does not match: a character is wrong, or two are swapped
}

func ExampleNewIdentity() {
	secret, id, err := crypto.NewIdentity()
	if err != nil {
		fmt.Println(err)
		return
	}
	// The secret text stays with its owner; whoever makes a slot needs the recipient only.
	to, err := crypto.ParseRecipient(id.Recipient().Text())
	if err != nil {
		fmt.Println(err)
		return
	}
	admin, _, err := crypto.NewKeyring(crypto.XChaCha20Poly1305)
	if err != nil {
		fmt.Println(err)
		return
	}
	object, _, err := crypto.SealSlot(admin, crypto.ID{}, "offline", to)
	if err != nil {
		fmt.Println(err)
		return
	}
	slot, err := crypto.DecodeSlot(object)
	if err != nil {
		fmt.Println(err)
		return
	}
	again, err := crypto.ParseIdentity(secret)
	if err != nil {
		fmt.Println(err)
		return
	}
	keys, err := slot.Open(again)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(slot.Matches(again), keys.Role(), keys.Actor() == admin.Actor())
	// Output: true admin true
}

func ExampleActor_Verify() {
	k, _, err := crypto.NewKeyring(crypto.AES256GCM)
	if err != nil {
		fmt.Println(err)
		return
	}
	sig := k.Sign("example", []byte("message"))
	fmt.Println(k.Actor().Verify("example", []byte("message"), sig[:]))
	fmt.Println(errors.Is(k.Actor().Verify("example", []byte("massage"), sig[:]), crypto.ErrAuth))
	// Output:
	// <nil>
	// true
}

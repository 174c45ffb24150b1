package seal

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"
)

// A key seals the values of one purpose of one subject.
type key struct {
	id     uuid.UUID
	secret []byte
	aead   cipher.AEAD
}

func newKey(id uuid.UUID, secret []byte) (key, error) {
	block, err := aes.NewCipher(secret)
	if err != nil {
		return key{}, err
	}
	aead, err := cipher.NewGCM(block)
	return key{id: id, secret: secret, aead: aead}, err
}

// seal encrypts value under a fresh random nonce.
func (k key) seal(random io.Reader, value, additional []byte) (nonce, box []byte) {
	nonce = make([]byte, k.aead.NonceSize())
	if _, err := io.ReadFull(random, nonce); err != nil {
		panic(err) // crypto/rand never fails
	}
	return nonce, k.aead.Seal(nil, nonce, value, additional)
}

// open decrypts box onto out.
func (k key) open(out, nonce, box, additional []byte) ([]byte, error) {
	if len(nonce) != k.aead.NonceSize() {
		return nil, ErrForged
	}
	out, err := k.aead.Open(out, nonce, box, additional)
	if err != nil {
		return nil, ErrForged
	}
	return out, nil
}

// A subject is one person's keys as they were loaded. It is not changed once
// others can see it.
type subject struct {
	id        uuid.UUID
	keys      map[string]key // by purpose
	stored    map[string]storedKey
	destroyed []destroyedKey
	loaded    time.Time
}

// storedSubject is the content of a subject's file.
type storedSubject struct {
	Subject   uuid.UUID      `json:"subject"`
	Keys      []storedKey    `json:"keys"`
	Destroyed []destroyedKey `json:"destroyed,omitempty"`
}

// storedKey is a key wrapped by the root key: AES-256-GCM with subject, purpose
// and key ID, joined by NUL, as additional data.
type storedKey struct {
	ID      uuid.UUID `json:"id"`
	Purpose string    `json:"purpose"`
	Nonce   []byte    `json:"nonce"`
	Wrapped []byte    `json:"wrapped"`
}

// A destroyedKey is remembered, so that its values read as erased and not as
// damaged.
type destroyedKey struct {
	ID      uuid.UUID `json:"id"`
	Purpose string    `json:"purpose"`
}

// parseSubject unwraps the content of a subject's file; none is no keys.
func parseSubject(wrap key, id uuid.UUID, content []byte) (*subject, error) {
	s := &subject{id: id, keys: map[string]key{}, stored: map[string]storedKey{}}
	if content == nil {
		return s, nil
	}
	var file storedSubject
	if err := json.Unmarshal(content, &file); err != nil || file.Subject != id {
		return nil, errors.New("damaged: restore the keys from their backup")
	}
	for _, stored := range file.Keys {
		secret, err := wrap.open(nil, stored.Nonce, stored.Wrapped, stored.additional(id))
		if err != nil {
			return nil, errors.New("does not fit the root key: restore root.key and the keys from one backup")
		}
		if s.keys[stored.Purpose], err = newKey(stored.ID, secret); err != nil {
			return nil, err
		}
		s.stored[stored.Purpose] = stored
	}
	s.destroyed = file.Destroyed
	return s, nil
}

func (k storedKey) additional(subject uuid.UUID) []byte {
	return []byte(subject.String() + "\x00" + k.Purpose + "\x00" + k.ID.String())
}

// format is the content of the subject's file. A key that was stored keeps its
// wrapping.
func (s *subject) format(wrap key, random io.Reader) ([]byte, error) {
	file := storedSubject{Subject: s.id, Keys: []storedKey{}, Destroyed: s.destroyed}
	for _, purpose := range slices.Sorted(maps.Keys(s.keys)) {
		stored, ok := s.stored[purpose]
		if !ok {
			stored = storedKey{ID: s.keys[purpose].id, Purpose: purpose}
			stored.Nonce, stored.Wrapped = wrap.seal(random, s.keys[purpose].secret, stored.additional(s.id))
			s.stored[purpose] = stored
		}
		file.Keys = append(file.Keys, stored)
	}
	content, err := json.Marshal(file)
	return append(content, '\n'), err
}

func (s *subject) clone() *subject {
	return &subject{
		id: s.id, keys: maps.Clone(s.keys), stored: maps.Clone(s.stored),
		destroyed: slices.Clone(s.destroyed), loaded: s.loaded,
	}
}

func (s *subject) current(purpose string) (key, bool) {
	key, ok := s.keys[purpose]
	return key, ok
}

func (s *subject) find(purpose string, id uuid.UUID) (key, error) {
	if key, ok := s.keys[purpose]; ok && key.id == id {
		return key, nil
	}
	if slices.Contains(s.destroyed, destroyedKey{ID: id, Purpose: purpose}) {
		return key{}, errDestroyed
	}
	return key{}, fmt.Errorf("key %s: %w", id, ErrKeyMissing)
}

func (s *subject) add(random io.Reader, purpose string) error {
	id, err := uuid.NewRandomFromReader(random)
	if err != nil {
		return err
	}
	secret := make([]byte, 32)
	if _, err := io.ReadFull(random, secret); err != nil {
		return err
	}
	s.keys[purpose], err = newKey(id, secret)
	return err
}

func (s *subject) destroy(purpose string) (changed bool) {
	key, ok := s.keys[purpose]
	if !ok {
		return false
	}
	delete(s.keys, purpose)
	delete(s.stored, purpose)
	s.destroyed = append(s.destroyed, destroyedKey{ID: key.id, Purpose: purpose})
	return true
}

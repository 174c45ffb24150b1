package seal

import (
	"bytes"
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
	id      uuid.UUID
	keys    map[string]key // by purpose
	entries []entry        // as stored, those destroyed too
	size    int            // bytes of the whole lines in the file
	loaded  time.Time
}

// An entry is one line of a subject's file: a key wrapped by the root key
// (AES-256-GCM with subject, purpose and key ID, joined by NUL, as additional
// data), or one that was destroyed and is remembered, so that its values read as
// erased and not as damaged.
type entry struct {
	Key       uuid.UUID `json:"key"`
	Purpose   string    `json:"purpose"`
	Nonce     []byte    `json:"nonce,omitempty"`
	Wrapped   []byte    `json:"wrapped,omitempty"`
	Destroyed bool      `json:"destroyed,omitempty"`
}

func (e entry) additional(subject uuid.UUID) []byte {
	return []byte(subject.String() + "\x00" + e.Purpose + "\x00" + e.Key.String())
}

// line is the entry as it is stored.
func (e entry) line() []byte {
	line, err := json.Marshal(e)
	if err != nil {
		panic(err) // bytes, strings and a UUID
	}
	return append(line, '\n')
}

// parseSubject unwraps the content of a subject's file. A last line without an
// end, or with a hole of zeros, was cut off by a crash, before anything was
// sealed under its key.
func parseSubject(wrap key, id uuid.UUID, content []byte) (*subject, error) {
	written, _, _ := bytes.Cut(content, []byte{0})
	s := &subject{id: id, keys: map[string]key{}, size: bytes.LastIndexByte(written, '\n') + 1}
	for line := range bytes.Lines(content[:s.size]) {
		var e entry
		if err := json.Unmarshal(line, &e); err != nil {
			return nil, errors.New("damaged: restore the keys from their backup")
		}
		if err := s.unwrap(wrap, e); err != nil {
			return nil, err
		}
	}
	return s, nil
}

func (s *subject) unwrap(wrap key, e entry) error {
	s.entries = append(s.entries, e)
	if e.Destroyed {
		return nil
	}
	if _, ok := s.keys[e.Purpose]; ok {
		return errors.New("damaged, two keys of one purpose: restore the keys from their backup")
	}
	secret, err := wrap.open(nil, e.Nonce, e.Wrapped, e.additional(s.id))
	if err != nil {
		return errors.New("does not fit the root key: restore root.key and the keys from one backup")
	}
	s.keys[e.Purpose], err = newKey(e.Key, secret)
	return err
}

func (s *subject) clone() *subject {
	clone := *s
	clone.keys, clone.entries = maps.Clone(s.keys), slices.Clone(s.entries)
	return &clone
}

func (s *subject) find(purpose string, id uuid.UUID) (key, error) {
	if key, ok := s.keys[purpose]; ok && key.id == id {
		return key, nil
	}
	if slices.ContainsFunc(s.entries, func(e entry) bool { return e.Destroyed && e.Key == id && e.Purpose == purpose }) {
		return key{}, errDestroyed
	}
	return key{}, fmt.Errorf("key %s: %w", id, ErrKeyMissing)
}

// add makes a key for each purpose that has none, and returns the new lines.
func (s *subject) add(wrap key, random io.Reader, purposes ...string) (lines []byte, err error) {
	for _, purpose := range purposes {
		if _, ok := s.keys[purpose]; ok {
			continue
		}
		secret := make([]byte, 32)
		if _, err := io.ReadFull(random, secret); err != nil {
			return nil, err
		}
		id, err := uuid.NewRandomFromReader(random)
		if err != nil {
			return nil, err
		}
		if s.keys[purpose], err = newKey(id, secret); err != nil {
			return nil, err
		}
		e := entry{Key: id, Purpose: purpose}
		e.Nonce, e.Wrapped = wrap.seal(random, secret, e.additional(s.id))
		s.entries = append(s.entries, e)
		lines = append(lines, e.line()...)
	}
	s.size += len(lines)
	return lines, nil
}

// destroy drops the keys of the purposes and reports whether there were any.
func (s *subject) destroy(purposes ...string) (found bool) {
	for i, e := range s.entries {
		if !e.Destroyed && slices.Contains(purposes, e.Purpose) {
			s.entries[i] = entry{Key: e.Key, Purpose: e.Purpose, Destroyed: true}
			delete(s.keys, e.Purpose)
			found = true
		}
	}
	return found
}

// content is the whole file.
func (s *subject) content() (content []byte) {
	for _, e := range s.entries {
		content = append(content, e.line()...)
	}
	return content
}

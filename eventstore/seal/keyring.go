package seal

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/google/uuid"
)

const (
	// cacheFor is how long a process may go on using a key that another one
	// has destroyed.
	cacheFor = 60 * time.Second
	// cacheMax bounds the subjects held in memory; some others go when it is full.
	cacheMax = 8192
)

// What the derivations are for, with their version: these never change.
const (
	wrapInfo   = "daybook key wrap 1"
	secretInfo = "daybook secret 1 "
)

// errDestroyed says that a key was there and is gone for good.
var errDestroyed = errors.New("key destroyed")

// Keyring is a folder of keys: one file per subject, wrapped by a root key.
// Several processes may use one folder at the same time.
type Keyring struct {
	folder  folder
	wrap    key    // wraps what is stored in the folder
	secrets []byte // all named secrets derive from it
	random  io.Reader
	now     func() time.Time

	mu       sync.Mutex
	subjects map[uuid.UUID]*subject
}

// Create opens the keyring in dir, and makes it first if there is none.
func Create(dir string) (*Keyring, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the folder of keys: %w", err)
	}
	f := folder{dir}
	unlock, err := f.lock()
	if err != nil {
		return nil, err
	}
	defer unlock()
	if err := f.found(rand.Reader); err != nil {
		return nil, fmt.Errorf("make the root key: %w", err)
	}
	return open(f)
}

// Open opens the keyring in dir. Where there is none, errors.Is(err,
// fs.ErrNotExist): a log that has events needs the keys it was written with.
func Open(dir string) (*Keyring, error) {
	f := folder{dir}
	unlock, err := f.lock()
	if err != nil {
		return nil, err
	}
	defer unlock()
	return open(f)
}

func open(f folder) (*Keyring, error) {
	root, err := f.readKey(rootFile)
	if err != nil {
		return nil, err
	}
	secrets, err := f.readKey(secretsFile)
	if err != nil {
		return nil, err
	}
	if err := f.finishDestructions(); err != nil {
		return nil, fmt.Errorf("finish destroying keys: %w", err)
	}
	wrap, err := newKey(uuid.Nil, derive(root, wrapInfo))
	if err != nil {
		return nil, err
	}
	return &Keyring{
		folder: f, wrap: wrap, secrets: secrets, random: rand.Reader, now: time.Now,
		subjects: make(map[uuid.UUID]*subject),
	}, nil
}

func derive(secret []byte, info string) []byte {
	derived, err := hkdf.Key(sha256.New, secret, nil, info, 32)
	if err != nil {
		panic(err) // only for a length that is too great
	}
	return derived
}

// Secret is the secret of that name: 32 bytes, made with the keyring and never
// rotated, the same in every process.
func (k *Keyring) Secret(name string) []byte { return derive(k.secrets, secretInfo+name) }

// MAC is the HMAC-SHA256 of a value under the set's own secret: it stands for
// values that must be compared but not be guessed.
func (k *Keyring) MAC(set, value string) []byte {
	mac := hmac.New(sha256.New, k.Secret("mac "+set))
	mac.Write([]byte(value))
	return mac.Sum(nil)
}

// current is the key under which a subject's values of a purpose are sealed now,
// made if there is none.
func (k *Keyring) current(id uuid.UUID, purpose string) (key, error) {
	s, err := k.subject(id)
	if err != nil {
		return key{}, err
	}
	if key, ok := s.keys[purpose]; ok {
		return key, nil
	}
	if s, err = k.addKeys(id, purpose); err != nil {
		return key{}, err
	}
	return s.keys[purpose], nil
}

// byID is the key that a value was sealed under, or errDestroyed.
func (k *Keyring) byID(id uuid.UUID, purpose string, keyID uuid.UUID) (key, error) {
	s, err := k.subject(id)
	if err != nil {
		return key{}, err
	}
	key, err := s.find(purpose, keyID)
	if !errors.Is(err, ErrKeyMissing) {
		return key, err
	}
	if s, err = k.load(id); err != nil { // another process may have made it since
		return key, err
	}
	return s.find(purpose, keyID)
}

// subject is what the keyring holds of one, at most cacheFor old. A subject
// without a file has no keys.
func (k *Keyring) subject(id uuid.UUID) (*subject, error) {
	k.mu.Lock()
	s, ok := k.subjects[id]
	k.mu.Unlock()
	if ok && k.now().Sub(s.loaded) < cacheFor {
		return s, nil
	}
	return k.load(id)
}

// load reads a subject's file. It waits for a change under way: a key that
// another process has written but not synced must not be used.
func (k *Keyring) load(id uuid.UUID) (*subject, error) {
	unlock, err := k.folder.share()
	if err != nil {
		return nil, err
	}
	defer unlock()
	return k.read(id)
}

func (k *Keyring) read(id uuid.UUID) (*subject, error) {
	loaded := k.now()
	content, err := os.ReadFile(k.folder.subjectPath(id))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("read the keys of a subject: %w", err)
	}
	s, err := parseSubject(k.wrap, id, content)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Base(k.folder.subjectPath(id)), err)
	}
	s.loaded = loaded
	k.keep(s)
	return s, nil
}

// keep remembers s, unless it is older than what is remembered.
func (k *Keyring) keep(s *subject) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for id := range k.subjects {
		if len(k.subjects) < cacheMax {
			break
		}
		delete(k.subjects, id)
	}
	if known := k.subjects[s.id]; known == nil || !known.loaded.After(s.loaded) {
		k.subjects[s.id] = s
	}
}

// addKeys makes keys for the purposes that have none, durable when it returns.
func (k *Keyring) addKeys(id uuid.UUID, purposes ...string) (*subject, error) {
	s, err := k.change(id, func(s *subject) error {
		size := s.size
		lines, err := s.add(k.wrap, k.random, purposes...)
		if err != nil || len(lines) == 0 { // another process has just made them
			return err
		}
		return k.folder.extend(k.folder.subjectPath(id), size, lines)
	})
	if err != nil {
		return nil, fmt.Errorf("make a key: %w", err)
	}
	return s, nil
}

// Destroy destroys a subject's keys of the given purposes, on disk and here;
// other processes follow within a minute. All that was sealed under them is
// erased: that cannot be taken back. Repeating it does nothing.
func (k *Keyring) Destroy(subjectID uuid.UUID, purposes ...string) error {
	if len(purposes) == 0 {
		return errors.New("destroy keys: no purpose named")
	}
	_, err := k.change(subjectID, func(s *subject) error {
		if !s.destroy(purposes...) {
			return nil
		}
		content := s.content()
		s.size = len(content)
		return k.folder.replace(k.folder.subjectPath(subjectID), content)
	})
	if err != nil {
		return fmt.Errorf("destroy keys: %w", err)
	}
	return nil
}

// change lets f change the subject as it is on disk, and its file with it. The
// lock keeps two processes from making two keys for one purpose.
func (k *Keyring) change(id uuid.UUID, f func(*subject) error) (*subject, error) {
	unlock, err := k.folder.lock()
	if err != nil {
		return nil, err
	}
	defer unlock()
	s, err := k.read(id)
	if err != nil {
		return nil, err
	}
	s = s.clone()
	if err := f(s); err != nil {
		return nil, err
	}
	s.loaded = k.now()
	k.keep(s)
	return s, nil
}

package node

import (
	"context"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/google/uuid"

	"daybook.example/eventstore/log"
)

// Where the event store keeps its users: a stream each, and a list of them all.
const (
	UsersStream = "$users" // the list: UserListed for each
	UserListed  = "$User"
	UserCreated = "$UserCreated"
	UserUpdated = "$UserUpdated"

	loginMax       = 100
	iterations     = 600_000 // of PBKDF2 with SHA-256, as OWASP asks
	saltSize       = 16
	rememberedMax  = 1024 // logins whose password was checked lately
	hashAlgorithm  = "pbkdf2-sha256"
	checkedAtATime = 1 // passwords: strangers must not get all of the machine
)

// rounds are the iterations of a new password. Only this package's tests lower it:
// under the race detector, on a busy machine, a password would outlast a call.
var rounds = iterations

var errCredentials = errors.New("wrong credentials")

// UserStream is the stream of a user, whose last event counts.
func UserStream(login string) string { return "$user-" + login }

// A User may call a node over TLS. Its events are kept in the log.
type User struct {
	Login    string   `json:"loginName"`
	FullName string   `json:"fullName"`
	Groups   []string `json:"groups"` // "$admins" may do everything, "$ops" manage persistent subscriptions
	Disabled bool     `json:"disabled"`
	Password Password `json:"password"`
}

// A Password is what is kept of one.
type Password struct {
	Algorithm  string `json:"algorithm"`
	Iterations int    `json:"iterations"`
	Salt       []byte `json:"salt"`
	Hash       []byte `json:"hash"`
}

// NewPassword makes what is kept of a password.
func NewPassword(text string) (Password, error) {
	p := Password{Algorithm: hashAlgorithm, Iterations: rounds, Salt: make([]byte, saltSize)}
	_, _ = rand.Read(p.Salt) // never fails
	hash, err := p.derive(text)
	p.Hash = hash
	return p, err
}

func (p Password) derive(text string) ([]byte, error) {
	if p.Algorithm != hashAlgorithm || p.Iterations < 1 || p.Iterations > 10*iterations {
		return nil, fmt.Errorf("password of the unknown kind %q", p.Algorithm)
	}
	return pbkdf2.Key(sha256.New, text, p.Salt, p.Iterations, sha256.Size)
}

func (p Password) matches(text string) bool {
	hash, err := p.derive(text)
	return err == nil && subtle.ConstantTimeCompare(hash, p.Hash) == 1
}

// Encode is the data of an event that says how a user is from now on, in their
// stream: UserCreated, or UserUpdated behind one. It takes effect at the next call.
func (u User) Encode() ([]byte, error) {
	if u.Login == "" || len(u.Login) > loginMax || strings.ContainsAny(u.Login, ":$ ") {
		return nil, fmt.Errorf("a user's login has 1 to %d characters without colon, dollar and space", loginMax)
	}
	return json.Marshal(u)
}

// Listing is the data of the event UserListed, which has a user appear in UsersStream.
func (u User) Listing() []byte {
	login, _ := json.Marshal(u.Login) // of a text, it never fails
	return login
}

// readUser reads a user, nil if there is none, and where the event stands.
func readUser(ctx context.Context, l *log.Log, login string) (*User, uint64, error) {
	last, err := l.ReadStream(ctx, UserStream(login), lastRevision, log.Backwards, 1)
	if err != nil || len(last) == 0 {
		return nil, 0, err
	}
	event, err := last[0].Decode()
	if err != nil {
		return nil, 0, err
	}
	u := &User{}
	if err := json.Unmarshal(event.GetData(), u); err != nil {
		return nil, 0, fmt.Errorf("the user %s cannot be read: %w", login, err)
	}
	return u, last[0].Position, nil
}

// addDefaultUsers gives a log without users those that every event store has.
func addDefaultUsers(ctx context.Context, l *log.Log, password string) error {
	if l.Stream(UsersStream).Head >= 0 {
		return nil
	}
	kept, err := NewPassword(password)
	if err != nil {
		return err
	}
	for login, u := range map[string]User{
		adminLogin: {FullName: "Event store administrator", Groups: []string{admins}},
		opsLogin:   {FullName: "Event store operations", Groups: []string{operators}},
	} {
		u.Login, u.Password = login, kept
		data, err := u.Encode()
		if err != nil {
			return err
		}
		if _, err := put(ctx, l, UserStream(login), UserCreated, data); err != nil {
			return err
		}
		// Last: a start that finds the list finds its users.
		if _, err := put(ctx, l, UsersStream, UserListed, u.Listing()); err != nil {
			return err
		}
	}
	return nil
}

// put appends one JSON event, whatever the stream holds.
func put(ctx context.Context, l *log.Log, stream, kind string, data []byte) (log.Result, error) {
	return l.Append(ctx, log.Append{Stream: stream, Expected: log.Any, Events: []log.Proposed{
		{ID: uuid.New(), Type: kind, JSON: true, Data: data},
	}})
}

// users checks passwords. Doing so is slow on purpose, so a password that was
// right is remembered, by its hash, until the user changes.
type users struct {
	log        *log.Log
	mu         sync.Mutex
	remembered map[[sha256.Size]byte]uint64 // position of the user's event
	checking   chan struct{}
}

func newUsers(l *log.Log) *users {
	return &users{log: l, remembered: map[[sha256.Size]byte]uint64{}, checking: make(chan struct{}, checkedAtATime)}
}

func (u *users) verify(ctx context.Context, login, password string) (principal, error) {
	user, at, err := readUser(ctx, u.log, login)
	if err != nil {
		return principal{}, err
	}
	if user == nil || user.Disabled {
		return principal{}, errCredentials
	}
	key := sha256.Sum256([]byte(login + "\x00" + password))
	if !u.knows(key, at) {
		if err := u.check(ctx, user.Password, password); err != nil {
			return principal{}, err
		}
		u.remember(key, at)
	}
	return principal{login: user.Login, groups: user.Groups}, nil
}

func (u *users) check(ctx context.Context, kept Password, password string) error {
	select {
	case u.checking <- struct{}{}:
		defer func() { <-u.checking }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if !kept.matches(password) {
		return errCredentials
	}
	return nil
}

func (u *users) knows(key [sha256.Size]byte, at uint64) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	known, ok := u.remembered[key]
	return ok && known == at
}

func (u *users) remember(key [sha256.Size]byte, at uint64) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if len(u.remembered) >= rememberedMax {
		clear(u.remembered)
	}
	u.remembered[key] = at
}

// Package claims keeps values unique across streams: an employee number has one
// owner, an entry is reversed once. Each value has a stream of its own, named by
// an HMAC, for a plain hash could be guessed and a stream's name cannot be erased.
//
// A command takes its claims before it appends and confirms them afterwards. An
// unconfirmed claim expires, and events that need it are not sent in its last
// seconds, so two owners cannot meet. Nothing is deleted: a release is an event.
package claims

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"time"

	"github.com/google/uuid"

	"daybook.example/commands/resend"
	"daybook.example/domain"
	"daybook.example/domain/claim"
	"daybook.example/eventstore"
	"daybook.example/eventstore/seal"
)

const (
	lifetime    = 5 * time.Minute  // of an unconfirmed claim
	sendMargin  = 15 * time.Second // before its end, in which its events are not sent
	renewBefore = time.Minute      // what must be left for another delivery to rely on it
	raceMax     = 20               // times that others may come first
	readTimeout = 15 * time.Second
)

// A Config says with what claims work. Store, Keys and Clock must be set.
type Config struct {
	Store           store
	Keys            *seal.Keyring
	Clock           func() time.Time
	SoftwareVersion string
	PolicyVersion   string
	Logger          *slog.Logger  // nil = slog.Default()
	Patience        time.Duration // of an append; 0 = resend.PatienceMax
}

// store is the part of the event store's client that claims use. The tests put
// one between that fails.
type store interface {
	Append(ctx context.Context, stream string, expected eventstore.ExpectedRevision, events []eventstore.Proposed) (eventstore.Written, error)
	ReadStream(ctx context.Context, stream string, from eventstore.Revision, dir eventstore.Direction, max uint64) ([]eventstore.Recorded, error)
	ReadAll(ctx context.Context, from eventstore.Position, dir eventstore.Direction, max uint64) ([]eventstore.Recorded, error)
}

// Claims takes, confirms and releases claims. Owners are streams: whether a claim
// is to stay is read from its owner.
type Claims struct {
	Config
	sweep sweep
}

// New makes the claims of one event store.
func New(c Config) *Claims {
	c.Logger = cmp.Or(c.Logger, slog.Default())
	return &Claims{Config: c}
}

// Held is a claim that a command may rely on.
type Held struct {
	claim   domain.Claim
	expires time.Time
	pending bool // to be confirmed
	again   bool // taken by an earlier delivery of the same command
}

// Pending reports whether the claim still waits for its fact. One that its owner
// had before does not.
func (h Held) Pending() bool { return h.pending }

// SendBefore is the time after which the events that need the claim are not sent.
func (h Held) SendBefore() time.Time { return h.expires.Add(-sendMargin) }

// Set is the set of the claimed value.
func (h Held) Set() string { return h.claim.Set }

// Is reports whether h is the claim that c asks for.
func (h Held) Is(c domain.Claim) bool { return h.claim == c }

// Take claims a value for its owner in the name of the command that causes it. A
// value of another owner is refused as taken. A command may take its claim again.
func (c *Claims) Take(ctx context.Context, owner string, need domain.Claim, cause domain.Metadata) (Held, error) {
	mine := party{owner, cause.CommandID, cause.RequestMAC}
	appended := false
	for range raceMax {
		s, err := c.look(ctx, need)
		if err != nil {
			return Held{}, err
		}
		switch left := s.Expires.Sub(c.Clock()); {
		case s.Free() || s.by == mine && !s.Confirmed && left < renewBefore:
			err = c.append(s, cause, claim.Take{Owner: owner, CommandID: cause.CommandID, Expires: c.Clock().Add(lifetime).UTC().Truncate(time.Microsecond)})
			appended = err == nil
		case s.by.owner == owner && s.Confirmed:
			return Held{claim: need}, nil
		case s.by == mine:
			return Held{claim: need, expires: s.Expires, pending: true, again: !appended}, nil
		case s.Confirmed:
			return Held{}, taken(need)
		default:
			err = c.settle(ctx, s)
		}
		if errors.Is(err, errPending) {
			return Held{}, taken(need)
		}
		if err != nil && !errors.Is(err, eventstore.ErrWrongExpectedRevision) {
			return Held{}, err
		}
	}
	return Held{}, taken(need)
}

// Check refuses what Take would refuse, and changes nothing.
func (c *Claims) Check(ctx context.Context, owner string, need domain.Claim, command uuid.UUID) error {
	s, err := c.look(ctx, need)
	if err != nil || s.Free() || s.by.owner == owner && (s.Confirmed || s.by.command == command) {
		return err
	}
	if s.Confirmed || s.Expires.After(c.Clock()) {
		return taken(need)
	}
	if stored, err := c.stored(ctx, s.by); err != nil || !stored {
		return err
	}
	return taken(need)
}

// Confirm makes a claim last whose fact is stored. It does nothing when the claim
// is confirmed, or is not this command's any more.
func (c *Claims) Confirm(ctx context.Context, owner string, need domain.Claim, cause domain.Metadata) error {
	return c.change(ctx, need, cause, func(s standing) claim.Command {
		if s.Free() || s.Confirmed || s.by != (party{owner, cause.CommandID, cause.RequestMAC}) {
			return nil
		}
		return claim.Confirm{Owner: owner}
	})
}

// Withdraw gives back what was taken for a command that was refused. What an
// earlier delivery took is left to expire: its events may be on their way.
func (c *Claims) Withdraw(ctx context.Context, owner string, held Held, cause domain.Metadata) error {
	if held.again {
		return nil
	}
	return c.change(ctx, held.claim, cause, func(s standing) claim.Command {
		if s.Free() || s.Confirmed || s.by != (party{owner, cause.CommandID, cause.RequestMAC}) {
			return nil
		}
		return claim.Release{Owner: owner, Reason: "refused"}
	})
}

// Release gives back a value whose owner has no more use for it, if the command
// that took it is an earlier one: what a later one took again stays.
func (c *Claims) Release(ctx context.Context, owner string, need domain.Claim, earlier func(command uuid.UUID) bool, cause domain.Metadata) error {
	need.Release = false
	return c.change(ctx, need, cause, func(s standing) claim.Command {
		if s.Free() || s.by.owner != owner || !earlier(s.by.command) {
			return nil
		}
		return claim.Release{Owner: owner, Reason: "given-back"}
	})
}

// change appends what the claim's standing asks for, or nothing.
func (c *Claims) change(ctx context.Context, need domain.Claim, cause domain.Metadata, next func(standing) claim.Command) error {
	for range raceMax {
		s, err := c.look(ctx, need)
		if err != nil {
			return err
		}
		command := next(s)
		if command == nil {
			return nil
		}
		if err := c.append(s, cause, command); !errors.Is(err, eventstore.ErrWrongExpectedRevision) {
			return err
		}
	}
	return errors.New("others kept changing a claim")
}

func taken(need domain.Claim) error {
	return &domain.Error{Kind: domain.Taken, Code: "taken", Message: "this " + need.Set + " belongs to another; choose a free one"}
}

func (c *Claims) stream(need domain.Claim) string {
	return claim.Stream(need.Set, hex.EncodeToString(c.Keys.MAC(need.Set, need.Value)))
}

var errUnavailable = &domain.Error{Kind: domain.Unknown, Code: "store-unavailable", Message: "the event store does not answer; send the same request again"}

func (c *Claims) read(ctx context.Context, stream string, from uint64) ([]eventstore.Recorded, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	events, err := c.Store.ReadStream(ctx, stream, from, eventstore.Forwards, math.MaxInt64)
	if errors.Is(err, eventstore.ErrStreamNotFound) {
		return nil, nil
	}
	if err != nil {
		c.Logger.Warn("cannot read a stream for a claim", "error", err)
		return nil, errUnavailable
	}
	return events, nil
}

// append decides on the claim and stores the event, in the name of its cause.
func (c *Claims) append(s standing, cause domain.Metadata, command claim.Command) error {
	events, err := claim.Decider.Decide(s.State, command)
	if err != nil || len(events) == 0 {
		return err
	}
	proposed, err := propose(s, cause, events[0])
	if err != nil {
		return err
	}
	_, err = resend.Plan{Patience: c.Patience}.Until(func(ctx context.Context) (eventstore.Written, error) {
		return c.Store.Append(ctx, s.stream, s.expected(), proposed)
	})
	switch {
	case err == nil || errors.Is(err, eventstore.ErrWrongExpectedRevision):
		return err
	case errors.Is(err, resend.ErrUnknown):
		c.Logger.Warn("a claim's append has no result", "error", err)
		return errUnavailable
	}
	return fmt.Errorf("append %s: %w", events[0].EventType(), err)
}

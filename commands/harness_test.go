package commands

import (
	"context"
	"encoding/json"
	"log/slog"
	"math"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"daybook.example/commands/claims"
	"daybook.example/domain"
	"daybook.example/eventstore"
	"daybook.example/eventstore/eventstoretest"
	"daybook.example/eventstore/seal"
)

// A house is an event store with its keys and a clock; every Core on it stands
// for a process.
type house struct {
	t      testing.TB
	client *eventstore.Client
	keys   *seal.Keyring
	clock  *handClock

	patience time.Duration // of appends; short where they are lost for good
}

func newHouse(t testing.TB) *house {
	t.Helper()
	client := eventstoretest.Start(t).Connect()
	keys, err := seal.Create(filepath.Join(t.TempDir(), "keys"))
	require.NoError(t, err)
	return &house{
		t: t, client: client, keys: keys, patience: 10 * time.Second,
		clock: &handClock{at: time.Date(2024, 3, 1, 9, 0, 0, 0, time.UTC)},
	}
}

var quiet = slog.New(slog.DiscardHandler)

// process is a Core of its own, as another process or a restart has it.
func (h *house) process() *Core { return h.processOn(h.client, h.client) }

// processOn lets one reach the store through others, for events and for claims.
func (h *house) processOn(events store, claimed claimStore) *Core {
	return &Core{
		Store: events, Keys: h.keys, Clock: h.clock.now, Logger: quiet,
		SoftwareVersion: "test", PolicyVersion: "1", patience: h.patience,
		Claims: claims.New(claims.Config{
			Store: claimed, Keys: h.keys, Clock: h.clock.now, Logger: quiet,
			SoftwareVersion: "test", PolicyVersion: "1", Patience: h.patience,
		}),
	}
}

type claimStore interface {
	store
	ReadAll(ctx context.Context, from eventstore.Position, dir eventstore.Direction, max uint64) ([]eventstore.Recorded, error)
}

func jarsOf(c *Core) *Handler[jarCommand, jar, jarEvent] {
	return NewHandler(c, jars, jarCatalog, "jar")
}

// events are all events of a stream.
func (h *house) events(stream string) []eventstore.Recorded {
	h.t.Helper()
	events, err := h.client.ReadStream(context.Background(), stream, 0, eventstore.Forwards, math.MaxInt64)
	if err != nil {
		require.ErrorIs(h.t, err, eventstore.ErrStreamNotFound)
	}
	return events
}

// types are the event types of a stream.
func (h *house) types(stream string) (types []string) {
	for _, event := range h.events(stream) {
		types = append(types, event.Type)
	}
	return types
}

func (h *house) metadata(event eventstore.Recorded) (m domain.Metadata) {
	h.t.Helper()
	require.NoError(h.t, json.Unmarshal(event.Metadata, &m))
	return m
}

// handClock moves when it is told to.
type handClock struct {
	mu sync.Mutex
	at time.Time
}

func (c *handClock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *handClock) move(by time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(by)
}

func newStream() string { return "jar-" + uuid.NewString() }

// request is a new request of somebody; its MAC stands for the body.
func request(body string) Request {
	return Request{CommandID: uuid.New(), RequestMAC: body, CorrelationID: uuid.New(), CausationID: uuid.New(), Principal: "p-1", Kind: domain.User}
}

func creating(r Request) Request {
	r.Creating = true
	return r
}

// opened opens a jar and returns its stream.
func opened(t testing.TB, h *Handler[jarCommand, jar, jarEvent]) string {
	t.Helper()
	stream := newStream()
	_, err := h.Handle(context.Background(), stream, creating(request("open")), open{Label: uuid.NewString()})
	require.NoError(t, err)
	return stream
}

func kindOf(t testing.TB, err error) domain.Kind {
	t.Helper()
	var refusal *domain.Error
	require.ErrorAs(t, err, &refusal)
	return refusal.Kind
}

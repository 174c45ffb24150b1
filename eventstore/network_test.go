package eventstore_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"daybook.example/eventstore"
	"daybook.example/eventstore/eventstoretest"
	"daybook.example/test/level"
	"daybook.example/test/network"
)

// between puts a network between the test's clients and the node.
func between(t *testing.T, node *eventstoretest.Node) *network.Network {
	t.Helper()
	n, err := network.To("unix", node.Socket)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, n.Close()) })
	return n
}

const (
	attemptMax = time.Second
	errorMax   = 5 * time.Second
)

// A sender appends one event after the other to a stream of its own, each until
// it knows that it is stored.
type sender struct {
	store    *eventstore.Client
	stream   string
	anew     bool // the bug: what is not known to be stored is sent as another event
	stored   []uuid.UUID
	attempts int
	slowest  time.Duration
}

func (s *sender) work(ctx context.Context) error {
	for ctx.Err() == nil {
		id, err := s.append()
		if err != nil {
			return err
		}
		s.stored = append(s.stored, id)
	}
	return nil
}

func (s *sender) append() (id uuid.UUID, err error) {
	expected := eventstore.NoStream
	if len(s.stored) > 0 {
		expected = eventstore.Exactly(uint64(len(s.stored) - 1))
	}
	for id = uuid.New(); ; {
		if s.anew {
			id, expected = uuid.New(), eventstore.Any
		}
		ctx, cancel := context.WithTimeout(context.Background(), attemptMax)
		begin := time.Now()
		_, err = s.store.Append(ctx, s.stream, expected, []eventstore.Proposed{{ID: id, Type: "thing-happened", Data: []byte("{}")}})
		cancel()
		s.attempts++
		s.slowest = max(s.slowest, time.Since(begin))
		if err == nil || eventstore.Definite(err) {
			return id, err
		}
	}
}

// follow collects the events of all senders, and subscribes again where it lost
// its subscription, until it has seen the last one that the test made.
func follow(ctx context.Context, store *eventstore.Client, last uuid.UUID) (seen map[string][]uuid.UUID, lost int, err error) {
	seen = map[string][]uuid.UUID{}
	var after eventstore.Position
	for ; ctx.Err() == nil; lost++ {
		sub, err := store.SubscribeAll(ctx, after)
		if err != nil {
			continue
		}
		for {
			m, err := sub.Recv(ctx)
			if err != nil {
				break
			}
			if m.Event == nil {
				continue
			}
			after = m.Event.Position
			seen[m.Event.Stream] = append(seen[m.Event.Stream], m.Event.ID)
			if m.Event.ID == last {
				sub.Close()
				return seen, lost, nil
			}
		}
		sub.Close()
	}
	return seen, lost, ctx.Err()
}

// sendThrough has eight senders at work over a network that fails.
func sendThrough(t *testing.T, n *network.Network, store *eventstore.Client, faults int, anew bool) (all []*sender) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	failed := make(chan error, 8)
	for i := range 8 {
		s := &sender{store: store, stream: fmt.Sprint("sender-", i), anew: anew}
		all = append(all, s)
		go func() { failed <- s.work(ctx) }()
	}
	for range faults {
		time.Sleep(time.Duration(rand.IntN(20)) * time.Millisecond)
		n.Fail()
	}
	cancel()
	for range all {
		require.NoError(t, <-failed)
	}
	return all
}

// Given a network that cuts, delays, stalls and resets, between our client and
// the node.
// When eight senders append through it, and one follows them.
// Then everything acknowledged is stored once, nothing else is, and the follower
// sees each event once; and no call takes longer than its caller gave it.
func TestABadNetworkLosesAndDoublesNothing(t *testing.T) {
	t.Parallel()
	inside, node := start(t)
	n := between(t, node)
	outside := node.ConnectBy(eventstore.Options{URL: "esdb://" + n.Addr() + "?tls=false"})
	type sight struct {
		seen map[string][]uuid.UUID
		lost int
		err  error
	}
	last, followed := uuid.New(), make(chan sight, 1)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	go func() {
		seen, lost, err := follow(ctx, outside, last)
		followed <- sight{seen, lost, err}
	}()

	faults := level.Of(20, 300, 3000)
	all := sendThrough(t, n, outside, faults, false)
	_, err := inside.Append(t.Context(), "last", eventstore.NoStream, []eventstore.Proposed{{ID: last, Type: "thing-happened", Data: []byte("{}")}})
	require.NoError(t, err)

	sights := <-followed
	require.NoError(t, sights.err)
	events, again, slowest := 0, 0, time.Duration(0)
	for _, s := range all {
		require.Equal(t, s.stored, stored(t, inside, s.stream))
		require.Equal(t, s.stored, sights.seen[s.stream])
		events, again, slowest = events+len(s.stored), again+s.attempts-len(s.stored), max(slowest, s.slowest)
	}
	require.Less(t, slowest, errorMax)
	t.Logf("%d faults: %d events acknowledged, stored and seen once each, %d attempts sent again, %d subscriptions lost, slowest call %v",
		faults, events, again, sights.lost, slowest)
}

func stored(t *testing.T, c *eventstore.Client, stream string) (ids []uuid.UUID) {
	t.Helper()
	for from := eventstore.Revision(0); ; from = eventstore.Revision(len(ids)) {
		page, err := c.ReadStream(t.Context(), stream, from, eventstore.Forwards, 1000)
		require.NoError(t, err)
		for _, e := range page {
			ids = append(ids, e.ID)
		}
		if len(page) < 1000 {
			return ids
		}
	}
}

// The control: given senders that send anew what they do not know to be stored.
// Then something is stored that nobody knows of.
func TestABadNetworkDoublesWhatIsSentAnew(t *testing.T) {
	t.Parallel()
	inside, node := start(t)
	n := between(t, node)
	outside := node.ConnectBy(eventstore.Options{URL: "esdb://" + n.Addr() + "?tls=false"})
	doubled, known := 0, map[uuid.UUID]bool{}
	for round := 0; round < 20 && doubled == 0; round++ { // a fault has to come between an append and its answer
		for _, s := range sendThrough(t, n, outside, 20, true) {
			for _, id := range s.stored {
				known[id] = true
			}
			for _, id := range stored(t, inside, s.stream) {
				if !known[id] {
					doubled++
				}
			}
		}
	}
	t.Logf("%d events are stored that nobody knows of", doubled)
	require.Positive(t, doubled)
}

package eventstore_test

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"daybook.example/eventstore"
	"daybook.example/eventstore/eventstoretest"
)

// The official client forgets a connection without closing it when the node goes
// away: gRPC keeps it, and dials, until it has been idle for half an hour.
var forgottenConnections = []goleak.Option{
	goleak.IgnoreAnyFunction("google.golang.org/grpc/internal/grpcsync.(*CallbackSerializer).run"),
	goleak.IgnoreAnyFunction("google.golang.org/grpc.(*addrConn).resetTransportAndUnlock"),
}

func TestMain(m *testing.M) { goleak.VerifyTestMain(m, forgottenConnections...) }

func start(t *testing.T) (*eventstore.Client, *eventstoretest.Node) {
	t.Helper()
	node := eventstoretest.Start(t)
	return node.Connect(), node
}

// proposed makes n events of a kind.
func proposed(n int) []eventstore.Proposed {
	events := make([]eventstore.Proposed, n)
	for i := range events {
		events[i] = eventstore.Proposed{
			ID: uuid.New(), Type: "counted", Data: fmt.Appendf(nil, `{"n":%d}`, i), Metadata: []byte(`{"schema_version":1}`),
		}
	}
	return events
}

func within(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

func TestGivenAppendedEventsWhenReadThenTheyAreWhatWasProposed(t *testing.T) {
	t.Parallel()
	client, _ := start(t)
	ctx := within(t, 10*time.Second)
	events := proposed(3)
	written, err := client.Append(ctx, "employee-1", eventstore.NoStream, events)
	require.NoError(t, err)
	require.Equal(t, eventstore.Revision(2), written.Revision)

	read, err := client.ReadStream(ctx, "employee-1", 0, eventstore.Forwards, math.MaxUint64)
	require.NoError(t, err)
	require.Len(t, read, 3)
	for i, event := range read {
		require.Equal(t, events[i].ID, event.ID)
		require.Equal(t, "employee-1", event.Stream)
		require.Equal(t, eventstore.Revision(i), event.Revision)
		require.Equal(t, "counted", event.Type)
		require.Equal(t, "application/json", event.ContentType)
		require.Equal(t, events[i].Data, event.Data)
		require.Equal(t, events[i].Metadata, event.Metadata)
		require.WithinDuration(t, time.Now(), event.Created, time.Minute)
	}
	require.Equal(t, written.Position, read[2].Position)
	head, err := client.Head(ctx)
	require.NoError(t, err)
	require.Equal(t, written.Position, head)
}

func TestGivenAStreamWhenReadEitherWayThenTheBoundsHold(t *testing.T) {
	t.Parallel()
	client, _ := start(t)
	ctx := within(t, 10*time.Second)
	_, err := client.Append(ctx, "s", eventstore.NoStream, proposed(5))
	require.NoError(t, err)
	for _, c := range []struct {
		from eventstore.Revision
		dir  eventstore.Direction
		max  uint64
		want []eventstore.Revision
	}{
		{0, eventstore.Forwards, 2, []eventstore.Revision{0, 1}},
		{3, eventstore.Forwards, math.MaxUint64, []eventstore.Revision{3, 4}},
		{9, eventstore.Forwards, math.MaxUint64, nil},
		{eventstore.EndRevision, eventstore.Backwards, 1, []eventstore.Revision{4}},
		{1, eventstore.Backwards, math.MaxUint64, []eventstore.Revision{1, 0}},
		{0, eventstore.Forwards, 0, nil},
	} {
		events, err := client.ReadStream(ctx, "s", c.from, c.dir, c.max)
		require.NoError(t, err)
		var got []eventstore.Revision
		for _, event := range events {
			got = append(got, event.Revision)
		}
		require.Equal(t, c.want, got, "%+v", c)
	}
	_, err = client.ReadStream(ctx, "another", 0, eventstore.Forwards, 1)
	require.ErrorIs(t, err, eventstore.ErrStreamNotFound)
}

func TestGivenALogWhenAllIsReadThenForwardsIncludesAndBackwardsExcludesThePosition(t *testing.T) {
	t.Parallel()
	client, _ := start(t)
	ctx := within(t, 10*time.Second)
	head, err := client.Head(ctx)
	require.NoError(t, err)
	require.True(t, head.IsZero(), "an empty log has no head")
	_, err = client.Append(ctx, "s", eventstore.NoStream, proposed(4))
	require.NoError(t, err)

	all, err := client.ReadAll(ctx, eventstore.Position{}, eventstore.Forwards, math.MaxUint64)
	require.NoError(t, err)
	require.Len(t, all, 4)
	from, err := client.ReadAll(ctx, all[1].Position, eventstore.Forwards, 2)
	require.NoError(t, err)
	require.Equal(t, all[1:3], from)
	before, err := client.ReadAll(ctx, all[1].Position, eventstore.Backwards, 9)
	require.NoError(t, err)
	require.Equal(t, all[:1], before)
	last, err := client.ReadAll(ctx, eventstore.EndPosition, eventstore.Backwards, 1)
	require.NoError(t, err)
	require.Equal(t, all[3:], last)
}

func TestGivenMoreThanAPageWhenIteratedThenEachEventComesOnce(t *testing.T) {
	t.Parallel()
	client, _ := start(t)
	ctx := within(t, 20*time.Second)
	for _, n := range []int{511, 512, 513, 1025} {
		stream := fmt.Sprint("s-", n)
		_, err := client.Append(ctx, stream, eventstore.NoStream, proposed(n))
		require.NoError(t, err)
		next := eventstore.Revision(0)
		for event, err := range client.Stream(ctx, stream, 0) {
			require.NoError(t, err)
			require.Equal(t, next, event.Revision)
			next++
		}
		require.EqualValues(t, n, next)
	}
	count, last := 0, eventstore.Position{}
	for event, err := range client.All(ctx, eventstore.Position{}) {
		require.NoError(t, err)
		require.True(t, last.Less(event.Position))
		last = event.Position
		count++
	}
	require.Equal(t, 511+512+513+1025, count)
	for range client.All(ctx, last) {
		t.Fatal("nothing is after the last")
	}
	for _, err := range client.Stream(ctx, "none", 0) {
		require.ErrorIs(t, err, eventstore.ErrStreamNotFound)
	}
}

func TestGivenAnAppendThatTheStoreRefusesThenTheErrorIsDefinite(t *testing.T) {
	t.Parallel()
	client, _ := start(t)
	ctx := within(t, 10*time.Second)
	events := proposed(2)
	first, err := client.Append(ctx, "s", eventstore.NoStream, events)
	require.NoError(t, err)
	for _, expected := range []eventstore.ExpectedRevision{eventstore.NoStream, eventstore.Exactly(0), eventstore.Exactly(7)} {
		_, err := client.Append(ctx, "s", expected, proposed(1))
		require.ErrorIs(t, err, eventstore.ErrWrongExpectedRevision, expected.String())
		require.True(t, eventstore.Definite(err))
		require.ErrorContains(t, err, "append to s")
	}
	large := proposed(1)
	large[0].Data = bytes.Repeat([]byte("1"), 2<<20)
	_, err = client.Append(ctx, "s", eventstore.Any, large)
	require.ErrorIs(t, err, eventstore.ErrInvalid)
	require.ErrorContains(t, err, "larger than")
	_, err = client.Append(ctx, "none", eventstore.StreamExists, proposed(1))
	require.ErrorIs(t, err, eventstore.ErrWrongExpectedRevision)

	again, err := client.Append(ctx, "s", eventstore.NoStream, events)
	require.NoError(t, err)
	require.Equal(t, first, again, "a repeat is answered as the first time")
	_, err = client.Append(ctx, "s", eventstore.Any, proposed(1))
	require.NoError(t, err)
	_, err = client.Append(ctx, "s", eventstore.Exactly(2), proposed(1))
	require.NoError(t, err)
}

func TestWhatTheClientWouldMakeSomethingElseOfIsRefused(t *testing.T) {
	t.Parallel()
	client, _ := start(t)
	ctx := within(t, 10*time.Second)
	noID, noType := proposed(1), proposed(1)
	noID[0].ID, noType[0].Type = uuid.Nil, ""
	for name, try := range map[string]func() error{
		"no expectation": func() error {
			_, err := client.Append(ctx, "s", eventstore.ExpectedRevision{}, proposed(1))
			return err
		},
		"no events":   func() error { _, err := client.Append(ctx, "s", eventstore.Any, nil); return err },
		"no stream":   func() error { _, err := client.Append(ctx, "", eventstore.Any, proposed(1)); return err },
		"no event ID": func() error { _, err := client.Append(ctx, "s", eventstore.Any, noID); return err },
		"no type":     func() error { _, err := client.Append(ctx, "s", eventstore.Any, noType); return err },
	} {
		err := try()
		require.ErrorIs(t, err, eventstore.ErrInvalid, name)
		require.True(t, eventstore.Definite(err), name)
	}
	_, err := client.ReadStream(ctx, "s", 0, eventstore.Forwards, 1)
	require.ErrorIs(t, err, eventstore.ErrStreamNotFound, "nothing was stored")
}

func TestGivenTheReadOnlyPortWhenAppendedToThenAccessIsDenied(t *testing.T) {
	t.Parallel()
	writer, node := start(t)
	client := node.ConnectBy(eventstore.Options{URL: node.URL()})
	ctx := within(t, 10*time.Second)
	written, err := writer.Append(ctx, "s", eventstore.NoStream, proposed(1))
	require.NoError(t, err)
	_, err = client.Append(ctx, "s", eventstore.Any, proposed(1))
	require.ErrorIs(t, err, eventstore.ErrAccessDenied)
	require.True(t, eventstore.Definite(err))
	head, err := client.Head(ctx)
	require.NoError(t, err)
	require.Equal(t, written.Position, head)
}

func TestGivenADeletedStreamThenItIsNotFoundAndATombstonedOneIsDeleted(t *testing.T) {
	t.Parallel()
	client, node := start(t)
	ctx := within(t, 10*time.Second)
	for _, stream := range []string{"soft", "hard"} {
		_, err := client.Append(ctx, stream, eventstore.NoStream, proposed(2))
		require.NoError(t, err)
	}
	_, err := node.Log().Delete(ctx, "soft", 1)
	require.NoError(t, err)
	_, err = node.Log().Tombstone(ctx, "hard", 1)
	require.NoError(t, err)

	_, err = client.ReadStream(ctx, "soft", 0, eventstore.Forwards, 1)
	require.ErrorIs(t, err, eventstore.ErrStreamNotFound)
	_, err = client.Append(ctx, "soft", eventstore.StreamExists, proposed(1))
	require.ErrorIs(t, err, eventstore.ErrStreamDeleted)
	_, err = client.ReadStream(ctx, "hard", 0, eventstore.Forwards, 1)
	require.ErrorIs(t, err, eventstore.ErrStreamDeleted)
	_, err = client.Append(ctx, "hard", eventstore.Any, proposed(1))
	require.ErrorIs(t, err, eventstore.ErrStreamDeleted)
	require.True(t, eventstore.Definite(err))
	again, err := client.Append(ctx, "soft", eventstore.NoStream, proposed(1))
	require.NoError(t, err)
	require.EqualValues(t, 2, again.Revision, "a stream that was deleted goes on where it ended")
}

func TestPersonalValuesInClearAreNeverStored(t *testing.T) {
	t.Parallel()
	client, _ := start(t)
	ctx := within(t, 10*time.Second)
	for _, text := range []string{`{"name":{"$personal":{"value":"Ann"}}}`, `{"name":{"\u0024personal":1}}`} {
		event := proposed(1)
		event[0].Data = []byte(text)
		_, err := client.Append(ctx, "s", eventstore.Any, event)
		require.ErrorIs(t, err, eventstore.ErrMarker)
		require.True(t, eventstore.Definite(err))
		require.NotContains(t, err.Error(), "Ann")
	}
	_, err := client.ReadStream(ctx, "s", 0, eventstore.Forwards, 1)
	require.ErrorIs(t, err, eventstore.ErrStreamNotFound)
}

func TestGivenALogWithoutANameWhenNamedTwiceThenTheFirstNameStays(t *testing.T) {
	t.Parallel()
	client, _ := start(t)
	ctx := within(t, 10*time.Second)
	_, err := client.LogID(ctx)
	require.ErrorIs(t, err, eventstore.ErrStreamNotFound)

	id := uuid.New()
	for _, proposal := range []uuid.UUID{id, id, uuid.New()} {
		named, err := client.NameLog(ctx, eventstore.Proposed{
			ID: proposal, Type: "log-named", Data: fmt.Appendf(nil, `{"log_id":"%s"}`, proposal), Metadata: []byte(`{"schema_version":1}`),
		})
		require.NoError(t, err)
		require.Equal(t, id, named)
	}
	later := uuid.New()
	renamed := []eventstore.Proposed{
		{ID: uuid.New(), Type: "log-named", Data: fmt.Appendf(nil, `{"log_id":"%s"}`, later)},
		{ID: uuid.New(), Type: "log-restored", Data: []byte(`{}`)},
	}
	_, err = client.Append(ctx, "log", eventstore.StreamExists, renamed)
	require.NoError(t, err)
	got, err := client.LogID(ctx)
	require.NoError(t, err)
	require.Equal(t, later, got, "the last name counts, after a restore")
}

func TestGivenADeadNodeWhenCalledThenEveryCallReturnsAtItsDeadline(t *testing.T) {
	t.Parallel()
	client, node := start(t)
	_, err := client.Append(within(t, 10*time.Second), "s", eventstore.Any, proposed(1))
	require.NoError(t, err)
	node.Stop()

	began := time.Now()
	ctx := within(t, 300*time.Millisecond)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() { // an answer of the dead connection may come first; after it, callers wait
			for ctx.Err() == nil {
				_, err := client.Append(ctx, "s", eventstore.Any, proposed(1))
				if err == nil || eventstore.Definite(err) {
					t.Errorf("a dead node answered %v", err)
				}
			}
		})
		all.Go(func() { _, _ = client.Head(ctx); _, _ = client.ReadStream(ctx, "s", 0, eventstore.Forwards, 1) })
		all.Go(func() { _, _ = client.SubscribeAll(ctx, eventstore.Position{}) })
	}
	all.Wait()
	require.Less(t, time.Since(began), 3*time.Second)
	_, err = client.Append(ctx, "s", eventstore.Any, proposed(1))
	require.ErrorIs(t, err, eventstore.ErrUnavailable)
	require.ErrorIs(t, err, context.DeadlineExceeded)

	node.Start()
	require.Eventually(t, func() bool {
		_, err := client.Append(within(t, time.Second), "s", eventstore.Any, proposed(1))
		return err == nil
	}, 10*time.Second, 10*time.Millisecond, "the client is never dead")
}

func TestGivenAnAppendGivenUpWhileTheNodeIsAwayThenItIsNotSentLater(t *testing.T) {
	t.Parallel()
	client, node := start(t)
	_, err := client.Append(within(t, 10*time.Second), "s", eventstore.Any, proposed(1))
	require.NoError(t, err)
	node.Stop()
	ctx := within(t, 500*time.Millisecond)
	for ctx.Err() == nil { // the dead connection may answer first; after it, appends wait for a node
		_, _ = client.Append(ctx, "given-up", eventstore.Any, proposed(1))
	}
	node.Start()
	require.Eventually(t, func() bool {
		_, err := client.Append(within(t, time.Second), "s", eventstore.Any, proposed(1))
		return err == nil
	}, 10*time.Second, 10*time.Millisecond)
	require.NoError(t, client.Close(within(t, 10*time.Second)), "with the calls left behind")
	_, err = node.Connect().ReadStream(within(t, 10*time.Second), "given-up", 0, eventstore.Forwards, 1)
	require.ErrorIs(t, err, eventstore.ErrStreamNotFound)
}

// The race detector judges: the client read what gRPC was still writing when the
// context of an append ended between two of its messages.
func TestGivenAppendsGivenUpAtAnyMomentThenEachIsStoredOnceOrNot(t *testing.T) {
	t.Parallel()
	client, _ := start(t)
	ctx := within(t, time.Minute)
	var all sync.WaitGroup
	for worker := range 4 {
		all.Go(func() {
			stream := fmt.Sprint("s-", worker)
			for range 250 {
				events := proposed(20)
				hasty, cancel := context.WithTimeout(ctx, time.Duration(rand.IntN(1000))*time.Microsecond)
				_, err := client.Append(hasty, stream, eventstore.Any, events)
				cancel()
				if err != nil && eventstore.Definite(err) {
					t.Errorf("nobody knows what became of it: %v", err)
				}
				again, err := client.Append(ctx, stream, eventstore.Any, events)
				if err != nil || again.Revision%20 != 19 {
					t.Errorf("sent again: revision %d, %v", again.Revision, err)
				}
			}
			last, err := client.ReadStream(ctx, stream, eventstore.EndRevision, eventstore.Backwards, 1)
			if err != nil || last[0].Revision != 250*20-1 {
				t.Errorf("the last of 250 times 20 events: %+v, %v", last, err)
			}
		})
	}
	all.Wait()
}

func TestGivenCallsUnderWayWhenClosedThenNothingPanicsAndNothingHangs(t *testing.T) {
	t.Parallel()
	client, _ := start(t)
	ctx := within(t, 20*time.Second)
	subscription, err := client.SubscribeAll(ctx, eventstore.Position{})
	require.NoError(t, err)
	var all sync.WaitGroup
	for range 16 {
		all.Go(func() {
			for {
				if _, err := client.Append(ctx, "s", eventstore.Any, proposed(1)); err != nil {
					return
				}
			}
		})
	}
	time.Sleep(20 * time.Millisecond)
	require.NoError(t, client.Close(ctx))
	require.NoError(t, client.Close(ctx), "closed twice")
	all.Wait()
	_, err = client.Append(ctx, "s", eventstore.Any, proposed(1))
	require.ErrorIs(t, err, eventstore.ErrUnavailable)
	_, err = client.SubscribeAll(ctx, eventstore.Position{})
	require.ErrorIs(t, err, eventstore.ErrUnavailable)
	for err = nil; err == nil; {
		_, err = subscription.Recv(ctx)
	}
	require.ErrorIs(t, err, eventstore.ErrSubscriptionClosed)
}

func TestGivenADeadNodeWhenClosedThenItEndsAtTheDeadline(t *testing.T) {
	t.Parallel()
	client, node := start(t)
	_, err := client.Head(within(t, 10*time.Second))
	require.NoError(t, err)
	node.Stop()
	for range 3 {
		_, _ = client.Append(within(t, 100*time.Millisecond), "s", eventstore.Any, proposed(1)) // leaves a call behind
	}
	require.ErrorIs(t, client.Close(within(t, 100*time.Millisecond)), context.DeadlineExceeded)
	node.Start()
	require.NoError(t, client.Close(within(t, 10*time.Second)), "when the calls left behind have returned")
}

func TestErrorsOfOptionsNameTheOptionAndShowNoPassword(t *testing.T) {
	t.Parallel()
	for _, address := range []string{
		"esdb://admin:sec/ret@localhost:2113", "esdb://admin:sec%zzret@localhost", "esdb://admin:secret@localhost:x",
		"esdb://admin:123/secret@localhost", "esdb://admin:secret@localhost?tls=maybe", "http://admin:secret@localhost",
		"esdb://admin:secret@localhost?tsl=false", "esdb://localhost?secret=%zz", "esdb://", "localhost:2113", "esdb://localhost:1/path",
	} {
		_, err := eventstore.Connect(eventstore.Options{URL: address})
		require.ErrorContains(t, err, "DAYBOOK_EVENTSTORE", address)
		require.NotContains(t, err.Error(), "ret", address)
	}
	_, err := eventstore.Connect(eventstore.Options{})
	require.ErrorContains(t, err, "DAYBOOK_EVENTSTORE")
	for _, address := range []string{
		"esdb://localhost:2113?tls=false", "esdb://a:1,b:2?tls=false&nodePreference=follower", "esdb+discover://admin:x@cluster",
	} {
		client, err := eventstore.Connect(eventstore.Options{URL: address})
		require.NoError(t, err, address)
		require.NoError(t, client.Close(t.Context()))
	}
}

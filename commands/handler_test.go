package commands

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"daybook.example/domain"
	"daybook.example/eventstore"
)

func TestManyCommandsOnOneStreamAreEachStoredOnce(t *testing.T) {
	t.Parallel()
	const writers, each = 64, 20
	house := newHouse(t)
	handler := jarsOf(house.process())
	stream := opened(t, handler)

	answers := make(chan Answer, writers*each)
	var all sync.WaitGroup
	for range writers {
		all.Go(func() {
			for range each {
				answer, err := handler.Handle(t.Context(), stream, request("put"), put{Coins: 1})
				if err == nil {
					answers <- answer
				}
			}
		})
	}
	all.Wait()
	close(answers)

	events := house.events(stream)
	require.Len(t, events, 1+writers*each)
	seen := map[uint64]bool{}
	for answer := range answers {
		require.False(t, seen[answer.Revision], "two commands were told of one event")
		seen[answer.Revision] = true
		stored := events[answer.Revision]
		require.Equal(t, []EventRef{{stored.ID, stored.Type}}, answer.Events)
		require.Equal(t, stored.Position, answer.Position)
	}
	require.Len(t, seen, writers*each)
	state, revision, exists, err := jarsOf(house.process()).State(t.Context(), stream)
	require.NoError(t, err)
	require.True(t, exists)
	require.Equal(t, writers*each, state.coins)
	require.Equal(t, uint64(writers*each), revision)
}

func TestTwoProcessesOnOneStreamLoseNothing(t *testing.T) {
	t.Parallel()
	const writers, each = 8, 15
	house := newHouse(t)
	stream := opened(t, jarsOf(house.process()))

	var all sync.WaitGroup
	for range 2 {
		handler := jarsOf(house.process())
		for range writers {
			all.Go(func() {
				for range each {
					_, err := handler.Handle(t.Context(), stream, request("put"), put{Coins: 1})
					require.NoError(t, err)
				}
			})
		}
	}
	all.Wait()

	require.Len(t, house.events(stream), 1+2*writers*each)
}

func TestARefusalIsNeverTakenOnStaleState(t *testing.T) {
	t.Parallel()
	house := newHouse(t)
	here, elsewhere := jarsOf(house.process()), jarsOf(house.process())
	stream := opened(t, here)
	_, err := here.Handle(t.Context(), stream, request("1"), put{Coins: 10})
	require.NoError(t, err)

	_, err = elsewhere.Handle(t.Context(), stream, request("2"), put{Coins: -5})
	require.NoError(t, err)

	_, err = here.Handle(t.Context(), stream, request("3"), put{Coins: 5, Max: 10})
	require.NoError(t, err, "there is room since the other process took coins out")
	_, err = here.Handle(t.Context(), stream, request("4"), put{Coins: 1, Max: 10})
	require.ErrorIs(t, err, domain.Code("full"))
}

func TestNothingToDoIsNeverTakenOnStaleState(t *testing.T) {
	t.Parallel()
	house := newHouse(t)
	here, elsewhere := jarsOf(house.process()), jarsOf(house.process())
	stream := opened(t, here)
	label := "tea " + stream
	_, err := here.Handle(t.Context(), stream, request("1"), relabel{label})
	require.NoError(t, err)

	_, err = elsewhere.Handle(t.Context(), stream, request("2"), relabel{"sugar " + stream})
	require.NoError(t, err)

	answer, err := here.Handle(t.Context(), stream, request("3"), relabel{label})
	require.NoError(t, err)
	require.Len(t, answer.Events, 1, "the label had changed meanwhile")
}

func TestNothingToDoAnswersWithThePresentRevision(t *testing.T) {
	t.Parallel()
	house := newHouse(t)
	handler := jarsOf(house.process())
	stream := opened(t, handler)

	answer, err := handler.Handle(t.Context(), stream, request("nothing"), put{Coins: 0})

	require.NoError(t, err)
	events := house.events(stream)
	require.Len(t, events, 1)
	require.Equal(t, Answer{Revision: 0, Position: events[0].Position, Events: []EventRef{}}, answer)
}

func TestACommandOnAMissingStreamIsNotFound(t *testing.T) {
	t.Parallel()
	house := newHouse(t)
	stream := newStream()

	_, err := jarsOf(house.process()).Handle(t.Context(), stream, request("put"), put{Coins: 1})

	require.Equal(t, domain.NotFound, kindOf(t, err))
	require.Empty(t, house.events(stream))
}

// A fresh command of a new entity is decided without a read; a stream that exists
// all the same is found out by the append.
func TestAFreshCommandOnAnExistingStreamIsDecidedOnIt(t *testing.T) {
	t.Parallel()
	house := newHouse(t)
	stream := opened(t, jarsOf(house.process()))
	fresh := func() Request {
		r := creating(request("fresh"))
		r.Fresh = true
		return r
	}

	answer, err := jarsOf(house.process()).Handle(t.Context(), stream, fresh(), put{Coins: 1})
	require.NoError(t, err)
	require.Equal(t, uint64(1), answer.Revision)
	_, err = jarsOf(house.process()).Handle(t.Context(), stream, fresh(), open{Label: stream})
	require.ErrorIs(t, err, domain.Code("already-open"))
	answer, err = jarsOf(house.process()).Handle(t.Context(), stream, fresh(), put{Coins: 0})
	require.NoError(t, err)
	require.Equal(t, uint64(1), answer.Revision)

	other := newStream()
	_, err = jarsOf(house.process()).Handle(t.Context(), other, fresh(), open{Label: other})
	require.NoError(t, err)
	require.Equal(t, []string{"jar-opened"}, house.types(other))
}

func TestIfMatchComparesWithThePresentRevision(t *testing.T) {
	t.Parallel()
	house := newHouse(t)
	handler := jarsOf(house.process())
	stream := opened(t, handler)
	matching := func(revision uint64) Request {
		r := request("put")
		r.IfMatch = &revision
		return r
	}

	_, err := handler.Handle(t.Context(), stream, matching(0), put{Coins: 1})
	require.NoError(t, err)
	_, err = handler.Handle(t.Context(), stream, matching(0), put{Coins: 1})
	require.Equal(t, domain.Stale, kindOf(t, err), "revision 1 is the present one")
	_, err = handler.Handle(t.Context(), stream, matching(2), put{Coins: 1})
	require.Equal(t, domain.Stale, kindOf(t, err))

	_, err = jarsOf(house.process()).Handle(t.Context(), stream, matching(1), put{Coins: 1})
	require.NoError(t, err, "another process wrote revision 2")
	_, err = handler.Handle(t.Context(), stream, matching(1), put{Coins: 1})
	require.Equal(t, domain.Stale, kindOf(t, err), "the cache of this one is stale, the answer is not")
	require.Len(t, house.events(stream), 3)
}

func TestIfMatchAnyRequiresThatTheStreamExists(t *testing.T) {
	t.Parallel()
	house := newHouse(t)
	handler := jarsOf(house.process())
	stream := newStream()
	begin := creating(request("open"))
	begin.IfMatchAny = true

	_, err := handler.Handle(t.Context(), stream, begin, open{Label: stream})
	require.Equal(t, domain.Stale, kindOf(t, err))

	stream = opened(t, handler)
	add := request("put")
	add.IfMatchAny = true
	_, err = handler.Handle(t.Context(), stream, add, put{Coins: 1})
	require.NoError(t, err)
}

func TestADryRunDecidesAndLeavesNothing(t *testing.T) {
	t.Parallel()
	house := newHouse(t)
	handler := jarsOf(house.process())
	taken := opened(t, handler)
	state, _, _, err := handler.State(t.Context(), taken)
	require.NoError(t, err)
	before, err := house.client.Head(t.Context())
	require.NoError(t, err)
	dry := func() Request {
		r := creating(request("dry"))
		r.DryRun = true
		return r
	}

	stream := newStream()
	answer, err := handler.Handle(t.Context(), stream, dry(), open{Label: stream, Owner: "Ida", Subject: uuid.New(), Coins: []int{3}})
	require.NoError(t, err)
	require.Equal(t, "jar-opened", answer.Events[0].Type)
	require.Len(t, answer.Events, 2)
	_, err = handler.Handle(t.Context(), newStream(), dry(), open{Label: state.label})
	require.Equal(t, domain.Taken, kindOf(t, err))
	_, err = handler.Handle(t.Context(), taken, dry(), put{Coins: 2, Max: 1})
	require.ErrorIs(t, err, domain.Code("full"))
	_, err = handler.Handle(t.Context(), taken, dry(), put{Coins: 1, Pad: strings.Repeat("x", appendBytesMax)})
	require.Equal(t, domain.TooLarge, kindOf(t, err))
	_, err = handler.Handle(t.Context(), taken, dry(), put{Coins: 7})
	require.NoError(t, err)

	after, err := house.client.Head(t.Context())
	require.NoError(t, err)
	require.Equal(t, before, after, "something was appended")
	state, _, _, err = handler.State(t.Context(), taken)
	require.NoError(t, err)
	require.Zero(t, state.coins, "a dry run evolved the state")
}

func TestACommandThatOneAppendCannotHoldIsTooLarge(t *testing.T) {
	t.Parallel()
	house := newHouse(t)
	handler := jarsOf(house.process())
	stream := opened(t, handler)

	_, err := handler.Handle(t.Context(), stream, request("put"), put{Coins: 1, Pad: strings.Repeat("x", appendBytesMax)})

	require.Equal(t, domain.TooLarge, kindOf(t, err))
	require.Len(t, house.events(stream), 1)
}

func TestACombinedAppendIsCutAtItsLimit(t *testing.T) {
	t.Parallel()
	house := newHouse(t)
	handler := jarsOf(house.process())
	stream := opened(t, handler)

	var all sync.WaitGroup
	for range 12 {
		all.Go(func() {
			_, err := handler.Handle(t.Context(), stream, request("put"), put{Coins: 1, Pad: strings.Repeat("x", 300<<10)})
			require.NoError(t, err)
		})
	}
	all.Wait()

	require.Len(t, house.events(stream), 13)
}

func TestAPanicEndsOneCommandOnly(t *testing.T) {
	t.Parallel()
	house := newHouse(t)
	handler := jarsOf(house.process())
	stream := opened(t, handler)

	var all sync.WaitGroup
	for i := range 60 {
		all.Go(func() {
			var err error
			switch i % 3 {
			case 0:
				_, err = handler.Handle(t.Context(), stream, request("put"), put{Coins: 1})
				require.NoError(t, err)
			case 1:
				_, err = handler.Handle(t.Context(), stream, request("smash"), smash{})
				require.ErrorContains(t, err, "internal error")
			case 2:
				_, err = handler.Handle(t.Context(), stream, request("spoil"), spoil{})
				require.ErrorContains(t, err, "internal error")
			}
		})
	}
	all.Wait()

	state, _, _, err := handler.State(t.Context(), stream)
	require.NoError(t, err)
	require.Equal(t, 20, state.coins)
	require.Len(t, house.events(stream), 21)
}

func TestALentStateRests(t *testing.T) {
	t.Parallel()
	house := newHouse(t)
	handler, elsewhere := jarsOf(house.process()), jarsOf(house.process())
	stream := opened(t, handler)
	_, err := handler.Handle(t.Context(), stream, request("put"), put{Coins: 1})
	require.NoError(t, err)

	lent, revision, _, err := handler.State(t.Context(), stream)
	require.NoError(t, err)
	_, err = elsewhere.Handle(t.Context(), stream, request("put"), put{Coins: 1})
	require.NoError(t, err)
	later, _, _, err := handler.State(t.Context(), stream)
	require.NoError(t, err)
	require.Len(t, lent.puts, 1, "a lent state went on")
	require.Len(t, later.puts, 2)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			_, err := handler.Handle(t.Context(), stream, request("put"), put{Coins: 1})
			require.NoError(t, err)
			_, err = elsewhere.Handle(t.Context(), stream, request("put"), put{Coins: 1})
			require.NoError(t, err)
		})
	}
	all.Wait()

	require.Len(t, lent.puts, 1, "a lent state went on")
	require.Len(t, later.puts, 2, "a lent state went on")
	require.Equal(t, uint64(1), revision)
	state, revision, _, err := handler.State(t.Context(), stream)
	require.NoError(t, err)
	require.Equal(t, 18, state.coins)
	require.Equal(t, uint64(18), revision)
}

func TestTheStateOfAMissingStreamIsInitial(t *testing.T) {
	t.Parallel()
	_, revision, exists, err := jarsOf(newHouse(t).process()).State(t.Context(), newStream())
	require.NoError(t, err)
	require.False(t, exists)
	require.Zero(t, revision)
}

func TestRecordedTimeNeverGoesBack(t *testing.T) {
	t.Parallel()
	house := newHouse(t)
	stream := opened(t, jarsOf(house.process()))
	handler := jarsOf(house.process())
	for i := range 6 {
		if i == 3 {
			handler = jarsOf(house.process()) // a restart forgets the time
		}
		house.clock.move(time.Duration(5-4*i) * time.Hour)
		_, err := handler.Handle(t.Context(), stream, request("put"), put{Coins: 1})
		require.NoError(t, err)
	}

	var last time.Time
	for _, event := range house.events(stream) {
		recorded := house.metadata(event).RecordedAt
		require.False(t, recorded.Before(last), "revision %d", event.Revision)
		last = recorded
	}
}

func TestMetadataSaysWhoWhenAndWhy(t *testing.T) {
	t.Parallel()
	house := newHouse(t)
	handler := jarsOf(house.process())
	stream, subject, approval := newStream(), uuid.New(), uuid.New()
	r := creating(request("aa"))
	r.OnBehalfOf, r.ReasonCode, r.ApprovalID = "p-2", "audit", &approval
	r.Source = &domain.Source{System: "till", Ref: "day.csv:7"}

	_, err := handler.Handle(t.Context(), stream, r, open{Label: stream, Owner: "Ida", Subject: subject})
	require.NoError(t, err)
	_, err = handler.Handle(t.Context(), stream, request("bb"), put{Coins: 1, On: "2024-02-29"})
	require.NoError(t, err)

	events := house.events(stream)
	require.Equal(t, domain.Metadata{
		CommandID: r.CommandID, RequestMAC: "aa", CorrelationID: r.CorrelationID, CausationID: r.CausationID,
		Actor: domain.Actor{ID: "p-1", Kind: domain.User}, OnBehalfOf: "p-2", RecordedAt: house.clock.now(),
		ReasonCode: "audit", SchemaVersion: 1, SoftwareVersion: "test", PolicyVersion: "1",
		SubjectIDs: []uuid.UUID{subject}, ApprovalID: &approval, Source: r.Source,
	}, house.metadata(events[0]))
	require.Equal(t, domain.EventID(r.CommandID, "aa", stream, 0), events[0].ID)
	require.Equal(t, "2024-02-29", house.metadata(events[1]).EffectiveAt)
	require.Empty(t, house.metadata(events[1]).SubjectIDs)
}

func TestPersonalValuesAreStoredSealedAndFoldedOpen(t *testing.T) {
	t.Parallel()
	house := newHouse(t)
	stream, subject := newStream(), uuid.New()
	_, err := jarsOf(house.process()).Handle(t.Context(), stream, creating(request("open")), open{Label: stream, Owner: "Ida Canary", Subject: subject})
	require.NoError(t, err)
	require.NotContains(t, string(house.events(stream)[0].Data), "Canary")

	state, _, _, err := jarsOf(house.process()).State(t.Context(), stream)
	require.NoError(t, err)
	require.Equal(t, "Ida Canary", state.owner)

	require.NoError(t, house.keys.Destroy(subject, "identity"))
	state, _, _, err = jarsOf(house.process()).State(t.Context(), stream)
	require.NoError(t, err)
	require.Equal(t, "(erased)", state.owner)
}

func TestACallerWhoGivesUpLeavesTheCommandToItsEnd(t *testing.T) {
	t.Parallel()
	house := newHouse(t)
	slow := &faulty{claimStore: house.client, onAppend: func(int) fault { return slow }}
	handler := jarsOf(house.processOn(slow, house.client))
	stream := opened(t, handler)
	r := request("put")
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Millisecond)
	defer cancel()

	_, err := handler.Handle(ctx, stream, r, put{Coins: 1})
	require.Equal(t, domain.Unknown, kindOf(t, err))
	require.ErrorIs(t, err, context.DeadlineExceeded)

	answer, err := handler.Handle(t.Context(), stream, r, put{Coins: 1})
	require.NoError(t, err)
	require.Equal(t, uint64(1), answer.Revision)
	require.Len(t, house.events(stream), 2)
}

func TestAStreamThatCannotBeFoldedIsLeftAlone(t *testing.T) {
	t.Parallel()
	house := newHouse(t)
	for _, stored := range []eventstore.Proposed{
		{Type: "jar-melted", Metadata: []byte(`{"schema_version":1}`)},
		{Type: "jar-opened", Metadata: []byte(`{"schema_version":2}`)},
		{Type: "jar-opened", Metadata: []byte(`{}`)},
	} {
		stream := newStream()
		stored.ID, stored.Data = uuid.New(), []byte(`{}`)
		_, err := house.client.Append(t.Context(), stream, eventstore.NoStream, []eventstore.Proposed{stored})
		require.NoError(t, err)

		_, err = jarsOf(house.process()).Handle(t.Context(), stream, request("put"), put{Coins: 1})

		require.ErrorIs(t, err, domain.ErrUnknownType, "%s %s", stored.Type, stored.Metadata)
		require.Len(t, house.events(stream), 1)
	}
}

func TestEachCommandIsObservedOnceWithoutIDs(t *testing.T) {
	t.Parallel()
	house := newHouse(t)
	core := house.process()
	registry := prometheus.NewRegistry()
	core.Registry = registry
	handler := jarsOf(core)
	stream := opened(t, handler)
	r := request("put")
	for range 2 {
		_, err := handler.Handle(t.Context(), stream, r, put{Coins: 1})
		require.NoError(t, err)
	}
	_, err := handler.Handle(t.Context(), stream, request("full"), put{Coins: 1, Max: 1})
	require.Error(t, err)

	families, err := registry.Gather()
	require.NoError(t, err)
	observed := map[string]uint64{}
	for _, family := range families {
		for _, metric := range family.GetMetric() {
			if family.GetName() == "daybook_commands_command_seconds" {
				observed[metric.GetLabel()[0].GetValue()+" "+metric.GetLabel()[1].GetValue()] += metric.GetHistogram().GetSampleCount()
			}
		}
	}
	require.Equal(t, map[string]uint64{"commands.open decided": 1, "commands.put decided": 1, "commands.put repeated": 1, "commands.put refused": 1}, observed)
	require.NotContains(t, fmt.Sprint(families), strings.TrimPrefix(stream, "jar-"))
}

func TestTheCacheDropsWhatWasNotUsedLately(t *testing.T) {
	t.Parallel()
	c := newCache[int](10)
	values := []int{0, 1, 2}
	c.put("a", &values[0], 4)
	c.put("b", &values[1], 4)
	c.put("a", c.take("a"), 5)
	c.put("c", &values[2], 4)

	require.Nil(t, c.take("b"))
	require.Equal(t, &values[0], c.take("a"))
	require.Equal(t, &values[2], c.take("c"))
	c.put("d", &values[0], 100)
	require.NotNil(t, c.take("d"), "the latest is kept whatever it weighs")
	require.Zero(t, c.weight)
}

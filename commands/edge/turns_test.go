package edge

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"daybook.example/domain/access"
)

func TestGivenABurstWhenTurnsAreTakenThenAllGetTheirsInOrder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		turns := newTurns(2)
		var mu sync.Mutex
		var served []int
		var all sync.WaitGroup
		for i := range 20 {
			all.Go(func() {
				require.True(t, turns.take(t.Context()))
				mu.Lock()
				served = append(served, i)
				mu.Unlock()
				time.Sleep(90 * time.Millisecond)
				<-turns.taken
			})
			synctest.Wait() // so that they come one after another, at the same time
		}
		all.Wait()
		require.Len(t, served, 20)
		for i, who := range served {
			require.InDelta(t, i, who, 1, "first come, first served, two at a time: %v", served)
		}
		require.Zero(t, turns.waiting.Load())
	})
}

func TestGivenACrowdWhenNoTurnWasFreeForAWhileThenOthersWaitAMomentOnly(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		turns := newTurns(1)
		require.True(t, turns.take(t.Context()))
		waited := func() time.Duration {
			began := time.Now()
			require.False(t, turns.take(t.Context()))
			return time.Since(began)
		}
		require.Equal(t, burstWait, waited(), "the server may catch up yet")
		require.Equal(t, crowdWait, waited(), "it did not")
		require.Equal(t, crowdWait, waited())
		<-turns.taken
		require.True(t, turns.take(t.Context()), "a turn is free")
		require.Equal(t, crowdWait, waited(), "which is no end of the crowd")
		<-turns.taken
		time.Sleep(calmTime + time.Millisecond)
		require.True(t, turns.take(t.Context()), "a turn is free, and nobody was refused one for a while")
		require.Equal(t, burstWait, waited(), "so this is a burst again")

		ctx, cancel := context.WithTimeout(t.Context(), crowdWait/2)
		defer cancel()
		began := time.Now()
		require.False(t, turns.take(ctx), "whoever gives up waits no more")
		require.Equal(t, crowdWait/2, time.Since(began))
	})
}

func TestGivenACrowdWhenAFewWaitThenOthersAreTurnedAwayAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const atOnce = 8
		turns := newTurns(atOnce)
		for range atOnce {
			require.True(t, turns.take(t.Context()))
		}
		var all sync.WaitGroup
		wait := func() {
			all.Go(func() { turns.take(t.Context()) })
			synctest.Wait()
		}
		for range 2 * atOnce / crowdPart {
			wait()
			require.False(t, turns.closed(), "a burst may pass")
		}
		time.Sleep(burstWait + crowdTime)
		require.Zero(t, turns.waiting.Load())
		for range atOnce / crowdPart {
			wait()
			require.Equal(t, turns.waiting.Load() == atOnce/crowdPart, turns.closed())
		}
		<-turns.taken
		synctest.Wait()
		require.False(t, turns.closed(), "one who waited has a turn, so another may wait")
		all.Wait()
		turns.crowd.Store(true)
		for range atOnce {
			<-turns.taken
		}
		require.False(t, turns.closed(), "turns are free")
	})
}

func TestGivenACrowdWhenAllAreServedForAWhileThenItIsOverThoughTheyWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		turns := newTurns(1)
		require.True(t, turns.take(t.Context()))
		require.False(t, turns.take(t.Context()))
		require.False(t, turns.take(t.Context()))
		require.True(t, turns.crowd.Load())
		for range 4 * calmTime / crowdWait { // the server is just kept busy
			time.AfterFunc(crowdWait/2, func() { <-turns.taken })
			require.True(t, turns.take(t.Context()))
		}
		<-turns.taken
		require.True(t, turns.take(t.Context()), "a turn is free")
		require.False(t, turns.crowd.Load())
	})
}

func TestGivenARequestThatRestsWhenOthersComeThenItsTurnIsTheirs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		turns := newTurns(1)
		own := &turn{of: turns}
		require.True(t, own.take(t.Context()))
		ctx := context.WithValue(t.Context(), turnKey{}, own)

		require.NoError(t, Resting(ctx, func() error {
			require.Empty(t, turns.taken)
			return nil
		}))
		require.Len(t, turns.taken, 1, "it took one again")

		away := errors.New("away")
		require.ErrorIs(t, Resting(ctx, func() error { return away }), away)
		require.Empty(t, turns.taken, "with an error nothing is left to do")
		own.leave()
		require.Empty(t, turns.taken, "what is not held is not given back")

		require.True(t, own.take(t.Context()))
		err := Resting(ctx, func() error { turns.taken <- struct{}{}; return nil })
		var problem *Problem
		require.ErrorAs(t, err, &problem)
		require.Equal(t, "overloaded", problem.Code)
		own.leave()
		require.Len(t, turns.taken, 1, "that of the other one")
		require.NoError(t, Resting(t.Context(), func() error { return nil }), "who has no turn only waits")
	})
}

func TestGivenAllTurnsOfCommandsTakenWhenRequestsComeThenReadsAreServed(t *testing.T) {
	t.Parallel()
	s := newStand(t, Limits{AtOnce: 1})
	require.True(t, s.api.turns[commandKind].take(t.Context()))

	got := s.do("POST", "/v1/things", access.HR, strings.NewReader(`{"name":"a"}`))

	require.Equal(t, 503, got.status)
	require.Equal(t, "overloaded", got.Code)
	require.Equal(t, "1", got.header.Get("Retry-After"))
	require.Equal(t, 200, s.do("GET", "/v1/things/"+uuid.NewString(), access.Admin, nil).status, "another kind")
	shown := s.do("GET", "/metrics", "", nil).raw
	require.Contains(t, shown, `daybook_edge_requests_overloaded_total{kind="command"} 1`)
	require.Contains(t, shown, `daybook_edge_requests_working{kind="command"} 1`)
	require.Contains(t, shown, `daybook_edge_requests_working{kind="read"} 0`)
	require.Contains(t, shown, `daybook_edge_requests_waiting{kind="command"} 0`)
	s.api.turns[commandKind].crowd.Store(true)
	s.api.turns[commandKind].waiting.Add(1)
	require.Equal(t, "overloaded", s.do("POST", "/v1/things", "", strings.NewReader(`{"name":"a"}`)).Code, "before anybody asks who it is")
	s.api.turns[commandKind].waiting.Add(-1)
	<-s.api.turns[commandKind].taken
	require.Equal(t, http.StatusOK, s.do("POST", "/v1/things", access.HR, strings.NewReader(`{"name":"a"}`)).status)
	require.Empty(t, s.api.turns[commandKind].taken, "every turn is given back")
	require.Empty(t, s.api.turns[readKind].taken)
}

func TestMetricsSayWhatTheProcessUses(t *testing.T) {
	t.Parallel()
	got := newStand(t, Limits{}).do("GET", "/metrics", "", nil)
	for _, name := range []string{"go_goroutines", "process_open_fds", "process_resident_memory_bytes", "go_gc_heap_live_bytes"} {
		require.Contains(t, got.raw, "\n"+name+" ")
	}
}

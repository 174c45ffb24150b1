package commands

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"daybook.example/domain"
)

func TestARepeatGetsTheSameAnswerForEver(t *testing.T) {
	t.Parallel()
	house := newHouse(t)
	handler := jarsOf(house.process())
	stream, r := newStream(), creating(request("open"))
	command := open{Label: stream, Coins: []int{1, 2}}
	first, err := handler.Handle(t.Context(), stream, r, command)
	require.NoError(t, err)
	require.False(t, first.Repeated)
	_, err = handler.Handle(t.Context(), stream, request("later"), put{Coins: 1})
	require.NoError(t, err)

	house.clock.move(400 * 24 * time.Hour)
	revision := uint64(77)
	r.IfMatch = &revision // a repeat is answered before If-Match
	for name, handler := range map[string]*Handler[jarCommand, jar, jarEvent]{"same process": handler, "restarted": jarsOf(house.process())} {
		again, err := handler.Handle(t.Context(), stream, r, command)
		require.NoError(t, err, name)
		require.True(t, again.Repeated, name)
		again.Repeated = false
		require.Equal(t, first, again, name)
	}
	require.Len(t, house.events(stream), 4)
}

func TestAKeyUsedForAnotherBodyIsRefused(t *testing.T) {
	t.Parallel()
	house := newHouse(t)
	handler := jarsOf(house.process())
	stream := opened(t, handler)
	r := request("one body")
	_, err := handler.Handle(t.Context(), stream, r, put{Coins: 1})
	require.NoError(t, err)
	r.RequestMAC = "another body"

	for _, handler := range []*Handler[jarCommand, jar, jarEvent]{handler, jarsOf(house.process())} {
		_, err = handler.Handle(t.Context(), stream, r, put{Coins: 2})
		require.ErrorIs(t, err, domain.Code("idempotency-key-reused"))
		require.Equal(t, domain.Rule, kindOf(t, err))
	}
	require.Len(t, house.events(stream), 2)
}

func TestAKeyUsedForAnotherBodyAtTheSameTimeIsRefused(t *testing.T) {
	t.Parallel()
	house := newHouse(t)
	handlers := []*Handler[jarCommand, jar, jarEvent]{jarsOf(house.process()), jarsOf(house.process())}
	stream := opened(t, handlers[0])
	id := uuid.New()
	errs := make([]error, 16)
	var all sync.WaitGroup
	for i := range errs {
		all.Go(func() {
			r := request(fmt.Sprint("body ", i))
			r.CommandID = id
			_, errs[i] = handlers[i%2].Handle(t.Context(), stream, r, put{Coins: i + 1})
		})
	}
	all.Wait()

	stored := 0
	for _, err := range errs {
		if err == nil {
			stored++
			continue
		}
		require.ErrorIs(t, err, domain.Code("idempotency-key-reused"))
	}
	require.Equal(t, 1, stored)
	require.Len(t, house.events(stream), 2)
}

func TestARepeatOfARunningCommandWaitsForIt(t *testing.T) {
	t.Parallel()
	house := newHouse(t)
	handler := jarsOf(house.processOn(&faulty{claimStore: house.client, onAppend: func(int) fault { return slow }}, house.client))
	stream, r := opened(t, handler), request("put")
	answers := make([]Answer, 16)
	var all sync.WaitGroup
	for i := range answers {
		all.Go(func() {
			var err error
			answers[i], err = handler.Handle(t.Context(), stream, r, put{Coins: 1})
			require.NoError(t, err)
			answers[i].Repeated = false
		})
	}
	all.Wait()

	for _, answer := range answers {
		require.Equal(t, answers[0], answer)
	}
	require.Len(t, house.events(stream), 2)
}

func TestARefusedCommandIsNotRemembered(t *testing.T) {
	t.Parallel()
	house := newHouse(t)
	handler := jarsOf(house.process())
	stream, r := opened(t, handler), request("put")
	_, err := handler.Handle(t.Context(), stream, request("fill"), put{Coins: 10})
	require.NoError(t, err)
	_, err = handler.Handle(t.Context(), stream, r, put{Coins: 1, Max: 10})
	require.ErrorIs(t, err, domain.Code("full"))
	_, err = handler.Handle(t.Context(), stream, request("take"), put{Coins: -1})
	require.NoError(t, err)

	answer, err := handler.Handle(t.Context(), stream, r, put{Coins: 1, Max: 10})

	require.NoError(t, err)
	require.False(t, answer.Repeated)
}

// However deliveries of commands are doubled, spread over processes, interleaved
// and restarted, each command is stored once and every answer to it is the same.
func TestDuplicateDeliveriesInAnyInterleavingYieldOneEvent(t *testing.T) {
	t.Parallel()
	house := newHouse(t)
	rapid.Check(t, func(t *rapid.T) {
		processes := []*Handler[jarCommand, jar, jarEvent]{jarsOf(house.process()), jarsOf(house.process())}
		stream := newStream()
		commands := rapid.IntRange(1, 4).Draw(t, "commands")
		requests := make([]Request, commands)
		for i := range requests {
			requests[i] = creating(request(fmt.Sprint(i)))
		}
		deliveries := rapid.SliceOfN(rapid.IntRange(0, 2*commands-1), 1, 12).Draw(t, "deliveries")
		rounds := rapid.IntRange(1, len(deliveries)).Draw(t, "at once")
		answers := make([]Answer, len(deliveries))
		for from := 0; from < len(deliveries); from += rounds {
			if rapid.Bool().Draw(t, "restart") {
				processes[0] = jarsOf(house.process())
			}
			var all sync.WaitGroup
			for i := from; i < min(from+rounds, len(deliveries)); i++ {
				all.Go(func() {
					var err error
					answers[i], err = processes[deliveries[i]%2].Handle(house.t.Context(), stream, requests[deliveries[i]/2], put{Coins: 1})
					require.NoError(t, err)
				})
			}
			all.Wait()
		}

		first := map[int]Answer{}
		for i, delivery := range deliveries {
			answers[i].Repeated = false
			if earlier, ok := first[delivery/2]; ok {
				require.Equal(t, earlier, answers[i])
			}
			first[delivery/2] = answers[i]
		}
		require.Len(t, house.events(stream), len(first))
	})
}

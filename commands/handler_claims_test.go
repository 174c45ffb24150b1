package commands

import (
	"encoding/hex"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"daybook.example/domain"
	"daybook.example/domain/claim"
)

func (h *house) labelStream(label string) string {
	return claim.Stream("label", hex.EncodeToString(h.keys.MAC("label", label)))
}

// claimed are the types of the events of a label's claim, without the prefix.
func (h *house) claimed(label string) string {
	return strings.ReplaceAll(strings.Join(h.types(h.labelStream(label)), " "), "claim-", "")
}

func TestAUniqueValueHasOneOwnerHoweverManyWantIt(t *testing.T) {
	t.Parallel()
	house := newHouse(t)
	handlers := []*Handler[jarCommand, jar, jarEvent]{jarsOf(house.process()), jarsOf(house.process())}
	streams, errs := make([]string, 16), make([]error, 16)
	var all sync.WaitGroup
	for i := range streams {
		streams[i] = newStream()
		all.Go(func() {
			_, errs[i] = handlers[i%2].Handle(t.Context(), streams[i], creating(request("open")), open{Label: "tea"})
		})
	}
	all.Wait()

	owners := 0
	for i, err := range errs {
		if err == nil {
			owners++
			require.Len(t, house.events(streams[i]), 1)
			continue
		}
		require.Equal(t, domain.Taken, kindOf(t, err))
		require.Empty(t, house.events(streams[i]))
	}
	require.Equal(t, 1, owners)
	require.Equal(t, "taken confirmed", house.claimed("tea"))
}

func TestARefusalAfterATakenClaimGivesItBack(t *testing.T) {
	t.Parallel()
	house := newHouse(t)
	handler := jarsOf(house.process())
	begin := creating(request("open"))
	for range 2 { // the second time under the same command ID: no two events share theirs
		_, err := handler.Handle(t.Context(), newStream(), begin, open{Label: "tea", Coins: make([]int, appendEventsMax)})
		require.Equal(t, domain.TooLarge, kindOf(t, err))
	}

	_, err := handler.Handle(t.Context(), newStream(), creating(request("open")), open{Label: "tea"})

	require.NoError(t, err)
	require.Equal(t, "taken released taken released taken confirmed", house.claimed("tea"))
	ids := map[uuid.UUID]bool{}
	for _, event := range house.events(house.labelStream("tea")) {
		require.False(t, ids[event.ID])
		ids[event.ID] = true
	}
}

func TestAChangedValueIsFreeForOthers(t *testing.T) {
	t.Parallel()
	house := newHouse(t)
	handler := jarsOf(house.process())
	first, second := newStream(), newStream()
	_, err := handler.Handle(t.Context(), first, creating(request("open")), open{Label: "tea"})
	require.NoError(t, err)
	_, err = handler.Handle(t.Context(), first, request("relabel"), relabel{"sugar"})
	require.NoError(t, err)

	_, err = handler.Handle(t.Context(), second, creating(request("open")), open{Label: "sugar"})
	require.Equal(t, domain.Taken, kindOf(t, err))
	_, err = handler.Handle(t.Context(), second, creating(request("open")), open{Label: "tea"})
	require.NoError(t, err)

	require.Equal(t, "taken confirmed released taken confirmed", house.claimed("tea"))
	_, err = handler.Handle(t.Context(), first, request("back"), relabel{"tea"})
	require.Equal(t, domain.Taken, kindOf(t, err))
}

// crashAfterTake leaves what a process leaves that stops after taking a label.
func (h *house) crashAfterTake(stream, label string, r Request) {
	core := h.process()
	_, err := core.Claims.Take(h.t.Context(), stream, domain.Claim{Set: "label", Value: label}, core.metadata(r, core.now()))
	require.NoError(h.t, err)
}

func TestAClaimOfACrashedCommandExpires(t *testing.T) {
	t.Parallel()
	house := newHouse(t)
	house.crashAfterTake(newStream(), "tea", request("crashed"))
	handler := jarsOf(house.process())

	_, err := handler.Handle(t.Context(), newStream(), creating(request("open")), open{Label: "tea"})
	require.Equal(t, domain.Taken, kindOf(t, err), "the other may be under way")
	house.clock.move(5*time.Minute + time.Second)
	_, err = handler.Handle(t.Context(), newStream(), creating(request("open")), open{Label: "tea"})
	require.NoError(t, err)

	require.Equal(t, "taken released taken confirmed", house.claimed("tea"))
}

func TestACrashAfterAClaimIsFinishedByTheSameCommand(t *testing.T) {
	t.Parallel()
	for after, want := range map[time.Duration]string{
		time.Second:                    "taken confirmed",
		4*time.Minute + 30*time.Second: "taken taken confirmed", // too short to rely on
		time.Hour:                      "taken taken confirmed",
	} {
		t.Run(after.String(), func(t *testing.T) {
			t.Parallel()
			house := newHouse(t)
			stream, r := newStream(), creating(request("open"))
			house.crashAfterTake(stream, "tea", r)
			house.clock.move(after)

			_, err := jarsOf(house.process()).Handle(t.Context(), stream, r, open{Label: "tea"})

			require.NoError(t, err)
			require.Equal(t, want, house.claimed("tea"))
		})
	}
}

// crashBeforeConfirm opens or relabels with a store that, for claims, is gone after
// the first append.
func (h *house) crashBeforeConfirm(stream string, r Request, command jarCommand) {
	broken := &faulty{claimStore: h.client, onAppend: func(n int) fault {
		if n == 0 {
			return none
		}
		return crashed
	}}
	_, err := jarsOf(h.processOn(h.client, broken)).Handle(h.t.Context(), stream, r, command)
	require.NoError(h.t, err)
}

func TestACrashBeforeTheConfirmationIsFinishedWhenTheStreamIsNextLoaded(t *testing.T) {
	t.Parallel()
	house := newHouse(t)
	stream := newStream()
	house.crashBeforeConfirm(stream, creating(request("open")), open{Label: "tea"})
	require.Equal(t, "taken", house.claimed("tea"))

	house.crashBeforeConfirm(stream, request("put"), put{Coins: 1})
	require.Equal(t, "taken confirmed", house.claimed("tea"))

	house.crashBeforeConfirm(stream, request("relabel"), relabel{"sugar"})
	require.Equal(t, "taken", house.claimed("sugar"))
	_, _, _, err := jarsOf(house.process()).State(t.Context(), stream)
	require.NoError(t, err)
	require.Equal(t, "taken confirmed", house.claimed("sugar"))
	require.Equal(t, "taken confirmed released", house.claimed("tea"))
}

func TestAClaimOfAnEarlierDeliveryIsNotGivenBack(t *testing.T) {
	t.Parallel()
	house := newHouse(t)
	stream, r := newStream(), creating(request("open"))
	house.crashAfterTake(stream, "tea", r) // and its events may be on their way

	_, err := jarsOf(house.process()).Handle(t.Context(), stream, r, open{Label: "tea", Coins: make([]int, appendEventsMax)})

	require.Equal(t, domain.TooLarge, kindOf(t, err))
	require.Equal(t, "taken", house.claimed("tea"))
}

func TestALabelTakenAndGivenBackByWaitingCommandsEndsWithItsJar(t *testing.T) {
	t.Parallel()
	house := newHouse(t)
	var first sync.Mutex // held while the others come to wait
	handler := jarsOf(house.processOn(&faulty{claimStore: house.client, onAppend: func(int) fault {
		first.Lock()
		defer first.Unlock()
		return none
	}}, house.client))
	stream := newStream()
	_, err := handler.Handle(t.Context(), stream, creating(request("open")), open{Label: "tea"})
	require.NoError(t, err)
	waiting := func() int {
		handler.mu.Lock()
		defer handler.mu.Unlock()
		if l := handler.lines[stream]; l != nil {
			return len(l.waiting)
		}
		return -1 // nobody is served
	}

	require.Eventually(t, func() bool { return waiting() == -1 }, time.Minute, time.Millisecond)
	first.Lock()
	var all sync.WaitGroup
	for n, command := range []jarCommand{put{Coins: 1}, relabel{"sugar"}, relabel{"tea"}} {
		all.Go(func() {
			_, err := handler.Handle(t.Context(), stream, request("x"), command)
			require.NoError(t, err)
		})
		require.Eventually(t, func() bool { return waiting() == n }, time.Minute, time.Millisecond)
	}
	first.Unlock()
	all.Wait()

	require.Equal(t, stream, house.owner("tea"))
	require.Empty(t, house.owner("sugar"))
}

// A process that settles an old command late, for it crashed or was slow, must
// not undo what a later command claimed.
func TestALateReleaseLeavesWhatALaterCommandTook(t *testing.T) {
	t.Parallel()
	house := newHouse(t)
	stream, taker := newStream(), request("taker")
	house.crashAfterTake(stream, "tea", taker)
	core := house.process()
	release := func(takenAt uint64) {
		w := worker[jarCommand, jar, jarEvent]{Handler: jarsOf(core), stream: stream, known: &known[jar]{
			commands: map[uuid.UUID]span{taker.CommandID: {first: takenAt, count: 1}},
		}}
		need := domain.Claim{Set: "label", Value: "tea", Release: true}
		require.NoError(t, w.settleClaims([]domain.Claim{need}, 5, core.metadata(request("x"), core.now())))
	}

	release(7)
	require.Equal(t, "taken", house.claimed("tea"))
	release(3)
	require.Equal(t, "taken released", house.claimed("tea"))
}

func TestWhatFailedAfterAnAppendIsMadeUpForByTheNextCommand(t *testing.T) {
	t.Parallel()
	house := newHouse(t)
	broken := &faulty{claimStore: house.client, onAppend: func(n int) fault {
		if n == 1 {
			return crashed
		}
		return none
	}}
	handler, stream := jarsOf(house.processOn(house.client, broken)), newStream()
	_, err := handler.Handle(t.Context(), stream, creating(request("open")), open{Label: "tea"})
	require.NoError(t, err, "the jar is open, whatever becomes of the claim")
	require.Equal(t, "taken", house.claimed("tea"))

	_, err = handler.Handle(t.Context(), stream, request("put"), put{Coins: 1})

	require.NoError(t, err)
	require.Equal(t, "taken confirmed", house.claimed("tea"))
}

func TestAnExpiredClaimWithItsFactIsConfirmedForItsOwner(t *testing.T) {
	t.Parallel()
	house := newHouse(t)
	house.crashBeforeConfirm(newStream(), creating(request("open")), open{Label: "tea"})
	house.clock.move(time.Hour)

	_, err := jarsOf(house.process()).Handle(t.Context(), newStream(), creating(request("open")), open{Label: "tea"})

	require.Equal(t, domain.Taken, kindOf(t, err))
	require.Equal(t, "taken confirmed", house.claimed("tea"))
}

func TestEventsThatNeedAClaimAreNotSentWhenItIsAboutToExpire(t *testing.T) {
	t.Parallel()
	house := newHouse(t)
	var sent atomic.Int64
	line := &faulty{claimStore: house.client, onAppend: func(int) fault {
		if sent.Add(1) == 1 {
			house.clock.move(4*time.Minute + 50*time.Second)
			return unsent
		}
		return none
	}}
	handler := jarsOf(house.processOn(line, house.client))
	stream, r := newStream(), creating(request("open"))

	_, err := handler.Handle(t.Context(), stream, r, open{Label: "tea"})
	require.Equal(t, domain.Unknown, kindOf(t, err))
	require.Equal(t, int64(1), sent.Load(), "it was sent again too late")
	require.Equal(t, "taken", house.claimed("tea"), "the claim stays: the events may be on their way")

	_, err = handler.Handle(t.Context(), stream, r, open{Label: "tea"})
	require.NoError(t, err)
	require.Equal(t, "taken taken confirmed", house.claimed("tea"))
}

// Whatever races and whichever claims' appends are lost: no two jars bear one
// label, and once the dust has settled the claims say what the jars say.
func TestClaimsAgreeWithTheirOwners(t *testing.T) {
	t.Parallel()
	house := newHouse(t)
	janitor := house.process().Claims
	round := 0
	rapid.Check(t, func(t *rapid.T) {
		round++
		label := func(i int) string { return fmt.Sprint("label ", round, "-", i) }
		streams := []string{newStream(), newStream(), newStream()}
		lost := rapid.SliceOfN(rapid.Bool(), 1, 10).Draw(t, "lost")
		steps := rapid.SliceOfN(rapid.IntRange(0, len(streams)*4-1), 1, 6).Draw(t, "steps")
		atOnce := rapid.IntRange(1, 4).Draw(t, "at once")
		line := &faulty{claimStore: house.client, onAppend: func(n int) fault {
			if lost[n%len(lost)] {
				return []fault{crashed, crashedAfter}[n%2]
			}
			return none
		}}
		processes := []*Handler[jarCommand, jar, jarEvent]{jarsOf(house.processOn(house.client, line)), jarsOf(house.process())}
		for from := 0; from < len(steps); from += atOnce {
			var all sync.WaitGroup
			for i := from; i < min(from+atOnce, len(steps)); i++ {
				all.Go(func() {
					stream := streams[steps[i]/4]
					_, _ = processes[i%2].Handle(house.t.Context(), stream, creating(request("x")), relabel{label(steps[i] % 4)})
				})
			}
			all.Wait()
		}

		house.clock.move(10 * time.Minute)
		fresh := house.process()
		owners := map[string]string{}
		for _, stream := range streams {
			state, _, exists, err := jarsOf(fresh).State(house.t.Context(), stream)
			require.NoError(t, err)
			if exists {
				require.NotContains(t, owners, state.label, "two jars bear one label")
				owners[state.label] = stream
			}
		}
		_, err := janitor.Sweep(house.t.Context())
		require.NoError(t, err)
		for i := range 4 {
			require.Equal(t, owners[label(i)], house.owner(label(i)), label(i))
		}
	})
}

// owner is who has confirmed its claim to a label; "" = it is free.
func (h *house) owner(label string) (owner string) {
	for _, event := range h.events(h.labelStream(label)) {
		decoded, err := claim.Catalog.Decode(event.Type, 1, event.Data)
		require.NoError(h.t, err)
		switch e := decoded.(type) {
		case claim.Taken:
			owner = "unconfirmed " + e.Owner
		case claim.Confirmed:
			owner = e.Owner
		case claim.Released:
			owner = ""
		}
	}
	return owner
}

func TestTheSweepSettlesWhatCrashesLeftBehind(t *testing.T) {
	t.Parallel()
	house := newHouse(t)
	house.crashAfterTake(newStream(), "abandoned", request("crashed"))
	house.crashBeforeConfirm(newStream(), creating(request("open")), open{Label: "stored"})
	janitor := house.process().Claims

	settled, err := janitor.Sweep(t.Context())
	require.NoError(t, err)
	require.Zero(t, settled, "their commands may be under way")
	house.clock.move(6 * time.Minute)
	house.crashAfterTake(newStream(), "young", request("crashed"))
	settled, err = janitor.Sweep(t.Context())
	require.NoError(t, err)

	require.Equal(t, 2, settled)
	require.Equal(t, "taken released", house.claimed("abandoned"))
	require.Equal(t, "taken confirmed", house.claimed("stored"))
	require.Equal(t, "taken", house.claimed("young"))
	settled, err = janitor.Sweep(t.Context())
	require.NoError(t, err)
	require.Zero(t, settled)
	swept := house.events(house.labelStream("abandoned"))[1]
	require.Equal(t, domain.Process, house.metadata(swept).Actor.Kind)
	require.Equal(t, house.events(house.labelStream("abandoned"))[0].ID, house.metadata(swept).CausationID)
}

func TestAClaimNamesItsCommandAndNotItsValue(t *testing.T) {
	t.Parallel()
	house := newHouse(t)
	stream, r := newStream(), creating(request("open"))
	_, err := jarsOf(house.process()).Handle(t.Context(), stream, r, open{Label: "Earl Canary"})
	require.NoError(t, err)

	for _, event := range house.events(house.labelStream("Earl Canary")) {
		m := house.metadata(event)
		require.Equal(t, r.CommandID, m.CommandID)
		require.Equal(t, "p-1", m.Actor.ID)
		require.Equal(t, 1, m.SchemaVersion)
		require.NotContains(t, event.Stream+string(event.Data)+string(event.Metadata), "Canary")
	}
}

package projections_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"daybook.example/domain"
	"daybook.example/domain/operation"
	"daybook.example/eventstore/log"
	"daybook.example/projections"
)

const (
	triesMax = 3
	poisoned = "claim-test-poison"
)

// A poison is an event that cannot be applied.
type poison struct {
	data, metadata string // empty: as of any other event
	prepare        string // SQL
	fail           func() error
	code, field    string
}

// big is the size of an event that no append of ours may have: an older node, or
// another store that this log was migrated from, may have let it in.
const big = 10 << 20

func poisons(t *testing.T) map[string]poison {
	return map[string]poison{
		"no JSON":                   {data: `{"owner":`, code: "decode"},
		"another shape":             {data: `{"owner":7}`, code: "decode"},
		"a version that never was":  {metadata: strings.Replace(string(metadata(t)), `"schema_version":1`, `"schema_version":99`, 1), code: "decode"},
		"no version":                {metadata: strings.Replace(string(metadata(t)), `"schema_version":1`, `"schema_version":0`, 1), code: "decode"},
		"metadata that is no JSON":  {metadata: "nonsense", code: "decode"},
		"10 MiB of nonsense":        {data: strings.Repeat("x", big), code: "decode"},
		"a panic in the fold":       {fail: func() error { panic("planted") }, code: "panic"},
		"a refusal of the fold":     {fail: func() error { return errors.New("planted") }, code: "apply"},
		"a broken rule":             {fail: func() error { return &domain.Error{Code: "planted-rule", Field: "owner"} }, code: "planted-rule", field: "owner"},
		"a row against constraints": {prepare: "alter table rm_failing_v1.tally add constraint odd check (stream <> '" + poisoned + "')", code: "23514", field: "odd"},
	}
}

// lay appends an event as it is, past the limits of the node.
func (h *house) lay(stream, eventType, data, metadata string) uuid.UUID {
	h.t.Helper()
	id := uuid.New()
	_, err := h.node.Log().Append(h.t.Context(), log.Append{Stream: stream, Expected: log.Any, Events: []log.Proposed{
		{ID: id, Type: eventType, JSON: true, Data: []byte(data), Metadata: []byte(metadata)},
	}})
	require.NoError(h.t, err)
	return id
}

// T14. Given an event that cannot be applied, among others.
// Then its projection halts there after three tries at most, and says where; the
// others have it and all that follows; and nothing is passed but by a waiver.
func TestGivenPoisonThenItsProjectionHaltsThereAndNothingIsSkipped(t *testing.T) {
	t.Parallel()
	for name, p := range poisons(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := open(t)
			var tries atomic.Int64
			failing := counting{name: "failing", fail: func(e projections.Event) error {
				if e.Stream != poisoned {
					return nil
				}
				if tries.Add(1); p.fail != nil {
					return p.fail()
				}
				return nil
			}}
			runners, _ := h.start(failing, listing{"listing"})
			run(t, h.pool, "select 1;"+p.prepare)
			h.put("claim-test-0", taken())
			data, err := domain.Encode(taken())
			require.NoError(t, err)
			culprit := h.lay(poisoned, taken().EventType(), orElse(p.data, string(data)), orElse(p.metadata, string(metadata(t))))
			_, last := h.put("claim-test-1", taken())

			h.await(runners[0], projections.Halted)
			h.wait(runners[1], last)
			require.Zero(t, judge(h.ours(), came(t, h.pool, "listing")), "the others go on")
			failure := h.haltedAt(culprit)
			require.Equal(t, []string{p.code, p.field, poisoned, taken().EventType()}, []string{failure.Code, failure.Field, failure.Stream, failure.Type})
			require.NotZero(t, failure.Position)
			require.True(t, runners[0].Status().Position.Less(failure.Position))
			require.Equal(t, 1, h.tallied("failing"), "all before it is there, and nothing behind it")
			require.LessOrEqual(t, tries.Load(), int64(triesMax))

			h.put(operation.Stream, operation.ProjectionEventWaived{Projection: "failing", EventID: culprit, Reason: "known", Operator: "op"})
			h.reaches(runners[0], last)
			require.Equal(t, 2, h.tallied("failing"))
		})
	}
}

func orElse(text, otherwise string) string {
	if text == "" {
		return otherwise
	}
	return text
}

// haltedAt is what the checkpoint says of a halt at an event: the way out, and
// nothing of its payload.
func (h *house) haltedAt(culprit uuid.UUID) projections.EventError {
	h.t.Helper()
	var text string
	require.Eventually(h.t, func() bool {
		return h.pool.QueryRow(h.t.Context(), "select failure::text from daybook.projection_checkpoint where state = 'halted'").Scan(&text) == nil
	}, patience, tick)
	var failure struct {
		projections.EventError
		Reason, Hint string
	}
	require.NoError(h.t, json.Unmarshal([]byte(text), &failure))
	require.Equal(h.t, culprit, failure.EventID)
	require.Contains(h.t, failure.Reason, culprit.String())
	require.Contains(h.t, failure.Hint, "daybook projections waive failing "+culprit.String())
	require.NotContains(h.t, text, "somebody")
	return failure.EventError
}

// Given a projection that is halted at an event.
// When a program in which its cause is mended is started.
// Then it goes on with that event, and with all that came since.
func TestAProjectionWithMendedCodeGoesOnWhereItHalted(t *testing.T) {
	t.Parallel()
	h := open(t)
	runners, stop := h.start(counting{name: "failing", fail: func(e projections.Event) error {
		if e.Stream == poisoned {
			panic("planted")
		}
		return nil
	}})
	h.put("claim-test-0", taken())
	culprit, _ := h.put(poisoned, taken())
	h.await(runners[0], projections.Halted)
	h.haltedAt(culprit)
	stop()
	_, last := h.put("claim-test-0", taken())
	mended, _ := h.start(counting{name: "failing"})
	h.wait(mended[0], last)
	require.Equal(t, 3, h.tallied("failing"))
	h.well(mended[0])
}

// Given an event of a type that nobody knows, and one of ours of 10 MiB.
// Then a projection that lists neither its type nor all passes the first, and
// nobody skips the second.
func TestWhatIsNoPoisonHaltsNobody(t *testing.T) {
	t.Parallel()
	h := open(t)
	runners, _ := h.start(counting{name: "counting"}, listing{"listing"})
	h.lay("elsewhere-1", "something-happened", "{}", string(metadata(t)))
	h.lay("claim-test-0", taken().EventType(), fmt.Sprintf(`{"owner":%q,"command_id":%q,"expires":"2026-03-01T12:00:00Z"}`, strings.Repeat("x", big), uuid.New()), string(metadata(t)))
	_, last := h.put("claim-test-0", taken())
	for _, r := range runners {
		h.wait(r, last)
	}
	require.Equal(t, 2, h.tallied("counting"))
	require.Zero(t, judge(h.ours(), came(t, h.pool, "listing")))
}

// skipping is a listing that passes poison, as other engines do by default.
type skipping struct{ listing }

func (s skipping) Apply(ctx context.Context, tx pgx.Tx, events []projections.Event) error {
	return s.listing.Apply(ctx, tx, slices.DeleteFunc(slices.Clone(events), func(e projections.Event) bool { return e.Stream == poisoned }))
}

// The control: a projection that skips poison does not halt, and misses it.
func TestAProjectionThatSkipsPoisonIsFound(t *testing.T) {
	t.Parallel()
	h := open(t)
	runners, _ := h.start(skipping{listing{"listing"}})
	h.put(poisoned, taken())
	_, last := h.put("claim-test-0", taken())
	h.wait(runners[0], last)
	require.Equal(t, findings{Lost: 1}, judge(h.ours(), came(t, h.pool, "listing")))
}

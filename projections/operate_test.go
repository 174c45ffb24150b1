package projections_test

import (
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"daybook.example/domain"
	"daybook.example/eventstore/eventstoretest"
	"daybook.example/projections"
	"daybook.example/projections/projtest"
)

// stand is where the projection counting is.
func (h *house) stand() projections.Standing {
	h.t.Helper()
	at, err := projections.Stand(h.t.Context(), h.pool, "counting", 0)
	require.NoError(h.t, err)
	return at
}

func TestAPausedProjectionStandsStillAcrossRestartsUntilItIsResumed(t *testing.T) {
	t.Parallel()
	h := open(t)
	runners, stop := h.start(counting{name: "counting"})
	_, last := h.put("claim-test-0", taken())
	h.wait(runners[0], last)

	// When it is paused
	paused, err := projections.Pause(t.Context(), h.pool, h.stand(), "operator-1")
	require.NoError(t, err)
	require.Equal(t, "paused", paused.State)
	require.Equal(t, last, paused.Position)

	// Then nothing is committed any more, and who waits is told at once
	_, next := h.put("claim-test-0", taken())
	h.await(runners[0], projections.Paused)
	require.ErrorIs(t, runners[0].WaitFor(t.Context(), next), projections.ErrPaused)
	require.Equal(t, last, h.stand().Position)
	require.Equal(t, "operator-1", word(t, h.pool, "select paused_by from daybook.projection_checkpoint"))

	// And another start changes nothing, nor does a second pause
	stop()
	runners, _ = h.start(counting{name: "counting"})
	h.await(runners[0], projections.Paused)
	again, err := projections.Pause(t.Context(), h.pool, h.stand(), "operator-2")
	require.NoError(t, err)
	require.Equal(t, paused.Position, again.Position)
	require.Equal(t, "operator-1", word(t, h.pool, "select paused_by from daybook.projection_checkpoint"))
	_, err = projections.Claim(t.Context(), h.pool, counting{name: "counting"}, projections.Ownership{Owner: "test"})
	require.ErrorIs(t, err, projections.ErrPaused)
	require.Equal(t, 1, h.tallied("counting"))

	// When it is resumed, then it goes on
	resumed, err := projections.Resume(t.Context(), h.pool, h.stand())
	require.NoError(t, err)
	require.Equal(t, "running", resumed.State)
	h.await(runners[0], projections.Running)
	h.wait(runners[0], next)
	require.Equal(t, 2, h.tallied("counting"))
	require.Equal(t, 1, number(t, h.pool, "select count(*) from daybook.projection_checkpoint where paused_by is null and paused_at is null"))
}

// The control of the pause: what a batch under way may do, and what the next one may not.
func TestAPauseWaitsForTheBatchUnderWayAndFencesOffTheNext(t *testing.T) {
	t.Parallel()
	events := history(t)
	m := projtest.Empty(t, counting{name: "counting"})
	writer, err := projections.Claim(t.Context(), m.Pool, counting{name: "counting"}, projections.Ownership{Owner: "test"})
	require.NoError(t, err)
	defer writer.Close()
	held, err := m.Pool.Begin(t.Context())
	require.NoError(t, err)
	_, err = held.Exec(t.Context(), "lock table rm_counting_v1.tally")
	require.NoError(t, err)
	applied, paused := make(chan error, 1), make(chan error, 1)
	go func() { applied <- writer.Apply(t.Context(), events[:4], events[3].Position) }()
	require.Eventually(t, func() bool {
		return number(t, m.Pool, "select count(*) from pg_locks where not granted and relation = 'rm_counting_v1.tally'::regclass") > 0
	}, patience, tick)

	at, err := projections.Stand(t.Context(), m.Pool, "counting", 0)
	require.NoError(t, err)
	go func() { _, err := projections.Pause(t.Context(), m.Pool, at, "operator-1"); paused <- err }()
	require.Eventually(t, func() bool {
		return number(t, m.Pool, "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and query like '%paused_by%' and pid <> pg_backend_pid() and datname = current_database()") > 0
	}, patience, tick, "it waits for the row")
	require.Empty(t, paused)
	require.NoError(t, held.Rollback(t.Context()))

	require.NoError(t, <-applied, "the batch under way comes to its end")
	require.NoError(t, <-paused)
	require.ErrorIs(t, writer.Apply(t.Context(), events[4:], events[11].Position), projections.ErrFenced)
	m.Expect("select sum(n) from tally", []any{3})
}

func TestATakeoverGivesTheProjectionToWhoStandsBy(t *testing.T) {
	t.Parallel()
	h := open(t)
	first, _ := h.start(counting{name: "counting"})
	_, last := h.put("claim-test-0", taken())
	h.wait(first[0], last)
	registry := prometheus.NewRegistry()
	second := h.another(registry, "standing-by/1")
	h.await(second, projections.Standby)
	at := h.stand()
	require.Equal(t, []string{"standing-by/1"}, at.Standby)
	require.NotEmpty(t, at.Owner)
	require.Equal(t, at.Owner, second.Status().Holder)
	require.Equal(t, last, second.Status().Position, "who waits in its process is told of what others commit")
	waited, shown := gauge(t, registry, "daybook_projections_standby_seconds", map[string]string{"projection": "counting", "holder": at.Owner})
	require.True(t, shown)
	require.GreaterOrEqual(t, waited, 0.0)

	require.NoError(t, projections.Takeover(t.Context(), h.pool, at))
	h.put("claim-test-0", taken()) // so that the former owner notices before the other one looks

	h.await(second, projections.Running)
	h.await(first[0], projections.Standby)
	_, last = h.put("claim-test-0", taken())
	h.wait(second, last)
	require.Equal(t, 3, h.tallied("counting"))
	require.Equal(t, "standing-by/1", h.stand().Owner)
	_, shown = gauge(t, registry, "daybook_projections_standby_seconds", map[string]string{"projection": "counting", "holder": at.Owner})
	require.False(t, shown, "it stands by no more")

	// And a takeover from the one who had it before takes it from nobody
	require.NoError(t, projections.Takeover(t.Context(), h.pool, at))
	require.Equal(t, "standing-by/1", h.stand().Owner)
}

// An owner that hangs in the middle of a batch keeps its row locked.
func TestATakeoverFromAnOwnerThatHangsLosesNothing(t *testing.T) {
	t.Parallel()
	h := open(t)
	first, _ := h.start(counting{name: "counting"})
	_, last := h.put("claim-test-0", taken())
	h.wait(first[0], last)
	second := h.another(prometheus.NewRegistry(), "standing-by/1")
	h.await(second, projections.Standby)
	held, err := h.pool.Begin(t.Context())
	require.NoError(t, err)
	_, err = held.Exec(t.Context(), "lock table rm_counting_v1.tally")
	require.NoError(t, err)
	_, last = h.put("claim-test-0", taken())
	require.Eventually(t, func() bool {
		return number(t, h.pool, "select count(*) from pg_locks where not granted and relation = 'rm_counting_v1.tally'::regclass") > 0
	}, patience, tick)

	require.NoError(t, projections.Takeover(t.Context(), h.pool, h.stand()))

	require.NoError(t, held.Rollback(t.Context()))
	h.wait(second, last)
	require.Equal(t, 2, h.tallied("counting"))
}

func TestWhatNobodyOwnsCannotBeTakenOverAndWhatNobodyMadeIsUnknown(t *testing.T) {
	t.Parallel()
	h := open(t)
	require.NoError(t, projections.Prepare(t.Context(), h.pool, h.log, counting{name: "counting"}))
	var refusal *domain.Error
	require.ErrorAs(t, projections.Takeover(t.Context(), h.pool, h.stand()), &refusal)
	require.Equal(t, "projection-unowned", refusal.Code)
	for _, want := range []struct {
		name    string
		version int
		says    string
	}{{"other", 0, "no such projection; there are: counting (version 1)"}, {"counting", 7, "no version 7 of this projection"}} {
		_, err := projections.Stand(t.Context(), h.pool, want.name, want.version)
		require.ErrorAs(t, err, &refusal)
		require.Equal(t, "projection-unknown", refusal.Code)
		require.Contains(t, refusal.Message, want.says)
	}
	event, err := projections.HaltedAt(t.Context(), h.pool, "counting")
	require.NoError(t, err)
	require.Zero(t, event)
}

// another is the runner of another process.
func (h *house) another(registry *prometheus.Registry, owner string) *projections.Runner {
	h.t.Helper()
	r := projections.NewRunner(projections.Options{
		Pool: h.pool, Store: h.Client, Logger: eventstoretest.Quiet, Metrics: projections.NewMetrics(registry), Owner: owner,
	}, counting{name: "counting"})
	h.run(r)
	return r
}

func TestAHaltedProjectionThatIsPausedAndResumedIsTriedAgain(t *testing.T) {
	t.Parallel()
	h := open(t)
	planted := planted{}
	runners, _ := h.start(counting{name: "counting", fail: planted.fail})
	culprit, at := h.put("claim-test-poison", taken())
	h.await(runners[0], projections.Halted)
	event, err := projections.HaltedAt(t.Context(), h.pool, "counting")
	require.NoError(t, err)
	require.Equal(t, culprit, event)

	_, err = projections.Pause(t.Context(), h.pool, h.stand(), "operator-1")
	require.NoError(t, err)
	h.await(runners[0], projections.Paused)
	planted.mended.Store(true)
	resumed, err := projections.Resume(t.Context(), h.pool, h.stand())
	require.NoError(t, err)
	require.Equal(t, "halted", resumed.State, "until somebody has tried")
	h.await(runners[0], projections.Running)
	h.wait(runners[0], at)
	require.Equal(t, 1, h.tallied("counting"))
}

func TestAProjectionThatAnotherProcessCanApplyGoesOnThere(t *testing.T) {
	t.Parallel()
	h := open(t)
	planted := planted{}
	old, _ := h.start(counting{name: "counting", fail: planted.fail})
	_, last := h.put("claim-test-poison", taken())
	h.await(old[0], projections.Halted)

	mended, _ := h.start(counting{name: "counting"})

	h.wait(mended[0], last)
	h.await(old[0], projections.Standby)
	require.Equal(t, 1, h.tallied("counting"))
}

func TestTheHealthOfProjectionsNamesWhatIsWrong(t *testing.T) {
	t.Parallel()
	h := open(t)
	require.NoError(t, projections.Prepare(t.Context(), h.pool, h.log, counting{name: "counting"}))
	registry := prometheus.NewRegistry()
	health := projections.NewHealth(projections.HealthOptions{
		Pool: h.pool, Store: h.Reader, Registry: registry, Every: 100 * time.Millisecond, Unowned: time.Second, Still: time.Second,
	})
	go health.Watch(t.Context())
	becomes := func(text string) {
		t.Helper()
		require.Eventually(t, func() bool {
			err := health.Check(t.Context())
			healthy, _ := gauge(t, registry, "daybook_projections_healthy", map[string]string{"projection": "counting"})
			if text == "" {
				return err == nil && healthy == 1
			}
			return err != nil && strings.Contains(err.Error(), text) && healthy == 0
		}, patience, tick, "%q: %v", text, health.Check(t.Context()))
	}

	// Nobody owns it
	becomes("counting is run by no process: start one with role projections")

	// Somebody does
	planted := planted{}
	runners, stop := h.start(counting{name: "counting", fail: planted.fail})
	becomes("")

	// Its owner hangs while the log goes on
	_, last := h.put("claim-test-0", taken())
	h.wait(runners[0], last)
	held, err := h.pool.Begin(t.Context())
	require.NoError(t, err)
	_, err = held.Exec(t.Context(), "lock table rm_counting_v1.tally")
	require.NoError(t, err)
	h.put("claim-test-0", taken())
	becomes("counting stands at " + last.String() + " while the log is at")
	require.NoError(t, held.Rollback(t.Context()))
	becomes("")

	// It is paused: somebody wants it so
	_, err = projections.Pause(t.Context(), h.pool, h.stand(), "operator-1")
	require.NoError(t, err)
	h.await(runners[0], projections.Paused)
	h.put("claim-test-0", taken())
	time.Sleep(2 * time.Second)
	becomes("")
	_, err = projections.Resume(t.Context(), h.pool, h.stand())
	require.NoError(t, err)

	// It is halted
	culprit, _ := h.put("claim-test-poison", taken())
	h.await(runners[0], projections.Halted)
	becomes("counting is halted: event " + culprit.String())
	becomes("daybook projections waive counting " + culprit.String())
	stop()
}

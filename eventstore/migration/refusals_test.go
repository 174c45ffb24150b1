package migration_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"daybook.example/eventstore"
	"daybook.example/eventstore/eventstoretest"
	"daybook.example/eventstore/migration"
)

// once does something at the first event that was copied.
func once(f func()) func(*migration.Options) {
	var done atomic.Bool
	return func(o *migration.Options) {
		o.Progress = func(p migration.Progress) {
			if p.Phase == migration.Copying && p.Events > 0 && done.CompareAndSwap(false, true) {
				f()
			}
		}
	}
}

// Each of these writers is seen, also one on a stream that the copy never
// touches. Without one, the same copy goes through: the control.
func TestGivenAForeignWriterWhenCopyingThenItIsNoticed(t *testing.T) {
	t.Parallel()
	foreign := map[string]func(t *testing.T, p *pair){
		"nobody":                      nil,
		"on a stream of the copy":     func(t *testing.T, p *pair) { store(t, p.target, "s", event(`{}`)) },
		"on a stream of its own":      func(t *testing.T, p *pair) { store(t, p.target, "foreign", event(`{}`)) },
		"on metadata":                 func(t *testing.T, p *pair) { store(t, p.target, "$$s", metadata(`{"$maxCount":1}`)) },
		"on metadata of its own":      func(t *testing.T, p *pair) { store(t, p.target, "$$foreign", metadata(`{"$maxCount":1}`)) },
		"by a tombstone":              func(t *testing.T, p *pair) { tombstone(t, p.target, "s") },
		"on what belongs to a server": func(t *testing.T, p *pair) { store(t, p.target, "$settings", event(`{}`)) }, // is its own
	}
	for name, write := range foreign {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := given(t)
			for n := range 60 {
				store(t, p.source, "s", event(fmt.Sprintf(`{"n":%d}`, n)))
				store(t, p.source, "t", event(`{}`))
			}
			report, err := p.run(once(func() {
				if write != nil {
					write(t, p)
				}
			}))
			if name == "nobody" || strings.HasPrefix(name, "on what belongs") {
				require.NoError(t, err)
				require.True(t, report.Verified)
				return
			}
			require.ErrorIs(t, err, migration.ErrForeign)
			require.False(t, report.Verified)

			// And a second run does not go on over it
			_, err = p.run()
			require.ErrorIs(t, err, migration.ErrNotEmpty)
		})
	}
}

func tombstone(t *testing.T, c *eventstore.Client, stream string) {
	t.Helper()
	_, err := c.Tombstone(within(t, 10*time.Second), stream, eventstore.Any)
	require.NoError(t, err)
}

func TestGivenATargetThatIsNotEmptyThenNothingIsCopied(t *testing.T) {
	t.Parallel()
	p := given(t)
	store(t, p.source, "s", event(`{"n":1}`), event(`{"n":2}`))
	for name, there := range map[string][]eventstore.Recorded{
		"another event":              {event(`{}`)},
		"the same event, other data": {changed(p.first(), func(e *eventstore.Recorded) { e.Data = []byte(`{"n":9}`) })},
		"other metadata":             {changed(p.first(), func(e *eventstore.Recorded) { e.Metadata = nil })},
		"another type":               {changed(p.first(), func(e *eventstore.Recorded) { e.Type = "x" })},
		"another content type":       {changed(p.first(), func(e *eventstore.Recorded) { e.ContentType = eventstore.ContentBinary })},
		"another ID":                 {changed(p.first(), func(e *eventstore.Recorded) { e.ID = uuid.New() })},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			q := &pair{t: t, source: p.source, to: eventstoretest.Start(t)}
			q.target = q.to.Connect()
			store(t, q.target, "s", there...)
			_, err := q.run()
			require.ErrorIs(t, err, migration.ErrNotEmpty)
			all, err := q.target.ReadAll(within(t, time.Second), eventstore.Position{}, eventstore.Forwards, 10)
			require.NoError(t, err)
			require.Len(t, all, 1)
		})
	}
}

// first is the first event of the source's stream s.
func (p *pair) first() eventstore.Recorded {
	p.t.Helper()
	events, err := p.source.ReadStream(within(p.t, 10*time.Second), "s", 0, eventstore.Forwards, 1)
	require.NoError(p.t, err)
	return events[0]
}

func changed(e eventstore.Recorded, f func(*eventstore.Recorded)) eventstore.Recorded {
	f(&e)
	return e
}

// A target that holds the source's beginning and goes on with events of its own.
func TestGivenATargetThatWentOnByItselfThenItIsRefused(t *testing.T) {
	t.Parallel()
	p := given(t)
	store(t, p.source, "s", event(`{}`), event(`{}`))
	_, err := p.run()
	require.NoError(t, err)
	store(t, p.target, "s", event(`{}`))
	_, err = p.run()
	require.ErrorIs(t, err, migration.ErrNotEmpty)
	require.ErrorContains(t, err, "goes on where the source ends")
}

func TestGivenACopyWithANameOfItsOwnThenItIsSaidToBeCutOver(t *testing.T) {
	t.Parallel()
	p := given(t)
	ctx := within(t, 20*time.Second)
	named := func(id uuid.UUID) eventstore.Proposed {
		return eventstore.Proposed{ID: uuid.New(), Type: "log-named", Data: fmt.Appendf(nil, `{"log_id":"%s"}`, id), Metadata: []byte(`{}`)}
	}
	_, err := p.source.NameLog(ctx, named(uuid.New()))
	require.NoError(t, err)
	store(t, p.source, "s", event(`{}`))
	_, err = p.run()
	require.NoError(t, err)
	require.NoError(t, p.target.RenameLog(ctx, named(uuid.New())))
	_, err = p.run()
	require.ErrorIs(t, err, migration.ErrCutOver)

	// Also when the source went on since
	store(t, p.source, "s", event(`{}`))
	_, err = p.run()
	require.ErrorIs(t, err, migration.ErrCutOver)
	require.ErrorContains(t, err, "after 2 events that are the source's")
}

func TestGivenAnEventOverTheTargetsLimitThenNothingIsCopiedAndItIsNamed(t *testing.T) {
	t.Parallel()
	p := given(t)
	for range 50 {
		store(t, p.source, "s", event(`{}`))
	}
	large := event(`"` + strings.Repeat("x", 2000) + `"`)
	store(t, p.source, "large", event(`{}`), large)
	limit := len(large.Data) + len(large.Metadata) + 2*len(large.Type)

	_, err := p.run(func(o *migration.Options) { o.AppendMax = limit - 1 })
	require.ErrorIs(t, err, migration.ErrTooLarge)
	require.ErrorContains(t, err, large.ID.String())
	require.ErrorContains(t, err, "revision 1 of large")
	head, err := p.target.Head(within(t, time.Second))
	require.NoError(t, err)
	require.Zero(t, head)

	// The control: at the limit it fits
	report, err := p.run(func(o *migration.Options) { o.AppendMax = limit })
	require.NoError(t, err)
	p.requireCopy(report)
}

// The largest append there is fills one append of the copy, too.
func TestGivenEventsAtTheNodesLimitThenTheyAreCopied(t *testing.T) {
	t.Parallel()
	p := given(t)
	largest := event("")
	largest.Data = []byte(strings.Repeat("x", migration.AppendMax-len(largest.Metadata)-2*len(largest.Type)))
	largest.ContentType = eventstore.ContentBinary
	store(t, p.source, "s", event(`{}`))
	store(t, p.source, "s", largest)
	store(t, p.source, "s", event(`{}`), event(`{}`))
	report, err := p.run()
	require.NoError(t, err)
	p.requireCopy(report)
}

func TestGivenOneLogAsSourceAndTargetThenItIsRefused(t *testing.T) {
	t.Parallel()
	p := given(t)
	store(t, p.source, "s", event(`{}`))
	overTCP := p.from.ConnectBy(eventstore.Options{URL: p.from.URL()})
	_, err := migration.Run(within(t, 20*time.Second), migration.Options{From: overTCP.ReadOnly(), To: p.source, Cutover: true})
	require.ErrorIs(t, err, migration.ErrSameLog)
}

// Also where there is nothing to compare at first.
func TestGivenOneEmptyLogAsSourceAndTargetWhenItGrowsThenItIsRefused(t *testing.T) {
	t.Parallel()
	p := given(t)
	done := make(chan error, 1)
	followed := make(chan struct{}, 1)
	go func() {
		_, err := migration.Run(within(t, 20*time.Second), migration.Options{
			From: p.source.ReadOnly(), To: p.source, Progress: func(migration.Progress) {
				select {
				case followed <- struct{}{}:
				default:
				}
			},
		})
		done <- err
	}()
	<-followed
	store(t, p.source, "s", event(`{}`))
	require.ErrorIs(t, <-done, migration.ErrSameLog)
	all, err := p.source.ReadStream(within(t, time.Second), "s", 0, eventstore.Forwards, 10)
	require.NoError(t, err)
	require.Len(t, all, 1)
}

func TestGivenATargetThatTakesNoWritesThenThatIsSaidAtOnce(t *testing.T) {
	t.Parallel()
	p := given(t)
	store(t, p.source, "s", event(`{}`))
	began := time.Now()
	_, err := p.run(func(o *migration.Options) { o.To = p.to.ConnectBy(eventstore.Options{URL: p.to.URL()}) })
	require.ErrorIs(t, err, eventstore.ErrAccessDenied)
	require.Less(t, time.Since(began), 10*time.Second)
}

func TestGivenTheMapOfAnotherMigrationThenItIsRefused(t *testing.T) {
	t.Parallel()
	p := given(t)
	store(t, p.source, "s", event(`{}`), event(`{}`))
	for name, content := range map[string]string{
		"another line":       "1/1 2/2 " + uuid.NewString() + "\n",
		"half another line":  "something else",
		"an unrelated file":  "PK\x03\x04\n\n",
		"a line with no end": "1/1 2/2 " + uuid.NewString(),
	} {
		require.NoError(t, os.WriteFile(p.mapped, []byte(content), 0o600))
		_, err := p.run()
		require.ErrorIs(t, err, migration.ErrMap, name)
		kept, err := os.ReadFile(p.mapped)
		require.NoError(t, err)
		require.Equal(t, content, string(kept), name)
	}
	// And one that knows more than there is
	require.NoError(t, os.Remove(p.mapped))
	_, err := p.run()
	require.NoError(t, err)
	content, err := os.ReadFile(p.mapped)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(p.mapped, append(content, "1/1 2/2 x\n"...), 0o600))
	_, err = p.run()
	require.ErrorIs(t, err, migration.ErrMap)
}

func TestGivenASourceThatGrowsThenEverythingIsCopied(t *testing.T) {
	t.Parallel()
	p := given(t)
	live(t, p.source, rand.New(rand.NewPCG(2, 2)), 50)
	// Given a copy that follows
	following, stop := context.WithCancel(t.Context())
	defer stop()
	var last atomic.Uint64
	done := make(chan error, 1)
	followed := make(chan migration.Report, 1)
	go func() {
		o := p.options()
		o.Cutover, o.Progress = false, func(p migration.Progress) {
			if p.Phase == migration.Following {
				last.Store(p.Events)
			}
		}
		report, err := migration.Run(following, o)
		followed <- report
		done <- err
	}()
	// When the source grows meanwhile
	for n := range 20 {
		live(t, p.source, rand.New(rand.NewPCG(3, uint64(n))), 10)
	}
	// Then the copy comes to its end, and ends well when it is told to
	total := uint64(0)
	for e, err := range p.source.All(within(t, 10*time.Second), eventstore.Position{}) {
		require.NoError(t, err)
		if !e.System() || strings.HasPrefix(e.Stream, "$$thing") {
			total++
		}
	}
	require.Eventually(t, func() bool { return last.Load() == total }, 20*time.Second, 10*time.Millisecond)
	stop()
	require.NoError(t, <-done)
	report := <-followed
	require.False(t, report.Verified)
	require.Equal(t, total, report.Events)

	// And a cut-over with the writer still there waits for it
	writing := make(chan struct{})
	go func() {
		defer close(writing)
		for n := range 10 {
			live(t, p.source, rand.New(rand.NewPCG(4, uint64(n))), 10)
		}
	}()
	for {
		report, err := p.run()
		require.NoError(t, err)
		select {
		case <-writing:
			report, err = p.run()
			require.NoError(t, err)
			p.requireCopy(report)
			return
		default:
			require.True(t, report.Verified)
		}
	}
}

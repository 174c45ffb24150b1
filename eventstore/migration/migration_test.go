package migration_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"daybook.example/eventstore"
	"daybook.example/eventstore/eventstoretest"
	"daybook.example/eventstore/migration"
	"daybook.example/eventstore/proof"
	"daybook.example/test/level"
)

// A pair of nodes: one with a history, one without.
type pair struct {
	t        *testing.T
	from, to *eventstoretest.Node
	source   *eventstore.Client
	target   *eventstore.Client
	mapped   string
}

func given(t *testing.T) *pair {
	t.Helper()
	p := &pair{t: t, from: eventstoretest.Start(t), to: eventstoretest.Start(t), mapped: filepath.Join(t.TempDir(), "map")}
	p.source, p.target = p.from.Connect(), p.to.Connect()
	return p
}

func (p *pair) options() migration.Options {
	return migration.Options{From: p.source.ReadOnly(), To: p.target, Map: p.mapped, Cutover: true}
}

// run copies to the end.
func (p *pair) run(change ...func(*migration.Options)) (migration.Report, error) {
	p.t.Helper()
	o := p.options()
	for _, f := range change {
		f(&o)
	}
	return migration.Run(within(p.t, time.Minute), o)
}

func within(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

func event(data string) eventstore.Recorded {
	return eventstore.Recorded{ID: uuid.New(), Type: "thing-happened", ContentType: eventstore.ContentJSON, Data: []byte(data), Metadata: []byte(`{"schema_version":1}`)}
}

func metadata(data string) eventstore.Recorded {
	return eventstore.Recorded{ID: uuid.New(), Type: "$metadata", ContentType: eventstore.ContentJSON, Data: []byte(data)}
}

func store(t *testing.T, c *eventstore.Client, stream string, events ...eventstore.Recorded) {
	t.Helper()
	_, err := c.AppendRecorded(within(t, 10*time.Second), stream, eventstore.Any, events)
	require.NoError(t, err)
}

// live writes a history with everything that a log can hold: appends of one
// event and of several, of both content types, metadata, truncation, streams that
// are deleted, brought back by an append or by metadata, deleted for ever, and
// what belongs to the server.
func live(t *testing.T, c *eventstore.Client, random *rand.Rand, steps int) {
	t.Helper()
	store := func(t *testing.T, c *eventstore.Client, stream string, events ...eventstore.Recorded) {
		_, err := c.AppendRecorded(within(t, 10*time.Second), stream, eventstore.Any, events)
		if !errors.Is(err, eventstore.ErrStreamDeleted) {
			require.NoError(t, err)
		}
	}
	for range steps {
		stream := fmt.Sprintf("thing-%d", random.IntN(12))
		switch random.IntN(20) {
		case 0:
			store(t, c, "$$"+stream, metadata(fmt.Sprintf(`{"$maxCount":%d,"color":"blue"}`, 1+random.IntN(5))))
		case 1:
			store(t, c, "$$"+stream, metadata(fmt.Sprintf(`{"$tb":%d}`, random.IntN(5))))
		case 2, 3, 4: // soft deletion, as a server stores it
			store(t, c, "$$"+stream, metadata(`{"$tb":9223372036854775807}`))
		case 5:
			if random.IntN(4) == 0 {
				_, err := c.Tombstone(within(t, 10*time.Second), stream, eventstore.Any)
				if !errors.Is(err, eventstore.ErrStreamDeleted) {
					require.NoError(t, err)
				}
			}
		case 6:
			store(t, c, "$settings", event(`{"$userStreamAcl":{}}`))
		case 7:
			store(t, c, "$$$settings", metadata(`{"$maxCount":1}`))
		case 8:
			store(t, c, "links", eventstore.Recorded{ID: uuid.New(), Type: "$>", ContentType: eventstore.ContentBinary, Data: []byte("0@" + stream)})
		case 9:
			binary := event("\x00\xff not JSON")
			binary.ContentType, binary.Metadata = eventstore.ContentBinary, nil
			store(t, c, stream, binary, event(`{}`))
		default:
			var events []eventstore.Recorded
			for n := range 1 + random.IntN(4)*random.IntN(4) {
				events = append(events, event(fmt.Sprintf(`{"n":%d,"fill":"%s"}`, n, strings.Repeat("x", random.IntN(2000)))))
			}
			store(t, c, stream, events...)
		}
	}
}

// requireCopy compares all that can be asked of two stores: the order over all
// streams, every stream as it reads now, and the root over the leaves.
func (p *pair) requireCopy(report migration.Report) {
	t := p.t
	t.Helper()
	ctx := within(t, 30*time.Second)
	order := func(c *eventstore.Client) (events []string, tree proof.Tree) {
		for e, err := range c.All(ctx, eventstore.Position{}) {
			require.NoError(t, err)
			if e.System() && (!strings.HasPrefix(e.Stream, "$$") || strings.HasPrefix(e.Stream, "$$$")) {
				continue
			}
			if proof.Covers(e) {
				tree.Add(proof.Leaf(e))
			} else {
				e.ID = uuid.Nil
			}
			events = append(events, fmt.Sprintf("%s %d %s %s %s %x %x", e.Stream, e.Revision, e.ID, e.Type, e.ContentType, sha256.Sum256(e.Data), sha256.Sum256(e.Metadata)))
		}
		return events, tree
	}
	want, tree := order(p.source)
	got, copied := order(p.target)
	require.Equal(t, want, got)
	require.Equal(t, tree.Root(), copied.Root())
	require.True(t, report.Verified)
	require.Equal(t, tree.Root(), report.Root)
	require.Equal(t, tree.Size(), report.Leaves)
	require.EqualValues(t, len(want), report.Events)
	for i := range 12 {
		for _, stream := range []string{fmt.Sprintf("thing-%d", i), fmt.Sprintf("$$thing-%d", i), "links"} {
			there, wantErr := p.source.ReadStream(ctx, stream, 0, eventstore.Forwards, math.MaxUint64)
			here, gotErr := p.target.ReadStream(ctx, stream, 0, eventstore.Forwards, math.MaxUint64)
			for _, known := range []error{eventstore.ErrStreamNotFound, eventstore.ErrStreamDeleted} {
				require.Equal(t, errors.Is(wantErr, known), errors.Is(gotErr, known), "%s: %v and %v", stream, wantErr, gotErr)
			}
			require.Equal(t, len(there), len(here), stream)
			for n := range there {
				require.Equal(t, there[n].Revision, here[n].Revision)
				require.Equal(t, string(there[n].Data), string(here[n].Data))
			}
		}
	}
	p.requireMap(report)
}

// requireMap looks every line of the position map up on both sides.
func (p *pair) requireMap(report migration.Report) {
	p.t.Helper()
	content, err := os.ReadFile(p.mapped)
	require.NoError(p.t, err)
	lines := strings.Split(strings.TrimSuffix(string(content), "\n"), "\n")
	require.EqualValues(p.t, report.Events, len(lines))
	byPosition := func(c *eventstore.Client) map[string]eventstore.Recorded {
		at := map[string]eventstore.Recorded{}
		for e, err := range c.All(within(p.t, 30*time.Second), eventstore.Position{}) {
			require.NoError(p.t, err)
			at[e.Position.String()] = e
		}
		return at
	}
	there, here := byPosition(p.source), byPosition(p.target)
	for _, line := range lines {
		fields := strings.Fields(line)
		require.Len(p.t, fields, 3)
		original, copied := there[fields[0]], here[fields[1]]
		require.Equal(p.t, original.ID.String(), fields[2])
		require.Equal(p.t, original.Stream, copied.Stream)
		require.Equal(p.t, original.Revision, copied.Revision)
	}
}

func TestGivenAWholeHistoryWhenCopiedThenTheTargetIsTheSame(t *testing.T) {
	t.Parallel()
	for range level.Of(3, 30, 300) {
		seed := rand.Uint64()
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			p := given(t)
			live(t, p.source, rand.New(rand.NewPCG(seed, 0)), 150)
			store(t, p.source, "$$thing-1", metadata(`{"$maxCount":3}`)) // so that something is left out in any case
			store(t, p.source, "$settings", event(`{}`))

			report, err := p.run()
			require.NoError(t, err)
			p.requireCopy(report)
			require.NotZero(t, report.LeftOut["$settings"])
			require.NotContains(t, report.LeftOut, "$$thing-1")

			// And once more it copies nothing and finds the same
			again, err := p.run()
			require.NoError(t, err)
			require.Equal(t, report, again)
		})
	}
}

// What was one append at the source may be two on the target: where it brought a
// stream back, the target's own metadata stand between them.
func TestGivenAnAppendThatMustBeSplitWhenItBroughtAStreamBackThenTheEndIsTheSame(t *testing.T) {
	t.Parallel()
	p := given(t)
	store(t, p.source, "s", event(`{}`))
	store(t, p.source, "$$s", metadata(`{"$tb":9223372036854775807}`))
	fill := strings.Repeat("x", 400)
	store(t, p.source, "s", event(`"1`+fill+`"`), event(`"2`+fill+`"`), event(`"3`+fill+`"`))
	store(t, p.source, "t", event(`{}`))

	report, err := p.run(func(o *migration.Options) { o.AppendMax = 1000 })
	require.NoError(t, err)
	require.True(t, report.Verified)
	require.EqualValues(t, 7, report.Events)
	here, err := p.target.ReadStream(within(t, time.Second), "s", 0, eventstore.Forwards, 10)
	require.NoError(t, err)
	require.Len(t, here, 3)
	require.EqualValues(t, 1, here[0].Revision)

	again, err := p.run(func(o *migration.Options) { o.AppendMax = 1000 })
	require.NoError(t, err)
	require.Equal(t, report, again)
}

func TestGivenARunThatWasStoppedAnywhereWhenRunAgainThenItGoesOn(t *testing.T) {
	t.Parallel()
	for range level.Of(2, 12, 200) {
		seed := rand.Uint64()
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			random := rand.New(rand.NewPCG(seed, 0))
			p := given(t)
			live(t, p.source, random, 200)
			// When it is stopped again and again, and its map loses a piece of its end
			stops := 0
			for ; stops < 25; stops++ {
				ctx, stop := context.WithTimeout(t.Context(), time.Duration(random.IntN(40))*time.Millisecond)
				o := p.options()
				o.To = p.to.Connect()
				_, err := migration.Run(ctx, o)
				stop()
				if err == nil {
					break
				}
				require.True(t, errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) || errors.Is(err, eventstore.ErrUnavailable), "%v", err)
				for _, reason := range []error{migration.ErrNotEmpty, migration.ErrForeign, migration.ErrMap} {
					require.NotErrorIs(t, err, reason)
				}
				p.tearMap(random)
			}
			// Then the next run finishes the same copy
			report, err := p.run()
			require.NoError(t, err)
			p.requireCopy(report)
		})
	}
}

func (p *pair) tearMap(random *rand.Rand) {
	p.t.Helper()
	if info, err := os.Stat(p.mapped); err == nil {
		require.NoError(p.t, os.Truncate(p.mapped, max(0, info.Size()-int64(random.IntN(300)))))
	}
}

func TestGivenNodesThatComeAndGoWhenCopyingThenItGoesOnByItself(t *testing.T) {
	t.Parallel()
	p := given(t)
	live(t, p.source, rand.New(rand.NewPCG(1, 1)), 400)
	done := make(chan error, 1)
	var report migration.Report
	restarts := make(chan struct{}, 1)
	go func() {
		var err error
		report, err = p.run(func(o *migration.Options) {
			o.Progress = func(migration.Progress) {
				select {
				case restarts <- struct{}{}:
				default:
				}
			}
		})
		done <- err
	}()
	for _, node := range []*eventstoretest.Node{p.to, p.from, p.to} {
		select {
		case <-restarts:
			node.Stop()
			node.Start()
		case err := <-done:
			require.NoError(t, err)
			done <- nil
		}
	}
	require.NoError(t, <-done)
	p.requireCopy(report)
}

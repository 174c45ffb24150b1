// Package migration copies a whole log to another store. README.md says what the
// copy keeps, what it leaves out and what it refuses.
package migration

import (
	"context"
	"errors"
	"fmt"
	"time"

	"daybook.example/eventstore"
	"daybook.example/eventstore/proof"
)

// AppendMax is what a store takes in one append by default, in bytes: data,
// metadata and twice the type of every event.
const AppendMax = 1 << 20

const (
	reachMax  = 10 * time.Second       // for the first answer of a store
	callMax   = 20 * time.Second       // for every other
	patience  = 60 * time.Second       // how long stores may fail without any progress
	retryWait = 200 * time.Millisecond // between two tries
	lookEvery = 200 * time.Millisecond // for new events of a source that was copied to its end
)

// Why a log is not copied, or no further.
var (
	ErrNotEmpty = errors.New("the target is not empty, and what it holds is not the beginning of this source")
	ErrForeign  = errors.New("somebody else writes to the target")
	ErrCutOver  = errors.New("the target was cut over already: it has a name of its own")
	ErrSameLog  = errors.New("source and target are the same log, or one is a copy of the other's files")
	ErrTooLarge = errors.New("the event is larger than an append to the target may be")
	ErrContent  = errors.New("the event has a content type that the target cannot keep")
	ErrGap      = errors.New("the source lacks earlier events of the stream (scavenged), so that a copy could not keep its revisions")
	ErrMap      = errors.New("the position map belongs to another migration")
)

// Options of Run. From and To are required.
type Options struct {
	From      eventstore.Reader
	To        *eventstore.Client
	Map       string // file that takes the positions of every event, "" for none
	AppendMax int    // what the target takes in one append; AppendMax by default
	Cutover   bool   // end when the source is copied to its end and verified
	Progress  func(Progress)
}

// Phase is what a migration is doing.
type Phase string

// The phases, in their order.
const (
	Checking  Phase = "checking"  // whether every event can be copied
	Copying   Phase = "copying"   // after comparing what is there already
	Following Phase = "following" // copied to the end, waiting for more
	Verifying Phase = "verifying" // reading both logs once more
)

// Progress is how far a phase is.
type Progress struct {
	Phase         Phase
	Events, Bytes uint64 // done, bytes as an append counts them
	Total         uint64 // events to do; 0 while nobody knows
	TotalBytes    uint64
}

// Report is what was copied.
type Report struct {
	Events   uint64            // equal on both sides, in the same order
	Leaves   uint64            // of these, how many are leaves of the tree
	Root     [32]byte          // of the tree, the same on both sides; only when Verified
	Verified bool              // both logs were read once more from their start to their end
	LeftOut  map[string]uint64 // streams of the source that belong to its server, and their events
	From, To eventstore.Position
}

// Run copies the source to the target, begins where an earlier run was stopped,
// and goes on with events to come: until ctx ends, or with Cutover until
// everything is copied and verified. In either case its report is what stands.
func Run(ctx context.Context, o Options) (Report, error) {
	m, err := start(ctx, o)
	if err != nil {
		return Report{}, err
	}
	if o.Cutover {
		err = m.cutOver(ctx)
	} else {
		err = m.follow(ctx)
	}
	return m.report(), errors.Join(err, m.mapped.close())
}

// A migration is one run.
type migration struct {
	Options
	checked inspection
	walk    *walk // of what the target has
	mapped  *mapFile
	verify  *walk // the second reading of both
	sent    bool  // this run has appended
}

func start(ctx context.Context, o Options) (*migration, error) {
	if o.AppendMax == 0 {
		o.AppendMax = AppendMax
	}
	if o.Progress == nil {
		o.Progress = func(Progress) {}
	}
	m := &migration{Options: o}
	m.checked = newInspection(o.From, o.AppendMax)
	if err := m.reach(ctx); err != nil {
		return nil, err
	}
	mapped, err := openMap(o.Map)
	if err != nil {
		return nil, err
	}
	m.mapped = mapped
	m.walk = newWalk(o.From, o.To.ReadOnly(), mapped.pair)
	return m, nil
}

// reach asks both stores for a first answer, so that a wrong address is told at once.
func (m *migration) reach(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, reachMax)
	defer cancel()
	if _, err := m.From.Head(ctx); err != nil {
		return fmt.Errorf("reach the source: %w", err)
	}
	if _, err := m.To.Head(ctx); err != nil {
		return fmt.Errorf("reach the target: %w", err)
	}
	return nil
}

func (m *migration) report() Report {
	r := Report{
		Events: m.walk.events, Leaves: m.walk.to.tree.Size(), LeftOut: m.checked.leftOut,
		From: m.walk.from.passed, To: m.walk.to.passed,
	}
	if m.verify != nil && m.verify.events == m.walk.events {
		r.Verified, r.Root = true, m.verify.to.tree.Root()
	}
	return r
}

// follow copies until ctx ends.
func (m *migration) follow(ctx context.Context) error {
	for {
		if err := m.persist(ctx, m.copy); err != nil {
			return stopped(ctx, err)
		}
		m.tell(Following, m.walk)
		if err := pause(ctx, lookEvery); err != nil {
			return stopped(ctx, err)
		}
	}
}

// stopped is no error when it was asked for.
func stopped(ctx context.Context, err error) error {
	if ctx.Err() != nil && !refused(err) {
		return nil
	}
	return err
}

// cutOver copies to the end of a source that stands still, and reads both logs
// once more from their start. What comes to the source meanwhile is copied and
// read, too: it ends at a moment when nothing came.
func (m *migration) cutOver(ctx context.Context) error {
	verify := newWalk(m.From, m.To.ReadOnly(), nil)
	for {
		if err := m.persist(ctx, m.copy); err != nil {
			return err
		}
		if verify.events == m.walk.events && m.verify != nil {
			return nil
		}
		err := m.persist(ctx, func(ctx context.Context) error {
			return verify.advance(ctx, func() { m.tell(Verifying, verify) })
		})
		if err != nil {
			return fmt.Errorf("verify: %w", m.suspect(err))
		}
		if err := m.agree(verify); err != nil {
			return err
		}
		m.verify = verify
	}
}

// agree compares what the two readings come to: the number of events on both
// sides, and the roots over their leaves, each from its own stored bytes.
func (m *migration) agree(verify *walk) error {
	from, to := verify.from.tree, verify.to.tree
	if verify.events != m.walk.events || len(verify.early) > 0 || from.Size() != to.Size() || from.Root() != to.Root() {
		return fmt.Errorf("%w: %d events were copied and %d are equal, the roots of %d and %d leaves are %x and %x",
			ErrForeign, m.walk.events, verify.events, from.Size(), to.Size(), from.Root(), to.Root())
	}
	return nil
}

// persist does f again while stores are away, as long as that helps.
func (m *migration) persist(ctx context.Context, f func(context.Context) error) error {
	for began, events := time.Now(), m.walk.events; ; {
		err := f(ctx)
		if err == nil || ctx.Err() != nil || refused(err) {
			return err
		}
		if m.walk.events > events {
			began, events = time.Now(), m.walk.events
		}
		if time.Since(began) > patience {
			return err
		}
		if err := pause(ctx, retryWait); err != nil {
			return err
		}
	}
}

// refused tells errors that no repetition changes.
func refused(err error) bool {
	for _, reason := range []error{
		ErrNotEmpty, ErrForeign, ErrCutOver, ErrSameLog, ErrTooLarge, ErrContent, ErrGap, ErrMap, errMapFile, eventstore.ErrStreamNotFound,
	} {
		if errors.Is(err, reason) {
			return true
		}
	}
	return eventstore.Definite(err)
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

func (m *migration) tell(phase Phase, w *walk) {
	m.Progress(Progress{Phase: phase, Events: w.events, Bytes: w.bytes, Total: m.checked.events, TotalBytes: m.checked.bytes})
}

// size is what an event counts in an append.
func size(e eventstore.Recorded) int { return len(e.Data) + len(e.Metadata) + 2*len(e.Type) }

// place names an event in errors.
func place(e eventstore.Recorded) string {
	if proof.Tombstone(e) {
		return fmt.Sprintf("the tombstone of %s (position %s)", e.Stream, e.Position)
	}
	return fmt.Sprintf("event %s (%s, revision %d of %s, position %s)", e.ID, e.Type, e.Revision, e.Stream, e.Position)
}

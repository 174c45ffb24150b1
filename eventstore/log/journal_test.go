package log

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
)

// A journal knows every attempt that its callers made and how it ended, as far
// as they were told. By it a log that comes back is judged: what was
// acknowledged is there once (I1), nothing is there that nobody tried (I2), and
// revisions have no gaps (I3).
type journal struct {
	mu      sync.Mutex
	batches []*batch
	seen    []Record // what a reader saw; it must stay for ever
}

type ending int

const (
	unknown ending = iota
	kept
	refused
)

// A batch is one append, or a deletion when it has no events.
type batch struct {
	stream string
	events []Proposed
	ending ending
	result Result
}

func (j *journal) try(stream string, events []Proposed) *batch {
	j.mu.Lock()
	defer j.mu.Unlock()
	b := &batch{stream: stream, events: events}
	j.batches = append(j.batches, b)
	return b
}

// note remembers how an attempt ended and tells whether the log goes on.
func (j *journal) note(b *batch, result Result, err error) (on bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	switch {
	case err == nil:
		b.ending, b.result = kept, result
		return true
	case errors.Is(err, ErrStreamDeleted), errors.As(err, new(*WrongExpectedRevision)), errors.Is(err, ErrDiskFull):
		if b.ending == unknown {
			b.ending = refused
		}
		return true
	}
	return false
}

// again picks an attempt to be sent once more: one whose end is not known, or any.
func (j *journal) again(random *rand.Rand) *batch {
	j.mu.Lock()
	defer j.mu.Unlock()
	if len(j.batches) == 0 {
		return nil
	}
	for range 5 {
		if b := j.batches[len(j.batches)-1-random.IntN(min(40, len(j.batches)))]; b.ending == unknown {
			return b
		}
	}
	return j.batches[random.IntN(len(j.batches))]
}

// judge compares a log with what it must hold, and remembers what it holds now.
func (j *journal) judge(l *Log) error {
	records, err := l.ReadAll(context.Background(), 0, Forwards, 1<<30, 1<<40)
	if err != nil {
		return fmt.Errorf("read it all: %w", err)
	}
	if err := j.stayed(records); err != nil {
		return err
	}
	if err := contiguous(l, records); err != nil {
		return err
	}
	byID := map[uuid.UUID]*Record{}
	for i := range records {
		r := &records[i]
		if byID[r.ID] != nil {
			return fmt.Errorf("event %s is there twice", r.ID)
		}
		byID[r.ID] = r
	}
	own := len(records)
	for _, b := range j.batches {
		n, err := b.judge(byID)
		if err != nil {
			return err
		}
		own -= n
	}
	for _, r := range records {
		if r.Type == metadataType && r.ID.Version() == 5 || r.Type == tombstoneType {
			own--
		}
	}
	if own != 0 {
		return fmt.Errorf("%d events are there that nobody tried", own)
	}
	j.seen = records
	return nil
}

// stayed checks that what was seen once is still there, where it was.
func (j *journal) stayed(records []Record) error {
	if len(records) < len(j.seen) {
		return fmt.Errorf("%d events are there, a reader saw %d", len(records), len(j.seen))
	}
	for i, r := range j.seen {
		if r.Position != records[i].Position || !bytes.Equal(r.Event, records[i].Event) {
			return fmt.Errorf("event %d is another one than a reader saw", i)
		}
	}
	return nil
}

func contiguous(l *Log, records []Record) error {
	next := map[string]int64{}
	for _, r := range records {
		if r.Revision == tombstoneAfter {
			continue
		}
		if r.Revision != next[r.Stream] {
			return fmt.Errorf("%s has revision %d where %d should come", r.Stream, r.Revision, next[r.Stream])
		}
		next[r.Stream]++
	}
	for stream, n := range next {
		if head := l.Stream(stream).Head; head != n-1 {
			return fmt.Errorf("the index takes %d for the head of %s, which is %d", head, stream, n-1)
		}
	}
	return nil
}

// judge counts the events of the batch that are there: all or none.
func (b *batch) judge(byID map[uuid.UUID]*Record) (found int, err error) {
	var last *Record
	for i := range b.events {
		r := byID[b.events[i].ID]
		if r == nil {
			continue
		}
		if decoded, err := r.Decode(); err != nil || !bytes.Equal(decoded.Data, b.events[i].Data) || r.Stream != b.stream {
			return found, fmt.Errorf("event %s is not what was appended", r.ID)
		}
		if last != nil && r.Revision != last.Revision+1 {
			return found, fmt.Errorf("a batch of %s is not in one piece", b.stream)
		}
		found, last = found+1, r
	}
	switch {
	case len(b.events) == 0:
		return 0, b.judgeDeletion(byID)
	case found != 0 && found != len(b.events):
		return found, fmt.Errorf("%d of %d events of a batch are there", found, len(b.events))
	case b.ending == kept && (last == nil || last.Position != b.result.Position || last.Revision != b.result.Revision):
		return found, fmt.Errorf("an acknowledged append to %s at position %d is lost", b.stream, b.result.Position)
	case b.ending == refused && found > 0:
		return found, fmt.Errorf("a refused append to %s is there", b.stream)
	case last != nil && b.ending == unknown: // it was read: it must stay
		b.ending, b.result = kept, Result{Revision: last.Revision, Position: last.Position}
	}
	return found, nil
}

func (b *batch) judgeDeletion(byID map[uuid.UUID]*Record) error {
	if b.ending != kept {
		return nil
	}
	for _, r := range byID {
		if r.Position == b.result.Position && (r.Type == metadataType || r.Type == tombstoneType) {
			return nil
		}
	}
	return fmt.Errorf("an acknowledged deletion of %s at position %d is lost", b.stream, b.result.Position)
}

// A caller loads a log with all that can be asked of it.
type caller struct {
	log     *Log
	journal *journal
	random  *rand.Rand
	name    int
}

// load lets some callers work at once until the log ends or they have done enough.
func (j *journal) load(l *Log, random *rand.Rand, callers, each int) {
	var wait sync.WaitGroup
	for name := range callers {
		c := caller{l, j, rand.New(rand.NewPCG(random.Uint64(), 1)), name}
		wait.Go(func() {
			for range each {
				if !c.step() {
					return
				}
			}
		})
	}
	wait.Wait()
}

func (c caller) step() (on bool) {
	shared := fmt.Sprintf("s-%d", c.random.IntN(6))
	switch chance := c.random.IntN(100); {
	case chance < 55:
		return c.append(c.journal.try(shared, c.events(1+c.random.IntN(4))), Any)
	case chance < 75:
		own := fmt.Sprintf("own-%d", c.name)
		// Read first: another caller may send the batch as soon as the journal knows it,
		// and to expect the head behind that is to ask for the events once more.
		head := c.log.Stream(own).Head
		return c.append(c.journal.try(own, c.events(1+c.random.IntN(3))), head)
	case chance < 83:
		if b := c.journal.again(c.random); b != nil && len(b.events) > 0 {
			return c.append(b, Any)
		}
	case chance < 87:
		e := c.events(1)
		e[0].Type, e[0].Data = metadataType, fmt.Appendf(nil, `{"$maxCount":%d}`, 5+c.random.IntN(50))
		return c.append(c.journal.try("$$"+shared, e), Any)
	case chance < 90:
		return c.remove(c.log.Delete, shared)
	case chance < 91:
		return c.remove(c.log.Tombstone, fmt.Sprintf("t-%d", c.random.IntN(1000)))
	case chance < 94:
		return c.read(shared)
	default:
		time.Sleep(time.Duration(c.random.IntN(20)) * time.Millisecond)
	}
	return true
}

func (c caller) events(n int) []Proposed {
	events := proposed(n)
	for i := range events {
		size := c.random.IntN(1200)
		if c.random.IntN(20) == 0 {
			size = c.random.IntN(12_000)
		}
		events[i].Data = bytes.Repeat([]byte{byte(c.random.IntN(3))}, size) // runs of zeros too
	}
	return events
}

func (c caller) append(b *batch, expected int64) (on bool) {
	result, err := c.log.Append(context.Background(), Append{Stream: b.stream, Expected: expected, Events: b.events})
	return c.journal.note(b, result, err)
}

func (c caller) remove(kind func(context.Context, string, int64) (uint64, error), stream string) (on bool) {
	b := c.journal.try(stream, nil)
	at, err := kind(context.Background(), stream, Any)
	return c.journal.note(b, Result{Position: at}, err)
}

// read remembers what it sees: no crash may take it back.
func (c caller) read(stream string) (on bool) {
	if _, err := c.log.ReadStream(context.Background(), stream, 0, Forwards, 50); err != nil && !errors.Is(err, ErrStreamDeleted) {
		return false
	}
	records, err := c.log.ReadAll(context.Background(), 0, Forwards, 1<<30, 1<<40)
	if err != nil {
		return false
	}
	c.journal.mu.Lock()
	defer c.journal.mu.Unlock()
	if len(records) > len(c.journal.seen) {
		c.journal.seen = slices.Clone(records)
	}
	return true
}

package log

import (
	"fmt"

	"github.com/google/uuid"
)

// A plan is what a request comes to: frames to write, or an answer without any.
type plan struct {
	result Result
	err    error
	frames []planned
}

// A planned frame goes to the end of one stream.
type planned struct {
	frame
	stream    *stream
	revision  int64
	tombstone bool
	metadata  *metadata // what it makes of the stream it describes
}

// verdict is the outcome of comparing a request with its stream.
type verdict int

const (
	write verdict = iota
	repeated
	wrong
	deleted
)

// decide settles what a request does, by the state that includes what is in
// flight before it. It changes nothing.
func (w *writer) decide(r *request) plan {
	s := w.log.index.enter(r.stream)
	outcome, last, err := w.check(s, r)
	switch {
	case err != nil:
		return plan{err: err}
	case outcome == deleted:
		return plan{err: ErrStreamDeleted}
	case outcome == wrong:
		return plan{err: &WrongExpectedRevision{Stream: r.stream, Expected: r.expected, Current: s.next.count - 1}}
	case outcome == repeated:
		at, err := w.position(s, last)
		return plan{err: err, result: Result{Revision: last, Position: at, Idempotent: true}}
	}
	switch r.kind {
	case softDeletion:
		return w.planDeletion(s, r)
	case tombstoning:
		return w.planTombstone(s)
	}
	return w.planAppend(s, r)
}

// check compares a request with its stream: the order of the questions is that
// of the original server. For a repeated append, last is the revision that its
// last event has had since the first time.
func (w *writer) check(s *stream, r *request) (outcome verdict, last int64, err error) {
	current := s.next.count - 1
	switch {
	case s.next.tombstone != 0:
		return deleted, 0, nil
	case r.expected == StreamExists && s.next.meta.deleted():
		return deleted, 0, nil
	case r.expected == StreamExists && current < 0 && !w.described(s):
		return wrong, 0, nil
	case r.expected == StreamExists, r.expected == Any:
		return w.checkAnywhere(s, r.ids)
	case r.expected < NoStream, r.expected > current:
		return wrong, 0, nil
	case r.expected < current:
		return w.checkAt(s, r)
	}
	return write, 0, nil
}

// described tells whether a stream has metadata, which is enough to exist.
func (w *writer) described(s *stream) bool {
	m := w.log.index.stream(metadataOf + s.name)
	return m != nil && m.next.count > 0
}

// checkAnywhere recognises a repeated append by its event IDs, wherever they
// stand in the stream: all known is a repeat, none is new, a mixture is wrong.
func (w *writer) checkAnywhere(s *stream, ids []uuid.UUID) (outcome verdict, last int64, err error) {
	for i, id := range ids {
		revision, found, err := w.find(s, id)
		switch {
		case err != nil:
			return wrong, 0, err
		case !found && i == 0:
			return write, 0, nil
		case !found:
			return wrong, 0, nil
		}
		outcome, last = repeated, revision
	}
	return outcome, last, nil
}

// checkAt recognises a repeated append by its event IDs standing right behind
// the expected revision.
func (w *writer) checkAt(s *stream, r *request) (outcome verdict, last int64, err error) {
	if len(r.ids) == 0 {
		return wrong, 0, nil
	}
	for i, id := range r.ids {
		revision := r.expected + 1 + int64(i)
		same, err := w.holds(s, revision, id)
		switch {
		case err != nil:
			return wrong, 0, err
		case !same && i == 0 && r.expected == NoStream && s.next.meta.deleted():
			return write, 0, nil
		case !same:
			return wrong, 0, nil
		}
	}
	return repeated, r.expected + int64(len(r.ids)), nil
}

func (w *writer) planAppend(s *stream, r *request) plan {
	head := s.next.count - 1
	if len(r.ids) == 0 {
		at, err := w.position(s, head)
		return plan{err: err, result: Result{Revision: head, Position: at}}
	}
	p := plan{result: Result{Revision: head + int64(len(r.ids))}}
	p.frames = append(p.frames, planned{frame: r.frame, stream: s, revision: head + 1, metadata: r.metadata})
	subject, content := s, []byte(nil)
	if r.metadata != nil { // new metadata bring a deleted stream back, unless they delete it again
		original, _ := describes(s.name)
		subject, content = w.log.index.enter(original), r.content
	}
	if !subject.next.meta.deleted() || r.metadata != nil && r.metadata.deleted() {
		return p
	}
	if r.metadata == nil {
		v, err := w.read(subject.next.meta.at)
		if err != nil {
			return plan{err: err}
		}
		content = v.data()
	}
	p.frames = append(p.frames, w.revival(subject, content, int64(len(r.ids)), s))
	return p
}

// revival is the metadata event that lets a deleted stream be read again from
// the revision after the last one that was deleted. If the append before it in
// the same group goes to the metadata stream itself, it stands behind that.
func (w *writer) revival(subject *stream, content []byte, appended int64, appendedTo *stream) planned {
	to := w.log.index.enter(metadataOf + subject.name)
	revision := to.next.count
	if to == appendedTo {
		revision += appended
	}
	return w.describe(to, revision, withTruncateBefore(content, subject.next.count))
}

// describe plans a metadata event of the log's own making.
func (w *writer) describe(to *stream, revision int64, content []byte) planned {
	m := parseMetadata(content)
	return planned{frame: w.own(to, metadataType, revision, content), stream: to, revision: revision, metadata: &m}
}

// own encodes an event of the log's own making, under an ID that follows from its place.
func (w *writer) own(to *stream, kind string, revision int64, content []byte) frame {
	id := uuid.NewSHA1(w.log.id, fmt.Appendf(nil, "%s\x00%s\x00%d", to.name, kind, revision))
	return encodeFrame(to.name, []Proposed{{ID: id, Type: kind, JSON: true, Data: content}})
}

func (w *writer) planDeletion(s *stream, r *request) plan {
	if s.next.count == 0 && !w.described(s) {
		return plan{err: &WrongExpectedRevision{Stream: s.name, Expected: r.expected, Current: NoStream}}
	}
	to := w.log.index.enter(metadataOf + s.name)
	marker := w.describe(to, to.next.count, fmt.Appendf(nil, `{"$tb":%d}`, int64(deletedBefore)))
	return plan{frames: []planned{marker}, result: Result{Revision: s.next.count - 1}}
}

func (w *writer) planTombstone(s *stream) plan {
	stone := planned{frame: w.own(s, tombstoneType, tombstoneAfter, nil), stream: s, revision: tombstoneAfter, tombstone: true}
	return plan{frames: []planned{stone}, result: Result{Revision: tombstoneAfter}}
}

// find looks an event ID up in a stream, in what is in flight too.
func (w *writer) find(s *stream, id uuid.UUID) (revision int64, found bool, err error) {
	hash := hashID(id)
	for i := len(w.staged) - 1; i >= 0; i-- {
		if g := w.staged[i]; g.stream == s && g.hash == hash {
			return w.confirm(s, g.revision, id)
		}
	}
	revision, found = s.byHash(hash)
	if !found {
		return 0, false, nil
	}
	if _, same, err := w.confirm(s, revision, id); same || err != nil {
		return revision, same, err
	}
	for i := revision - 1; i >= 0; i-- { // two IDs of one hash: look at every one
		if s.events[i].hash == hash {
			if _, same, err := w.confirm(s, i, id); same || err != nil {
				return i, same, err
			}
		}
	}
	return 0, false, nil
}

func (w *writer) confirm(s *stream, revision int64, id uuid.UUID) (int64, bool, error) {
	same, err := w.holds(s, revision, id)
	return revision, same, err
}

// holds tells whether a stream's event at revision bears an ID.
func (w *writer) holds(s *stream, revision int64, id uuid.UUID) (bool, error) {
	if revision < 0 || revision >= s.next.count {
		return false, nil
	}
	at, err := w.position(s, revision)
	if err != nil {
		return false, err
	}
	v, err := w.read(at)
	return err == nil && v.id == id, err
}

// position tells where a stream's event stands; 0 for revision -1.
func (w *writer) position(s *stream, revision int64) (uint64, error) {
	if revision < 0 {
		return 0, nil
	}
	if revision < int64(len(s.events)) {
		return s.events[revision].at, nil
	}
	for _, g := range w.staged {
		if g.stream == s && g.revision == revision {
			return g.at, nil
		}
	}
	return 0, fmt.Errorf("the index lacks revision %d of a stream: stop the node, remove the file %s, start again", revision, snapshotName)
}

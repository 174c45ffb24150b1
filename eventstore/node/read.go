package node

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"google.golang.org/grpc"
	"google.golang.org/grpc/status"

	"daybook.example/eventstore/log"
)

const (
	allStreams = "$all"
	linkType   = "$>"

	lastRevision = math.MaxInt64 // of a read backwards: from the end

	pageEvents = 512     // read from the log at once, at most, and a reader's share of bytes, but for a larger last event
	pageSlow   = 4 << 10 // likewise, of a reader that stalled at the page before
	pageFirst  = 16      // events of a stream's first page, whose size nobody knows yet
)

// service serves the Streams of one log.
type service struct {
	streams.UnimplementedStreamsServer
	log         *log.Log
	logger      *slog.Logger
	users       *users
	secure      bool // TLS over TCP, and its users may do what access lists say
	allowWrites bool // over TCP, to everyone
	closing     <-chan struct{}
	patience    time.Duration // with a reader that stalls
	readers     readers
}

// Read answers a read or, when asked to, goes on as a subscription.
func (s *service) Read(request *streams.ReadReq, srv streams.Streams_ReadServer) error {
	q, err := parseQuery(request.GetOptions())
	if err != nil {
		return err
	}
	if err := s.may(srv.Context(), reading, q.stream); err != nil {
		return err
	}
	s.readers.count.Add(1)
	defer s.readers.count.Add(-1)
	send := sender{Streams_ReadServer: srv, service: s, flight: newInFlight(), resolve: q.resolve, textIDs: q.textIDs}
	switch {
	case q.subscription:
		return s.subscribe(q, send)
	case q.stream == allStreams:
		return s.readAll(q, send)
	}
	return s.readStream(q, send)
}

func (s *service) readStream(q query, send sender) error {
	state := s.log.Stream(q.stream)
	if state.Tombstoned {
		return streamDeleted(send.Context(), q.stream)
	}
	if !state.Exists {
		return send.notFound(q.stream)
	}
	sent, err := s.pump(s.streamSource(q.stream, int64(min(q.from, math.MaxInt64)), q.direction), q, send)
	if err != nil || q.compatibility == 0 {
		return err
	}
	if sent == 0 && q.direction == log.Forwards && q.from < uint64(state.First) {
		if err := send.firstPosition(state.First); err != nil {
			return err
		}
	}
	return send.lastPosition(state.Head)
}

func (s *service) readAll(q query, send sender) error {
	head := s.log.Head()
	from := q.from
	if from == end && q.direction == log.Forwards {
		from = head + 1
	}
	_, err := s.pump(s.allSource(from, q.direction), q, send)
	if err != nil || q.compatibility == 0 {
		return err
	}
	return send.lastPositionOfAll(head)
}

// pump sends what a source holds, up to the number of events asked for.
func (s *service) pump(from source, q query, send sender) (sent uint64, err error) {
	ctx := send.Context()
	for more := true; more && sent < q.count; {
		want := pageEvents
		if q.filter == nil {
			want = int(min(q.count-sent, pageEvents))
		}
		var records []log.Record
		if records, more, err = from.page(ctx, want); err != nil {
			return sent, s.failure(ctx, q.stream, err)
		}
		_, whole, err := s.give(from, records, func(r log.Record) error {
			if sent == q.count || !q.shows(r) {
				return nil
			}
			sent++
			return send.event(r)
		})
		if err != nil {
			return sent, err
		}
		more = more || !whole
		if s.closes() {
			return sent, shuttingDown(ctx)
		}
	}
	return sent, nil
}

// give hands a page out, and has its source go on where a reader that stalled
// was left. It tells how many were given, and whether that was the whole page.
func (s *service) give(from source, records []log.Record, f func(log.Record) error) (given int, whole bool, err error) {
	p := newPage(records, s.patience)
	defer p.done()
	for r, ok := p.next(); ok; r, ok = p.next() {
		if err := f(r); err != nil {
			return p.given, false, err
		}
	}
	if whole = p.done(); !whole {
		from.resume(p.last)
	}
	return p.given, whole, nil
}

func (s *service) closes() bool {
	select {
	case <-s.closing:
		return true
	default:
		return false
	}
}

// source reads the log page by page. More tells that there may be a next page:
// the last one was as long as it may be.
type source interface {
	page(ctx context.Context, want int) (records []log.Record, more bool, err error)
	resume(behind log.Record) // whose reader is slow: smaller pages do for it
}

// streamSource reads one stream.
type streamSource struct {
	log       *log.Log
	name      string
	next      int64
	direction log.Direction
	readers   *readers
	size      int // events of the next page
}

func (s *service) streamSource(name string, from int64, direction log.Direction) *streamSource {
	return &streamSource{log: s.log, name: name, next: from, direction: direction, readers: &s.readers, size: pageFirst}
}

func (s *streamSource) page(ctx context.Context, want int) ([]log.Record, bool, error) {
	want = min(want, s.size)
	records, err := s.log.ReadStream(ctx, s.name, s.next, s.direction, want)
	if err != nil || len(records) == 0 {
		return nil, false, err
	}
	s.step(records[len(records)-1])
	s.resize(records)
	return records, len(records) == want, nil
}

func (s *streamSource) step(behind log.Record) {
	s.next = behind.Revision + 1
	if s.direction == log.Backwards {
		s.next -= 2
	}
}

func (s *streamSource) resume(behind log.Record) {
	s.step(behind)
	s.size = 1
}

// resize keeps pages near a reader's share: the log counts a stream's page in events.
func (s *streamSource) resize(records []log.Record) {
	mean := bytesOf(records)/len(records) + 1
	s.size = min(max(s.readers.share()/mean, 1), 2*s.size, pageEvents)
}

func bytesOf(records []log.Record) (size int) {
	for i := range records {
		size += len(records[i].Event)
	}
	return size
}

// allSource reads the whole log.
type allSource struct {
	log       *log.Log
	next      uint64
	direction log.Direction
	readers   *readers
	size      int // bytes of the next page, if its reader's share is not smaller
}

func (s *service) allSource(from uint64, direction log.Direction) *allSource {
	return &allSource{log: s.log, next: from, direction: direction, readers: &s.readers, size: shareMost}
}

func (s *allSource) page(ctx context.Context, want int) ([]log.Record, bool, error) {
	size := min(s.size, s.readers.share())
	records, err := s.log.ReadAll(ctx, s.next, s.direction, want, size)
	if err != nil || len(records) == 0 {
		return nil, false, err
	}
	s.step(records[len(records)-1])
	more := len(records) == want || bytesOf(records) >= size
	s.size = min(2*size, shareMost)
	return records, more, nil
}

func (s *allSource) step(behind log.Record) {
	s.next = behind.Position
	if s.direction == log.Forwards {
		s.next++
	}
}

func (s *allSource) resume(behind log.Record) {
	s.step(behind)
	s.size = pageSlow
}

// sender answers one read.
type sender struct {
	streams.Streams_ReadServer
	service *service
	flight  *inFlight
	resolve bool // links to what they point to
	textIDs bool // instead of structured ones
}

func (s sender) event(r log.Record) error {
	original := recordedAs(r, s.textIDs)
	if !s.resolve || r.Type != linkType {
		return s.push(encodeEvent(original, nil, r.Position, nil))
	}
	target, isLink, err := s.service.resolve(s.Context(), r)
	if err != nil {
		return err
	}
	if !isLink {
		return s.push(encodeEvent(original, nil, r.Position, nil))
	}
	var resolved *recorded
	if target != nil {
		resolved = recordedAs(*target, s.textIDs)
	}
	return s.push(encodeEvent(resolved, original, r.Position, nil))
}

// push sends an event when the reader took enough of those before it.
func (s sender) push(event wire) error { return s.service.push(s, s.flight, event) }

func (s *service) push(call grpc.ServerStream, flight *inFlight, event wire) error {
	if err := flight.take(call.Context(), len(event), s.readers.share()); err != nil {
		return status.FromContextError(err).Err()
	}
	return call.SendMsg(newFlying(event, flight))
}

// resolve finds what a link points to, nil when that is missing, deleted or
// truncated. What merely looks like a link is none.
func (s *service) resolve(ctx context.Context, r log.Record) (target *log.Record, isLink bool, err error) {
	stream, revision, ok := linkTarget(r)
	if !ok {
		return nil, false, nil
	}
	found, err := s.log.ReadStream(ctx, stream, revision, log.Forwards, 1)
	if err != nil && !errors.Is(err, log.ErrStreamDeleted) {
		return nil, true, s.failure(ctx, stream, err)
	}
	if len(found) == 1 && found[0].Revision == revision {
		target = &found[0]
	}
	return target, true, nil
}

func recordedAs(r log.Record, textIDs bool) *recorded {
	if textIDs {
		return &recorded{stored: r.Event, id: textID(r.ID)}
	}
	return &recorded{stored: r.Event}
}

// linkTarget reads `revision@stream`, the data of a link.
func linkTarget(r log.Record) (stream string, revision int64, ok bool) {
	event, err := r.Decode()
	if err != nil {
		return "", 0, false
	}
	number, stream, ok := strings.Cut(string(event.GetData()), "@")
	revision, err = strconv.ParseInt(number, 10, 64)
	return stream, revision, ok && err == nil && revision >= 0 && stream != ""
}

package node

import (
	"math"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"

	"daybook.example/eventstore/log"
)

const (
	end    = math.MaxUint64 // as revision and as position
	window = 32             // events between two checkpoints when the client does not say
)

// A query is what a read asks for, checked.
type query struct {
	stream        string // or $all
	from          uint64 // revision or position; end = the end
	fromStart     bool   // of a subscription, which otherwise begins behind from
	direction     log.Direction
	count         uint64
	subscription  bool
	filter        *filter
	interval      uint64 // events of a filtered subscription between two checkpoints
	resolve       bool
	textIDs       bool
	compatibility uint32 // 0: only what the oldest clients know
}

// parseQuery refuses what a request leaves open: guesses would answer another
// question than the one that was asked.
func parseQuery(o *streams.ReadReq_Options) (q query, err error) {
	if o == nil {
		return q, invalid("a read needs options")
	}
	if q.textIDs, err = wantsTextIDs(o.GetUuidOption()); err != nil {
		return q, err
	}
	if err := q.parseDirection(o.GetReadDirection()); err != nil {
		return q, err
	}
	if err := q.parseCount(o); err != nil {
		return q, err
	}
	if err := q.parseStart(o); err != nil {
		return q, err
	}
	q.resolve = o.GetResolveLinks()
	q.compatibility = o.GetControlOption().GetCompatibility()
	return q, q.parseFilter(o)
}

func wantsTextIDs(o *streams.ReadReq_Options_UUIDOption) (bool, error) {
	switch o.GetContent().(type) {
	case *streams.ReadReq_Options_UUIDOption_Structured:
		return false, nil
	case *streams.ReadReq_Options_UUIDOption_String_:
		return true, nil
	}
	return false, invalid("a read says whether it wants IDs structured or as text")
}

func (q *query) parseDirection(d streams.ReadReq_Options_ReadDirection) error {
	switch d {
	case streams.ReadReq_Options_Forwards:
		q.direction = log.Forwards
	case streams.ReadReq_Options_Backwards:
		q.direction = log.Backwards
	default:
		return invalid("read direction %d is neither forwards nor backwards", d)
	}
	return nil
}

func (q *query) parseCount(o *streams.ReadReq_Options) error {
	switch o.GetCountOption().(type) {
	case *streams.ReadReq_Options_Count:
		q.count = o.GetCount()
	case *streams.ReadReq_Options_Subscription:
		q.subscription = true
	default:
		return invalid("a read needs a count, or is a subscription")
	}
	if q.subscription && q.direction == log.Backwards {
		return invalid("a subscription goes forwards")
	}
	return nil
}

func (q *query) parseStart(o *streams.ReadReq_Options) (err error) {
	switch o.GetStreamOption().(type) {
	case *streams.ReadReq_Options_Stream:
		if q.stream, err = streamName(o.GetStream().GetStreamIdentifier()); err != nil {
			return err
		}
		if q.stream == allStreams {
			return invalid("$all is read with its own option, from a position")
		}
		return q.parseRevision(o.GetStream())
	case *streams.ReadReq_Options_All:
		q.stream = allStreams
		return q.parsePosition(o.GetAll())
	}
	return invalid("a read names a stream or $all")
}

func (q *query) parseRevision(o *streams.ReadReq_Options_StreamOptions) error {
	switch o.GetRevisionOption().(type) {
	case *streams.ReadReq_Options_StreamOptions_Start:
		q.fromStart = true
	case *streams.ReadReq_Options_StreamOptions_End:
		q.from = end
	case *streams.ReadReq_Options_StreamOptions_Revision:
		q.from = o.GetRevision()
	default:
		return invalid("a read of a stream begins at a revision, the start or the end")
	}
	if q.from > math.MaxInt64 && q.from != end {
		return invalid("revision %d is beyond every stream's end", q.from)
	}
	return nil
}

func (q *query) parsePosition(o *streams.ReadReq_Options_AllOptions) error {
	switch o.GetAllOption().(type) {
	case *streams.ReadReq_Options_AllOptions_Start:
		q.fromStart = true
	case *streams.ReadReq_Options_AllOptions_End:
		q.from = end
	case *streams.ReadReq_Options_AllOptions_Position:
		q.from = o.GetPosition().GetCommitPosition()
		if prepare := o.GetPosition().GetPreparePosition(); prepare > q.from {
			return invalid("position %d/%d: its prepare position stands behind its commit position", q.from, prepare)
		}
	default:
		return invalid("a read of $all begins at a position, the start or the end")
	}
	return nil
}

func (q *query) parseFilter(o *streams.ReadReq_Options) (err error) {
	switch o.GetFilterOption().(type) {
	case *streams.ReadReq_Options_NoFilter:
		return nil
	case *streams.ReadReq_Options_Filter:
	default:
		return invalid("a read has a filter or says that it has none")
	}
	if q.stream != allStreams {
		return invalid("only reads of $all can be filtered")
	}
	f := o.GetFilter()
	if q.filter, err = parseFilter(f); err != nil {
		return err
	}
	if q.subscription && f.GetCheckpointIntervalMultiplier() == 0 {
		return invalid("a filtered subscription needs a checkpoint interval multiplier above 0")
	}
	considered := uint64(f.GetMax())
	if considered == 0 {
		considered = window
	}
	q.interval = considered * uint64(f.GetCheckpointIntervalMultiplier())
	return nil
}

// shows tells whether an event belongs to the answer.
func (q *query) shows(r log.Record) bool {
	if q.stream != allStreams {
		return true
	}
	return !hidden(r.Stream) && (q.filter == nil || q.filter.match(r))
}

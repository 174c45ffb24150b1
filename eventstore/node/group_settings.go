package node

import (
	"context"
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/persistent"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
)

const (
	ticksOfMillisecond = 10_000 // the original counts some times in 100 ns
	fromEndOfStream    = "-1"   // as where a persistent subscription begins
	fromEndOfAll       = "C:-1/P:-1"
)

// settings of a persistent subscription, as they are kept.
type settings struct {
	From            string      `json:"startFrom"` // as clients read it back
	Begin           uint64      `json:"begin"`     // the first revision, or position of $all, that counts
	Filter          *filterSpec `json:"filter,omitempty"`
	ResolveLinks    bool        `json:"resolveLinkTos"`
	Statistics      bool        `json:"extraStatistics"`
	MessageTimeout  int32       `json:"messageTimeoutMilliseconds"` // 0: a consumer may take any time
	RetryMax        int32       `json:"maxRetryCount"`
	LiveBuffer      int32       `json:"liveBufferSize"` // kept and told, but without a meaning here
	HistoryBuffer   int32       `json:"bufferSize"`
	ReadBatch       int32       `json:"readBatchSize"`
	CheckpointAfter int32       `json:"checkPointAfterMilliseconds"`
	CheckpointMin   int32       `json:"minCheckPointCount"`
	CheckpointMax   int32       `json:"maxCheckPointCount"`
	ConsumersMax    int32       `json:"maxSubscriberCount"` // 0: any number
	Strategy        strategy    `json:"namedConsumerStrategy"`
}

func (s settings) fromEnd() bool { return s.From == fromEndOfStream || s.From == fromEndOfAll }

func (s settings) timeout() time.Duration {
	return time.Duration(s.MessageTimeout) * time.Millisecond
}

func (s settings) checkpointAfter() time.Duration {
	return time.Duration(s.CheckpointAfter) * time.Millisecond
}

// settingsMessage is what the settings of a creation and an update share.
type settingsMessage interface {
	GetResolveLinks() bool
	GetExtraStatistics() bool
	GetMaxRetryCount() int32
	GetMinCheckpointCount() int32
	GetMaxCheckpointCount() int32
	GetMaxSubscriberCount() int32
	GetLiveBufferSize() int32
	GetReadBatchSize() int32
	GetHistoryBufferSize() int32
	GetMessageTimeoutTicks() int64
	GetMessageTimeoutMs() int32
	GetCheckpointAfterTicks() int64
	GetCheckpointAfterMs() int32
}

// parseCreate reads a request to make one, in the present shape or in the first
// one, which some official clients still send.
func parseCreate(ctx context.Context, o *persistent.CreateReq_Options) (key groupKey, set settings, err error) {
	m := o.GetSettings()
	if m == nil {
		return key, set, invalid("a persistent subscription needs settings")
	}
	if set, err = parseSettings(m); err != nil {
		return key, set, err
	}
	switch {
	case o.GetStream() != nil:
		key, err = set.beginInStream(o, o.GetStream())
	case o.GetAll() != nil:
		at := o.GetAll().GetPosition()
		key, err = set.beginInAll(o, o.GetAll(), at.GetCommitPosition(), at.GetPreparePosition())
		if err == nil {
			err = set.filterBy(o.GetAll().GetFilter())
		}
	default:
		key, err = set.beginInFirstShape(o, m.GetRevision()) //nolint:staticcheck // deprecated, and still sent
	}
	if err != nil {
		return key, set, err
	}
	old := persistent.CreateReq_ConsumerStrategy_name[int32(m.GetNamedConsumerStrategy())] //nolint:staticcheck // as above
	set.Strategy, err = parseStrategy(ctx, key, m.GetConsumerStrategy(), old)
	return key, set, err
}

// parseUpdate reads a request to set one anew, in both shapes.
func parseUpdate(ctx context.Context, o *persistent.UpdateReq_Options) (key groupKey, set settings, err error) {
	m := o.GetSettings()
	if m == nil {
		return key, set, invalid("a persistent subscription needs settings")
	}
	if set, err = parseSettings(m); err != nil {
		return key, set, err
	}
	switch {
	case o.GetStream() != nil:
		key, err = set.beginInStream(o, o.GetStream())
	case o.GetAll() != nil:
		at := o.GetAll().GetPosition()
		key, err = set.beginInAll(o, o.GetAll(), at.GetCommitPosition(), at.GetPreparePosition())
	default:
		key, err = set.beginInFirstShape(o, m.GetRevision()) //nolint:staticcheck // deprecated, and still sent
	}
	if err != nil {
		return key, set, err
	}
	set.Strategy, err = parseStrategy(ctx, key, "", persistent.UpdateReq_ConsumerStrategy_name[int32(m.GetNamedConsumerStrategy())])
	return key, set, err
}

func parseSettings(m settingsMessage) (s settings, err error) {
	s = settings{
		ResolveLinks: m.GetResolveLinks(), Statistics: m.GetExtraStatistics(), RetryMax: m.GetMaxRetryCount(),
		LiveBuffer: m.GetLiveBufferSize(), HistoryBuffer: m.GetHistoryBufferSize(), ReadBatch: m.GetReadBatchSize(),
		CheckpointMin: m.GetMinCheckpointCount(), CheckpointMax: m.GetMaxCheckpointCount(), ConsumersMax: m.GetMaxSubscriberCount(),
		MessageTimeout:  milliseconds(m.GetMessageTimeoutMs(), m.GetMessageTimeoutTicks()),
		CheckpointAfter: milliseconds(m.GetCheckpointAfterMs(), m.GetCheckpointAfterTicks()),
	}
	for name, n := range map[string]int32{"history buffer size": s.HistoryBuffer, "live buffer size": s.LiveBuffer, "read batch size": s.ReadBatch} {
		if n <= 0 {
			return s, invalid("the %s of a persistent subscription is at least 1", name)
		}
	}
	if s.HistoryBuffer <= s.ReadBatch {
		return s, invalid("the history buffer of a persistent subscription is larger than the batches it is read in")
	}
	for name, n := range map[string]int32{
		"message timeout": s.MessageTimeout, "maximal retry count": s.RetryMax, "maximal subscriber count": s.ConsumersMax,
		"checkpoint time": s.CheckpointAfter, "minimal checkpoint count": s.CheckpointMin, "maximal checkpoint count": s.CheckpointMax,
	} {
		if n < 0 {
			return s, invalid("the %s of a persistent subscription is not negative", name)
		}
	}
	return s, nil
}

func milliseconds(ms int32, ticks int64) int32 {
	if ms == 0 {
		ms = int32(min(ticks/ticksOfMillisecond, math.MaxInt32))
	}
	return ms
}

// streamOptions is what creations and updates in a stream share.
type streamOptions interface {
	GetStreamIdentifier() *shared.StreamIdentifier
	GetRevision() uint64
	GetEnd() *shared.Empty
}

func (s *settings) beginInStream(o groupOptions, in streamOptions) (groupKey, error) {
	s.From, s.Begin = strconv.FormatUint(in.GetRevision(), 10), in.GetRevision()
	if in.GetEnd() != nil {
		s.From = fromEndOfStream
	}
	name, err := streamName(in.GetStreamIdentifier())
	if err == nil && name == allStreams {
		err = invalid("a persistent subscription to $all is made with its own option, from a position")
	}
	if err == nil && s.Begin > math.MaxInt64 {
		err = invalid("revision %d is beyond every stream's end", s.Begin)
	}
	return namedGroup(name, o, err)
}

// beginInFirstShape reads requests as they were before there were others: the
// largest revision means the end.
func (s *settings) beginInFirstShape(o groupOptions, revision uint64) (groupKey, error) {
	s.From, s.Begin = strconv.FormatUint(revision, 10), revision
	if revision == end {
		s.From, s.Begin = fromEndOfStream, 0
	}
	name, err := streamName(o.GetStreamIdentifier())
	if err == nil && s.Begin > math.MaxInt64 {
		err = invalid("revision %d is beyond every stream's end", s.Begin)
	}
	return namedGroup(name, o, err)
}

type allOptions interface{ GetEnd() *shared.Empty }

func (s *settings) beginInAll(o groupOptions, in allOptions, commit, prepare uint64) (groupKey, error) {
	s.From, s.Begin = allPosition(commit, prepare), commit
	if in.GetEnd() != nil {
		s.From = fromEndOfAll
	}
	var err error
	if prepare > commit {
		err = invalid("position %d/%d: its prepare position stands behind its commit position", commit, prepare)
	}
	return namedGroup(allStreams, o, err)
}

func namedGroup(stream string, o groupOptions, err error) (groupKey, error) {
	if err == nil && o.GetGroupName() == "" {
		err = invalid("a persistent subscription has a group name")
	}
	return groupKey{stream, o.GetGroupName()}, err
}

// allPosition is a position of $all as persistent subscriptions write it.
func allPosition(commit, prepare uint64) string { return fmt.Sprintf("C:%d/P:%d", commit, prepare) }

func (s *settings) filterBy(o *persistent.CreateReq_AllOptions_FilterOptions) error {
	if o == nil {
		return nil
	}
	s.Filter = &filterSpec{ByType: true, Regex: o.GetEventType().GetRegex(), Prefixes: o.GetEventType().GetPrefix()}
	if names := o.GetStreamIdentifier(); names != nil {
		s.Filter = &filterSpec{Regex: names.GetRegex(), Prefixes: names.GetPrefix()}
	}
	_, err := s.Filter.compile()
	return err
}

package node

import (
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/persistent"
	"google.golang.org/protobuf/proto"
)

// A measurement counts what was sent.
type measurement struct {
	total int64
	last  int64 // at the last look
	since time.Time
}

func (m *measurement) count() { m.total++ }

// look tells how many were sent since the last look, and how many a second.
func (m *measurement) look(now time.Time) (count int64, perSecond int32) {
	count = m.total - m.last
	if elapsed := now.Sub(m.since).Seconds(); elapsed > 0 {
		perSecond = int32(float64(count) / elapsed)
	}
	m.last, m.since = m.total, now
	return count, perSecond
}

// info is what operators see of a persistent subscription.
func (g *group) info() *persistent.SubscriptionInfo {
	parked := g.service.log.Stream(g.key.parked())
	g.mu.Lock()
	defer g.mu.Unlock()
	now := time.Now()
	s := g.settings
	i := &persistent.SubscriptionInfo{
		EventSource: g.key.Stream, GroupName: g.key.Group, Status: g.status(), StartFrom: s.From,
		ResolveLinkTos: s.ResolveLinks, ExtraStatistics: s.Statistics, MessageTimeoutMilliseconds: s.MessageTimeout,
		MaxRetryCount: s.RetryMax, LiveBufferSize: s.LiveBuffer, BufferSize: s.HistoryBuffer, ReadBatchSize: s.ReadBatch,
		CheckPointAfterMilliseconds: s.CheckpointAfter, MinCheckPointCount: s.CheckpointMin, MaxCheckPointCount: s.CheckpointMax,
		MaxSubscriberCount: s.ConsumersMax, NamedConsumerStrategy: string(s.Strategy),
		LastCheckpointedEventPosition: g.written(g.kept.at), LastKnownEventPosition: g.written(g.passed),
		TotalItems: g.measured.total, ReadBufferCount: int32(len(g.buffer)), RetryBufferCount: int32(len(g.retry)),
		ParkedMessageCount: max(0, parked.Head+1-max(parked.First, g.replaying.settled)),
	}
	i.CountSinceLastMeasurement, i.AveragePerSecond = g.measured.look(now)
	for _, c := range g.consumers {
		about := proto.CloneOf(c.about)
		about.TotalItems, about.AvailableSlots, about.InFlightMessages = c.measured.total, int32(c.slots-c.held), int32(c.held)
		about.CountSinceLastMeasurement, about.AverageItemsPerSecond = c.measured.look(now)
		i.Connections = append(i.Connections, about)
		i.TotalInFlightMessages += int32(c.held)
	}
	i.OutstandingMessagesCount = i.TotalInFlightMessages
	return i
}

func (g *group) status() string {
	switch {
	case g.broken != nil:
		return "Faulted"
	case g.live || len(g.consumers) == 0:
		return "Live"
	}
	return "Behind"
}

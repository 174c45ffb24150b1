package node

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"daybook.example/eventstore/log"
)

const (
	checkpointType = "$SubscriptionCheckpoint"
	parkedBatch    = 256 // links written at once
)

// lastCheckpoint is how far everything was settled when that was last noted down.
func (g *group) lastCheckpoint(ctx context.Context) (at int64, found bool, err error) {
	data, err := g.service.newest(ctx, g.key.checkpoints())
	if err != nil || data == nil {
		return 0, false, err
	}
	var text string
	if err := json.Unmarshal(data, &text); err != nil {
		return 0, false, fmt.Errorf("the checkpoint in %s cannot be read: %w", g.key.checkpoints(), err)
	}
	if g.key.Stream == allStreams {
		commit, _, _ := strings.Cut(strings.TrimPrefix(text, "C:"), "/")
		text = commit
	}
	at, err = strconv.ParseInt(text, 10, 64)
	return at, true, err
}

// written is a place as checkpoints and information about a group have it, "" for none.
func (g *group) written(at int64) string {
	switch {
	case at < 0:
		return ""
	case g.key.Stream == allStreams:
		return allPosition(uint64(at), uint64(at))
	}
	return strconv.FormatInt(at, 10)
}

// keep notes down what has happened: parked messages first, for a checkpoint may
// pass them only when they are safe.
func (g *group) keep(ctx context.Context, timely bool) {
	ctx, cancel := context.WithTimeout(ctx, storeMax)
	defer cancel()
	err := g.keepParked(ctx)
	if err == nil && timely {
		err = g.keepReplayed(ctx)
	}
	if err == nil {
		err = g.keepCheckpoint(ctx, timely)
	}
	if err != nil {
		g.service.logger.Warn("a persistent subscription cannot note down how far it is; it tries again", "subscription", g.key.String(), "error", err)
	}
}

// keepCheckpoint stores a checkpoint when enough has been settled, or when some
// has and it is time.
func (g *group) keepCheckpoint(ctx context.Context, timely bool) error {
	g.mu.Lock()
	at, counted := g.settledUpTo()
	news := counted - min(g.kept.counted, counted)
	due := news > 0 && at > g.kept.at && (news >= uint64(g.settings.CheckpointMax) && g.settings.CheckpointMax > 0 ||
		timely && news >= uint64(g.settings.CheckpointMin) && time.Since(g.kept.tried) >= g.settings.checkpointAfter())
	g.mu.Unlock()
	if !due {
		return nil
	}
	stream := g.key.checkpoints()
	data, err := json.Marshal(g.written(at))
	if err != nil {
		return err
	}
	if g.service.log.Stream(stream).Head < 0 {
		if _, err := put(ctx, g.service.log, metadataPrefix+stream, metadataType, []byte(`{"$maxCount":2}`)); err != nil {
			return err
		}
	}
	if _, err := put(ctx, g.service.log, stream, checkpointType, data); err != nil {
		return err
	}
	g.mu.Lock()
	g.kept.at, g.kept.counted, g.kept.tried = at, counted, time.Now()
	g.mu.Unlock()
	return nil
}

// settledUpTo is the last place before which nothing is still on its way.
func (g *group) settledUpTo() (at int64, counted uint64) {
	var lowest *message
	consider := func(messages []*message) {
		for _, m := range messages {
			if m.parked < 0 && (lowest == nil || m.at < lowest.at) {
				lowest = m
			}
		}
	}
	consider(g.buffer[:min(len(g.buffer), 1)])
	if g.settings.Strategy.pins() {
		consider(g.buffer)
	}
	consider(g.retry)
	consider(g.parking)
	for _, c := range g.consumers {
		for _, same := range c.holding {
			consider(same)
		}
	}
	if lowest == nil {
		return g.passed, g.counted
	}
	return lowest.before, lowest.ordinal - 1
}

// keepParked stores links to what is to be parked.
func (g *group) keepParked(ctx context.Context) error {
	for {
		g.mu.Lock()
		batch := g.parking[:min(len(g.parking), parkedBatch)]
		g.mu.Unlock()
		if len(batch) == 0 {
			return nil
		}
		a := log.Append{Stream: g.key.parked(), Expected: log.Any}
		for _, m := range batch {
			metadata, err := json.Marshal(map[string]any{"added": time.Now().UTC(), "reason": m.reason, "subscriptionEventNumber": g.written(m.at)})
			if err != nil {
				return err
			}
			a.Events = append(a.Events, log.Proposed{
				ID: uuid.New(), Type: linkType, Data: fmt.Appendf(nil, "%d@%s", m.record.Revision, m.record.Stream), Metadata: metadata,
			})
		}
		if _, err := g.service.log.Append(ctx, a); err != nil {
			return err
		}
		g.mu.Lock()
		for _, m := range batch {
			g.settle(m)
		}
		g.parking = g.parking[len(batch):]
		g.mu.Unlock()
	}
}

// A replay sends parked messages again, in their order. They stay parked until
// they are settled, so that a crash in between loses none.
type replay struct {
	next    int64          // revision of the first parked message that was not taken
	stop    int64          // where to stop
	settled int64          // every one before it is settled: the parked stream may begin here
	kept    int64          // where it does
	open    map[int64]bool // taken and not settled
}

func (r *replay) take(revision int64) {
	if r.open == nil {
		r.open = map[int64]bool{}
	}
	r.open[revision] = true
	r.next = revision + 1
}

func (r *replay) settle(revision int64) {
	delete(r.open, revision)
	r.settled = r.next
	for open := range r.open {
		r.settled = min(r.settled, open)
	}
}

// replay asks for what is parked before a revision.
func (g *group) replay(stop int64) {
	g.mu.Lock()
	g.replaying.stop = max(g.replaying.stop, stop)
	g.mu.Unlock()
	g.nudge()
}

// readParked takes the next batch of a replay, and tells whether there was one.
func (g *group) readParked(ctx context.Context) (more bool, err error) {
	g.mu.Lock()
	next, stop := g.replaying.next, g.replaying.stop
	g.mu.Unlock()
	if next >= stop {
		return false, nil
	}
	links, err := g.service.log.ReadStream(ctx, g.key.parked(), next, log.Forwards, int(min(int64(g.settings.ReadBatch), stop-next)))
	if err != nil {
		return false, err
	}
	if len(links) == 0 { // cut off by somebody
		g.mu.Lock()
		g.replaying.next, g.replaying.settled = stop, stop
		g.mu.Unlock()
		return false, nil
	}
	for _, link := range links {
		target, isLink, err := g.service.resolve(ctx, link)
		if err != nil {
			return false, err
		}
		m := &message{parked: link.Revision}
		if isLink && target != nil {
			m.record, m.at = *target, target.Revision
			err = g.prepare(ctx, m)
		}
		if err != nil {
			return false, err
		}
		g.mu.Lock()
		g.replaying.take(link.Revision)
		if isLink && target != nil {
			g.letGo(m)
			g.retry = append(g.retry, m)
		} else {
			g.replaying.settle(link.Revision) // nothing is left to be sent
		}
		g.mu.Unlock()
	}
	return true, nil
}

// keepReplayed lets the parked stream begin behind what was replayed.
func (g *group) keepReplayed(ctx context.Context) error {
	g.mu.Lock()
	begin, known := g.replaying.settled, g.replaying.kept
	g.mu.Unlock()
	if begin <= known || begin <= g.service.log.Stream(g.key.parked()).First {
		return nil
	}
	if _, err := put(ctx, g.service.log, metadataPrefix+g.key.parked(), metadataType, fmt.Appendf(nil, `{"$tb":%d}`, begin)); err != nil {
		return err
	}
	g.mu.Lock()
	g.replaying.kept = begin
	g.mu.Unlock()
	return nil
}

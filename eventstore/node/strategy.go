package node

import (
	"context"
	"encoding/json"
	"fmt"
	"hash/fnv"
)

// A strategy says which consumer of a persistent subscription gets an event.
type strategy string

const (
	roundRobin          strategy = "RoundRobin"
	dispatchToSingle    strategy = "DispatchToSingle"
	pinned              strategy = "Pinned"              // all of a stream to one, as long as the consumers stay
	pinnedByCorrelation strategy = "PinnedByCorrelation" // all of one $correlationId
)

// parseStrategy takes the name; requests of the first shape have a number for it.
func parseStrategy(ctx context.Context, key groupKey, name, old string) (strategy, error) {
	if name == "" {
		name = old
	}
	switch s := strategy(name); s {
	case roundRobin, dispatchToSingle, pinned, pinnedByCorrelation:
		return s, nil
	}
	return "", groupFailed(ctx, key, fmt.Sprintf("the consumer strategy %q is none of RoundRobin, DispatchToSingle, Pinned and PinnedByCorrelation", name))
}

// pins tells whether each event has one consumer only that may get it: others
// behind it need not wait when that one is busy.
func (s strategy) pins() bool { return s == pinned || s == pinnedByCorrelation }

// choose finds who gets a message, nil if nobody has room. Of two consumers in
// turn the one that was served longer ago comes first.
func (g *group) choose(m *message) *consumer {
	if g.settings.Strategy.pins() {
		if c := g.pinnedTo(m); c != nil && g.takes(c) {
			return c
		}
		return nil
	}
	for i, c := range g.consumers {
		if !g.takes(c) {
			continue
		}
		if g.settings.Strategy == roundRobin {
			g.consumers = append(append(g.consumers[:i:i], g.consumers[i+1:]...), c)
		}
		return c
	}
	return nil
}

// pinnedTo gives each pin to the consumer that scores highest for it: when one
// comes or goes, only what it gets or had changes hands.
func (g *group) pinnedTo(m *message) (best *consumer) {
	highest := uint64(0)
	for _, c := range g.consumers {
		h := fnv.New64a()
		_, _ = h.Write([]byte(c.id))
		_, _ = h.Write([]byte(m.pin))
		if score := mix(h.Sum64()); best == nil || score > highest {
			best, highest = c, score
		}
	}
	return best
}

// mix spreads the last bytes of a hash over all its bits (splitmix64).
func mix(x uint64) uint64 {
	x ^= x >> 30
	x *= 0xbf58476d1ce4e5b9
	x ^= x >> 27
	x *= 0x94d049bb133111eb
	return x ^ x>>31
}

// pinOf is what an event is pinned by: of a link, the stream that it leads to.
func (g *group) pinOf(m *message) string {
	if g.settings.Strategy == pinnedByCorrelation {
		if event, err := m.shown().Decode(); err == nil {
			var metadata struct {
				Correlation string `json:"$correlationId"`
			}
			if json.Unmarshal(event.GetCustomMetadata(), &metadata) == nil && metadata.Correlation != "" {
				return metadata.Correlation
			}
		}
	}
	if m.record.Type == linkType {
		if target, _, ok := linkTarget(m.record); ok {
			return target
		}
	}
	return m.record.Stream
}

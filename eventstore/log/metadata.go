package log

import (
	"encoding/json"
	"math"
	"strconv"
	"strings"
)

// Names that the event store gives a meaning.
const (
	metadataType  = "$metadata"
	tombstoneType = "$streamDeleted"
	metadataOf    = "$$" // in front of a stream's name: where its metadata stand

	deletedBefore  = math.MaxInt64 // as $tb: soft-deleted
	tombstoneAfter = math.MaxInt64 // the revision of a tombstone
)

// metadata are what a stream's last $metadata event says about reading it.
type metadata struct {
	at             uint64 // position of that event, 0 without one
	truncateBefore int64
	maxCount       int64 // 0 = no limit
	maxAge         int64 // seconds, 0 = no limit
}

func (m metadata) deleted() bool { return m.truncateBefore == deletedBefore }

// parseMetadata reads a $metadata event's data. What is no such JSON means
// nothing, as in the original server.
func parseMetadata(data []byte) (m metadata) {
	keys, ok := metadataKeys(data)
	if !ok {
		return m
	}
	for key, to := range map[string]*int64{"$tb": &m.truncateBefore, "$maxCount": &m.maxCount, "$maxAge": &m.maxAge} {
		if *to, ok = limitIn(keys[key]); !ok {
			return metadata{}
		}
	}
	return m
}

// limitIn reads one of the numbers; none is 0.
func limitIn(raw json.RawMessage) (n int64, ok bool) {
	if raw == nil || string(raw) == "null" {
		return 0, true
	}
	n, err := strconv.ParseInt(string(raw), 10, 64)
	return n, err == nil && n >= 0
}

func metadataKeys(data []byte) (keys map[string]json.RawMessage, ok bool) {
	if len(data) == 0 {
		return nil, false
	}
	err := json.Unmarshal(data, &keys)
	return keys, err == nil
}

// withTruncateBefore gives the data of a $metadata event another $tb and leaves
// the other keys as they are, but for limits that make no sense: with them the
// new one would mean nothing either, and a deleted stream would still be there.
func withTruncateBefore(data []byte, revision int64) []byte {
	keys, ok := metadataKeys(data)
	if !ok || keys == nil {
		keys = map[string]json.RawMessage{}
	}
	for _, key := range []string{"$maxCount", "$maxAge"} {
		if _, ok := limitIn(keys[key]); !ok {
			delete(keys, key)
		}
	}
	keys["$tb"] = strconv.AppendInt(nil, revision, 10)
	changed, err := json.Marshal(keys)
	if err != nil {
		panic(err) // every value was parsed as JSON just now
	}
	return changed
}

// describes tells whose metadata a stream holds.
func describes(stream string) (original string, ok bool) {
	return strings.CutPrefix(stream, metadataOf)
}

// lastMetadata finds which of a batch of events would become a stream's
// metadata, -1 for none.
func lastMetadata(stream string, events []Proposed) int {
	if _, ok := describes(stream); !ok {
		return -1
	}
	for i := len(events) - 1; i >= 0; i-- {
		if events[i].Type == metadataType {
			return i
		}
	}
	return -1
}

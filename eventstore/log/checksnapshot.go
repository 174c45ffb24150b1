package log

import (
	"errors"
	"io/fs"
)

// A snapshotCheck holds the index's snapshot against the events of the log,
// while they pass by.
type snapshotCheck struct {
	index  *index
	point  snapshotPoint
	places int // how many of them were found
	events int
	wrong  string
}

func (c *checker) takeSnapshot() error {
	x, point, err := readSnapshot(localDisk{}, c.Dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case errors.Is(err, errSnapshot):
		c.snapshot = &snapshotCheck{wrong: "the snapshot of the index does not check"}
	case err != nil:
		return err
	default:
		c.snapshot = &snapshotCheck{index: x, point: point}
	}
	return nil
}

func (k *snapshotCheck) see(v view) {
	if k == nil || k.index == nil || v.at >= k.point.covered || k.wrong != "" {
		return
	}
	k.events++
	if k.places < len(k.index.places) && k.index.places[k.places] == v.at {
		k.places++
	}
	if v.at == k.point.head && v.crc != k.point.headCRC {
		k.wrong = "the snapshot of the index ends with another event than the log has there"
	}
	if !k.knows(v) {
		k.wrong = "the snapshot of the index has an event elsewhere than the log"
	}
}

func (k *snapshotCheck) knows(v view) bool {
	s := k.index.streams[string(v.stream)]
	switch {
	case s == nil:
		return false
	case v.revision == tombstoneAfter:
		return s.seen.tombstone == v.at
	}
	return v.revision < int64(len(s.events)) && s.events[v.revision] == event{v.at, hashID(v.id)}
}

// needless says what to do about a snapshot that is wrong.
const needless = "; the log does not need it: stop the node, remove the file, and the next start makes it anew"

// conclude tells what is wrong with the snapshot, if anything is. In a log with
// holes it knows events that are gone.
func (k *snapshotCheck) conclude(r *Report, holes bool) string {
	if k == nil || holes && k.index != nil {
		return ""
	}
	if k.wrong != "" {
		return k.wrong + needless
	}
	known := 0
	for _, s := range k.index.streams {
		known += len(s.events)
		if s.seen.tombstone != 0 {
			known++
		}
	}
	switch {
	case k.point.logID != r.LogID:
		return "the snapshot of the index is of another log" + needless
	case k.beyond(r): // a fault of the log
	case known != k.events || k.places != len(k.index.places):
		return "the snapshot of the index has events that the log has not" + needless
	}
	return ""
}

// beyond tells whether the snapshot knows more than the log holds.
func (k *snapshotCheck) beyond(r *Report) bool {
	return k != nil && k.index != nil && k.wrong == "" && k.point.logID == r.LogID && k.point.covered > r.End
}

package migration

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"

	"daybook.example/eventstore"
	"daybook.example/eventstore/proof"
)

const metadataType = "$metadata"

// A walk goes through source and target side by side and finds every event of
// the target to be the next one of the source. How far it comes is how far the
// copy is: nobody else's word is taken for it.
type walk struct {
	from, to cursor
	pair     func(original, copied eventstore.Recorded) error // nil: nobody is told
	early    map[string]eventstore.Recorded                   // by stream: see putAside
	events   uint64
	bytes    uint64
}

func newWalk(from, to eventstore.Reader, pair func(original, copied eventstore.Recorded) error) *walk {
	keep := func(e eventstore.Recorded) bool { return !leftOut(e.Stream) }
	return &walk{
		from: cursor{reader: from, keep: keep}, to: cursor{reader: to, keep: keep},
		pair: pair, early: map[string]eventstore.Recorded{},
	}
}

var (
	errDiffers = errors.New("the target differs from the source")
	errSurplus = errors.New("the target goes on where the source ends")
)

// advance goes on to the present end of the target, and tells now and then.
func (w *walk) advance(ctx context.Context, tell func()) error {
	for {
		more, err := w.step(ctx)
		if err != nil || !more {
			tell()
			return err
		}
		if w.events%pageMax == 0 {
			tell()
		}
	}
}

// step passes one event of either side or of both, none at the target's end.
func (w *walk) step(ctx context.Context) (more bool, err error) {
	original, ongoing, err := w.from.peek(ctx)
	if err != nil {
		return false, fmt.Errorf("read the source: %w", err)
	}
	if early, ok := w.early[original.Stream]; ok && alike(original, early) {
		delete(w.early, original.Stream)
		return true, w.pass(original, early)
	}
	copied, more, err := w.to.peek(ctx)
	switch {
	case err != nil:
		return false, fmt.Errorf("read the target: %w", err)
	case !more:
		return false, nil
	case ongoing && sameLog(original, copied):
		return false, ErrSameLog
	case ongoing && alike(original, copied):
		w.to.take()
		return true, w.pass(original, copied)
	case w.putAside(copied):
		w.to.take()
		return true, nil
	case !ongoing:
		return false, &difference{kind: errSurplus, copied: copied}
	}
	return false, &difference{errDiffers, original, copied}
}

// pass counts a pair in.
func (w *walk) pass(original, copied eventstore.Recorded) error {
	if w.pair != nil {
		if err := w.pair(original, copied); err != nil {
			return err
		}
	}
	w.from.take()
	w.events++
	w.bytes += uint64(size(original))
	return nil
}

// putAside keeps a metadata event of the target until its like comes at the
// source. An append to a soft-deleted stream brings it back by such an event,
// which the server writes itself, right behind the append: where the copy takes
// two appends for what was one, it stands too early. One for each stream.
func (w *walk) putAside(copied eventstore.Recorded) bool {
	if !describes(copied.Stream) || copied.Type != metadataType {
		return false
	}
	if _, taken := w.early[copied.Stream]; taken {
		return false
	}
	w.early[copied.Stream] = copied
	return true
}

// alike tells whether one event is the copy of the other. What servers make for
// themselves bears IDs of their own: tombstones, and the metadata that bring a
// stream back.
func alike(original, copied eventstore.Recorded) bool {
	switch {
	case original.Stream != copied.Stream || original.Revision != copied.Revision || original.Type != copied.Type:
		return false
	case proof.Tombstone(original):
		return true
	case original.ID == copied.ID:
		return original.ContentType == copied.ContentType &&
			bytes.Equal(original.Data, copied.Data) && bytes.Equal(original.Metadata, copied.Metadata)
	}
	return describes(original.Stream) && original.Type == metadataType && sameJSON(original.Data, copied.Data)
}

func sameJSON(a, b []byte) bool {
	var one, other any
	return json.Unmarshal(a, &one) == nil && json.Unmarshal(b, &other) == nil && reflect.DeepEqual(one, other)
}

// sameLog tells that an event is no copy but the original: a server gives every
// event it stores the time, in steps of 100 ns.
func sameLog(original, copied eventstore.Recorded) bool {
	return original.ID == copied.ID && original.Position == copied.Position && original.Created.Equal(copied.Created)
}

// A difference is the first place where the target is not the source's beginning.
type difference struct {
	kind             error
	original, copied eventstore.Recorded // the first is zero when the source ends
}

// Error names both events.
func (d *difference) Error() string {
	if errors.Is(d.kind, errSurplus) {
		return fmt.Sprintf("%v: with %s", d.kind, place(d.copied))
	}
	return fmt.Sprintf("%v: where the source has %s, the target has %s", d.kind, place(d.original), place(d.copied))
}

// Unwrap is whether the target differs or goes on.
func (d *difference) Unwrap() error { return d.kind }

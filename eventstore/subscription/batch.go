package subscription

import (
	"context"
	"encoding/json"
	"strconv"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/uuid"

	"daybook.example/eventstore"
)

// A Batch is a stretch of the log. Decoded and Errs are as long as Events: for
// each one what Decode made of it, or why it could not.
//
// The store's own events ($...) are left out, but To covers them; a batch may
// hold nothing else, and then only moves a checkpoint on.
type Batch struct {
	Events   []eventstore.Recorded
	Decoded  []any
	Errs     []error
	From, To eventstore.Position // after From, up to and with To
	Head     eventstore.Position // the last position of the log known when the batch was handed out
	Live     bool                // nothing older was left to read

	last  uuid.UUID // the event at To
	taken bool      // the handler does something with one of the events
	bytes int
}

type batchKey struct{}

// BatchFrom is the batch of a message. Only a message that came out of Subscribe
// in this process holds one; from any other the stretch can be read again.
func BatchFrom(m *message.Message) (*Batch, bool) {
	batch, ok := m.Context().Value(batchKey{}).(*Batch)
	return batch, ok
}

// message is the batch as Watermill carries it: the ID of its last event, and as
// payload the claim check {"from":"<commit>/<prepare>","to":...,"n":512}.
func (b *Batch) message(ctx context.Context) *message.Message {
	claimCheck, err := json.Marshal(struct {
		From eventstore.Position `json:"from"`
		To   eventstore.Position `json:"to"`
		N    int                 `json:"n"`
	}{b.From, b.To, len(b.Events)})
	if err != nil {
		panic(err) // two positions and a number
	}
	m := message.NewMessageWithContext(context.WithValue(ctx, batchKey{}, b), b.last.String(), claimCheck)
	m.Metadata.Set("from", b.From.String())
	m.Metadata.Set("to", b.To.String())
	m.Metadata.Set("count", strconv.Itoa(len(b.Events)))
	return m
}

// add puts the next event of the log at the end.
func (b *Batch) add(i item) {
	b.To, b.last = i.event.Position, i.event.ID
	if i.event.System() {
		return
	}
	b.Events = append(b.Events, *i.event)
	b.Decoded = append(b.Decoded, i.decoded)
	b.Errs = append(b.Errs, i.err)
	b.bytes += len(i.event.Data) + len(i.event.Metadata)
}

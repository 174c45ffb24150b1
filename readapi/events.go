package readapi

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"daybook.example/commands/edge"
	"daybook.example/domain"
	"daybook.example/domain/catalog"
	"daybook.example/eventstore"
)

const eventStream = "text/event-stream"

const (
	writeWithin    = 30 * time.Second // a caller that takes nothing for so long has gone
	heartbeatEvery = 15 * time.Second
	feedPage       = 512  // events read at once
	feedScanMax    = 8192 // events looked at for one page
)

func (s *server) eventRoutes() {
	edge.Register(s.api, edge.Operation{
		Method: http.MethodGet, Path: "/v1/events", Tag: "events", Action: edge.ReadEvents, Stream: true,
		Summary: "Read or follow the events in the order of the log",
		Description: "From a position, which is not included: pages as JSON, or with Accept: text/event-stream all there are and all to come, " +
			"in order, at least once. Last-Event-ID goes on behind what was seen. Personal values are masked by role.",
		Answers: []string{eventStream}, Answer: edge.SchemaOf[EventPage](s.api),
	}, s.events)
}

// EventParams are what the feed takes.
type EventParams struct {
	From        string `query:"from" maxLength:"64" doc:"Begin behind this position; default: the start of the log."`
	Category    string `query:"category" maxLength:"64" doc:"Only streams of this category, such as employee."`
	Type        string `query:"type" maxLength:"128" doc:"Only events of this type, such as employee-hired."`
	Limit       int    `query:"limit" minimum:"1" maximum:"500" default:"100" doc:"Events a page."`
	KnownAt     string `query:"known_at" maxLength:"64" doc:"End with what was known then: a position, or a time as RFC 3339."`
	After       string `query:"after" maxLength:"64" doc:"Wait until this position is in the log."`
	LastEventID string `header:"Last-Event-ID" maxLength:"64" doc:"Takes the place of from when a stream is resumed."`
}

// A FeedEvent is an event as integrators see it.
type FeedEvent struct {
	Position   eventstore.Position `json:"position"`
	Stream     string              `json:"stream"`
	Revision   uint64              `json:"revision"`
	ID         uuid.UUID           `json:"id"`
	Type       string              `json:"type"`
	RecordedAt time.Time           `json:"recorded_at,omitzero"`
	Data       json.RawMessage     `json:"data"`
	Metadata   json.RawMessage     `json:"metadata"`
}

// A feed is one caller's way through the log.
type feed struct {
	server         *server
	principal      edge.Principal
	category, kind string
	position       eventstore.Position  // seen up to here
	end            *eventstore.Position // show nothing behind it; nil = none
}

func (s *server) events(ctx context.Context, in *EventParams) (*edge.Streamed, error) {
	f, err := s.feed(ctx, in)
	if err != nil {
		return nil, s.waitable(err)
	}
	if strings.Contains(edge.RequestFrom(ctx).Header.Get("Accept"), eventStream) {
		return edge.Streaming(f.stream), nil
	}
	ctx, cancel := context.WithTimeout(ctx, pageMax)
	defer cancel()
	page, err := f.page(ctx, in.Limit)
	if err != nil {
		return nil, s.waitable(err)
	}
	return edge.Streaming(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Daybook-Position", page.Position.String())
		if content, err := domain.Marshal(page); err == nil {
			_, _ = w.Write(content)
		}
	}), nil
}

// feed begins where the parameters say, once the log has what they wait for.
func (s *server) feed(ctx context.Context, in *EventParams) (*feed, error) {
	principal, _ := edge.PrincipalFrom(ctx)
	f := &feed{server: s, principal: principal, category: in.Category, kind: in.Type}
	from, name := in.From, "query.from"
	if in.LastEventID != "" {
		from, name = in.LastEventID, "header.Last-Event-ID"
	}
	if from != "" {
		position, err := eventstore.ParsePosition(from)
		if err != nil {
			return nil, edge.NewProblem(http.StatusBadRequest, "parameter-invalid", "this is no position such as 4711/4711").At(name)
		}
		f.position = position
	}
	known, err := s.instant(ctx, KnownParams{KnownAt: in.KnownAt, After: in.After})
	if err == nil {
		err = s.inLog(ctx, known.awaited)
	}
	if err != nil {
		return nil, err
	}
	f.end, err = s.endOf(ctx, known)
	return f, err
}

// endOf is the last position that counts. A time is resolved by the audit log,
// which has seen every event.
func (s *server) endOf(ctx context.Context, known instant) (*eventstore.Position, error) {
	switch {
	case known.pinned:
		return &known.position, nil
	case known.moment.IsZero():
		return nil, nil
	}
	resolved, err := asKnown(ctx, s, auditLog, KnownParams{KnownAt: known.text}, func(_ context.Context, _ *reading, at AsOf) (AsOf, error) {
		return at, nil
	})
	if err != nil {
		return nil, err
	}
	at := uint64(resolved.Body.Known)
	return &eventstore.Position{Commit: at, Prepare: at}, nil
}

// inLog waits until the log has reached a position.
func (s *server) inLog(ctx context.Context, awaited eventstore.Position) error {
	if awaited.IsZero() {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, waitMax)
	defer cancel()
	head, ended, err := s.heads.until(ctx, func(head eventstore.Position) (bool, error) { return !head.Less(awaited), nil })
	if ended {
		return notReached("log", head, awaited)
	}
	return err
}

// EventPage is a page of the feed. Next is given as from for the next one; it
// moves on over events that the filter leaves out, too.
type EventPage struct {
	Items    []FeedEvent         `json:"items"`
	Next     string              `json:"next,omitempty"`
	Position eventstore.Position `json:"position"`
}

func (f *feed) page(ctx context.Context, limit int) (EventPage, error) {
	page := EventPage{Items: []FeedEvent{}}
	scanned := 0
	for event, err := range f.server.Store.All(ctx, f.position) {
		if err != nil {
			return page, fmt.Errorf("read the log: %w", err)
		}
		if f.past(event.Position) {
			break
		}
		if len(page.Items) == limit || scanned == feedScanMax {
			page.Next = f.position.String()
			break
		}
		scanned++
		f.position = event.Position
		if shown, ok, err := f.show(event); err != nil {
			return page, err
		} else if ok {
			page.Items = append(page.Items, shown)
		}
	}
	page.Position = f.position
	return page, nil
}

func (f *feed) past(p eventstore.Position) bool { return f.end != nil && f.end.Less(p) }

// wants reports whether the filter lets an event through.
func (f *feed) wants(event eventstore.Recorded) bool {
	category, _, _ := strings.Cut(event.Stream, "-")
	return !event.System() && (f.category == "" || f.category == category) && (f.kind == "" || f.kind == event.Type)
}

// show is the event as the caller may see it.
func (f *feed) show(event eventstore.Recorded) (shown FeedEvent, ok bool, err error) {
	if !f.wants(event) {
		return shown, false, nil
	}
	shown = FeedEvent{
		Position: event.Position, Stream: event.Stream, Revision: event.Revision, ID: event.ID, Type: event.Type,
		Data: event.Data, Metadata: event.Metadata,
	}
	var meta domain.Metadata
	if domain.Unmarshal(event.Metadata, &meta) == nil {
		_, err = catalog.Decode(event.Type, meta.SchemaVersion, event.Data)
	}
	if meta.SchemaVersion == 0 || err != nil {
		// Not ours, or not as its type says: nobody knows that what is personal in it is sealed.
		shown.Data, shown.Metadata = json.RawMessage(`{"foreign":true}`), json.RawMessage(`{}`)
		return shown, true, nil
	}
	shown.RecordedAt = meta.RecordedAt
	shown.Data, err = f.unveil(event)
	return shown, true, err
}

// unveil opens the personal values that the caller may see and masks the others.
func (f *feed) unveil(event eventstore.Recorded) (json.RawMessage, error) {
	opened := event.Data
	if slices.ContainsFunc(purposes, f.sees) {
		var err error
		if opened, err = f.server.Keys.Open(event.Stream, event.ID, event.Data); err != nil {
			return nil, fmt.Errorf("open %s at %s: %w", event.Type, event.Position, err)
		}
	}
	return eachMarker(opened, func(m marker) json.RawMessage { return m.shown(f.sees) })
}

// purposes are those of domain.Personal.
var purposes = []string{"identity", "contact", "bank", "payroll", "health", "note", "applicant"}

func (f *feed) sees(purpose string) bool { return edge.CanSee(f.principal, purpose, uuid.Nil) }

// stream sends what there is and what comes, as server-sent events.
func (f *feed) stream(w http.ResponseWriter, r *http.Request) {
	ctx := r.Context()
	header := w.Header()
	header.Set("Content-Type", eventStream)
	header.Set("Cache-Control", "no-store")
	header.Set("X-Accel-Buffering", "no")
	w.WriteHeader(http.StatusOK)
	out := &sse{w, http.NewResponseController(w)}
	if out.write("") != nil {
		return
	}
	for ctx.Err() == nil {
		subscription, err := f.server.Store.SubscribeAll(ctx, f.position)
		if err == nil {
			err = f.follow(ctx, out, subscription)
			subscription.Close()
		}
		if err == nil || ctx.Err() != nil {
			return
		}
		f.server.Logger.WarnContext(ctx, "an event stream subscribes again", "error", err)
		select {
		case <-ctx.Done():
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// An sse writes server-sent events, each at once.
type sse struct {
	to      http.ResponseWriter
	control *http.ResponseController
}

func (s *sse) write(text string) error {
	_ = s.control.SetWriteDeadline(time.Now().Add(writeWithin))
	if _, err := io.WriteString(s.to, text); err != nil {
		return err
	}
	return s.control.Flush()
}

// follow sends events until the caller has gone or has all that was asked for
// (nil), or until the subscription breaks.
func (f *feed) follow(ctx context.Context, out *sse, subscription *eventstore.Subscription) error {
	heartbeat := time.Now().Add(f.server.Heartbeat)
	for {
		message, err := receive(ctx, subscription, heartbeat)
		if err != nil {
			return err
		}
		var text string
		switch {
		case message == nil: // nothing was sent for a while: a filtered caller's position moves on, too
			text = fmt.Sprintf(": still here\nid: %s\n\n", f.position)
		case message.Event == nil:
			continue
		case f.past(message.Event.Position):
			return nil
		default:
			if text, err = f.event(*message.Event); err != nil {
				f.server.Logger.ErrorContext(ctx, "an event cannot be shown", "type", message.Event.Type, "position", message.Event.Position.String(), "error", err)
				return nil // it is neither skipped nor shown in part
			}
		}
		if text == "" {
			continue
		}
		if out.write(text) != nil {
			return nil
		}
		heartbeat = time.Now().Add(f.server.Heartbeat)
	}
}

// receive waits for the next message; nil if there is none until the heartbeat.
func receive(ctx context.Context, subscription *eventstore.Subscription, heartbeat time.Time) (*eventstore.Message, error) {
	waiting, cancel := context.WithDeadline(ctx, heartbeat)
	defer cancel()
	message, err := subscription.Recv(waiting)
	switch {
	case err == nil:
		return &message, nil
	case waiting.Err() != nil && ctx.Err() == nil:
		return nil, nil
	}
	return nil, err
}

// event is one event as text, none if the filter leaves it out.
func (f *feed) event(event eventstore.Recorded) (string, error) {
	shown, ok, err := f.show(event)
	if err != nil {
		return "", err
	}
	f.position = event.Position
	if !ok {
		return "", nil
	}
	content, err := domain.Marshal(shown)
	if err != nil {
		return "", err
	}
	name := ""
	if catalog.Lists(event.Type) { // another one may hold anything, even a line's end
		name = "event: " + event.Type + "\n"
	}
	return fmt.Sprintf("id: %s\n%sdata: %s\n\n", event.Position, name, content), nil
}

package readapi

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"daybook.example/commands/edge"
	"daybook.example/domain/catalog"
	"daybook.example/eventstore"
)

const (
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
		Answers: []string{"application/json", "text/event-stream"},
	}, s.events)
}

// EventParams are what the feed takes.
type EventParams struct {
	From        string `query:"from" maxLength:"64" doc:"Begin behind this position; default: the start of the log."`
	Category    string `query:"category" maxLength:"64" doc:"Only streams of this category, such as employee."`
	Type        string `query:"type" maxLength:"128" doc:"Only events of this type, such as employee-hired."`
	Limit       int    `query:"limit" minimum:"1" maximum:"500" default:"100" doc:"Events a page."`
	KnownAt     string `query:"known_at" maxLength:"64" doc:"End with this position."`
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
	RecordedAt string              `json:"recorded_at,omitempty" format:"date-time"`
	Data       json.RawMessage     `json:"data"`
	Metadata   json.RawMessage     `json:"metadata"`
}

// A feed is one caller's way through the log.
type feed struct {
	server           *server
	principal        edge.Principal
	category, kind   string
	position, ending eventstore.Position // ending: zero = none
}

func (s *server) events(ctx context.Context, in *EventParams) (*edge.Streamed, error) {
	principal, _ := edge.PrincipalFrom(ctx)
	f := &feed{server: s, principal: principal, category: in.Category, kind: in.Type}
	for _, given := range []struct {
		name, text string
		into       *eventstore.Position
	}{{"from", in.From, &f.position}, {"known_at", in.KnownAt, &f.ending}, {"last-event-id", in.LastEventID, &f.position}} {
		if given.text == "" {
			continue
		}
		position, err := eventstore.ParsePosition(given.text)
		if err != nil {
			return nil, badParameter(given.name, given.name+" is a position such as 4711/4711")
		}
		*given.into = position
	}
	if err := s.inLog(ctx, in.After); err != nil {
		return nil, err
	}
	if strings.Contains(edge.RequestFrom(ctx).Header.Get("Accept"), "text/event-stream") {
		return edge.Streaming(f.stream), nil
	}
	page, err := f.page(ctx, in.Limit)
	if err != nil {
		return nil, err
	}
	return edge.Streaming(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Daybook-Position", page.Position.String())
		_ = json.NewEncoder(w).Encode(page)
	}), nil
}

// inLog waits until the log has reached a position.
func (s *server) inLog(ctx context.Context, text string) error {
	if text == "" {
		return nil
	}
	awaited, err := eventstore.ParsePosition(text)
	if err != nil {
		return badParameter("after", "after is a position as Daybook-Position gave it")
	}
	for end := time.Now().Add(waitMax); ; {
		head, err := s.Store.Head(ctx)
		if err != nil || !head.Less(awaited) {
			return err
		}
		if time.Now().After(end) {
			return edge.NewProblem(http.StatusServiceUnavailable, "not-reached", fmt.Sprintf("the log is at %s and did not reach %s in time", head, awaited)).RetryAfter(time.Second)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pollEvery):
		}
	}
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

func (f *feed) past(p eventstore.Position) bool { return !f.ending.IsZero() && f.ending.Less(p) }

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
	var meta struct {
		RecordedAt string `json:"recorded_at"`
	}
	if json.Unmarshal(event.Metadata, &meta) == nil {
		shown.RecordedAt = meta.RecordedAt
	}
	if !catalog.Lists(event.Type) || !json.Valid(event.Data) || !json.Valid(event.Metadata) {
		shown.Data, shown.Metadata = json.RawMessage(`{"foreign":true}`), json.RawMessage(`{}`) // not ours: nobody sealed it
		return shown, true, nil
	}
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
	control := http.NewResponseController(w)
	header := w.Header()
	header.Set("Content-Type", "text/event-stream")
	header.Set("Cache-Control", "no-store")
	header.Set("X-Accel-Buffering", "no")
	w.WriteHeader(http.StatusOK)
	_ = control.Flush()
	for ctx.Err() == nil {
		subscription, err := f.server.Store.SubscribeAll(ctx, f.position)
		if err == nil {
			err = f.follow(ctx, w, control, subscription)
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

// follow sends events until the caller goes (nil) or the subscription breaks.
func (f *feed) follow(ctx context.Context, w http.ResponseWriter, control *http.ResponseController, subscription *eventstore.Subscription) error {
	for {
		message, err := receive(ctx, subscription)
		switch {
		case err != nil:
			return err
		case message == nil:
			// Nothing came for a while: the position moves on for a filtered caller, too.
			if _, err := fmt.Fprintf(w, ": still here\nid: %s\n\n", f.position); err != nil || control.Flush() != nil {
				return nil
			}
		case message.Event != nil:
			if f.past(message.Event.Position) {
				return nil
			}
			if sent, err := f.send(w, *message.Event); err != nil || sent && control.Flush() != nil {
				return nil
			}
		}
	}
}

// receive waits for the next message; nil after a while without one.
func receive(ctx context.Context, subscription *eventstore.Subscription) (*eventstore.Message, error) {
	waiting, cancel := context.WithTimeout(ctx, heartbeatEvery)
	defer cancel()
	message, err := subscription.Recv(waiting)
	if err != nil && waiting.Err() != nil && ctx.Err() == nil {
		return nil, nil
	}
	return &message, err
}

// send writes one event. Any error but of the caller's connection is logged: the
// event is neither skipped nor shown in part, the stream ends before it.
func (f *feed) send(w http.ResponseWriter, event eventstore.Recorded) (sent bool, err error) {
	shown, ok, err := f.show(event)
	if err != nil {
		f.server.Logger.Error("an event cannot be shown", "type", event.Type, "position", event.Position.String(), "error", err)
		return false, err
	}
	f.position = event.Position
	if !ok {
		return false, nil
	}
	content, err := json.Marshal(shown)
	if err != nil {
		return false, err
	}
	_, err = fmt.Fprintf(w, "id: %s\nevent: %s\ndata: %s\n\n", event.Position, event.Type, content)
	return true, err
}

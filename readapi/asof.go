package readapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"daybook.example/commands/edge"
	"daybook.example/domain"
	"daybook.example/eventstore"
)

// A position is a place in the log as the tables keep it: the commit position,
// which the embedded node's prepare position equals.
type position int64

// MarshalText writes the position as every answer does.
func (p position) MarshalText() ([]byte, error) {
	return []byte(eventstore.Position{Commit: uint64(p), Prepare: uint64(p)}.String()), nil
}

// Schema describes it in the OpenAPI document.
func (position) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeString, Pattern: "^[0-9]+/[0-9]+$", Description: "A place in the log.", Examples: []any{"4711/4711"}}
}

// KnownParams are what every read takes that knows recorded time only.
type KnownParams struct {
	KnownAt string `query:"known_at" maxLength:"64" doc:"As it was known then: a position, or a time as RFC 3339. Default: all that is known."`
	After   string `query:"after" maxLength:"64" doc:"Wait until this position is in the answer: what a command's Daybook-Position said."`
}

// AsOfParams are what every read takes that knows both times.
type AsOfParams struct {
	KnownParams
	ValidAt string `query:"valid_at" maxLength:"10" doc:"As it is on this day, YYYY-MM-DD. Default: today in the organisation's zone."`
}

// AsOf says for which day, as known when, an answer holds.
type AsOf struct {
	ValidAt  domain.Date `json:"valid_at,omitzero"`
	KnownAt  string      `json:"known_at" doc:"As it was asked for; the position where it was not."`
	Zone     string      `json:"zone,omitempty"`
	Position position    `json:"position" doc:"The answer holds what was recorded up to here."`

	Known   int64 `json:"-"` // the position up to which facts count
	Current bool  `json:"-"` // nothing was asked about another time
}

// An answer is what a read returns, with the headers of all of them.
type answer[T any] struct {
	ETag     string `header:"ETag"`
	Position string `header:"Daybook-Position"`
	State    string `header:"Daybook-Projection-State"`
	Body     T
}

// tagged adds the ETag of a current entity: its revision.
func (a *answer[T]) tagged(at AsOf, revision int64) *answer[T] {
	if at.Current {
		a.ETag = strconv.Quote(strconv.FormatInt(revision, 10))
	}
	return a
}

// A scope is what an answer comes from: a projection, and the function that knows
// the organisation's zone as of a position, if days matter.
type scope struct{ projection, zoneAt string }

// zone is SQL for the organisation's zone.
func (s scope) zone(position string) string {
	if s.zoneAt == "" {
		return "''"
	}
	return s.zoneAt + "(" + position + ")"
}

// zones names that function of each projection that has one.
var zones = map[string]string{employeeFact: "api.zone_at", journalLine: "api.journal_zone_at"}

// asOf runs read in one snapshot of one projection's tables, as of the times asked for.
func asOf[T any](ctx context.Context, s *server, projection string, p AsOfParams, read func(context.Context, *reading, AsOf) (T, error)) (*answer[T], error) {
	var validAt domain.Date
	if p.ValidAt != "" {
		day, err := domain.ParseDate(p.ValidAt)
		if err != nil {
			return nil, badParameter("valid_at", "valid_at is a date of the form YYYY-MM-DD")
		}
		validAt = day
	}
	return within(ctx, s, scope{projection, zones[projection]}, p.KnownParams, func(ctx context.Context, tx *reading, at AsOf) (T, error) {
		at.ValidAt, at.Current = validAt, at.Current && validAt.IsZero()
		if validAt.IsZero() {
			zone, err := domain.Zone(at.Zone)
			if err != nil {
				var none T
				return none, fmt.Errorf("the organisation's zone: %w", err)
			}
			at.ValidAt = domain.DateOf(s.Clock().In(zone))
		}
		return read(ctx, tx, at)
	})
}

// asKnown is asOf for what has no effective date.
func asKnown[T any](ctx context.Context, s *server, projection string, p KnownParams, read func(context.Context, *reading, AsOf) (T, error)) (*answer[T], error) {
	return within(ctx, s, scope{projection: projection}, p, read)
}

func within[T any](ctx context.Context, s *server, of scope, p KnownParams, read func(context.Context, *reading, AsOf) (T, error)) (*answer[T], error) {
	known, err := s.instant(ctx, p)
	if err != nil {
		return nil, s.waitable(err)
	}
	if err := s.reach(ctx, of.projection, known.awaited); err != nil {
		return nil, s.waitable(err)
	}
	out, now := &answer[T]{}, present{}
	err = s.snapshot(ctx, func(first *pgx.Batch) { now.ask(first, of, known) }, func(tx *reading) error {
		at, err := known.resolve(ctx, tx, of, now)
		if err != nil {
			return err
		}
		out.Position, out.State = at.KnownAtPosition(), now.header()
		out.Body, err = read(ctx, tx, at)
		return out.refused(err)
	})
	return out, s.waitable(err)
}

// A reading is a transaction that sees one snapshot.
type reading struct {
	pgx.Tx // nil once it has ended
}

// lastly asks what is asked last, and ends the snapshot in the same round trip.
func (r *reading) lastly(ctx context.Context, b *pgx.Batch) error {
	b.Queue("commit")
	err := r.SendBatch(ctx, b).Close()
	r.Tx = nil
	return err
}

// snapshot runs read in one snapshot. The round trip that begins it also asks what
// first queues.
func (s *server) snapshot(ctx context.Context, first func(*pgx.Batch), read func(*reading) error) error {
	return s.Pool.AcquireFunc(ctx, func(conn *pgxpool.Conn) error {
		begin := &pgx.Batch{}
		begin.BeginTx(pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly})
		first(begin)
		results := conn.SendBatch(ctx, begin)
		tx := results.Tx()
		r := &reading{tx}
		err := results.Close()
		if err == nil {
			err = read(r)
		}
		if err == nil && r.Tx != nil {
			return tx.Commit(ctx)
		}
		if conn.Conn().PgConn().TxStatus() != 'I' {
			_ = tx.Rollback(ctx) // the connection is closed if that fails
		}
		return err
	})
}

// stateHeader says that the answer comes from a read model that stands.
const stateHeader = "Daybook-Projection-State"

// refused lets a refusal say what it comes from, as every answer does: what is
// not known up to a position may well be known behind it.
func (a *answer[T]) refused(err error) error {
	var rule *domain.Error
	var problem *edge.Problem
	if !errors.As(err, &rule) && !errors.As(err, &problem) {
		return err
	}
	p, _ := edge.ProblemOf(err)
	if a.State != "" {
		p = p.With(stateHeader, a.State)
	}
	return p.With("Daybook-Position", a.Position)
}

// KnownAtPosition is the position that the answer holds, as text.
func (a AsOf) KnownAtPosition() string {
	text, _ := a.Position.MarshalText()
	return string(text)
}

// An instant is a recorded time asked for: a position, a moment, or now.
type instant struct {
	text     string
	pinned   bool // position was asked for
	position eventstore.Position
	moment   time.Time           // zero = none
	awaited  eventstore.Position // what the read model must have passed
}

// instant reads known_at and after.
func (s *server) instant(ctx context.Context, p KnownParams) (instant, error) {
	i := instant{text: p.KnownAt}
	if p.After != "" {
		after, err := eventstore.ParsePosition(p.After)
		if err != nil {
			return i, badParameter("after", "after is a position as Daybook-Position gave it")
		}
		i.awaited = after
	}
	if p.KnownAt == "" {
		return i, nil
	}
	if known, err := eventstore.ParsePosition(p.KnownAt); err == nil {
		i.pinned, i.position = true, known
		if i.awaited.Less(known) {
			i.awaited = known
		}
		return i, nil
	}
	moment, err := time.Parse(time.RFC3339Nano, p.KnownAt)
	switch {
	case err != nil:
		return i, badParameter("known_at", "known_at is a position such as 4711/4711, or a time as RFC 3339 such as 2025-03-10T12:00:00Z")
	case moment.After(s.Clock()):
		return i, edge.NewProblem(http.StatusBadRequest, "known-at-future", "what will be known later is not known yet; give a time that is past").At("query.known_at")
	}
	i.moment = moment
	// What was recorded before the request counts, even if no read model has it yet.
	head, err := s.head(ctx)
	if err != nil {
		return i, fmt.Errorf("read the head of the log: %w", err)
	}
	if i.awaited.Less(head) {
		i.awaited = head
	}
	return i, nil
}

func badParameter(name, detail string) error {
	return edge.NewProblem(http.StatusBadRequest, "parameter-invalid", detail).At("query." + name)
}

// A mark is what a projector has committed.
type mark struct {
	version  int
	position eventstore.Position
	state    string
}

// marksSQL reads the checkpoints of the versions that are read.
const marksSQL = `select name, version, commit_pos, prepare_pos, state
	from daybook.projection_checkpoint c join daybook.projection_version v using (name, version)
	where v.phase = 'active'`

// The present is what a snapshot shows first.
type present struct {
	mark
	known int64  // the position asked for, or the mark's
	zone  string // as of known
}

// ask reads a projector's checkpoint: in a snapshot it belongs to the rows. It
// is read through a view of the version, as they are: which version a name stands
// for is no part of a snapshot, but cannot change under who has used the view.
func (n *present) ask(first *pgx.Batch, of scope, known instant) {
	view := pgx.Identifier{"api", of.projection + "_checkpoint"}.Sanitize()
	first.Queue("select c.version, c.commit_pos, c.prepare_pos, c.state, k.known, "+of.zone("k.known")+
		" from "+view+" c cross join lateral (select coalesce($1::bigint, c.commit_pos) as known) k", known.pin()).QueryRow(func(row pgx.Row) error {
		err := row.Scan(&n.version, &n.position.Commit, &n.position.Prepare, &n.state, &n.known, &n.zone)
		if errors.Is(err, pgx.ErrNoRows) {
			return readModelMissing()
		}
		if err != nil {
			err = fmt.Errorf("read the checkpoint of %s: %w", of.projection, err)
		}
		return err
	})
}

// pin is the position asked for, nil if none was.
func (i instant) pin() *int64 {
	if !i.pinned {
		return nil
	}
	at := int64(i.position.Commit)
	return &at
}

// resolve turns the instant into a position of the snapshot.
func (i instant) resolve(ctx context.Context, tx pgx.Tx, of scope, now present) (AsOf, error) {
	if now.position.Less(i.awaited) { // it was there before: another database answers, or one that crashed
		return AsOf{}, notReached("read model", now.position, i.awaited)
	}
	if !i.moment.IsZero() {
		if err := now.labelled(ctx, tx, of, i.moment); err != nil {
			return AsOf{}, err
		}
	}
	at := AsOf{Known: now.known, Zone: now.zone, Position: position(now.known), KnownAt: i.text, Current: i.text == ""}
	if at.KnownAt == "" {
		at.KnownAt = at.KnownAtPosition()
	}
	return at, nil
}

// stands reports whether the read model comes no further before somebody acts.
func (m mark) stands() bool { return m.state == "halted" || m.state == "paused" }

// header is what answers say of a read model that stands.
func (m mark) header() string {
	if !m.stands() {
		return ""
	}
	return m.state + "; as-of=" + m.position.String()
}

// labelled has known be the last position whose label is not behind a moment: 0
// before the first, the checkpoint where none is behind it.
func (n *present) labelled(ctx context.Context, tx pgx.Tx, of scope, moment time.Time) error {
	table := pgx.Identifier{fmt.Sprintf("rm_%s_v%d", of.projection, n.version), "label_position"}.Sanitize()
	return tx.QueryRow(ctx, `select k.known, `+of.zone("k.known")+` from (select case when exists (select from `+table+` where label > $1)
		then coalesce((select position from `+table+` where label <= $1 order by label desc limit 1), 0) else $2 end as known) k`,
		moment, n.known).Scan(&n.known, &n.zone)
}

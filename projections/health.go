package projections

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"

	"daybook.example/eventstore"
)

// HealthOptions are what a Health looks at. Pool, Store and Registry are required.
type HealthOptions struct {
	Pool     *pgxpool.Pool
	Store    eventstore.Reader
	Registry prometheus.Registerer
	Every    time.Duration // between two looks; 0 = 2 s
	// Unowned is how long a projection may be without a process, as while one
	// takes over from another; 0 = 15 s.
	Unowned time.Duration
	// Still is how long one may stand while the log goes on, more than a batch may
	// take; 0 = 90 s.
	Still time.Duration
}

// A Health looks at all projections of a database, in whichever process they
// run, and says what is wrong with them. It asks the store for the head itself,
// so that a dead subscription shows.
type Health struct {
	options                       HealthOptions
	lagBytes, lagSeconds, healthy *prometheus.GaugeVec

	mu     sync.Mutex
	looked time.Time // the last time that both answered
	seen   map[string]*sight
}

// A sight is what was last seen of a version of a projection.
type sight struct {
	name, version string
	role          string // of the processes that run it; "" for one that is being built or kept
	state, why    string
	position      Position
	owned         bool

	head                   Position
	behind, still, unowned time.Time // since when; zero: not
}

// NewHealth registers its metrics, which are about the projections of the
// database, not about this process.
func NewHealth(o HealthOptions) *Health {
	orElse := func(value *time.Duration, otherwise time.Duration) {
		if *value == 0 {
			*value = otherwise
		}
	}
	orElse(&o.Every, 2*time.Second)
	orElse(&o.Unowned, 15*time.Second)
	orElse(&o.Still, 90*time.Second)
	gauge := func(name, help string) *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "daybook_projections_" + name, Help: help}, []string{"projection", "version"})
	}
	h := &Health{
		options:    o,
		lagBytes:   gauge("lag_bytes", "Bytes of the log between the checkpoint and the head."),
		lagSeconds: gauge("lag_seconds", "How long the checkpoint has been behind the head."),
		healthy:    gauge("healthy", "0 for a projection that is read and is halted, that no process owns, or that stands while the log goes on."),
		looked:     time.Now(),
		seen:       map[string]*sight{},
	}
	o.Registry.MustRegister(h.lagBytes, h.lagSeconds, h.healthy)
	return h
}

// Watch looks again and again until ctx ends.
func (h *Health) Watch(ctx context.Context) {
	for ; ctx.Err() == nil; sleep(ctx, h.options.Every) {
		h.look(ctx)
	}
}

// look compares what is committed with the head of the log. Where the database
// does not answer, what was seen last falls behind.
func (h *Health) look(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 5*h.options.Every)
	defer cancel()
	found, failed := h.standings(ctx)
	head, err := h.options.Store.Head(ctx) // after the checkpoints, which are not ahead of it
	now := time.Now()
	h.mu.Lock()
	defer h.mu.Unlock()
	if failed == nil {
		h.merge(found, now)
	}
	if err == nil {
		for _, s := range h.seen {
			s.compare(head, now)
			h.show(s, now)
		}
	}
	if failed == nil && err == nil {
		h.looked = now
	}
}

func (h *Health) standings(ctx context.Context) (map[string]*sight, error) {
	rows, err := h.options.Pool.Query(ctx, `select name, version::text, case v.phase when 'active' then 'projections' when 'outside' then 'processes' else '' end, state, commit_pos, prepare_pos,
			concat_ws('; ', failure->>'reason', failure->>'hint'),
			exists (select from daybook.projection_session s where s.name = c.name and s.version = c.version and s.owner)
		from daybook.projection_checkpoint c join daybook.projection_version v using (name, version)`)
	if err != nil {
		return nil, err
	}
	found := map[string]*sight{}
	var s sight
	_, err = pgx.ForEachRow(rows, []any{&s.name, &s.version, &s.role, &s.state, &s.position.Commit, &s.position.Prepare, &s.why, &s.owned}, func() error {
		one := s
		found[s.name+" "+s.version] = &one
		return nil
	})
	return found, err
}

// merge keeps since when something has been so.
func (h *Health) merge(found map[string]*sight, now time.Time) {
	for key, s := range found {
		before := h.seen[key]
		if before == nil {
			before = &sight{}
		}
		s.head, s.behind = before.head, before.behind
		if s.position == before.position {
			s.still = before.still
		}
		if !s.owned {
			s.unowned = first(before.unowned, now)
		}
		h.seen[key] = s
	}
	for key, s := range h.seen {
		if found[key] == nil { // dropped
			delete(h.seen, key)
			for _, metric := range []*prometheus.GaugeVec{h.lagBytes, h.lagSeconds, h.healthy} {
				metric.DeleteLabelValues(s.name, s.version)
			}
		}
	}
}

func first(before, now time.Time) time.Time {
	if before.IsZero() {
		return now
	}
	return before
}

// compare notes since when the projection has been behind, and since when it has
// stood where it is while it was.
func (s *sight) compare(head Position, now time.Time) {
	s.head = head
	if !s.position.Less(head) {
		s.behind, s.still = time.Time{}, time.Time{}
		return
	}
	s.behind, s.still = first(s.behind, now), first(s.still, now)
}

func (h *Health) show(s *sight, now time.Time) {
	bytes, seconds, healthy := 0.0, 0.0, 1.0
	if !s.behind.IsZero() {
		bytes, seconds = float64(s.head.Commit-s.position.Commit), now.Sub(s.behind).Seconds()
	}
	if h.trouble(s, now) != "" {
		healthy = 0
	}
	h.lagBytes.WithLabelValues(s.name, s.version).Set(bytes)
	h.lagSeconds.WithLabelValues(s.name, s.version).Set(seconds)
	h.healthy.WithLabelValues(s.name, s.version).Set(healthy)
}

// trouble is what is wrong with a projection. One that is paused is as somebody
// wants it.
func (h *Health) trouble(s *sight, now time.Time) string {
	over := func(since time.Time, patience time.Duration) bool {
		return !since.IsZero() && now.Sub(since) >= patience
	}
	switch {
	case s.role == "" || s.state == string(Paused):
		return ""
	case s.state == string(Halted):
		return s.name + " is halted: " + s.why
	case over(s.unowned, h.options.Unowned):
		return s.name + " is run by no process: start one with role " + s.role
	case over(s.still, h.options.Still):
		return fmt.Sprintf("%s stands at %s while the log is at %s: see the log of its process, or daybook projections takeover %s", s.name, s.position, s.head, s.name)
	}
	return ""
}

// Check is what is wrong, or nil.
func (h *Health) Check(context.Context) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := time.Now()
	if silent := now.Sub(h.looked); silent > 10*h.options.Every {
		return fmt.Errorf("the database or the event store has not answered for %s", silent.Round(time.Second))
	}
	var wrong []string
	for _, key := range slices.Sorted(maps.Keys(h.seen)) {
		if trouble := h.trouble(h.seen[key], now); trouble != "" {
			wrong = append(wrong, trouble)
		}
	}
	if len(wrong) == 0 {
		return nil
	}
	return errors.New(strings.Join(wrong, "; "))
}

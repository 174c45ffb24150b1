package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"daybook.example/commands"
	"daybook.example/commands/edge"
	"daybook.example/domain"
	"daybook.example/domain/access"
	"daybook.example/domain/operation"
	"daybook.example/eventstore/seal"
	"daybook.example/projections"
	"daybook.example/projections/employee"
	"daybook.example/projections/postgres"
	"daybook.example/readapi"
)

const tokenLife = 24 * time.Hour

// A house is a running process: the engine with the roles on top of it.
type house struct {
	*engine
	roles   roles
	pool    *pgxpool.Pool
	report  string // the database for dashboards
	remove  func() error
	tokens  *edge.Tokens
	runners []*projections.Runner
	server  *edge.Server
	failed  chan error // what ended by itself
}

// open takes what the roles need, in the order of the way through the house.
func (m *Main) open(ctx context.Context, d dir, r roles) (*house, error) {
	e, err := openEngine(ctx, d, m.flags, m.logger(), r.node)
	if err != nil {
		return nil, err
	}
	h := &house{engine: e, roles: r, tokens: edge.NewTokens(), failed: make(chan error, 16), remove: func() error { return nil }}
	return h, nil
}

// close stops everything within stopMax.
func (h *house) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), stopMax-time.Second)
	defer cancel()
	return h.Close(ctx)
}

// wait returns when ctx ends or a part fails.
func (h *house) wait(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case err := <-h.failed:
		return err
	}
}

// start brings up the projectors and the API, and says where they are.
func (h *house) start(ctx context.Context) error {
	if err := h.nameLog(ctx); err != nil {
		return err
	}
	for _, step := range []func(context.Context) error{h.openDatabase, h.startProjections, h.startAPI, h.writeDown} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	h.sweepClaims()
	return nil
}

// openDatabase starts the private Postgres, or connects to the one that
// --database names, or to that of the process with role node.
func (h *house) openDatabase(ctx context.Context) error {
	url := h.flags.database
	switch {
	case url != "":
	case h.roles.node:
		server, err := postgres.Start(ctx, postgres.Options{Dir: string(h.dir), Logger: h.logger})
		if err != nil {
			return err
		}
		h.onClose(server.Stop)
		h.remove = server.Remove
		url, h.report = server.URL(), server.ReportURL()
	default:
		var err error
		if url, err = postgres.Attach(string(h.dir)); err != nil {
			return err
		}
	}
	pool, err := openPool(ctx, url)
	if err != nil {
		return err
	}
	h.pool = pool
	h.onClose(func(context.Context) error { pool.Close(); return nil })
	return nil
}

func openPool(ctx context.Context, url string) (*pgxpool.Pool, error) {
	config, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, hint(errors.New("--database is no valid connection string"), "give one of the form postgres://user@host/database")
	}
	config.MaxConns = 24
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, err
	}
	if err := pool.Ping(ctx); err != nil {
		pool.Close()
		return nil, hint(fmt.Errorf("reach the database: %w", err), "check --database (DAYBOOK_DATABASE)")
	}
	return pool, nil
}

// readModels are all projections of the house.
func readModels(keys *seal.Keyring) []projections.Projection {
	return []projections.Projection{employee.New(keys)}
}

func (h *house) startProjections(ctx context.Context) error {
	models := readModels(h.keys)
	if !h.roles.projections && !h.roles.node {
		return nil
	}
	if err := projections.Prepare(ctx, h.pool, h.logID, models...); err != nil {
		return err
	}
	if !h.roles.projections {
		return nil
	}
	return h.run(ctx, models)
}

func (h *house) startAPI(ctx context.Context) error {
	if !h.roles.api {
		return nil
	}
	follow, stop := context.WithCancel(context.WithoutCancel(ctx))
	go h.tokens.Follow(follow, h.store.Reader, h.logger)
	h.onClose(func(context.Context) error { stop(); return nil })
	api := edge.NewAPI(edge.Options{Tokens: h.tokens, LogID: h.logID, Version: version, Logger: h.logger, Registry: h.registry})
	commands.Register(api, h.handlers, h.tokens)
	readapi.Register(api, readapi.Options{Pool: h.pool, Store: h.store.ReadOnly(), Keys: h.keys, Logger: h.logger, Changed: h.changed})
	server, err := edge.Listen(api, edge.Listening{Address: h.flags.listen, Insecure: h.flags.insecureListen, Logger: h.logger})
	if err != nil {
		return err
	}
	h.server = server
	go func() {
		if err := server.Serve(); err != nil {
			h.failed <- err
		}
	}()
	h.onClose(server.Close)
	ready, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	return h.tokens.Ready(ready)
}

// writeDown leaves DIR/addresses.json while the process is there.
func (h *house) writeDown(context.Context) error {
	if !h.roles.node && !h.roles.api {
		return nil
	}
	a, _ := h.dir.running()
	if h.roles.node {
		a = addresses{EventStore: h.flags.eventstore, Database: h.report}
		if h.node != nil {
			a.EventStore = "esdb://" + h.node.Addr() + "?tls=false"
		}
	}
	if h.server != nil {
		a.HTTP = h.server.URL()
	}
	if err := h.dir.writeAddresses(a); err != nil {
		return err
	}
	if h.roles.node {
		h.onClose(func(context.Context) error { return ignoreMissing(os.Remove(h.dir.addressesFile())) })
	}
	return nil
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// sweepClaims settles claims that a crash left behind, now and then.
func (h *house) sweepClaims() {
	if !h.roles.api {
		return
	}
	ctx, stop := context.WithCancel(context.Background())
	h.onClose(func(context.Context) error { stop(); return nil })
	go func() {
		for ctx.Err() == nil {
			if _, err := h.core.Claims.Sweep(ctx); err != nil && ctx.Err() == nil {
				h.logger.Warn("claims were not swept", "error", err)
			}
			select {
			case <-ctx.Done():
			case <-time.After(time.Minute):
			}
		}
	}()
}

// announce tells the operator where things are.
func (h *house) announce(w io.Writer) {
	if h.server != nil {
		fmt.Fprintf(w, "daybook %s is ready\n  API          %s   (%s/docs)\n", version, h.server.URL(), h.server.URL())
	} else {
		fmt.Fprintf(w, "daybook %s is ready\n", version)
	}
	if h.node != nil {
		fmt.Fprintf(w, "  event store  esdb://%s?tls=false   (reads; writes go through the API)\n", h.node.Addr())
	}
	fmt.Fprintf(w, "  folder       %s\n  addresses    %s\n", h.dir, h.dir.addressesFile())
	if _, err := os.Stat(h.dir.adminToken()); err == nil {
		fmt.Fprintf(w, "  admin token  %s\n", h.dir.adminToken())
	}
	fmt.Fprintln(w, "Ctrl-C stops it; a second one at once.")
}

// notADemo refuses to mix a made-up company with a real one.
func (h *house) notADemo(ctx context.Context, demo bool) error {
	if !h.roles.node {
		return nil
	}
	state, _, _, err := h.operations.State(ctx, operation.Stream)
	if err != nil {
		return err
	}
	if _, is := state.Demo(); is && !demo {
		return hint(fmt.Errorf("%s holds a demo", h.dir), "serve it with --demo, or name another folder with --dir")
	}
	return nil
}

// firstToken issues the admin token of an empty log into DIR/admin.token.
func (h *house) firstToken(ctx context.Context) error {
	if !h.roles.node {
		return nil
	}
	_, _, exists, err := h.handlers.Tokens.State(ctx, access.Stream)
	if err != nil || exists {
		return err
	}
	token, err := h.issue(ctx, access.Issue{Role: access.Admin, Principal: "admin"}, tokenLife)
	if err != nil {
		return err
	}
	return writeSecret(h.dir.adminToken(), token+"\n")
}

// issue makes a token; real time counts, also where the clock is simulated.
func (h *house) issue(ctx context.Context, with access.Issue, life time.Duration) (token string, err error) {
	var secret [32]byte
	if _, err := rand.Read(secret[:]); err != nil {
		return "", err
	}
	token = edge.TokenOf(secret)
	command := uuid.New()
	with.TokenID, with.Hash, with.IssuedBy = domain.EntityID(command), edge.HashToken(token), system
	with.Now = time.Now()
	with.Expires = with.Now.Add(life)
	_, err = h.handlers.Tokens.Handle(ctx, access.Stream, commands.Request{
		CommandID: command, CorrelationID: command, CausationID: command, Principal: system, Kind: domain.Service, Creating: true, Fresh: true,
	}, with)
	return token, err
}

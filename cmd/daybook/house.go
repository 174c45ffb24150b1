package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"daybook.example/commands"
	"daybook.example/commands/edge"
	"daybook.example/commands/process"
	"daybook.example/eventstore/seal"
	"daybook.example/eventstore/subscription"
	"daybook.example/projections"
	"daybook.example/projections/audit"
	"daybook.example/projections/employee"
	"daybook.example/projections/journal"
	"daybook.example/projections/postgres"
	processmodel "daybook.example/projections/process"
	"daybook.example/readapi"
)

// A house is a running process: the engine with the roles on top of it.
type house struct {
	*engine
	roles      roles
	pool       *pgxpool.Pool
	private    *postgres.Server
	report     string // the database for dashboards
	tokens     *edge.Tokens
	projectors *projections.Supervisor // nil without the role
	processes  *process.Runtime        // nil without the role
	observed   *projections.Metrics
	feed       *subscription.Feed
	commits    *bell
	server     *edge.Server
	failed     chan error // what ended by itself
}

// open takes the event store; start brings up what stands on it.
func (m *Main) open(ctx context.Context, d dir, r roles) (*house, error) {
	e, err := m.openEngine(ctx, d, r.node)
	if err != nil {
		return nil, err
	}
	return &house{
		engine: e, roles: r, tokens: edge.NewTokens(), commits: newBell(),
		failed: make(chan error, 1), observed: projections.NewMetrics(e.registry),
	}, nil
}

// fail ends the process for the first part that ends by itself.
func (h *house) fail(err error) {
	select {
	case h.failed <- err:
	default:
	}
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

// start takes what the roles need, and then opens the doors.
func (h *house) start(ctx context.Context) error {
	if err := h.prepare(ctx); err != nil {
		return err
	}
	return h.openDoors(ctx)
}

// stay is start for a process that others are meant to find.
func (h *house) stay(ctx context.Context) error {
	if err := h.start(ctx); err != nil {
		return err
	}
	return h.writeDown()
}

// prepare takes what can be refused: the database and the address.
func (h *house) prepare(ctx context.Context) error {
	if h.roles == (roles{}) {
		return nil
	}
	for _, step := range []func(context.Context) error{h.openDatabase, h.prepareTables, h.listen} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// openDoors starts the projectors and answers requests.
func (h *house) openDoors(ctx context.Context) error {
	if err := h.share(); err != nil {
		return err
	}
	if h.roles.projections {
		h.run(ctx, readModels(h.keys))
	}
	if h.roles.processes {
		h.runProcesses(ctx)
	}
	if h.server != nil {
		if err := h.serveAPI(ctx); err != nil {
			return err
		}
	}
	if h.roles.api {
		h.sweepClaims()
	}
	return nil
}

// openDatabase starts the private Postgres, or connects to the one that
// --database names, or to that of the process with role node.
func (h *house) openDatabase(ctx context.Context) (err error) {
	url := h.flags.database
	switch {
	case url != "":
	case h.roles.node:
		if h.private, err = postgres.Start(ctx, postgres.Options{Dir: string(h.dir), Logger: h.logger}); err != nil {
			return err
		}
		h.onClose(func(ctx context.Context) error { return h.private.Stop(ctx) })
		url, h.report = h.private.URL(), h.private.ReportURL()
	default:
		if url, err = postgres.Attach(string(h.dir)); err != nil {
			return hint(err, "start a process with role node on this folder first, or name a database with --database")
		}
	}
	if h.pool, err = openPool(ctx, url); err != nil {
		return err
	}
	h.onClose(h.closePool)
	return nil
}

// closePool gives the pool its time and no more: it waits for a database that does
// not answer any longer.
func (h *house) closePool(ctx context.Context) error {
	var closing sync.WaitGroup
	closing.Go(h.pool.Close)
	if waitFor(ctx, &closing) != nil {
		h.logger.Warn("the database did not let go of all connections in time")
	}
	return nil
}

const (
	poolMax    = 24
	connectMax = 10 * time.Second
)

func openPool(ctx context.Context, url string) (*pgxpool.Pool, error) {
	config, err := pgxpool.ParseConfig(url)
	if err != nil { // its text may show the password
		return nil, hint(errors.New("--database is no valid connection string"), "give one of the form postgres://user@host/database")
	}
	config.MaxConns = poolMax
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, err
	}
	first, cancel := context.WithTimeout(ctx, connectMax)
	defer cancel()
	if err := pool.Ping(first); err != nil {
		pool.Close()
		return nil, hint(fmt.Errorf("reach the database: %w", err), "check --database (DAYBOOK_DATABASE)")
	}
	return pool, nil
}

// readModels are all projections of the house.
func readModels(keys *seal.Keyring) []projections.Projection {
	return []projections.Projection{audit.New(), employee.New(keys), journal.New(), processmodel.New()}
}

func (h *house) prepareTables(ctx context.Context) error {
	if !h.roles.projections && !h.roles.node && !h.roles.processes {
		return nil
	}
	err := projections.Prepare(ctx, h.pool, h.logID, h.prepared()...)
	if errors.Is(err, projections.ErrOtherLog) && h.private != nil {
		return h.renewDatabase(ctx)
	}
	if err != nil {
		return err
	}
	return outlived(projections.Recognise(ctx, h.pool, h.store.Reader, h.prepared()...))
}

// renewDatabase makes the private Postgres anew where it belongs to a log that
// was in the folder before: all that is in it can be projected again.
func (h *house) renewDatabase(ctx context.Context) error {
	h.logger.Warn("the private database was projected from another log; it is made anew")
	h.pool.Close()
	if err := h.private.Stop(ctx); err != nil {
		return err
	}
	if err := h.private.Remove(); err != nil {
		return err
	}
	h.closers = h.closers[:len(h.closers)-2] // those of the pool and the server
	if err := h.openDatabase(ctx); err != nil {
		return err
	}
	return projections.Prepare(ctx, h.pool, h.logID, h.prepared()...)
}

// listen takes the address; callers wait at the door until serveAPI. A process
// without role api says how it is, and its metrics, where --listen asks for that.
func (h *house) listen(context.Context) error {
	if !h.roles.api && !h.flags.listenGiven {
		return nil
	}
	api := edge.NewAPI(edge.Options{Tokens: h.tokens, LogID: h.logID, Version: version, Logger: h.logger, Registry: h.registry, Limits: edge.Limits{AtOnce: h.flags.atOnce}})
	if h.roles.api {
		h.handlers.HaltedAt = h.haltedAt
		commands.Register(api, h.handlers, h.tokens)
		readapi.Register(api, readapi.Options{Pool: h.pool, Store: h.store.ReadOnly(), Keys: h.keys, Logger: h.logger, Changed: h.commits.Next})
		h.operateRoutes(api)
	}
	h.readyWhen(api)
	h.watchHealth(api)
	server, err := edge.Listen(api, edge.Listening{
		Address: h.flags.listen, CertFile: h.flags.tlsCert, KeyFile: h.flags.tlsKey, Insecure: h.flags.insecureListen, Logger: h.logger,
	})
	if err != nil {
		return err
	}
	h.server = server
	h.onClose(h.closeServer)
	return nil
}

// readyWhen lets /readyz ask what the answers come from.
func (h *house) readyWhen(api *edge.API) {
	silent := errors.New("it does not answer")
	api.ReadyWhen("event store", func(ctx context.Context) error {
		if _, err := h.store.Head(ctx); err != nil {
			return silent
		}
		return nil
	})
	api.ReadyWhen("database", func(ctx context.Context) error {
		if err := h.pool.Ping(ctx); err != nil {
			trouble := projections.TroubleOf(err)
			return fmt.Errorf("%s; %s", trouble.Reason, trouble.Hint)
		}
		return nil
	})
}

// closeServer gives requests time to end. Those that take longer are cut off,
// which costs nothing: their callers may repeat them.
func (h *house) closeServer(ctx context.Context) error {
	err := h.server.Close(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		h.logger.Warn("requests that did not end in time were cut off")
		return nil
	}
	return err
}

const tokensKnownMax = 10 * time.Second

func (h *house) serveAPI(ctx context.Context) error {
	follow, stop := context.WithCancel(context.WithoutCancel(ctx))
	h.onClose(func(context.Context) error { stop(); return nil })
	go h.tokens.Follow(follow, h.store.Reader, h.logger)
	known, cancel := context.WithTimeout(ctx, tokensKnownMax)
	defer cancel()
	if err := h.tokens.Ready(known); err != nil {
		return err
	}
	go func() {
		if err := h.server.Serve(); err != nil {
			h.fail(err)
		}
	}()
	return nil
}

// writeDown leaves DIR/addresses.json while the process is there. The process
// with role node makes it and removes it, the one with role api fills in its own.
func (h *house) writeDown() error {
	if !h.roles.node && !h.roles.api {
		return nil
	}
	a := addresses{EventStore: h.flags.eventstore, Database: h.report}
	if !h.roles.node {
		a, _ = h.dir.known()
	}
	if h.node != nil {
		a.EventStore = h.nodeURL
	}
	if h.roles.api {
		a.HTTP = h.server.URL()
	}
	if err := h.dir.writeAddresses(a); err != nil {
		return err
	}
	h.onClose(func(context.Context) error { return h.takeDown(a.HTTP) })
	return nil
}

func (h *house) takeDown(http string) error {
	if h.roles.node {
		return ignoreMissing(os.Remove(h.dir.addressesFile()))
	}
	a, known := h.dir.known()
	if !known || a.HTTP != http { // the node's process is gone, or another one answers
		return nil
	}
	a.HTTP = ""
	return h.dir.writeAddresses(a)
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

const sweepEvery = time.Minute

// sweepClaims settles claims that a crash left behind, now and then.
func (h *house) sweepClaims() {
	ctx, stop := context.WithCancel(context.Background())
	h.onClose(func(context.Context) error { stop(); return nil })
	go func() {
		for ctx.Err() == nil {
			if _, err := h.core.Claims.Sweep(ctx); err != nil && ctx.Err() == nil {
				h.logger.Warn("claims were not swept", "error", err)
			}
			select {
			case <-ctx.Done():
			case <-time.After(sweepEvery):
			}
		}
	}()
}

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"

	"daybook.example/commands"
	"daybook.example/commands/claims"
	"daybook.example/domain"
	"daybook.example/domain/operation"
	"daybook.example/eventstore"
	"daybook.example/eventstore/log"
	"daybook.example/eventstore/node"
	"daybook.example/eventstore/seal"
)

const (
	policyVersion = "1"
	system        = "daybook" // the principal of what nobody asked for
)

// An engine is the event store with the keys and the command handlers: all that
// a command needs. What was opened last is closed first.
type engine struct {
	dir      dir
	flags    flags
	logger   *slog.Logger
	registry *prometheus.Registry
	clock    *clock

	node       *node.Node // nil with an event store elsewhere
	store      *eventstore.Client
	keys       *seal.Keyring
	core       *commands.Core
	handlers   *commands.Handlers
	operations *commands.Handler[operation.Command, operation.State, operation.Event]
	logID      uuid.UUID

	closers []func(context.Context) error
}

func (e *engine) onClose(f func(context.Context) error) { e.closers = append(e.closers, f) }

// Close stops everything, in the order opposite to that of starting.
func (e *engine) Close(ctx context.Context) error {
	var errs []error
	for i := len(e.closers) - 1; i >= 0; i-- {
		errs = append(errs, e.closers[i](ctx))
	}
	e.closers = nil
	return errors.Join(errs...)
}

// openEngine opens the event store of the folder: the embedded node, or the one
// that --eventstore names.
func openEngine(ctx context.Context, d dir, f flags, logger *slog.Logger, withNode bool) (*engine, error) {
	e := &engine{dir: d, flags: f, logger: logger, registry: prometheus.NewRegistry(), clock: &clock{}}
	steps := []func(context.Context) error{e.connect, e.openKeys}
	if withNode {
		steps = append([]func(context.Context) error{e.lock, e.openNode}, steps...)
	}
	for _, step := range steps {
		if err := step(ctx); err != nil {
			return nil, errors.Join(err, e.Close(ctx))
		}
	}
	e.wire()
	return e, nil
}

func (e *engine) lock(context.Context) error {
	release, err := e.dir.lock()
	if err != nil {
		return err
	}
	e.onClose(func(context.Context) error { release(); return nil })
	return nil
}

func (e *engine) openNode(context.Context) error {
	if e.flags.eventstore != "" {
		return nil
	}
	l, err := log.Open(log.Options{Dir: e.dir.log(), Logger: e.logger, Progress: func(done, total int64) {
		e.logger.Info("the log's index is rebuilt", "bytes", done, "of", total)
	}})
	if err != nil {
		return fmt.Errorf("open the log: %w", err)
	}
	e.onClose(func(context.Context) error { return l.Close() })
	e.node, err = node.Start(node.Options{Log: l, Socket: e.dir.socket(), Listen: e.flags.nodeListen, AllowWrites: e.flags.nodeAllowWrites, Logger: e.logger})
	if err != nil {
		return fmt.Errorf("start the event store's node: %w", err)
	}
	e.onClose(e.node.Close)
	return nil
}

func (e *engine) connect(context.Context) error {
	store, err := eventstore.Connect(eventstore.Options{URL: e.flags.eventstore, Socket: e.dir.socket(), Logger: e.logger})
	if err != nil {
		return err
	}
	e.store = store
	e.onClose(store.Close)
	return nil
}

// openKeys opens the keys, and makes them for an empty log only: a log without
// its keys would be a company of erased people.
func (e *engine) openKeys(ctx context.Context) error {
	keys, err := seal.Open(e.dir.keys())
	if errors.Is(err, fs.ErrNotExist) {
		first, err := e.store.ReadAll(ctx, eventstore.Position{}, eventstore.Forwards, 64)
		if err != nil {
			return fmt.Errorf("read the log: %w", err)
		}
		for _, event := range first {
			if !event.System() {
				return hint(fmt.Errorf("%s has no keys, but the log has events", e.dir.keys()), "restore the folder keys from its backup")
			}
		}
		keys, err = seal.Create(e.dir.keys())
		if err != nil {
			return err
		}
	} else if err != nil {
		return err
	}
	e.keys = keys
	return nil
}

func (e *engine) wire() {
	e.core = &commands.Core{
		Store: e.store, Keys: e.keys, Clock: e.clock.now, SoftwareVersion: version, PolicyVersion: policyVersion,
		Logger: e.logger, Registry: e.registry,
		Claims: claims.New(claims.Config{Store: e.store, Keys: e.keys, Clock: e.clock.now,
			SoftwareVersion: version, PolicyVersion: policyVersion, Logger: e.logger}),
	}
	e.handlers = commands.NewHandlers(e.core)
	e.operations = commands.NewHandler(e.core, operation.Decider, operation.Catalog, operation.Category)
}

// nameLog gives the log its name at the first start, and learns it at every other.
func (e *engine) nameLog(ctx context.Context) error {
	id := uuid.New()
	at := e.clock.now().UTC().Truncate(time.Microsecond)
	command := domain.Derive(id.String(), "name")
	metadata, err := json.Marshal(domain.Metadata{
		CommandID: command, CorrelationID: command, CausationID: command, Actor: domain.Actor{ID: system, Kind: domain.Service},
		RecordedAt: at, SchemaVersion: 1, SoftwareVersion: version, PolicyVersion: policyVersion,
	})
	if err != nil {
		return err
	}
	if e.logID, err = e.store.NameLog(ctx, id, metadata); err != nil {
		return hint(fmt.Errorf("name the log: %w", err), "is the event store reachable?")
	}
	return nil
}

// ensureDir is openDir, or a temporary folder for a demo without one.
func ensureDir(path string, temporary bool) (d dir, made bool, err error) {
	if path != "" || !temporary {
		d, err = openDir(path)
		return d, false, err
	}
	folder, err := os.MkdirTemp("", "daybook-demo-")
	return dir(folder), true, err
}

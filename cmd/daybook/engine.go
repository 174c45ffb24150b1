package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"slices"
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

	log      *log.Log   // nil with an event store elsewhere
	node     *node.Node // as the log
	nodeURL  string     // for EventStoreDB clients, as the node
	store    *eventstore.Client
	keys     *seal.Keyring
	core     *commands.Core
	handlers *commands.Handlers
	logID    uuid.UUID

	rebuilding func(done, total int64) // shows how far the log's index is

	stopping context.Context // ends when everything is to stop at once
	closers  []func(context.Context) error
}

func (e *engine) onClose(f func(context.Context) error) { e.closers = append(e.closers, f) }

// close stops everything, in the order opposite to that of starting, within
// stopMax. Each part may take half of the time that is left, so that requests
// which do not end leave enough for the parts below them. After an error callers
// report that one, for what it made impossible to close is no news.
func (e *engine) close() error {
	deadline := time.Now().Add(stopMax - time.Second)
	var errs []error
	for _, closer := range slices.Backward(e.closers) {
		ctx, cancel := context.WithTimeout(e.stopping, time.Until(deadline)/2)
		errs = append(errs, closer(ctx))
		cancel()
	}
	e.closers = nil
	return errors.Join(errs...)
}

// openEngine opens the event store of the folder: the embedded node, or the one
// that --eventstore names.
func (m *Main) openEngine(ctx context.Context, d dir, withNode bool) (*engine, error) {
	e := &engine{dir: d, flags: m.flags, logger: m.logger(), registry: prometheus.NewRegistry(), clock: &clock{}, stopping: m.stopping}
	tell, end := m.bytes("rebuild the log's index")
	e.rebuilding = tell
	defer end()
	steps := []func(context.Context) error{e.lock, e.openNode, e.connect, e.openKeys}
	if !withNode {
		steps = []func(context.Context) error{e.othersNode, e.connect, e.openKeys}
	}
	for _, step := range steps {
		if err := step(ctx); err != nil {
			return nil, cmp.Or(err, e.close())
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

// othersNode makes sure that somebody carries the event store.
func (e *engine) othersNode(context.Context) error {
	if e.flags.eventstore != "" || e.dir.locked() {
		return nil
	}
	return hint(fmt.Errorf("no process carries the event store of %s", e.dir), "start one with role node on this folder first, or name an event store with --eventstore")
}

func (e *engine) openNode(context.Context) error {
	if e.flags.eventstore != "" {
		return nil
	}
	socket, err := e.dir.socket()
	if err != nil {
		return err
	}
	l, err := log.Open(log.Options{Dir: e.dir.log(), Logger: e.logger, Progress: e.rebuilding})
	if err != nil {
		return fmt.Errorf("open the log: %w", err)
	}
	e.onClose(func(context.Context) error { return l.Close() })
	e.log = l
	options := node.Options{Log: l, Socket: socket, Listen: e.flags.nodeListen, AllowWrites: e.flags.nodeAllowWrites, Logger: e.logger}
	settings, err := e.secure(&options)
	if err != nil {
		return err
	}
	if e.node, err = node.Start(options); err != nil {
		return fmt.Errorf("start the event store's node: %w", err)
	}
	e.nodeURL = "esdb://" + e.node.Addr() + "?" + settings
	e.onClose(e.node.Close)
	return nil
}

func (e *engine) connect(context.Context) error {
	socket, err := e.dir.socket()
	if err != nil {
		return err
	}
	e.store, err = eventstore.Connect(eventstore.Options{URL: e.flags.eventstore, Socket: socket, Logger: e.logger})
	if err != nil {
		return err
	}
	e.onClose(e.store.Close)
	return nil
}

const reachMax = 10 * time.Second // for the first answer of an event store elsewhere

// openKeys opens the keys, and makes them for an empty log only: a log without
// its keys would be a company of erased people.
func (e *engine) openKeys(ctx context.Context) (err error) {
	e.keys, err = seal.Open(e.dir.keys())
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, reachMax)
	defer cancel()
	empty, err := e.empty(ctx)
	if err != nil {
		return err
	}
	if !empty {
		return hint(fmt.Errorf("%s has no keys, but the log has events", e.dir.keys()), "restore the folder keys from its backup")
	}
	e.keys, err = seal.Create(e.dir.keys())
	return err
}

// empty reports whether the log holds no event but the store's own.
func (e *engine) empty(ctx context.Context) (bool, error) {
	first, err := e.store.ReadAll(ctx, eventstore.Position{}, eventstore.Forwards, 64)
	if err != nil {
		return false, unreachable(fmt.Errorf("read the log: %w", err))
	}
	ours := func(event eventstore.Recorded) bool { return !event.System() }
	return !slices.ContainsFunc(first, ours), nil
}

// unreachable adds the way out where the store did not answer.
func unreachable(err error) error {
	return hint(err, "is the event store there? check --eventstore (DAYBOOK_EVENTSTORE)")
}

func (e *engine) wire() {
	e.core = &commands.Core{
		Store: e.store, Keys: e.keys, Clock: e.clock.now, SoftwareVersion: version, PolicyVersion: policyVersion,
		Logger: e.logger, Registry: e.registry,
		Claims: claims.New(claims.Config{Store: e.store, Keys: e.keys, Clock: e.clock.now,
			SoftwareVersion: version, PolicyVersion: policyVersion, Logger: e.logger}),
	}
	e.handlers = commands.NewHandlers(e.core)
}

// ownLogID is the ID in the embedded log's files, so that a log has one name and
// not two. Another store has none of its own.
func (e *engine) ownLogID() uuid.UUID {
	if e.log == nil {
		return uuid.New()
	}
	return e.log.ID()
}

// nameLog gives the log its name at the first start, and learns it at every other.
func (e *engine) nameLog(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, reachMax)
	defer cancel()
	named, err := e.logNamed(e.ownLogID())
	if err != nil {
		return err
	}
	if e.logID, err = e.store.NameLog(ctx, named); err != nil {
		return unreachable(fmt.Errorf("name the log: %w", err))
	}
	return nil
}

// logNamed is the event that names a log; for one name it always has the same ID,
// so that a repeat is no second one.
func (e *engine) logNamed(id uuid.UUID) (eventstore.Proposed, error) {
	return ownEvent(operation.LogNamed{LogID: id}, id, operation.LogStream, naming, e.clock.now())
}

// ownEvent is one that the program itself appends about a log, which nobody asked
// for through a command. Its ID derives from the log's and from what it is for.
func ownEvent(event operation.Event, logID uuid.UUID, stream, purpose string, now time.Time) (eventstore.Proposed, error) {
	command := domain.Derive(logID.String(), purpose)
	data, err := domain.Encode(event)
	if err != nil {
		return eventstore.Proposed{}, err
	}
	metadata, err := domain.Marshal(domain.Metadata{
		CommandID: command, CorrelationID: command, CausationID: command, Actor: domain.Actor{ID: system, Kind: domain.Service},
		RecordedAt: now.UTC().Truncate(time.Microsecond), SchemaVersion: domain.SchemaVersion(event),
		SoftwareVersion: version, PolicyVersion: policyVersion,
	})
	return eventstore.Proposed{
		ID: domain.EventID(command, "", stream, 0), Type: event.EventType(), Data: data, Metadata: metadata,
	}, err
}

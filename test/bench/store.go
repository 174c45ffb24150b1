package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"daybook.example/eventstore"
	"daybook.example/eventstore/log"
	"daybook.example/eventstore/node"
)

const (
	eventType   = "employee-compensation-changed"
	perStream   = 100 // events of a stream; then its client begins another one
	writersMost = 1024
)

// What every store keeps in these figures: 400 bytes of data and 150 of metadata.
var (
	eventData     = []byte(`{"note":"` + strings.Repeat("a", 389) + `"}`)
	eventMetadata = []byte(`{"note":"` + strings.Repeat("b", 139) + `"}`)
)

// A store is the event store in this process with every way into it: the engine
// itself, the official client behind ours, and BatchAppend on the client
// module's public stubs. Both clients use the unix socket, as the program does.
type store struct {
	folder  string
	log     *log.Log
	node    *node.Node
	client  *eventstore.Client
	batches *batches
	writers [writersMost]writer // of all ways in turn
	runs    atomic.Int64        // tells the streams of the ways apart
}

// A writer fills one stream after the other. Only one goroutine uses it.
type writer struct {
	stream string
	count  int64 // events in it
}

func openStore(ctx context.Context) (*store, error) {
	folder, err := os.MkdirTemp("", "daybook-store-")
	if err != nil {
		return nil, err
	}
	return openStoreIn(ctx, folder)
}

// openStoreIn opens the log of a folder, which goes with the store.
func openStoreIn(ctx context.Context, folder string) (*store, error) {
	s := &store{folder: folder}
	if err := s.open(ctx); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

func (s *store) open(ctx context.Context) (err error) {
	if s.log, err = log.Open(log.Options{Dir: filepath.Join(s.folder, "log")}); err != nil {
		return err
	}
	socket := filepath.Join(s.folder, "node.sock")
	if s.node, err = node.Start(node.Options{Log: s.log, Socket: socket}); err != nil {
		return err
	}
	if s.client, err = eventstore.Connect(eventstore.Options{Socket: socket}); err != nil {
		return err
	}
	s.batches, err = openBatches(ctx, socket)
	return err
}

func (s *store) close() error { return errors.Join(s.shut(), os.RemoveAll(s.folder)) }

// shut closes what is open of the store and leaves its files.
func (s *store) shut() (err error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if s.batches != nil {
		err = s.batches.close()
	}
	if s.client != nil {
		err = errors.Join(err, s.client.Close(ctx))
	}
	if s.node != nil {
		err = errors.Join(err, s.node.Close(ctx))
	}
	if s.log != nil {
		err = errors.Join(err, s.log.Close())
	}
	s.batches, s.client, s.node, s.log = nil, nil, nil, nil
	return err
}

// next is where a client's next append of some events goes. Expected is the
// stream's last revision, -1 for a new one.
func (s *store) next(client, events int) (stream string, expected int64) {
	w := &s.writers[client]
	if w.stream == "" || w.count+int64(events) > perStream {
		*w = writer{stream: fmt.Sprintf("employee-%d-%d", client, s.runs.Add(1))}
	}
	expected = w.count - 1
	w.count += int64(events)
	return w.stream, expected
}

// engine appends without any protocol.
func (s *store) engine(events int) func(context.Context, int) error {
	return func(ctx context.Context, client int) error {
		stream, expected := s.next(client, events)
		all := make([]log.Proposed, events)
		for i := range all {
			all[i] = log.Proposed{ID: uuid.New(), Type: eventType, JSON: true, Data: eventData, Metadata: eventMetadata}
		}
		_, err := s.log.Append(ctx, log.Append{Stream: stream, Expected: expected, Events: all})
		return err
	}
}

// byClient appends through the official client.
func (s *store) byClient(events int) func(context.Context, int) error {
	return func(ctx context.Context, client int) error {
		stream, last := s.next(client, events)
		expected := eventstore.NoStream
		if last >= 0 {
			expected = eventstore.Exactly(uint64(last))
		}
		all := make([]eventstore.Proposed, events)
		for i := range all {
			all[i] = eventstore.Proposed{ID: uuid.New(), Type: eventType, Data: eventData, Metadata: eventMetadata}
		}
		_, err := s.client.Append(ctx, stream, expected, all)
		return err
	}
}

// byBatch appends through BatchAppend.
func (s *store) byBatch(events int) func(context.Context, int) error {
	return func(ctx context.Context, client int) error {
		stream, expected := s.next(client, events)
		return s.batches.append(ctx, stream, expected, events)
	}
}

// appends measures durable appends of one event beside raw INSERTs of the same
// bytes and embedded NATS JetStream that syncs before it acknowledges (P1, P2,
// P3 and, of the CPU, P7).
func (b *bench) appends(ctx context.Context) error {
	return b.withStore(ctx, func(s *store, raw *database, peer *peer) error {
		client := &side{name: "64 at once: official client", clients: 64, one: s.byClient(1)}
		batch := &side{name: "64 at once: BatchAppend, one call", clients: 64, one: s.byBatch(1)}
		engine := &side{name: "64 at once: engine in process", clients: 64, one: s.engine(1)}
		insert := &side{name: "64 at once: pgx INSERT, a connection each", clients: 64, one: raw.insert}
		sides := []*side{client, batch, engine, insert}
		jetstream := peer.appends("64 at once: NATS JetStream, synced", 64, b.round/2)
		if err := b.turns(ctx, append(sides, jetstream...)...); err != nil {
			return err
		}
		b.atLeast("64 at once: client / INSERT (P1)", over(client.rates(), insert.rates()), 1)
		b.atLeast("64 at once: BatchAppend / INSERT (P2)", over(batch.rates(), insert.rates()), 2)
		b.atLeast("64 at once: engine / INSERT (P3)", over(engine.rates(), insert.rates()), 7)
		for _, n := range jetstream {
			b.atLeast("64 at once: client / JetStream", over(client.rates(), n.rates()), 1)
		}
		b.atMost("CPU us an event: client, with the node (P7)", client.cpus(), "%.0f", 95)
		b.atMost("CPU us an event: BatchAppend, with the node (P7)", batch.cpus(), "%.1f", 28)
		b.atMost("CPU us an event: engine (P7)", engine.cpus(), "%.1f", 6)

		engine = &side{name: "16 at once: engine in process", clients: 16, one: s.engine(1)}
		insert = &side{name: "16 at once: pgx INSERT", clients: 16, one: raw.insert}
		if err := b.turns(ctx, engine, insert); err != nil {
			return err
		}
		b.atLeast("16 at once: engine / INSERT (P3)", over(engine.rates(), insert.rates()), 4)
		return nil
	})
}

// hundreds measures appends of a hundred events (P4).
func (b *bench) hundreds(ctx context.Context) error {
	return b.withStore(ctx, func(s *store, raw *database, _ *peer) error {
		client := &side{name: "16 at once, 100 events each: official client", clients: 16, events: perStream, one: s.byClient(perStream)}
		batch := &side{name: "16 at once, 100 events each: BatchAppend", clients: 16, events: perStream, one: s.byBatch(perStream)}
		unnest := &side{name: "16 at once, 100 events each: pgx unnest", clients: 16, events: perStream, one: raw.insertMany}
		if err := b.turns(ctx, client, batch, unnest); err != nil {
			return err
		}
		b.atLeast("client / unnest (P4)", over(client.rates(), unnest.rates()), 1)
		b.atLeast("BatchAppend / unnest (P4)", over(batch.rates(), unnest.rates()), 2)
		return nil
	})
}

// alone measures one append after the other beside the sync of one sector (P5).
func (b *bench) alone(ctx context.Context) error {
	return b.withStore(ctx, func(s *store, raw *database, peer *peer) (err error) {
		bare, err := openPreWritten(s.folder)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, bare.close()) }()
		engine := &side{name: "one at a time: engine in process", clients: 1, one: s.engine(1)}
		bareSync := &side{name: "one at a time: fdatasync of 512 bytes", clients: 1, one: bare.sync}
		client := &side{name: "one at a time: official client", clients: 1, one: s.byClient(1)}
		insert := &side{name: "one at a time: pgx INSERT", clients: 1, one: raw.insert}
		sides := append([]*side{engine, bareSync, client, insert}, peer.appends("one at a time: NATS JetStream, synced", 1, b.round/2)...)
		if err := b.turns(ctx, sides...); err != nil {
			return err
		}
		b.atMost("engine / fdatasync, p50 (P5)", over(engine.medians(), bareSync.medians()), "%.2f", 1.15)
		return nil
	})
}

// withStore runs work with an empty store and its peers.
func (b *bench) withStore(ctx context.Context, work func(*store, *database, *peer) error) (err error) {
	s, err := openStore(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	raw, err := openDatabase(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, raw.close()) }()
	p, err := openPeer(ctx, b.peers)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.close()) }()
	if p == nil {
		b.row("NATS JetStream: skipped", "its program was not given with -peers", "")
	}
	return work(s, raw, p)
}

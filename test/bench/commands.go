package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"daybook.example/eventstore"
	"daybook.example/eventstore/log"
	"daybook.example/eventstore/node"
	"daybook.example/test/program"
)

const staff = 512 // employees over whom commands are spread, so that no history grows long

// commands measures a whole command (load, decide, append, answer) over HTTP
// beside a bare append of the same bytes through our client to an embedded node
// in this process (P13). CPU is that of the server there, and of this process,
// client and node, here; the HTTP client's is in neither.
func (b *bench) commands(ctx context.Context) error {
	return b.on(ctx, func(_ string, p *program.Process) error {
		people, err := employ(ctx, p)
		if err != nil {
			return err
		}
		sample, err := people.stored(ctx, p)
		if err != nil {
			return err
		}
		bare, err := openBare(sample)
		if err != nil {
			return err
		}
		for _, clients := range []int{1, 64} {
			if err = b.compare(ctx, p, people, bare, clients); err != nil {
				break
			}
		}
		return errors.Join(err, bare.close())
	}, "--roles", "node,api")
}

func (b *bench) compare(ctx context.Context, p *program.Process, people *workforce, bare *bareNode, clients int) error {
	var command, plain []round
	var cpu, speed []float64
	for range b.pairs {
		c, err := drive(ctx, clients, b.round, func() time.Duration { return cpuOf(p.PID()) }, people.raise)
		if err != nil {
			return err
		}
		a, err := drive(ctx, clients, b.round, ownCPU, bare.append)
		if err != nil {
			return err
		}
		command, plain = append(command, c), append(plain, a)
		cpu, speed = append(cpu, c.cpuEach()/a.cpuEach()), append(speed, c.perSecond()/a.perSecond())
	}
	at := fmt.Sprintf("%d at once: ", clients)
	b.row(at+"command over HTTP", summary(command), "")
	b.row(at+"bare append", summary(plain), "")
	b.atMost(at+"command / append, CPU (P13)", cpu, "%.2f", 1.5)
	b.row(at+"command / append, throughput", spread(speed, "%.2f"), "")
	return nil
}

func summary(rounds []round) string {
	var each times
	var rate, cpu []float64
	for _, r := range rounds {
		each, rate, cpu = append(each, r.each...), append(rate, r.perSecond()), append(cpu, r.cpuEach())
	}
	return fmt.Sprintf("%s; %s/s; CPU us %s", each, spread(rate, "%.0f"), spread(cpu, "%.0f"))
}

// A workforce is the people whose pay is changed, each by one client at a time.
type workforce struct {
	client *program.Client
	ids    []string
	next   atomic.Int64
}

func employ(ctx context.Context, p *program.Process) (*workforce, error) {
	w := &workforce{client: p.Client(), ids: make([]string, staff)}
	company, err := program.Found(ctx, w.client, "UTC")
	if err != nil {
		return nil, err
	}
	for n := range staff {
		answer, err := w.client.Post(ctx, "/v1/employees", company.Hire(fmt.Sprintf("E-%d", n), "2020-01-01", nil))
		if err == nil {
			err = answer.Into(&struct{}{})
		}
		if err != nil {
			return nil, err
		}
		w.ids[n] = answer.ID()
	}
	return w, nil
}

// raise changes the pay of the next employee: one event.
func (w *workforce) raise(ctx context.Context, _ int) error {
	_, _, err := w.raised(ctx)
	return err
}

func (w *workforce) raised(ctx context.Context) (id string, answer program.Answer, err error) {
	n := w.next.Add(1)
	id = w.ids[n%staff]
	day := time.Date(2020, 1, 2, 0, 0, 0, 0, time.UTC).AddDate(0, 0, int(n/staff)).Format(time.DateOnly)
	answer, err = w.client.Post(ctx, "/v1/employees/"+id+"/compensations", program.Pay(fmt.Sprintf("%d.00", 5000+n), day), program.Key(uuid.NewString()))
	if err == nil {
		err = answer.Into(&struct{}{})
	}
	return id, answer, err
}

// stored is such an event as it lies in the log.
func (w *workforce) stored(ctx context.Context, p *program.Process) (eventstore.Recorded, error) {
	store, err := eventstore.Connect(eventstore.Options{URL: p.EventStore})
	if err != nil {
		return eventstore.Recorded{}, err
	}
	defer store.Close(ctx)
	id, _, err := w.raised(ctx)
	if err != nil {
		return eventstore.Recorded{}, err
	}
	events, err := store.ReadStream(ctx, "employee-"+id, 0, eventstore.Forwards, 100)
	if err != nil || len(events) == 0 || !strings.HasSuffix(events[len(events)-1].Type, "compensation-changed") {
		return eventstore.Recorded{}, errors.Join(err, errors.New("the change of pay is not the stream's last event"))
	}
	return events[len(events)-1], nil
}

// A bareNode is the event store alone.
type bareNode struct {
	folder string
	log    *log.Log
	node   *node.Node
	store  *eventstore.Client
	sample eventstore.Recorded
	last   [staff]atomic.Int64 // revision of each client's stream, -1 = none
}

func openBare(sample eventstore.Recorded) (b *bareNode, err error) {
	b = &bareNode{sample: sample}
	for i := range b.last {
		b.last[i].Store(-1)
	}
	if b.folder, err = os.MkdirTemp("", "daybook-bare-"); err != nil {
		return nil, err
	}
	if b.log, err = log.Open(log.Options{Dir: filepath.Join(b.folder, "log")}); err != nil {
		return nil, err
	}
	socket := filepath.Join(b.folder, "node.sock")
	if b.node, err = node.Start(node.Options{Log: b.log, Socket: socket}); err != nil {
		return nil, err
	}
	b.store, err = eventstore.Connect(eventstore.Options{Socket: socket})
	return b, err
}

// append stores the event once more in the client's own stream.
func (b *bareNode) append(ctx context.Context, client int) error {
	expected := eventstore.NoStream
	if last := b.last[client].Load(); last >= 0 {
		expected = eventstore.Exactly(uint64(last))
	}
	event := eventstore.Proposed{ID: uuid.New(), Type: b.sample.Type, Data: slices.Clone(b.sample.Data), Metadata: slices.Clone(b.sample.Metadata)}
	written, err := b.store.Append(ctx, fmt.Sprintf("employee-%d", client), expected, []eventstore.Proposed{event})
	if err == nil {
		b.last[client].Store(int64(written.Revision))
	}
	return err
}

func (b *bareNode) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	return errors.Join(b.store.Close(ctx), b.node.Close(ctx), b.log.Close(), os.RemoveAll(b.folder))
}

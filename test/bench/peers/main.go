// Command peers is embedded NATS JetStream on files, which syncs before it
// acknowledges, as make bench measures it. It reads one line after the other from
// standard input and answers each with a line of JSON:
//
//	append CLIENTS DURATION   durable appends of one event, each client one after the other
//	load TIMES                a subject of 100 events, read whole
//	all                       all events, in order
//	publish COUNT FILE        the first lines of a file, {stream, data} each, as events
//	rebuild SIZE URL          those, counted and summed by stream into a Postgres table,
//	                          with a transaction for so many
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	name      = "events"
	perStream = 100 // events of a subject
)

// An answer is what was measured, in nanoseconds.
type answer struct {
	Each []int64 `json:"each"` // of every single thing
	Wall int64   `json:"wall"`
	CPU  int64   `json:"cpu"`
	N    int     `json:"n"` // events
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "peers:", err)
		os.Exit(1)
	}
}

func run() (err error) {
	dir, err := os.MkdirTemp("", "daybook-peers-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	s, err := server.NewServer(&server.Options{
		DontListen: true, JetStream: true, StoreDir: dir, SyncAlways: true, NoSigs: true, NoLog: true,
	})
	if err != nil {
		return err
	}
	s.Start()
	defer func() {
		s.Shutdown()
		s.WaitForShutdown()
	}()
	if !s.ReadyForConnections(10 * time.Second) {
		return errors.New("the server did not start")
	}
	conn, err := nats.Connect("", nats.InProcessServer(s))
	if err != nil {
		return err
	}
	defer conn.Close()
	p, err := newPeer(conn)
	if err != nil {
		return err
	}
	return p.serve()
}

type peer struct {
	stream jetstream.JetStream
	event  []byte
	last   [1024]atomic.Int64 // of each client: the number of its last event
}

func newPeer(conn *nats.Conn) (*peer, error) {
	js, err := jetstream.New(conn)
	if err != nil {
		return nil, err
	}
	_, err = js.CreateStream(context.Background(), jetstream.StreamConfig{
		Name: name, Subjects: []string{name + ".>"}, Storage: jetstream.FileStorage,
	})
	return &peer{stream: js, event: []byte(strings.Repeat("a", 550))}, err
}

func (p *peer) serve() error {
	out := json.NewEncoder(os.Stdout)
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		if len(fields) == 0 {
			continue
		}
		what, n, rest := fields[0], 0, ""
		if len(fields) > 1 {
			if _, err := fmt.Sscan(fields[1], &n); err != nil {
				return err
			}
		}
		if len(fields) > 2 {
			rest = fields[2]
		}
		measured, err := p.measure(what, n, rest)
		if err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		if err := out.Encode(measured); err != nil {
			return err
		}
	}
	return nil
}

func (p *peer) measure(what string, n int, rest string) (answer, error) {
	before, began := cpu(), time.Now()
	var a answer
	var err error
	switch what {
	case "append":
		var during time.Duration
		if during, err = time.ParseDuration(rest); err == nil {
			a.Each, err = p.append(n, during)
		}
		a.N = len(a.Each)
	case "load":
		a.Each, err = p.load(n)
		a.N = len(a.Each) * perStream
	case "all":
		a.N, err = p.all()
	case "publish":
		a.N, err = p.publish(n, rest)
	case "rebuild":
		a.N, err = p.rebuild(n, rest)
	default:
		err = errors.New("unknown")
	}
	a.Wall, a.CPU = int64(time.Since(began)), int64(cpu()-before)
	return a, err
}

func subject(client int, n int64) string {
	return fmt.Sprintf("%s.employee-%d-%d", name, client, n/perStream)
}

func (p *peer) append(clients int, during time.Duration) ([]int64, error) {
	parts, failed := make([][]int64, clients), atomic.Pointer[error]{}
	var all sync.WaitGroup
	began := time.Now()
	for client := range clients {
		all.Go(func() {
			for time.Since(began) < during && failed.Load() == nil {
				start := time.Now()
				n := p.last[client].Add(1) - 1
				if _, err := p.stream.Publish(context.Background(), subject(client, n), p.event); err != nil {
					failed.Store(&err)
					return
				}
				parts[client] = append(parts[client], int64(time.Since(start)))
			}
		})
	}
	all.Wait()
	var each []int64
	for _, part := range parts {
		each = append(each, part...)
	}
	if err := failed.Load(); err != nil {
		return nil, *err
	}
	return each, nil
}

// load reads a subject that client 0 filled.
func (p *peer) load(times int) (each []int64, err error) {
	for p.last[0].Load() < perStream {
		if _, err := p.stream.Publish(context.Background(), subject(0, p.last[0].Add(1)-1), p.event); err != nil {
			return nil, err
		}
	}
	for range times {
		start := time.Now()
		if _, err := p.read(subject(0, 0), perStream); err != nil {
			return nil, err
		}
		each = append(each, int64(time.Since(start)))
	}
	return each, nil
}

func (p *peer) all() (int, error) {
	stream, err := p.stream.Stream(context.Background(), name)
	if err != nil {
		return 0, err
	}
	info, err := stream.Info(context.Background())
	if err != nil {
		return 0, err
	}
	return p.read("", int(info.State.Msgs))
}

// read reads events in order, of one subject or of all.
func (p *peer) read(subject string, count int) (int, error) {
	config := jetstream.OrderedConsumerConfig{DeliverPolicy: jetstream.DeliverAllPolicy}
	if subject != "" {
		config.FilterSubjects = []string{subject}
	}
	ctx := context.Background()
	consumer, err := p.stream.OrderedConsumer(ctx, name, config)
	if err != nil {
		return 0, err
	}
	messages, err := consumer.Messages(jetstream.PullMaxMessages(4096))
	if err != nil {
		return 0, err
	}
	defer messages.Stop()
	for n := range count {
		if _, err := messages.Next(); err != nil {
			return n, err
		}
	}
	return count, nil
}

func cpu() time.Duration {
	var usage syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &usage)
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

package edge

import (
	"context"
	"regexp"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// Kinds of requests. A store that is away keeps commands waiting, a database
// that is away keeps reads: neither takes the other's turns.
const (
	commandKind = "command"
	readKind    = "read"
	streamKind  = "stream"
)

const (
	burstWait = time.Second            // for a turn, while the server keeps up
	crowdWait = 20 * time.Millisecond  // once it does not
	crowdTime = 100 * time.Millisecond // without a free turn make a crowd
	calmTime  = time.Second            // without a refusal ends it
	crowdPart = 4                      // of the turns as many may wait in a crowd: more would wait in vain
)

// turns let so many requests be worked on at once: more at once would get no more
// done, only all of it later. Who finds no turn free waits, first come, first
// served: long enough for a burst to pass, but only a moment in a crowd, once nobody
// has found one free for a while, for then those behind would wait ever longer; and
// of a crowd only a few wait, for each refusal takes time from those who are served. A
// crowd is over when one is free and nobody was refused for long: a turn that is free
// for an instant, because those who waited have just given up, is no end of it.
type turns struct {
	taken   chan struct{}
	waiting atomic.Int64
	began   time.Time
	found   atomic.Int64 // when a turn was last found free, since began
	refused atomic.Int64 // when somebody last waited in vain
	crowd   atomic.Bool
}

func newTurns(atOnce int) *turns {
	return &turns{taken: make(chan struct{}, atOnce), began: time.Now()}
}

// closed reports whether it would be in vain to wait, and counts it as a refusal. It
// may be asked before anything else is.
func (t *turns) closed() bool {
	if !t.crowd.Load() || len(t.taken) < cap(t.taken) || t.waiting.Load() < int64(max(1, cap(t.taken)/crowdPart)) {
		return false
	}
	t.refused.Store(int64(time.Since(t.began)))
	return true
}

// take returns whether there was a turn in time.
func (t *turns) take(ctx context.Context) bool {
	now := time.Since(t.began)
	since := func(last *atomic.Int64) time.Duration { return now - time.Duration(last.Load()) }
	select {
	case t.taken <- struct{}{}:
		if t.crowd.Load() && since(&t.refused) > calmTime {
			t.crowd.Store(false)
		}
		t.found.Store(int64(now))
		return true
	default:
	}
	if since(&t.found) > crowdTime {
		t.crowd.Store(true)
	}
	patience := burstWait
	if t.crowd.Load() {
		patience = crowdWait
	}
	t.waiting.Add(1)
	defer t.waiting.Add(-1)
	late := time.NewTimer(patience)
	defer late.Stop()
	select {
	case t.taken <- struct{}{}:
		return true
	case <-late.C:
		t.refused.Store(int64(time.Since(t.began)))
	case <-ctx.Done():
	}
	return false
}

// A turn is one request's, while it is held.
type turn struct {
	of   *turns // nil: the request needs none
	held bool
}

func (t *turn) closed() bool { return t.of != nil && t.of.closed() }

func (t *turn) take(ctx context.Context) bool {
	t.held = t.of == nil || t.of.take(ctx)
	return t.held
}

func (t *turn) leave() {
	if t.of != nil && t.held {
		<-t.of.taken
	}
	t.held = false
}

type turnKey struct{}

// Resting waits without the turn of the context's request: who only waits for the
// work of others keeps nobody from being served. Afterwards it takes a turn again,
// or returns that the server is overloaded.
func Resting(ctx context.Context, wait func() error) error {
	own, ok := ctx.Value(turnKey{}).(*turn)
	if !ok {
		return wait()
	}
	own.leave()
	if err := wait(); err != nil {
		return err
	}
	if !own.take(ctx) {
		return overloaded()
	}
	return nil
}

// watchTurns shows how many requests of a kind are worked on and how many wait.
func watchTurns(registry prometheus.Registerer, kind string, t *turns) {
	labels := prometheus.Labels{"kind": kind}
	registry.MustRegister(
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "daybook_edge_requests_working", Help: "Requests that are worked on.", ConstLabels: labels,
		}, func() float64 { return float64(len(t.taken)) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "daybook_edge_requests_waiting", Help: "Requests that wait for their turn.", ConstLabels: labels,
		}, func() float64 { return float64(t.waiting.Load()) }),
	)
}

// watchProcess shows what the process itself uses: goroutines, descriptors, memory.
func watchProcess(registry prometheus.Registerer) {
	live := collectors.GoRuntimeMetricsRule{Matcher: regexp.MustCompile(`^/gc/heap/live:bytes$`)} // without what is garbage already
	registry.MustRegister(
		collectors.NewGoCollector(collectors.WithGoCollectorRuntimeMetrics(live)),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
}

// newOverloaded counts the requests that were turned away because of others.
func newOverloaded(registry prometheus.Registerer) *prometheus.CounterVec {
	counter := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "daybook_edge_requests_overloaded_total", Help: "Requests that were answered 503 overloaded.",
	}, []string{"kind"})
	registry.MustRegister(counter)
	return counter
}

package process

import (
	"math"
	"slices"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"daybook.example/domain/process"
)

// measure registers what operators watch. No label holds an ID. Only the process
// that runs the process managers counts anything.
func (r *Runtime) measure(registry prometheus.Registerer) {
	if registry == nil {
		return
	}
	gauge := func(name, help string, value func() float64) {
		var last atomic.Uint64
		registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "daybook_commands_process_" + name, Help: help}, func() float64 {
			if r.mu.TryLock() { // an append under way must not hold up those who measure
				defer r.mu.Unlock()
				last.Store(math.Float64bits(value()))
			}
			return math.Float64frombits(last.Load())
		}))
	}
	gauge("human_needed_instances", "Process instances that cannot go on without a person.", r.needy)
	gauge("due_deadlines", "Deadlines whose time has come and that are not recorded as reached.", r.overdue)
	gauge("oldest_command_seconds", "How long the oldest command that is not answered has been known here.", r.oldest)
}

func (r *Runtime) needy() (n float64) {
	for _, own := range r.instances {
		if own.Status() == process.NeedsHuman {
			n++
		}
	}
	return n
}

func (r *Runtime) overdue() (n float64) {
	now := r.options.Clock()
	for _, a := range r.due {
		if !a.at.After(now) && r.open(a) {
			n++
		}
	}
	return n
}

func (r *Runtime) oldest() float64 {
	var waits []time.Duration
	for _, p := range r.parcels {
		waits = append(waits, time.Since(p.since))
	}
	if len(waits) == 0 {
		return 0
	}
	return slices.Max(waits).Seconds()
}

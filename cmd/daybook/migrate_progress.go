package main

import (
	"fmt"
	"sync/atomic"
	"time"

	"github.com/vbauerster/mpb/v8/decor"

	"daybook.example/eventstore/migration"
)

const (
	lagEvery  = time.Minute // when there is no news
	megabytes = 1 << 20
)

// copyProgress shows how far a copy is, phase by phase.
type copyProgress struct {
	main  *Main
	phase migration.Phase
	began time.Time              // the phase
	first migration.Progress     // of the phase
	shown migration.Progress     // last, of a source that is followed
	last  time.Time              // when it was
	meter *meter                 // of the phase
	size  atomic.Pointer[string] // read by the bar whenever it is drawn
}

// show is told of every step.
func (c *copyProgress) show(p migration.Progress) {
	if p.Phase == migration.Copying && c.phase != migration.Checking && p.Events == p.Total {
		return // a look for more that found nothing
	}
	if p.Phase != c.phase && (p.Phase != migration.Copying || c.phase != migration.Following) {
		c.end()
		c.phase, c.began, c.first, c.last = p.Phase, time.Now(), p, time.Time{}
		c.meter = c.main.meter(string(p.Phase), decor.CountersNoUnit(" %d/%d"), decor.Any(c.bytes, decor.WCSyncSpace), decor.AverageSpeed(0, " %.0f/s"))
		c.meter.quiet = 0
	}
	switch {
	case c.phase == migration.Following:
		c.lag(p)
	case p.Phase == migration.Checking: // which has no end that is known
		c.meter.lines(func() string { return c.line(p) })
	default:
		size := fmt.Sprintf("%.1f/%.1f MB", float64(p.Bytes)/megabytes, float64(p.TotalBytes)/megabytes)
		c.size.Store(&size)
		c.meter.show(int64(p.Events), int64(p.Total), func() string { return c.line(p) })
	}
}

func (c *copyProgress) bytes(decor.Statistics) string { return *c.size.Load() }

// lag says how far the copy is behind a source that it follows.
func (c *copyProgress) lag(p migration.Progress) {
	news := p.Events != c.shown.Events && time.Since(c.last) >= linesEvery
	if !news && time.Since(c.last) < lagEvery {
		return
	}
	c.shown, c.last = p, time.Now()
	fmt.Fprintf(c.main.Stderr, "following: %d events copied, %d behind\n", p.Events, p.Total-min(p.Events, p.Total))
}

func (c *copyProgress) line(p migration.Progress) string {
	text := fmt.Sprintf("%s: %d events, %.1f MB", p.Phase, p.Events, float64(p.Bytes)/megabytes)
	if p.Phase != migration.Checking {
		text = fmt.Sprintf("%s: %d of %d events, %.1f of %.1f MB", p.Phase, p.Events, p.Total, float64(p.Bytes)/megabytes, float64(p.TotalBytes)/megabytes)
	}
	if done, took := float64(p.Events-c.first.Events), time.Since(c.began); done > 0 && took > 0 {
		rate := done / took.Seconds()
		text += fmt.Sprintf(", %.0f events/s", rate)
		if p.Total > p.Events {
			text += ", " + time.Duration(float64(p.Total-p.Events)/rate*float64(time.Second)).Round(time.Second).String() + " left"
		}
	}
	return text
}

// end finishes what is shown of a phase.
func (c *copyProgress) end() {
	if c.meter != nil {
		c.meter.end()
	}
}

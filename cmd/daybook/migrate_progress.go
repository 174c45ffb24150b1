package main

import (
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
	"golang.org/x/term"

	"daybook.example/eventstore/migration"
)

const (
	lagEvery  = time.Minute // when there is no news
	megabytes = 1 << 20
)

// copyProgress shows how far a copy is: a bar for each phase on a terminal, a
// plain line now and then elsewhere.
func (m *Main) copyProgress() *copyProgress {
	f, ok := m.Stderr.(*os.File)
	return &copyProgress{main: m, terminal: ok && term.IsTerminal(int(f.Fd()))}
}

type copyProgress struct {
	main     *Main
	terminal bool
	phase    migration.Phase
	began    time.Time          // the phase
	first    migration.Progress // of the phase
	shown    migration.Progress // last
	last     time.Time          // when it was
	bars     *mpb.Progress
	bar      *mpb.Bar
	size     atomic.Pointer[string] // read by the bar whenever it is drawn
}

// show is told of every step.
func (c *copyProgress) show(p migration.Progress) {
	if p.Phase == migration.Copying && c.phase != migration.Checking && p.Events == p.Total {
		return // a look for more that found nothing
	}
	if p.Phase != c.phase && (p.Phase != migration.Copying || c.phase != migration.Following) {
		c.end()
		c.phase, c.began, c.first, c.last = p.Phase, time.Now(), p, time.Time{}
	}
	switch {
	case c.phase == migration.Following:
		c.lag(p)
	case c.terminal && p.Phase != migration.Checking:
		c.draw(p)
	case time.Since(c.last) >= linesEvery:
		c.line(p)
	}
}

// lag says how far the copy is behind a source that it follows.
func (c *copyProgress) lag(p migration.Progress) {
	news := p.Events != c.shown.Events && time.Since(c.last) >= linesEvery
	if !news && time.Since(c.last) < lagEvery {
		return
	}
	c.shown, c.last = p, time.Now()
	fmt.Fprintf(c.main.Stderr, "following: %d events copied, %d behind\n", p.Events, p.Total-min(p.Events, p.Total))
}

func (c *copyProgress) line(p migration.Progress) {
	c.shown, c.last = p, time.Now()
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
	fmt.Fprintln(c.main.Stderr, text)
}

// draw moves the bar of the phase.
func (c *copyProgress) draw(p migration.Progress) {
	size := fmt.Sprintf("%.1f/%.1f MB", float64(p.Bytes)/megabytes, float64(p.TotalBytes)/megabytes)
	c.size.Store(&size)
	if c.bars == nil {
		c.bars = mpb.New(mpb.WithOutput(c.main.Stderr), mpb.WithWidth(48))
		c.bar = c.bars.AddBar(0,
			mpb.PrependDecorators(decor.Name(string(p.Phase)), decor.CountersNoUnit(" %d/%d")),
			mpb.AppendDecorators(
				decor.Any(func(decor.Statistics) string { return *c.size.Load() }, decor.WCSyncSpace),
				decor.AverageSpeed(0, " %.0f/s"), decor.AverageETA(decor.ET_STYLE_GO, decor.WCSyncSpace)))
	}
	c.bar.SetTotal(int64(p.Total), false)
	c.bar.SetCurrent(int64(p.Events))
}

// end finishes what is shown of a phase.
func (c *copyProgress) end() {
	if c.bars == nil {
		return
	}
	c.bar.Abort(false)
	c.bars.Wait()
	c.bars, c.bar = nil, nil
}

package main

import (
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
	"golang.org/x/term"
)

const (
	moment     = time.Second     // work that takes no longer shows nothing
	linesEvery = 2 * time.Second // where there is no bar
	mib        = 1 << 20
)

// A meter shows how far long work is: a bar on a terminal, elsewhere a plain line
// now and then.
type meter struct {
	out    io.Writer
	name   string
	count  decor.Decorator   // behind the name
	beside []decor.Decorator // behind the bar, before the time that is left
	quiet  time.Duration     // nothing is shown before
	begun  time.Time
	last   time.Time // when there was a line
	bars   *mpb.Progress
	bar    *mpb.Bar
}

func (m *Main) meter(name string, count decor.Decorator, beside ...decor.Decorator) *meter {
	return &meter{out: m.Stderr, name: name, count: count, beside: beside, quiet: moment, begun: time.Now()}
}

func (p *meter) terminal() bool {
	f, ok := p.out.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// show moves the bar, or says in a line how far the work is.
func (p *meter) show(done, total int64, line func() string) {
	switch {
	case time.Since(p.begun) < p.quiet:
	case p.terminal():
		p.draw(done, total)
	default:
		p.lines(line)
	}
}

// lines says it in lines, also on a terminal.
func (p *meter) lines(line func() string) {
	if time.Since(p.last) >= linesEvery {
		p.say(line())
	}
}

func (p *meter) say(line string) {
	p.last = time.Now()
	fmt.Fprintln(p.out, line)
}

func (p *meter) draw(done, total int64) {
	if p.bar == nil {
		beside := slices.Concat(p.beside, []decor.Decorator{decor.AverageETA(decor.ET_STYLE_GO, decor.WCSyncSpace)})
		p.bars = mpb.New(mpb.WithOutput(p.out), mpb.WithWidth(48))
		p.bar = p.bars.AddBar(0, mpb.PrependDecorators(decor.Name(p.name), p.count), mpb.AppendDecorators(beside...)) // the total may grow
	}
	p.bar.SetTotal(total, false)
	p.bar.SetCurrent(done)
}

// end leaves the bar as it is.
func (p *meter) end() {
	if p.bar != nil {
		p.bar.Abort(false)
		p.bars.Wait()
		p.bars, p.bar = nil, nil
	}
}

// progress shows how many of a number of things are done.
func (m *Main) progress(name string, total int) *progress {
	return &progress{meter: m.meter(name, decor.CountersNoUnit(" %d/%d"), decor.Percentage()), total: total}
}

type progress struct {
	*meter
	n, total int
}

func (p *progress) line() string { return fmt.Sprintf("%s: %d of %d", p.name, p.n, p.total) }

func (p *progress) step() {
	p.n++
	p.show(int64(p.n), int64(p.total), p.line)
}

func (p *progress) done() {
	if !p.terminal() {
		p.say(p.line())
	}
	p.end()
}

// bytes shows how far work is that is told in bytes. The caller calls end when it
// is over.
func (m *Main) bytes(name string) (tell func(done, total int64), end func()) {
	p := m.meter(name, decor.CountersKibiByte(" % .0f / % .0f"), decor.Percentage())
	return func(done, total int64) {
		p.show(done, total, func() string { return fmt.Sprintf("%s: %d of %d MiB", name, done/mib, total/mib) })
	}, p.end
}

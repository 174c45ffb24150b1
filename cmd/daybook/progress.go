package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
	"golang.org/x/term"
)

// A progress shows how far long work is: a bar on a terminal, elsewhere a plain
// line now and then.
type progress interface {
	step()
	done()
	abort()
}

func (m *Main) progress(name string, total int) progress {
	if f, ok := m.Stderr.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		bars := mpb.New(mpb.WithOutput(m.Stderr), mpb.WithWidth(48))
		return &barProgress{bars, bars.AddBar(int64(total),
			mpb.PrependDecorators(decor.Name(name), decor.CountersNoUnit(" %d/%d")),
			mpb.AppendDecorators(decor.Percentage(), decor.AverageETA(decor.ET_STYLE_GO, decor.WCSyncSpace)))}
	}
	return &lineProgress{out: m.Stderr, name: name, total: total, last: time.Now()}
}

type barProgress struct {
	bars *mpb.Progress
	bar  *mpb.Bar
}

func (p *barProgress) step()  { p.bar.Increment() }
func (p *barProgress) done()  { p.bars.Wait() }
func (p *barProgress) abort() { p.bar.Abort(false); p.bars.Wait() }

const linesEvery = 2 * time.Second

type lineProgress struct {
	out      io.Writer
	name     string
	n, total int
	last     time.Time
}

func (p *lineProgress) step() {
	p.n++
	if time.Since(p.last) >= linesEvery {
		p.last = time.Now()
		fmt.Fprintf(p.out, "%s: %d of %d\n", p.name, p.n, p.total)
	}
}

func (p *lineProgress) done()  { fmt.Fprintf(p.out, "%s: %d of %d\n", p.name, p.n, p.total) }
func (p *lineProgress) abort() {}

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

// bytes shows how far work is that is told in bytes, once it takes longer than a
// moment. The caller calls end when it is over.
func (m *Main) bytes(name string) (tell func(done, total int64), end func()) {
	p := &byteProgress{main: m, name: name, begun: time.Now()}
	return p.tell, p.end
}

const (
	moment = time.Second
	mib    = 1 << 20
)

type byteProgress struct {
	main  *Main
	name  string
	begun time.Time
	bars  *mpb.Progress
	bar   *mpb.Bar
	last  time.Time
}

func (p *byteProgress) tell(done, total int64) {
	if time.Since(p.begun) < moment {
		return
	}
	f, ok := p.main.Stderr.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		if time.Since(p.last) >= linesEvery {
			p.last = time.Now()
			fmt.Fprintf(p.main.Stderr, "%s: %d of %d MiB\n", p.name, done/mib, total/mib)
		}
		return
	}
	if p.bar == nil {
		p.bars = mpb.New(mpb.WithOutput(f), mpb.WithWidth(48))
		p.bar = p.bars.AddBar(total,
			mpb.PrependDecorators(decor.Name(p.name), decor.CountersKibiByte(" % .0f / % .0f")),
			mpb.AppendDecorators(decor.Percentage(), decor.AverageETA(decor.ET_STYLE_GO, decor.WCSyncSpace)))
	}
	p.bar.SetCurrent(done)
}

func (p *byteProgress) end() {
	if p.bar != nil {
		p.bar.Abort(false) // does nothing to one that is complete
		p.bars.Wait()
	}
}

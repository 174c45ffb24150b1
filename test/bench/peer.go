package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"time"
)

// A peer is the program of test/bench/peers: embedded NATS JetStream in a process
// of its own, for its server is none of this module's dependencies. A nil one
// takes part in nothing.
type peer struct {
	process *exec.Cmd
	in      io.WriteCloser
	answers *json.Decoder
}

func openPeer(ctx context.Context, binary string) (*peer, error) {
	if binary == "" {
		return nil, nil
	}
	p := &peer{process: exec.CommandContext(ctx, binary)}
	p.process.Stderr = os.Stderr
	in, err := p.process.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := p.process.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p.in, p.answers = in, json.NewDecoder(bufio.NewReader(out))
	return p, p.process.Start()
}

// close ends the peer's process, which removes its folder.
func (p *peer) close() error {
	if p == nil {
		return nil
	}
	return errors.Join(p.in.Close(), p.process.Wait())
}

// measured is the peer's answer, in nanoseconds.
type measured struct {
	Each []time.Duration `json:"each"`
	Wall time.Duration   `json:"wall"`
	CPU  time.Duration   `json:"cpu"`
	N    int             `json:"n"` // events
}

func (p *peer) ask(format string, a ...any) (m measured, err error) {
	if _, err := fmt.Fprintf(p.in, format+"\n", a...); err != nil {
		return m, err
	}
	return m, p.answers.Decode(&m)
}

// appends are the peer's side in a comparison, none without a peer.
func (p *peer) appends(name string, clients int, during time.Duration) []*side {
	if p == nil {
		return nil
	}
	return []*side{{name: name, run: func(context.Context) (round, error) {
		m, err := p.ask("append %d %s", clients, during)
		return round{each: m.Each, wall: m.Wall, cpu: m.CPU}, err
	}}}
}

// reads are the peer's sides for a stream of 100 events and for all its events,
// which it is given first.
func (p *peer) reads() (loads, everything []*side, err error) {
	if p == nil {
		return nil, nil, nil
	}
	if _, err := p.ask("append %d %s", 64, peerFor); err != nil {
		return nil, nil, err
	}
	load := &side{name: "stream of 100 events: NATS JetStream", events: perStream, run: func(context.Context) (round, error) {
		m, err := p.ask("load %d", 100)
		return round{each: m.Each, wall: sum(m.Each), cpu: m.CPU}, err
	}}
	// Its first load may write what lacks of the stream.
	if _, err := load.run(context.Background()); err != nil {
		return nil, nil, err
	}
	stored, err := p.ask("all")
	all := &side{name: fmt.Sprintf("all events (%d): NATS JetStream", stored.N), events: stored.N, run: func(context.Context) (round, error) {
		m, err := p.ask("all")
		return round{each: times{m.Wall}, wall: m.Wall, cpu: m.CPU}, err
	}}
	return []*side{load}, []*side{all}, err
}

func sum(all times) (total time.Duration) {
	for _, one := range all {
		total += one
	}
	return total
}

// Command bench prints the figures of the README, with the machine named:
//
//	go run ./test/bench -binary bin/daybook -data FOLDER
//
// Absolute times drift with the machine's other work. What a goal depends on is
// a ratio of two things measured side by side, in turns: the median of all
// pairs, with their range. A goal whose median is missed is marked so.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/pprof"
	"text/tabwriter"
	"time"

	"daybook.example/test/program"
)

func main() {
	binary := flag.String("binary", "bin/daybook", "the program")
	data := flag.String("data", "", "folder of the AdventureWorks CSV files; without it there is no import")
	peers := flag.String("peers", "", "the program of test/bench/peers; without it there is no NATS JetStream")
	pairs := flag.Int("pairs", 5, "how often two things are measured side by side")
	round := flag.Duration("round", 2*time.Second, "how long each of them")
	events := flag.Int("events", 1_000_000, "how many are in the log of the group large")
	held := flag.Duration("held", 5*time.Second, "how long a read model is held back at a time")
	rate := flag.Int("rate", 0, "the one rate of the groups visible and committed, a second: 100, 1000 or 5000; 0 = all")
	only := flag.String("only", "", "one group of figures, such as commands")
	profile := flag.String("profile", "", "file for a CPU profile of this process: of client, node and engine in the store groups")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	b := &bench{binary: *binary, data: *data, peers: *peers, only: *only, events: *events, pairs: *pairs, round: *round, rate: *rate, holdFor: *held}
	err := profiled(*profile, func() error { return b.run(ctx) })
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func profiled(file string, work func() error) (err error) {
	if file == "" {
		return work()
	}
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if err := pprof.StartCPUProfile(f); err != nil {
		return err
	}
	defer pprof.StopCPUProfile()
	return work()
}

type bench struct {
	binary, data, peers, only string
	pairs, events, rate       int
	round, holdFor            time.Duration
	table                     *tabwriter.Writer
}

func (b *bench) run(ctx context.Context) (err error) {
	if b.binary, err = filepath.Abs(b.binary); err != nil {
		return err
	}
	fmt.Println(machine())
	b.table = tabwriter.NewWriter(os.Stdout, 0, 4, 2, ' ', 0)
	for _, group := range []struct {
		name string
		of   func(context.Context) error
	}{
		{"start", b.starts}, {"idle", b.idle}, {"import", b.imports}, {"commands", b.commands}, {"visible", b.visible},
		{"appends", b.appends}, {"hundreds", b.hundreds}, {"alone", b.alone}, {"filling", b.filling}, {"bytes", b.bytes}, {"reads", b.reads},
		{"catchup", b.catchingUp}, {"committed", b.commits}, {"projected", b.projects}, {"rebuild", b.rebuilds}, {"lookup", b.lookups}, {"held", b.held}, {"large", b.large},
	} {
		if b.only != "" && b.only != group.name {
			continue
		}
		b.row("\n"+group.name, "", "")
		failed := group.of(ctx)
		if err := errors.Join(failed, b.table.Flush()); err != nil {
			return fmt.Errorf("%s: %w", group.name, err)
		}
	}
	return nil
}

// row prints one figure and, where there is one, its aim.
func (b *bench) row(figure, measured, aim string) {
	if aim != "" {
		aim = "aim " + aim
	}
	fmt.Fprintf(b.table, "%s\t%s\t%s\n", figure, measured, aim)
}

// on runs work with the program on a folder of its own, which goes afterwards.
func (b *bench) on(ctx context.Context, work func(dir string, p *program.Process) error, args ...string) (err error) {
	dir, err := os.MkdirTemp("", "daybook-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	p, err := program.Start(ctx, program.Options{Binary: b.binary, Dir: dir, Args: args, Live: args != nil})
	if err != nil {
		return err
	}
	defer func() {
		_, stopped := p.Stop(20 * time.Second)
		err = errors.Join(err, stopped, p.DropCluster())
	}()
	return work(dir, p)
}

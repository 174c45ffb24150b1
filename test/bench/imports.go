package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"time"

	"daybook.example/test/program"
)

// imports measures an import into a running server until all read models have
// it, as the verb itself waits, and then their cold rebuild.
func (b *bench) imports(ctx context.Context) error {
	if b.data == "" {
		b.row("skipped", "no folder was given with -data", "")
		return nil
	}
	return b.on(ctx, func(dir string, p *program.Process) error {
		began := time.Now()
		verb := exec.CommandContext(ctx, b.binary, "import", "adventureworks", b.data, "--dir", dir)
		if printed, err := verb.CombinedOutput(); err != nil {
			return fmt.Errorf("%w\n%s", err, printed)
		}
		took, peak := time.Since(began), memory(p.PID(), "VmHWM")
		events, err := p.Client().Events(ctx)
		if err != nil {
			return err
		}
		b.atMost("AdventureWorks, into a running server: s", []float64{took.Seconds()}, "%.1f", 30)
		b.row("that is", fmt.Sprintf("%d events, %.0f events/s", len(events), float64(len(events))/took.Seconds()), "")
		b.atMost("peak memory of the server meanwhile: MiB", []float64{float64(peak)}, "%.0f", 300)
		return b.rebuild(ctx, dir, p, len(events))
	})
}

// rebuild measures from the launch on the same log, but without any Postgres
// cluster, until every read model has passed the head.
func (b *bench) rebuild(ctx context.Context, dir string, p *program.Process, events int) error {
	if _, err := p.Stop(20 * time.Second); err != nil {
		return err
	}
	if err := p.DropCluster(); err != nil {
		return err
	}
	again, err := program.Start(ctx, program.Options{Binary: b.binary, Dir: dir})
	if err != nil {
		return err
	}
	defer func() {
		if _, err := again.Stop(20 * time.Second); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
	}()
	ready := time.Now()
	if err := again.Client().CaughtUp(ctx); err != nil {
		return err
	}
	total := again.Took + time.Since(ready)
	b.atMost("cold rebuild of that, with start and a new Postgres: s", []float64{total.Seconds()}, "%.1f", 10)
	b.row("that is", fmt.Sprintf("%.0f events/s", float64(events)/total.Seconds()), "")
	return nil
}

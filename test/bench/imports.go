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
		b.row("AdventureWorks, into a running server", fmt.Sprintf("%.1f s, %d events, %.0f events/s", took.Seconds(), len(events), float64(len(events))/took.Seconds()), "30 s")
		b.row("peak memory of the server meanwhile", fmt.Sprintf("%d MiB", peak), "300 MiB")
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
	b.row("cold rebuild of that, with start and a new Postgres", fmt.Sprintf("%.1f s, %.0f events/s", total.Seconds(), float64(events)/total.Seconds()), "10 s")
	return nil
}

package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"daybook.example/test/program"
)

const starts = 3

// starts measures from the launch of the built binary until it says that it is
// ready: on an empty folder, where it makes its Postgres first, and on that again.
func (b *bench) starts(ctx context.Context) error {
	var first, later times
	for range starts {
		err := b.on(ctx, func(dir string, p *program.Process) error {
			first = append(first, p.Took)
			if _, err := p.Stop(20 * time.Second); err != nil {
				return err
			}
			again, err := program.Start(ctx, program.Options{Binary: b.binary, Dir: dir})
			if err != nil {
				return err
			}
			later = append(later, again.Took)
			_, err = again.Stop(20 * time.Second)
			return err
		})
		if err != nil {
			return err
		}
	}
	b.row("built binary to ready, empty folder", fmt.Sprintf("%s (median of %d)", short(first.percentile(0.5)), starts), "5 s")
	b.row("the same, later starts", short(later.percentile(0.5)), "")
	return nil
}

const idleFor = 10 * time.Second

// idle measures a server to which nobody comes.
func (b *bench) idle(ctx context.Context) error {
	return b.on(ctx, func(_ string, p *program.Process) error {
		if err := sleep(ctx, 3*time.Second); err != nil {
			return err
		}
		before := cpuOf(p.PID())
		if err := sleep(ctx, idleFor); err != nil {
			return err
		}
		used := cpuOf(p.PID()) - before
		b.row("resident memory of the process", fmt.Sprintf("%d MiB", memory(p.PID(), "VmRSS")), "128 MiB")
		b.row("CPU over "+idleFor.String(), fmt.Sprintf("%.1f %% of one core", 100*used.Seconds()/idleFor.Seconds()), "1 %")
		return nil
	})
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return errors.New("interrupted")
	case <-time.After(d):
		return nil
	}
}

package main

import (
	"context"
	"errors"
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
	b.atMost("built binary to ready, empty folder: s", first.seconds(), "%.2f", 5)
	b.row("the same, later starts: s", spread(later.seconds(), "%.2f"), "")
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
		b.atMost("resident memory of the process: MiB (P14)", []float64{float64(memory(p.PID(), "VmRSS"))}, "%.0f", 128)
		b.atMost("CPU over "+idleFor.String()+": % of one core (P14)", []float64{100 * used.Seconds() / idleFor.Seconds()}, "%.1f", 1)
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

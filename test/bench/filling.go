package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"

	"daybook.example/eventstore/log"
)

const (
	fillingSegment = 32 << 20 // small enough for several in a round
	fillingLook    = time.Millisecond
	fillingLeast   = 100 // appends of each kind that a round needs to count
)

// filling compares the times of appends while the log makes its next segment with
// those while it rests, in the same rounds.
func (b *bench) filling(ctx context.Context) error {
	for _, load := range []struct{ clients, events int }{{64, 1}, {16, 100}} {
		if err := b.fillingBeside(ctx, load.clients, load.events); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) fillingBeside(ctx context.Context, clients, events int) (err error) {
	folder, err := os.MkdirTemp("", "daybook-filling-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	l, err := log.Open(log.Options{Dir: folder, SegmentFirst: fillingSegment, SegmentMax: fillingSegment})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	one := (&store{log: l}).engine(events)
	var beside, alone times
	var slower, share []float64
	for range b.pairs {
		r, err := b.besideFiller(ctx, folder, clients, one)
		if err != nil {
			return err
		}
		beside, alone = append(beside, r.beside...), append(alone, r.alone...)
		if min(len(r.beside), len(r.alone)) >= fillingLeast {
			slower = append(slower, float64(r.beside.percentile(0.99))/float64(r.alone.percentile(0.99)))
			share = append(share, 100*float64(len(r.beside))/float64(len(r.beside)+len(r.alone)))
		}
	}
	what := fmt.Sprintf("appends of %d, %d at once", events, clients)
	b.row(what+", while the next segment is filled", beside.String(), "")
	b.row(what+", while none is", alone.String(), "")
	if len(slower) > 0 {
		b.row("p99 of the one / of the other; % of appends beside", spread(slower, "%.2f")+"; "+spread(share, "%.0f"), "")
	}
	return nil
}

// What appends took, beside the making of a segment and alone.
type besideFiller struct{ beside, alone times }

// besideFiller appends for a round. What begins and ends otherwise counts as neither.
func (b *bench) besideFiller(ctx context.Context, folder string, clients int, one func(context.Context, int) error) (r besideFiller, err error) {
	var filled atomic.Bool
	looking, stop := context.WithCancel(ctx)
	defer stop()
	go func() {
		for sleep(looking, fillingLook) == nil {
			made, _ := filepath.Glob(filepath.Join(folder, "*.seg.tmp"))
			filled.Store(len(made) > 0)
		}
	}()
	each := make([]besideFiller, clients)
	_, err = drive(ctx, clients, b.round, ownCPU, func(ctx context.Context, client int) error {
		before, begun := filled.Load(), time.Now()
		err := one(ctx, client)
		switch took, mine := time.Since(begun), &each[client]; {
		case filled.Load() != before:
		case before:
			mine.beside = append(mine.beside, took)
		default:
			mine.alone = append(mine.alone, took)
		}
		return err
	})
	for _, mine := range each {
		r.beside, r.alone = slices.Concat(r.beside, mine.beside), slices.Concat(r.alone, mine.alone)
	}
	return r, err
}

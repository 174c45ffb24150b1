package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"daybook.example/eventstore"
	"daybook.example/test/program"
)

const (
	perAppend     = 50 // events of a stream, appended at once
	loaders       = 16
	stopMax       = 2 * time.Minute
	residentMax   = 512 // MB
	cleanStartMax = 2   // s
	rebuildMax    = 60  // s
)

// large measures the built program with many events in its log: its memory while
// they are loaded and read, and its starts with and without the index. Files are
// read from the page cache as far as the machine's memory goes.
func (b *bench) large(ctx context.Context) (err error) {
	dir, err := os.MkdirTemp("", "daybook-bench-")
	if err != nil {
		return err
	}
	var last *program.Process // its Postgres stays for the next, so that no start makes one
	defer func() {
		if last != nil {
			err = errors.Join(err, last.DropCluster())
		}
		err = errors.Join(err, os.RemoveAll(dir))
	}()
	if err := b.once(ctx, dir, func(p *program.Process) error { last = p; return b.loadAndRead(ctx, dir, p) }); err != nil {
		return err
	}
	var clean, rebuilt, resident, peak []float64
	for range starts {
		if err := b.once(ctx, dir, func(p *program.Process) error {
			clean, resident = append(clean, p.Took.Seconds()), append(resident, megabytes(p, "VmRSS"))
			return nil
		}); err != nil {
			return err
		}
		if err := os.Remove(filepath.Join(dir, "log", "index.snapshot")); err != nil {
			return err
		}
		if err := b.once(ctx, dir, func(p *program.Process) error {
			rebuilt, peak = append(rebuilt, p.Took.Seconds()), append(peak, megabytes(p, "VmHWM"))
			return nil
		}); err != nil {
			return err
		}
	}
	b.atMost("launch to live, after a clean stop: s", clean, "%.2f", cleanStartMax)
	b.row("resident memory then: MB", spread(resident, "%.0f"), "")
	b.atMost("launch to live, the index gone: s", rebuilt, "%.2f", rebuildMax)
	b.atMost("peak of resident memory meanwhile: MB", peak, "%.0f", residentMax)
	return nil
}

// once runs the program on a folder that stays, without projectors.
func (b *bench) once(ctx context.Context, dir string, work func(*program.Process) error) error {
	p, err := program.Start(ctx, program.Options{Binary: b.binary, Dir: dir, Args: []string{"--roles", "node,api"}, Live: true})
	if err != nil {
		return err
	}
	err = work(p)
	_, stopped := p.Stop(stopMax)
	return errors.Join(err, stopped)
}

func (b *bench) loadAndRead(ctx context.Context, dir string, p *program.Process) error {
	socket := filepath.Join(dir, "node.sock")
	began := time.Now()
	if err := load(ctx, socket, b.events); err != nil {
		return err
	}
	took := time.Since(began).Seconds()
	b.row(fmt.Sprintf("%d events loaded, %d an append", b.events, perAppend), fmt.Sprintf("%.1f s, %.0f events/s", took, float64(b.events)/took), "")
	b.atMost("peak of resident memory meanwhile: MB", []float64{megabytes(p, "VmHWM")}, "%.0f", residentMax)
	store, err := eventstore.Connect(eventstore.Options{Socket: socket})
	if err != nil {
		return err
	}
	defer store.Close(ctx)
	began = time.Now()
	if _, err := catchUp(ctx, store, b.events); err != nil {
		return err
	}
	took = time.Since(began).Seconds()
	b.row("all read, by the official client", fmt.Sprintf("%.1f s, %.0f events/s", took, float64(b.events)/took), "")
	b.atMost("peak of resident memory so far: MB", []float64{megabytes(p, "VmHWM")}, "%.0f", residentMax)
	size, err := folderBytes(filepath.Join(dir, "log"))
	b.row("the log's folder, with segments made ahead: MB", fmt.Sprintf("%.0f", float64(size)/1e6), "")
	return err
}

// load appends so many events to new streams, over one call of BatchAppend.
func load(ctx context.Context, socket string, events int) (err error) {
	to, err := openBatches(ctx, socket)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, to.close()) }()
	var next atomic.Int64
	all, ctx := errgroup.WithContext(ctx)
	for range loaders {
		all.Go(func() error {
			for {
				n := next.Add(1)
				if n > int64(events/perAppend) {
					return nil
				}
				if err := to.append(ctx, fmt.Sprintf("bench-%d", n), -1, perAppend); err != nil {
					return err
				}
			}
		})
	}
	return all.Wait()
}

func megabytes(p *program.Process, name string) float64 {
	return float64(kibibytes(fmt.Sprintf("/proc/%d/status", p.PID()), name)) * 1024 / 1e6
}

func folderBytes(folder string) (bytes int64, err error) {
	entries, err := os.ReadDir(folder)
	for _, entry := range entries {
		info, err := entry.Info()
		if err != nil {
			return bytes, err
		}
		bytes += info.Size()
	}
	return bytes, err
}

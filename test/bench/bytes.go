package main

import (
	"context"
	"fmt"
	"path/filepath"

	"github.com/google/uuid"

	"daybook.example/eventstore/log"
)

// bytes tells what an event takes on the disk when it was appended alone by one
// of 64 writers, and when a hundred were at once (P15).
func (b *bench) bytes(ctx context.Context) error {
	for _, events := range []int{1, perStream} {
		if err := b.bytesOf(ctx, events); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) bytesOf(ctx context.Context, events int) error {
	return b.withStore(ctx, func(s *store, raw *database, _ *peer) error {
		insert := raw.insert
		if events > 1 {
			insert = raw.insertMany
		}
		for _, fill := range []func(context.Context, int) error{s.engine(events), insert} {
			if _, err := drive(ctx, 64, b.round/2, ownCPU, fill); err != nil {
				return err
			}
		}
		inPostgres, err := raw.bytes(ctx)
		if err != nil {
			return err
		}
		if err := s.shut(); err != nil {
			return err
		}
		info, err := log.Inspect(ctx, filepath.Join(s.folder, "log"), nil)
		if err != nil {
			return err
		}
		own := float64(len(eventData) + len(eventMetadata) + len(eventType) + len(uuid.UUID{}) + len(s.writers[0].stream))
		stored := float64(info.Events)
		groups, index := float64(info.Bytes)/stored, float64(info.Snapshot.Bytes)/stored
		at := fmt.Sprintf("%d an append, 64 at once: ", events)
		b.row(at+"an event's own bytes", fmt.Sprintf("%.0f (data, metadata, type, ID, name of the stream)", own), "")
		b.row(at+"in the log; in its index", fmt.Sprintf("%.0f; %.0f", groups, index), "")
		b.atMost(at+"log and index / own (P15)", []float64{(groups + index) / own}, "%.2f", 1.3)
		b.row(at+"in Postgres, without its WAL", fmt.Sprintf("%.0f", float64(inPostgres)/float64(raw.stored.Load())), "")
		return nil
	})
}

package log

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/google/uuid"
)

// RestoreOptions of Restore. From and To are required.
type RestoreOptions struct {
	From     string    // the backup
	To       string    // the log's folder: missing or empty
	LogID    uuid.UUID // of the log that is expected; zero takes any
	NewID    uuid.UUID // gives the log another ID, for one that lost what came after; zero keeps its own
	First    []Append  // what is appended before anybody else can
	Logger   *slog.Logger
	Progress func(done, total int64)
}

// A restorer copies a backup to where a log is to be.
type restorer struct {
	RestoreOptions
	manifest Manifest
	stage    string // where it comes about, beside To
	gauge
}

// Restore makes a log of a backup, every byte of which is held against the
// manifest and its checksums. To comes about whole or not at all.
func Restore(ctx context.Context, o RestoreOptions) (Manifest, error) {
	r := &restorer{RestoreOptions: o, stage: filepath.Clean(o.To) + ".restoring", gauge: gauge{tell: o.Progress}}
	if err := r.prepare(); err != nil {
		return r.manifest, err
	}
	if err := r.copy(ctx); err != nil {
		return r.manifest, errors.Join(err, os.RemoveAll(r.stage))
	}
	return r.manifest, r.move()
}

func (r *restorer) prepare() (err error) {
	if r.manifest, err = ReadManifest(r.From); err != nil {
		return err
	}
	if r.LogID != uuid.Nil && r.LogID != r.manifest.LogID {
		return fmt.Errorf("%w: %s is a backup of log %s, not of %s", ErrOtherLog, r.From, r.manifest.LogID, r.LogID)
	}
	entries, err := os.ReadDir(r.To)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if len(entries) > 0 {
		return fmt.Errorf("%s is %w", r.To, ErrNotEmpty)
	}
	for _, f := range r.manifest.Files {
		r.total += f.Size
	}
	if err := os.RemoveAll(r.stage); err != nil { // of a restore that was interrupted
		return err
	}
	return os.MkdirAll(r.stage, 0o700)
}

func (r *restorer) copy(ctx context.Context) error {
	base := uint64(0)
	for _, f := range r.manifest.Files {
		if err := r.file(ctx, base, f); err != nil {
			return err
		}
		base += uint64(f.Size)
	}
	if err := replaceFile(filepath.Join(r.stage, markName), newMark(r.id(), r.manifest.End)); err != nil {
		return err
	}
	return r.begin(ctx)
}

func (r *restorer) id() uuid.UUID {
	if r.NewID != uuid.Nil {
		return r.NewID
	}
	return r.manifest.LogID
}

// begin appends what must come first.
func (r *restorer) begin(ctx context.Context) error {
	if len(r.First) == 0 {
		return nil
	}
	l, err := Open(Options{Dir: r.stage, Logger: r.Logger})
	if err != nil {
		return err
	}
	for _, a := range r.First {
		if _, err := l.Append(ctx, a); err != nil {
			return errors.Join(fmt.Errorf("append to %s: %w", a.Stream, err), l.Close())
		}
	}
	return l.Close()
}

// move gives the log its name.
func (r *restorer) move() error {
	if err := os.Remove(r.To); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.Rename(r.stage, r.To); err != nil {
		return err
	}
	return localDisk{}.syncFolder(filepath.Dir(filepath.Clean(r.To)))
}

// altered says that a file is not the one that was backed up.
func altered(f BackupFile, reason string, a ...any) error {
	return fmt.Errorf("%w: %s is not as it was backed up: %s", ErrAltered, f.Name, fmt.Sprintf(reason, a...))
}

// file copies one segment.
func (r *restorer) file(ctx context.Context, base uint64, f BackupFile) error {
	s, err := openSegmentFile(r.From, base)
	if s == nil {
		if errors.Is(err, fs.ErrNotExist) {
			return altered(f, "it is missing")
		}
		return err
	}
	defer s.file.Close()
	var damaged *Damaged
	switch {
	case errors.As(err, &damaged):
		return altered(f, "%s", damaged.Reason)
	case err != nil:
		return err
	case s.size != f.Size || s.logID != r.manifest.LogID:
		return altered(f, "it is a segment of log %s with %d bytes", s.logID, s.size)
	}
	out, err := os.OpenFile(filepath.Join(r.stage, f.Name), os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	d := &draw{restorer: r, ctx: ctx, from: s, file: f, out: out, sum: sha256.New()}
	return errors.Join(d.run(), out.Sync(), out.Close())
}

// A draw copies one segment out of a backup.
type draw struct {
	*restorer
	ctx   context.Context
	from  *segmentFile
	file  BackupFile
	out   *os.File
	sum   hash.Hash
	found segmentFooter
}

func (d *draw) run() error {
	s := d.from
	d.sum.Write(s.page())
	header := s.segmentHeader
	header.logID = d.id()
	if _, err := d.out.Write(header.page()); err != nil {
		return err
	}
	d.found = segmentFooter{base: s.base, end: s.first()}
	end := s.base + uint64(d.file.Bytes)
	for d.found.end < end {
		g, ok, err := s.group(d.found.end)
		if err = errors.Join(err, d.ctx.Err()); err != nil {
			return err
		}
		if !ok || g.at+uint64(g.length) > end {
			return altered(d.file, "the group at byte %d does not check", d.found.end-s.base)
		}
		d.sum.Write(g.bytes)
		d.found.sum(g)
		if _, err := d.out.Write(g.bytes); err != nil {
			return err
		}
		d.at(d.done + int64(g.length))
	}
	if d.found.events != d.file.Events {
		return altered(d.file, "it has %d events, and had %d", d.found.events, d.file.Events)
	}
	return d.fill()
}

// fill adds what stands behind the last group: zeros, really written, and the footer.
func (d *draw) fill() error {
	s := d.from
	chunk := make([]byte, fillChunk)
	for left := int64(s.limit() - d.found.end); left > 0; {
		n := min(left, fillChunk)
		if _, err := d.out.Write(chunk[:n]); err != nil {
			return err
		}
		left -= n
		d.at(d.done + n)
	}
	page := chunk[:pageSize]
	if d.file.Sealed {
		footer, sealed, err := s.footer()
		if err != nil || !sealed || !footer.agrees(d.found) {
			return altered(d.file, "its footer does not sum up its groups")
		}
		page = footer.page()
		writeZeros(d.sum, s.limit()-d.found.end)
		d.sum.Write(page)
	}
	if _, err := d.out.Write(page); err != nil {
		return err
	}
	if sum := hex.EncodeToString(d.sum.Sum(nil)); sum != d.file.SHA256 {
		return altered(d.file, "its SHA-256 is %s, and was %s", sum, d.file.SHA256)
	}
	return nil
}

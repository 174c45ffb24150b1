package log

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/uuid"
)

// Errors of a backup that must not go where it was sent, or is not what was sent.
var (
	ErrOtherLog  = errors.New("another log")
	ErrNotEmpty  = errors.New("not empty")
	ErrAltered   = errors.New("backup altered")
	ErrDifferent = errors.New("log and backup have different histories")
)

// BackupOptions of Backup. Dir and To are required.
type BackupOptions struct {
	Dir      string           // the log; a process may have it open
	To       string           // made if there is none; one with an older backup of the log is brought up to date
	Now      func() time.Time // time.Now by default
	Progress func(done, total int64)
}

// A copier copies a log, group by group.
type copier struct {
	BackupOptions
	before Manifest // of the backup that is brought up to date
	made   Manifest
	mark   markState
	copied int64
	passed int64 // bytes of the segments that are done
	total  int64
}

// Backup copies the log up to its last durable group, every byte checked, and
// tells how many bytes that took. The copy is a log as Open likes it. Of a backup
// that is already there, all that its manifest describes stays as it is: if this
// one is interrupted, that one can still be restored.
func Backup(ctx context.Context, o BackupOptions) (m Manifest, copied int64, err error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	c := &copier{BackupOptions: o}
	if err := c.prepare(); err != nil {
		return m, 0, err
	}
	c.made = Manifest{Format: manifestFormat, LogFormat: formatVersion}
	for base, more := uint64(0), true; more; {
		if base, more, err = c.segment(ctx, base); err != nil {
			return m, c.copied, err
		}
	}
	return c.made, c.copied, c.finish()
}

// prepare looks at the folder before anything is written to it.
func (c *copier) prepare() error {
	bases, err := segmentNames(c.Dir)
	if err == nil && len(bases) == 0 {
		err = fmt.Errorf("%s holds no segment of a log: %w", c.Dir, fs.ErrNotExist)
	}
	if err == nil {
		c.mark, err = readMark(c.Dir)
	}
	if err == nil {
		err = os.MkdirAll(c.To, 0o700)
	}
	if err == nil {
		err = ours(c.To)
	}
	if err != nil {
		return err
	}
	for _, base := range bases {
		if info, err := os.Stat(filepath.Join(c.Dir, segmentName(base))); err == nil {
			c.total += info.Size()
		}
	}
	if c.before, err = ReadManifest(c.To); errors.Is(err, ErrNoBackup) {
		return c.unfinished()
	}
	return err
}

// unfinished lets a backup begin again that was interrupted before it had a
// manifest, but not one of another log.
func (c *copier) unfinished() error {
	there, err := openSegmentFile(c.To, 0)
	if there == nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	}
	defer there.file.Close()
	return c.same(there.logID) // none where it was cut off at once
}

func (c *copier) same(id uuid.UUID) error {
	own, err := openSegmentFile(c.Dir, 0)
	if err != nil {
		return err
	}
	defer own.file.Close()
	if id != uuid.Nil && id != own.logID {
		return fmt.Errorf("%w: %s holds a backup of log %s, and this is log %s", ErrOtherLog, c.To, id, own.logID)
	}
	return nil
}

func different(format string, a ...any) error {
	return fmt.Errorf("%w: %s", ErrDifferent, fmt.Sprintf(format, a...))
}

// segment copies what is new of the segment at base.
func (c *copier) segment(ctx context.Context, base uint64) (next uint64, more bool, err error) {
	s, err := openSegmentFile(c.Dir, base)
	if err != nil {
		if s != nil {
			s.file.Close()
		}
		return 0, false, err
	}
	defer s.file.Close()
	if base == 0 {
		c.made.LogID = s.logID
		if c.before.LogID != uuid.Nil && c.before.LogID != s.logID {
			return 0, false, c.same(c.before.LogID)
		}
	}
	if s.logID != c.made.LogID {
		return 0, false, s.damaged(base, "the segment belongs to another log")
	}
	f, last, err := c.file(ctx, s)
	if err != nil {
		return 0, false, err
	}
	c.made.Files = append(c.made.Files, f)
	c.made.Events += f.Events
	c.made.End = base + uint64(f.Bytes)
	if last.Head != 0 {
		c.made.Head = last.Head
	}
	if last.LastEventID != uuid.Nil {
		c.made.LastEventID = last.LastEventID
	}
	c.passed += s.size
	c.progress(0)
	return s.next(), f.Sealed, nil
}

// file is one segment of the backup, copied unless it is there, with the last
// events that are known of it.
func (c *copier) file(ctx context.Context, s *segmentFile) (BackupFile, Manifest, error) {
	var before BackupFile
	if n := len(c.made.Files); n < len(c.before.Files) {
		before = c.before.Files[n]
	}
	if before.Sealed {
		return c.keep(s, before)
	}
	path := filepath.Join(c.To, segmentName(s.base))
	out, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return BackupFile{}, Manifest{}, err
	}
	p := &pour{copier: c, from: s, out: out, sum: sha256.New(), before: before, known: s.base + uint64(before.Bytes), kept: s.base}
	if sum, err := hashOf(out, before.Bytes); err == nil && sum == before.SHA256 {
		p.kept = p.known
	}
	f, err := p.run(ctx)
	return f, p.last, errors.Join(err, out.Close())
}

// hashOf is the sum of a file's first n bytes.
func hashOf(f *os.File, n int64) (string, error) {
	sum := sha256.New()
	_, err := io.CopyN(sum, io.NewSectionReader(f, 0, n), n)
	return hex.EncodeToString(sum.Sum(nil)), err
}

// keep leaves a sealed segment of the backup as it is, if it is the log's.
func (c *copier) keep(s *segmentFile, before BackupFile) (BackupFile, Manifest, error) {
	own, sealed, err := s.footer()
	if err != nil {
		return before, Manifest{}, err
	}
	there, err := openSegmentFile(c.To, s.base)
	if there != nil {
		defer there.file.Close()
	}
	if err != nil {
		return before, Manifest{}, fmt.Errorf("the backup is damaged, make a new one in an empty folder: %w", err)
	}
	other, _, err := there.footer()
	if err != nil || !sealed || own != other || there.segmentHeader != s.segmentHeader {
		return before, Manifest{}, errors.Join(err, different("segment %s is not the one that was backed up", before.Name))
	}
	// The last event of ours stands in this segment, in one before, or in a later
	// one that is copied, and found there again.
	return before, Manifest{Head: own.last, LastEventID: c.before.LastEventID}, nil
}

// finish makes the copy a log with a mark, and then a backup.
func (c *copier) finish() error {
	if err := replaceFile(filepath.Join(c.To, markName), newMark(c.made.LogID, c.made.End)); err != nil {
		return err
	}
	c.made.TakenAt = c.Now().UTC().Truncate(time.Second)
	return c.made.write(c.To)
}

func (c *copier) progress(here int64) {
	if c.Progress != nil {
		c.Progress(min(c.passed+here, c.total), c.total)
	}
}

// A pour copies one segment, from where the backup before ended.
type pour struct {
	*copier
	from   *segmentFile
	out    *os.File
	sum    hash.Hash
	found  segmentFooter
	before BackupFile
	known  uint64 // where the backup before ended
	kept   uint64 // what stands before it is there already
	last   Manifest
}

func (p *pour) run(ctx context.Context) (f BackupFile, err error) {
	s := p.from
	page := make([]byte, pageSize)
	if _, err := s.file.ReadAt(page, 0); err != nil {
		return f, err
	}
	if err := p.put(page, s.base); err != nil {
		return f, err
	}
	p.found = segmentFooter{base: s.base, end: s.first()}
	if err := p.compare(); err != nil {
		return f, err
	}
	for at, done := s.first(), false; !done; {
		if at, err = s.walk(at, func(g group) error { return errors.Join(ctx.Err(), p.group(g)) }); err != nil {
			return f, err
		}
		if done, err = p.ended(at); err != nil {
			return f, err
		}
	}
	if p.found.end < p.known {
		return f, different("the log ends at position %d, the backup at %d", p.found.end, p.known)
	}
	return p.close()
}

// put copies bytes that belong at a position, unless they are there.
func (p *pour) put(b []byte, at uint64) error {
	p.sum.Write(b)
	if at < p.kept {
		return nil
	}
	p.copied += int64(len(b))
	_, err := p.out.WriteAt(b, int64(at-p.from.base))
	return err
}

func (p *pour) group(g group) error {
	if g.at < p.known && g.at+uint64(g.length) > p.known {
		return different("a group of the log begins before position %d, where the backup ends, and ends behind it", p.known)
	}
	if err := p.put(g.bytes, g.at); err != nil {
		return err
	}
	p.found.sum(g)
	for _, v := range g.views {
		if p.last.Head = v.at; !strings.HasPrefix(string(v.stream), "$") && !strings.HasPrefix(string(v.kind), "$") {
			p.last.LastEventID = v.id
		}
	}
	p.progress(int64(p.found.end - p.from.base))
	return p.compare()
}

// compare makes sure that the log still begins as the backup does.
func (p *pour) compare() error {
	if p.found.end == p.known && hex.EncodeToString(p.sum.Sum(nil)) != p.before.SHA256 {
		return different("up to position %d the log has other bytes than the backup", p.known)
	}
	return nil
}

// ended judges the place where groups check no longer: more may have come, the
// segment may be sealed, or it is the log's end.
func (p *pour) ended(at uint64) (done bool, err error) {
	s := p.from
	s.forget()
	footer, sealed, err := s.footer()
	if err != nil {
		return false, err
	}
	_, more, err := s.group(at)
	switch {
	case err != nil:
		return false, err
	case sealed && at == footer.end && footer.agrees(p.found):
		return true, nil
	case sealed && at >= footer.end:
		return false, s.damaged(s.limit(), "the segment's groups are not those that its footer sums up")
	case more && (sealed || at < p.mark.Durable):
		return false, nil
	case sealed:
		return false, s.damaged(at, "the group does not check")
	case at < p.mark.Durable && p.mark.LogID == s.logID:
		return false, s.damaged(at, fmt.Sprintf("the log ends here, but was durable up to position %d", p.mark.Durable))
	case more: // it is being written faster than it is copied; this is a good end
		return true, nil
	}
	return p.tail(at)
}

// tail tells the log's end from a group that is damaged. Both look the same
// while one is being written, but then the mark moves.
func (p *pour) tail(at uint64) (done bool, err error) {
	rest, err := p.from.tail(at)
	if err != nil {
		return false, err
	}
	goesOn, err := usedSegment(p.Dir, p.from.next())
	if err != nil {
		return false, err
	}
	if goesOn {
		if _, sealed, err := p.from.footer(); err != nil || sealed { // just now
			return false, err
		}
		return false, p.from.damaged(p.from.limit(), "the segment is not sealed, but the one after it is used")
	}
	if rest == nil {
		return true, nil
	}
	if grown, err := p.from.settles(at); grown || err != nil {
		return true, err
	}
	now, err := readMark(p.Dir)
	if err != nil || now.Sequence != p.mark.Sequence {
		return true, err
	}
	if reason := inspectTail(rest, at); reason != "" {
		return false, p.from.damaged(at, reason)
	}
	return true, nil
}

// close completes the file: zeros behind the last group, and the footer.
func (p *pour) close() (f BackupFile, err error) {
	s, end := p.from, p.found.end
	footer, sealed, err := s.footer()
	if err != nil {
		return f, err
	}
	sealed = sealed && footer.agrees(p.found)
	f = BackupFile{Name: segmentName(s.base), Size: s.size, Bytes: int64(end - s.base), Events: p.found.events, Sealed: sealed}
	if err := errors.Join(p.out.Truncate(f.Bytes), p.out.Truncate(f.Size)); err != nil {
		return f, err
	}
	if sealed {
		writeZeros(p.sum, s.limit()-end)
		page := footer.page()
		p.sum.Write(page)
		if _, err := p.out.WriteAt(page, f.Size-pageSize); err != nil {
			return f, err
		}
	}
	f.SHA256 = hex.EncodeToString(p.sum.Sum(nil))
	// What was found must be as durable in the log as in its backup.
	return f, errors.Join(s.file.Sync(), p.out.Sync())
}

// writeZeros hashes n zeros.
func writeZeros(sum hash.Hash, n uint64) {
	zeros := make([]byte, 64<<10)
	for n > 0 {
		size := min(n, uint64(len(zeros)))
		sum.Write(zeros[:size])
		n -= size
	}
}

package log

import (
	"errors"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
)

// A platter is a disk in memory that tells what a running system sees from what
// a power cut leaves. What is not synced is kept or lost by sectors, each for
// itself and in any state that it went through; names of files likewise.
type platter struct {
	mu      sync.Mutex
	random  *rand.Rand
	names   map[string]*inode // what the system sees
	stable  map[string]*inode // what the platter holds
	changes []change          // of names, since the last sync of the folder
	held    bool
	full    bool // no file can grow
	strict  bool // nor be overwritten, while it is full: a file system that copies on write, or a quota
}

// A change gives a name to a file, or takes one away, or both at once.
type change struct {
	gone, name string
	to         *inode
}

func (c change) apply(names map[string]*inode) {
	delete(names, c.gone)
	if c.name != "" {
		names[c.name] = c.to
	}
}

// An inode is a file, whatever its name is.
type inode struct {
	content []byte
	stable  []byte
	dirty   map[int][][]byte // by sector, every state since the last sync
	dropped map[int]bool     // sectors that a failed sync gave up: seen, but never written
	failed  bool             // a sync of it failed in this session
}

func newPlatter(random *rand.Rand) *platter {
	return &platter{random: random, names: map[string]*inode{}, stable: map[string]*inode{}}
}

// write puts bytes where the system sees them.
func (n *inode) write(b []byte, at int) {
	if grow := at + len(b) - len(n.content); grow > 0 {
		n.content = append(n.content, make([]byte, grow)...)
	}
	copy(n.content[at:], b)
	n.touch(at, at+len(b))
}

func (n *inode) touch(from, to int) {
	for at := from &^ (sectorSize - 1); at < to; at += sectorSize {
		sector := make([]byte, sectorSize)
		if at < len(n.content) {
			copy(sector, n.content[at:])
		}
		n.dirty[at] = append(n.dirty[at], sector)
		delete(n.dropped, at)
	}
}

func (n *inode) truncate(size int) {
	before := len(n.content)
	n.content = append(n.content, make([]byte, max(0, size-before))...)[:size:size]
	n.touch(size, before)
}

// sync puts on the platter what was written since the last one.
func (n *inode) sync() {
	n.stable = append(n.stable, make([]byte, max(0, len(n.content)-len(n.stable)))...)[:len(n.content)]
	for at := range n.dirty {
		if at < len(n.stable) {
			copy(n.stable[at:min(at+sectorSize, len(n.stable))], n.content[at:])
		}
	}
	clear(n.dirty)
}

// drop is what a kernel does after a failed sync: it forgets that there was
// anything to write, and the next sync says yes.
func (n *inode) drop() {
	for at := range n.dirty {
		n.dropped[at] = true
	}
	clear(n.dirty)
	n.failed = true
}

// evict lets some of what a failed sync gave up vanish from the cache as well.
func (n *inode) evict(random *rand.Rand) {
	n.failed = false
	for at := range n.dropped {
		if random.IntN(2) == 0 && at < len(n.content) {
			end := min(at+sectorSize, len(n.content))
			clear(n.content[at:end])
			if at < len(n.stable) {
				copy(n.content[at:end], n.stable[at:])
			}
			delete(n.dropped, at)
		}
	}
}

// lose is the power cut: of every sector one of its states is left.
func (n *inode) lose(random *rand.Rand, keep float64) {
	if size := len(n.content); random.Float64() < keep {
		n.stable = append(n.stable, make([]byte, max(0, size-len(n.stable)))...)[:size]
	}
	for at, states := range n.dirty {
		if at >= len(n.stable) || random.Float64() >= keep {
			continue
		}
		state := states[len(states)-1]
		if random.IntN(4) == 0 {
			state = states[random.IntN(len(states))]
		}
		copy(n.stable[at:min(at+sectorSize, len(n.stable))], state)
	}
	clear(n.dirty)
	clear(n.dropped)
	n.failed, n.content = false, slices.Clone(n.stable)
}

// cut loses what was not synced: all of it, nothing, or some.
func (p *platter) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	keep := []float64{0, 0.1, 0.5, 0.9, 1}[p.random.IntN(5)]
	files := map[*inode]bool{}
	for _, n := range p.stable {
		files[n] = true
	}
	inOrder, prefix := p.random.IntN(2) == 0, p.random.IntN(len(p.changes)+1)
	for i, c := range p.changes {
		if inOrder && i < prefix || !inOrder && p.random.Float64() < keep {
			c.apply(p.stable)
		}
		if c.to != nil {
			files[c.to] = true
		}
	}
	for n := range files {
		n.lose(p.random, keep)
	}
	p.changes, p.names = nil, maps.Clone(p.stable)
}

// put stores a file as one that has been there for long.
func (p *platter) put(name string, content []byte) {
	n := &inode{content: content, stable: slices.Clone(content), dirty: map[int][][]byte{}, dropped: map[int]bool{}}
	p.names[name], p.stable[name] = n, n
}

var errOff = errors.New("the power is off")

// An access is one operation on a disk.
type access struct {
	n    int // which one, from 1
	kind string
	name string
}

// A session is a platter in use by one process, until that is killed or the power fails.
type session struct {
	*platter
	off      bool
	accesses int
	last     int                // the access that the power fails at, 0 for none
	fault    func(access) error // what goes wrong with an access; may be nil
	deaf     func(access) bool  // syncs that say yes and do nothing: the bug switched on
	mute     bool               // a failed write or sync says yes: another bug
	stubborn bool               // a failed sync is tried again: another one
	retried  string             // a file that was synced again after a sync of it had failed
}

// boot starts a process on the platter as it is now.
func (p *platter) boot() *session {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, n := range p.names {
		n.evict(p.random)
	}
	p.held = false
	return &session{platter: p}
}

// enter counts an access and tells what comes of it: its error, and whether it
// has its effect all the same, as one in flight when the power fails may.
func (s *session) enter(kind, name string) (effect bool, err error) {
	if s.off {
		return false, errOff
	}
	s.accesses++
	if s.accesses == s.last {
		s.off = true
		return s.random.IntN(2) == 0, errOff
	}
	if s.fault != nil {
		if err := s.fault(access{s.accesses, kind, filepath.Base(name)}); err != nil {
			return false, &fs.PathError{Op: kind, Path: name, Err: err}
		}
	}
	return true, nil
}

func (s *session) isOff() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.off
}

func (s *session) claim(string) (io.Closer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, err := s.enter("claim", ""); err != nil {
		return nil, err
	}
	if s.held {
		return nil, errors.New("in use by another process")
	}
	s.held = true
	return release{s}, nil
}

type release struct{ *session }

func (r release) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.held = false
	return nil
}

func (s *session) open(path string, flag int) (file, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	name := filepath.Base(path)
	effect, err := s.enter("open", name)
	if !effect {
		return nil, err
	}
	n := s.names[name]
	switch {
	case n == nil && flag&os.O_CREATE == 0:
		return nil, &fs.PathError{Op: "open", Path: path, Err: fs.ErrNotExist}
	case n == nil:
		n = &inode{dirty: map[int][][]byte{}, dropped: map[int]bool{}}
		s.change(change{name: name, to: n})
	case flag&os.O_TRUNC != 0:
		n.truncate(0)
	}
	if err != nil {
		return nil, err
	}
	return &handle{session: s, inode: n, name: name}, nil
}

func (s *session) change(c change) {
	c.apply(s.names)
	s.changes = append(s.changes, c)
}

func (s *session) rename(from, to string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	effect, err := s.enter("rename", to)
	if n := s.names[filepath.Base(from)]; effect && n != nil {
		s.change(change{filepath.Base(from), filepath.Base(to), n})
	}
	return err
}

func (s *session) remove(path string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	effect, err := s.enter("remove", path)
	if effect {
		if s.names[filepath.Base(path)] == nil {
			return &fs.PathError{Op: "remove", Path: path, Err: fs.ErrNotExist}
		}
		s.change(change{gone: filepath.Base(path)})
	}
	return err
}

func (s *session) list(string) ([]string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, err := s.enter("list", ""); err != nil {
		return nil, err
	}
	return slices.Sorted(maps.Keys(s.names)), nil
}

// A failed sync of the folder leaves its changes for the next one: a file
// system keeps them in its journal or goes read-only.
func (s *session) syncFolder(string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, err := s.enter("sync folder", "")
	if err != nil || s.deaf != nil && s.deaf(access{kind: "sync folder"}) {
		return err
	}
	for _, c := range s.changes {
		c.apply(s.stable)
	}
	s.changes = nil
	return nil
}

// A handle is a file that a session has open.
type handle struct {
	*session
	inode  *inode
	name   string
	closed bool
}

func (h *handle) enter(kind string) (effect bool, err error) {
	if h.closed {
		return false, os.ErrClosed
	}
	return h.session.enter(kind, h.name)
}

func (h *handle) ReadAt(b []byte, at int64) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if _, err := h.enter("read"); err != nil {
		return 0, err
	}
	if at >= int64(len(h.inode.content)) {
		return 0, io.EOF
	}
	n := copy(b, h.inode.content[at:])
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}

// errShort as a fault writes a part and then fails, as ENOSPC does too.
var errShort = errors.New("a short write")

func (h *handle) WriteAt(b []byte, at int64) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	effect, err := h.enter("write")
	if err == nil && h.full && (h.strict || int(at)+len(b) > len(h.inode.content)) {
		err = &fs.PathError{Op: "write", Path: h.name, Err: syscall.ENOSPC}
	}
	if errors.Is(err, errShort) || errors.Is(err, syscall.ENOSPC) {
		b, effect = b[:h.random.IntN(len(b))], true
	}
	if !effect {
		return 0, err
	}
	h.inode.write(b, int(at))
	if h.mute {
		err = nil
	}
	return len(b), err
}

func (h *handle) Truncate(size int64) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	effect, err := h.enter("truncate")
	if effect {
		h.inode.truncate(int(size))
	}
	return err
}

func (h *handle) size() (int64, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	_, err := h.enter("size")
	return int64(len(h.inode.content)), err
}

func (h *handle) sync() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.inode.failed && !strings.HasSuffix(h.name, ".tmp") {
		h.retried = h.name
	}
	effect, err := h.enter("sync")
	switch {
	case err != nil && !h.off:
		h.inode.drop()
		if h.stubborn && !strings.HasSuffix(h.name, ".tmp") {
			h.retried = h.name
		}
		if h.stubborn || h.mute {
			err = nil
		}
	case effect && (h.deaf == nil || !h.deaf(access{kind: "sync", name: h.name})):
		h.inode.sync()
	}
	return err
}

func (h *handle) syncData() error { return h.sync() }

func (h *handle) Close() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = true
	return nil
}

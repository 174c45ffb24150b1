package projections

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

// superviseEvery is how often the versions are looked at; what this process itself
// decides is seen at once.
const superviseEvery = time.Second

const waitEvery = 20 * time.Millisecond

// A Supervisor runs the projectors of a process, one for each version of a read
// model whose code the program has. It builds those that are begun, and finds by
// itself what was promoted, rolled back or dropped, here or elsewhere.
type Supervisor struct {
	options   Options
	models    map[string]Projection
	rebuilder *Rebuilder
	wake      chan struct{}
	failed    chan error

	mu   sync.Mutex
	jobs map[job]*work
}

// A job is to build a version, or to keep it up to date.
type job struct {
	name     string
	version  int
	building bool
}

// work is a job that is being done.
type work struct {
	cancel context.CancelFunc
	done   chan struct{}
}

func (w *work) over() bool {
	select {
	case <-w.done:
		return true
	default:
		return false
	}
}

// NewSupervisor makes the supervisor of read models that Prepare has seen.
func NewSupervisor(o Options, models ...Projection) *Supervisor {
	s := &Supervisor{
		options: o.complete(), models: map[string]Projection{}, rebuilder: NewRebuilder(o.Pool, o.Store.Reader, models...),
		wake: make(chan struct{}, 1), failed: make(chan error, 1), jobs: map[job]*work{},
	}
	for _, p := range models {
		s.models[p.Spec().Name] = p
	}
	return s
}

// Wake has the supervisor look at the versions at once.
func (s *Supervisor) Wake() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// WaitFor returns when everything up to position is in all versions that are read,
// whichever process fills them. One that is halted is ErrHalted, a paused one ErrPaused.
func (s *Supervisor) WaitFor(ctx context.Context, position Position) error {
	for {
		versions, err := Versions(ctx, s.options.Pool, "")
		if err != nil {
			return err
		}
		late := lastWith(versions, func(v Version) bool { return v.Phase == Active && v.Checkpoint.Less(position) })
		switch {
		case late == nil:
			return nil
		case late.State == string(Halted):
			return fmt.Errorf("read model %s at %s: %w", late.Name, late.Checkpoint, ErrHalted)
		case late.State == string(Paused):
			return fmt.Errorf("read model %s at %s: %w", late.Name, late.Checkpoint, ErrPaused)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(waitEvery):
		}
	}
}

// Run supervises until ctx ends. Its one error is ErrOtherLog.
func (s *Supervisor) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer s.stopAll()
	defer cancel()
	for {
		versions, err := Versions(ctx, s.options.Pool, "")
		if err == nil {
			s.reconcile(ctx, versions)
		} else if ctx.Err() == nil {
			s.options.Logger.Warn("the versions of the read models could not be read", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case err := <-s.failed:
			return err
		case <-s.wake:
		case <-time.After(superviseEvery):
		}
	}
}

// reconcile starts what is to be done and stops what is not any more.
func (s *Supervisor) reconcile(ctx context.Context, versions []Version) {
	wanted := map[job]Version{}
	for _, v := range versions {
		if p, known := s.models[v.Name]; known && p.Spec().Version == v.Code {
			wanted[job{v.Name, v.Version, v.Phase == Building}] = v
		}
	}
	s.options.Metrics.building(versions)
	for j, w := range s.running() {
		if _, wanted := wanted[j]; !wanted || w.over() {
			w.cancel()
			<-w.done
			s.mu.Lock()
			delete(s.jobs, j)
			s.mu.Unlock()
		}
	}
	for j, v := range wanted {
		s.start(ctx, j, v)
	}
}

func (s *Supervisor) running() map[job]*work {
	s.mu.Lock()
	defer s.mu.Unlock()
	copied := map[job]*work{}
	for j, w := range s.jobs {
		copied[j] = w
	}
	return copied
}

func (s *Supervisor) start(ctx context.Context, j job, v Version) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.jobs[j] != nil {
		return
	}
	ctx, cancel := context.WithCancel(ctx)
	w := &work{cancel: cancel, done: make(chan struct{})}
	s.jobs[j] = w
	go func() {
		defer close(w.done)
		defer cancel()
		err := s.do(ctx, j, v)
		switch {
		case err == nil || ctx.Err() != nil:
		case errors.Is(err, ErrHeld): // another process builds it
			sleep(ctx, superviseEvery)
		case errors.Is(err, ErrOtherLog):
			s.fail(fmt.Errorf("projection %s: %w", v.Name, err))
		default:
			s.options.Logger.Warn("a version of a read model is not built yet; it goes on", "projection", v.Name, "version", v.Version, "error", safe(err))
			sleep(ctx, superviseEvery)
		}
		s.Wake()
	}()
}

func (s *Supervisor) do(ctx context.Context, j job, v Version) error {
	p := versioned{s.models[v.Name], v.Version}
	if j.building {
		return s.build(ctx, p, v)
	}
	if v.Phase == Ready && v.Automatic {
		go s.promote(ctx, v)
	}
	return s.keep(ctx, p)
}

// promote puts a version that was verified where it is to be without anybody's
// asking, however long queries stand in the way.
func (s *Supervisor) promote(ctx context.Context, v Version) {
	logger := s.options.Logger.With("projection", v.Name, "version", v.Version)
	for ; ctx.Err() == nil; sleep(ctx, superviseEvery) {
		done, err := s.rebuilder.promoteAutomatic(ctx, v)
		if err == nil {
			logger.Info("a version of a read model took the place of another", "former", done.From, "position", done.Position.String())
			s.Wake()
			return
		}
		if errors.Is(err, ErrNotVerified) || errors.Is(err, ErrNoVersion) {
			return // somebody else was first, or thought better of it
		}
		logger.Warn("a version of a read model waits to take the place of another", "error", safe(err))
	}
}

func (s *Supervisor) fail(err error) {
	select {
	case s.failed <- err:
	default:
	}
}

func (s *Supervisor) stopAll() {
	for _, w := range s.running() {
		w.cancel()
		<-w.done
	}
}

// keep runs the projector of a version until ctx ends.
func (s *Supervisor) keep(ctx context.Context, p Projection) error {
	return NewRunner(s.options, p).Run(ctx)
}

// build brings a version from where it stands to where it may be promoted: the
// bulk without secondary indexes, the indexes, the rest, the verification. Each
// step is on record when it is done, so whoever comes next goes on from there.
func (s *Supervisor) build(ctx context.Context, p Projection, v Version) error {
	logger := s.options.Logger.With("projection", v.Name, "version", v.Version)
	head, err := s.options.Store.Head(ctx)
	if err != nil {
		return err
	}
	if v.Target.IsZero() {
		v.Target = head
	}
	if err := s.resume(ctx, v); err != nil {
		return err
	}
	logger.Info("building a version of a read model", "from", v.Checkpoint.String(), "to", v.Target.String())
	if !v.Indexed {
		if err := s.until(ctx, p, v.Target); err != nil {
			return err
		}
		logger.Info("the bulk is loaded; making indexes")
		if err := s.owned(ctx, p, func(w *Writer) error { return w.index(ctx) }); err != nil {
			return err
		}
		if head, err = s.options.Store.Head(ctx); err != nil { // the bulk may have taken long
			return err
		}
	}
	if err := s.until(ctx, p, head); err != nil {
		return err
	}
	var verified *Verification
	err = s.owned(ctx, p, func(w *Writer) (err error) {
		verified, err = verify(ctx, s.options.Pool, s.options.Store.Reader, w, v.Code)
		return err
	})
	if err != nil {
		return err
	}
	return s.conclude(ctx, v, verified)
}

// resume notes where a build is to come, and from where its speed is reckoned.
func (s *Supervisor) resume(ctx context.Context, v Version) error {
	_, err := s.options.Pool.Exec(ctx, `update daybook.projection_version v set target = $3, begun = clock_timestamp(), begun_commit = c.commit_pos, begun_events = c.events
		from daybook.projection_checkpoint c where (c.name, c.version) = (v.name, v.version) and v.name = $1 and v.version = $2`, v.Name, v.Version, int64(v.Target.Commit))
	return err
}

// until runs the projector until it, or that of another process, has reached a
// position.
func (s *Supervisor) until(ctx context.Context, p Projection, target Position) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ran := make(chan error, 1)
	go func() { ran <- s.keep(ctx, p) }()
	for {
		at, err := readCheckpoint(ctx, s.options.Pool, p.Spec())
		if err == nil && !at.Position.Less(target) {
			cancel()
			return <-ran
		}
		select {
		case err := <-ran:
			if err == nil {
				err = ctx.Err()
			}
			return err
		case <-time.After(verifyEvery):
		}
	}
}

// owned does something as the owner of a version, or says ErrHeld.
func (s *Supervisor) owned(ctx context.Context, p Projection, work func(*Writer) error) error {
	w, err := Claim(ctx, s.options.Pool, p, Ownership{Owner: s.options.Owner})
	if err != nil {
		return err
	}
	defer w.Close()
	return work(w)
}

// conclude writes down how the build ended.
func (s *Supervisor) conclude(ctx context.Context, v Version, verified *Verification) error {
	phase := Ready
	if !verified.Same() && !verified.NewCode {
		phase = Differs
	}
	verified.Summary = verified.String()
	tag, err := s.options.Pool.Exec(ctx, "update daybook.projection_version set phase = $3, verification = $4 where name = $1 and version = $2 and phase = 'building'",
		v.Name, v.Version, phase, verified)
	if err != nil || tag.RowsAffected() == 0 { // dropped meanwhile
		return err
	}
	s.options.Logger.Info("a version of a read model is built", "projection", v.Name, "version", v.Version, "phase", phase, "verification", verified.Summary)
	return nil
}

// index makes the secondary indexes that a bulk load is faster without.
func (w *Writer) index(ctx context.Context) error {
	err := pgx.BeginFunc(ctx, w.conn, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, "select from daybook.projection_checkpoint where name = $1 and version = $2 and epoch = $3 for update", w.spec.Name, w.spec.Version, w.at.Epoch)
		if err == nil && tag.RowsAffected() != 1 {
			err = ErrFenced
		}
		if err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, "set local search_path = "+w.schema()+"; set local maintenance_work_mem = '256MB'; "+w.spec.Index); err != nil {
			return fmt.Errorf("make the indexes: %w", safe(err))
		}
		_, err = tx.Exec(ctx, "update daybook.projection_version set indexed = true where name = $1 and version = $2", w.spec.Name, w.spec.Version)
		return err
	})
	if err == nil {
		w.analyseNow(ctx, fully)
	}
	return err
}

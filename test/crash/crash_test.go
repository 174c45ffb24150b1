// Package crash shows that nothing is lost and nothing doubled, whatever ends
// the program: it is killed under load, time and again, and its log and read
// models are held against a journal of everything that was ever sent.
package crash

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"daybook.example/test/program"
)

// A load is what writers send, and the journal of it.
type load struct {
	journal  journal
	company  program.Company
	seed     uint64
	rounds   uint64
	writers  uint64
	stubborn bool          // they go on when there is no answer
	pause    time.Duration // behind each command
}

// run lets the writers send until the end of ctx, to one server or to several.
func (l *load) run(ctx context.Context, clients ...*program.Client) {
	var all sync.WaitGroup
	l.rounds++
	for n := range l.writers {
		client := clients[n%uint64(len(clients))]
		w := &writer{load: l, client: client, random: rand.New(rand.NewPCG(l.seed, l.rounds<<8|n)), name: fmt.Sprintf("%d-%d", l.rounds, n)}
		all.Go(func() {
			for ctx.Err() == nil && !w.away {
				w.next(ctx)
				time.Sleep(l.pause)
			}
		})
	}
	all.Wait()
}

// A writer hires people, changes what they earn and posts entries, one command
// after the other.
type writer struct {
	*load
	client *program.Client
	random *rand.Rand
	name   string
	sent   int
	away   bool // the server is
}

func (w *writer) next(ctx context.Context) {
	w.sent++
	key := fmt.Sprintf("%s-%d", w.name, w.sent)
	switch pick := w.random.IntN(10); {
	case pick < 4:
		w.send(ctx, w.journal.send("/v1/employees", key, w.company.Hire("E-"+key, "2024-01-01", nil)))
	case pick < 6 && w.journal.someone(w.random) != nil:
		w.raise(ctx, key)
	default:
		w.send(ctx, w.journal.send(program.Entries, key, program.Sale("S-"+key, fmt.Sprintf("%d.00", 1+w.random.IntN(999)))))
	}
}

// raise changes somebody's pay, whoever hired them; one command in twenty is such
// a change on a stale revision, which is refused.
func (w *writer) raise(ctx context.Context, key string) {
	of := w.journal.someone(w.random)
	amount, day := fmt.Sprintf("%d.00", 5000+w.sent), fmt.Sprintf("2025-%02d-%02d", 1+w.random.IntN(12), 1+w.random.IntN(28))
	a := w.journal.send("/v1/employees/"+of.id+"/compensations", key, program.Pay(amount, day))
	if w.random.IntN(4) == 0 {
		w.send(ctx, a, program.Header{Name: "If-Match", Value: `"0"`})
		return
	}
	w.send(ctx, a)
}

func (w *writer) send(ctx context.Context, a *attempt, headers ...program.Header) {
	began := time.Now()
	headers = append(headers, program.Key(a.key))
	answer, err := w.client.Post(context.WithoutCancel(ctx), a.path, a.body, headers...)
	for err == nil && answer.Code() == "conflict" { // others came first for too long: it says to repeat the command
		answer, err = w.client.Post(context.WithoutCancel(ctx), a.path, a.body, headers...)
	}
	w.journal.settle(a, answer, err, time.Since(began))
	if w.away = err != nil && !w.stubborn; err != nil {
		time.Sleep(10 * time.Millisecond)
	}
}

// settle sends what nobody knows the end of again, under the same keys.
func (l *load) settle(t *testing.T, client *program.Client) {
	t.Helper()
	for _, a := range l.journal.with(unknown) {
		answer, err := client.Post(t.Context(), a.path, a.body, program.Key(a.key))
		require.NoError(t, err)
		a.settle(answer, err)
		require.NotEqual(t, unknown, a.outcome, "%s: %d %s", a.key, answer.Status, answer.Body)
	}
}

// paced is the pause of writers in tests whose faults take most of the time: by night
// there is none.
func paced() time.Duration { return time.Duration(program.Level(10, 10, 0)) * time.Millisecond }

// found starts the program on a new folder, with a company in it.
func found(t *testing.T, o program.Options) (*program.Home, *load) {
	t.Helper()
	home := program.NewHome(t)
	client := home.Start(t, o).Client()
	company, err := program.Found(t.Context(), client, "UTC")
	require.NoError(t, err)
	l := &load{company: company, seed: rand.Uint64(), writers: 8, pause: time.Duration(program.Level(10, 0)) * time.Millisecond}
	t.Logf("seed %d", l.seed)
	return home, l
}

func TestGivenLoadWhenKilledThenEverythingAcknowledgedIsThereOnce(t *testing.T) {
	t.Parallel()
	home, l := found(t, program.Options{})
	random := rand.New(rand.NewPCG(l.seed, 0))
	var reader follower
	for range program.Level(5, 50, 500) {
		killed := make(chan struct{})
		time.AfterFunc(time.Duration(20+random.IntN(800))*time.Millisecond, func() { home.Now.Kill(); close(killed) })
		followed := reader.goOn(t.Context(), home.Now.Client())
		l.run(t.Context(), home.Now.Client())
		<-killed
		<-followed
		for random.IntN(5) == 0 { // in the middle of its start, too
			early := home.Launch(t, program.Options{})
			time.Sleep(time.Duration(random.IntN(700)) * time.Millisecond)
			early.Kill()
		}
		client := home.Start(t, program.Options{}).Client()
		log, err := client.Events(t.Context())
		require.NoError(t, err)
		require.Zero(t, l.journal.check(log))
		l.settle(t, client)
	}
	reader.sawAll(t, home.Now.Client())
	l.verify(t, home)
}

// A follower is an integrator who reads the feed as a stream and goes on behind
// what was seen, whenever the server is back.
type follower struct {
	seen []string // event IDs
	last string   // position
}

// goOn follows the feed until the server goes; then the channel is closed.
func (f *follower) goOn(ctx context.Context, client *program.Client) <-chan struct{} {
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = client.Follow(ctx, f.last, func(e program.Event) bool { f.see(e); return true }) // it ends by the kill
	}()
	return done
}

func (f *follower) see(e program.Event) { f.seen, f.last = append(f.seen, e.ID), e.Position }

// sawAll reads on to the end of the log: every event was seen, in order, once.
func (f *follower) sawAll(t *testing.T, client *program.Client) {
	t.Helper()
	log, err := client.Events(t.Context())
	require.NoError(t, err)
	within, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	end := log[len(log)-1].ID
	if len(f.seen) == 0 || f.seen[len(f.seen)-1] != end {
		require.NoError(t, client.Follow(within, f.last, func(e program.Event) bool { f.see(e); return e.ID != end }))
	}
	var all []string
	for _, e := range log {
		all = append(all, e.ID)
	}
	require.Equal(t, all, f.seen)
}

// verifyWhole is verify where the projectors, or what settles claims, were in
// processes of their own: one with all roles takes their place.
func (l *load) verifyWhole(t *testing.T, home *program.Home) {
	t.Helper()
	home.Stop(t)
	home.Start(t, program.Options{})
	standing(t, home)
	l.verify(t, home)
}

// verify holds the log against the journal, now that everything is settled, and
// the read models against the log.
func (l *load) verify(t *testing.T, home *program.Home) {
	t.Helper()
	client := home.Now.Client()
	log, err := client.Events(t.Context())
	require.NoError(t, err)
	require.Zero(t, l.journal.check(log))
	require.Empty(t, l.journal.with(unknown))
	require.NotEmpty(t, l.journal.with(acknowledged))
	for _, a := range l.journal.with(refused) {
		require.Equal(t, "stale-revision", a.code, "only what was stale is refused: %s", a.key)
	}
	t.Logf("%d commands acknowledged, %d refused, %d events", len(l.journal.with(acknowledged)), len(l.journal.with(refused)), len(log))
	within, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	require.NoError(t, client.CaughtUp(within))
	l.repeat(t, client)
	countedRight(t, home.Now, log)
	rebuiltTheSame(t, home)
}

// repeat sends what was acknowledged once more: the answers are the same, and
// nothing is added.
func (l *load) repeat(t *testing.T, client *program.Client) {
	t.Helper()
	all := l.journal.with(acknowledged)
	for range 50 {
		a := all[rand.IntN(len(all))]
		answer, err := client.Post(t.Context(), a.path, a.body, program.Key(a.key))
		again := *a
		again.settle(answer, err)
		require.Equal(t, *a, again)
	}
}

package load

import (
	"bufio"
	"context"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"daybook.example/test/level"
	"daybook.example/test/program"
)

const (
	soakers     = 8
	pause       = 100 * time.Millisecond // between two rounds of a caller
	slack       = 4                      // goroutines or descriptors that come and go by themselves
	quietMax    = 30 * time.Second
	collections = 2 // that a look at the heap waits for
	mib         = 1 << 20
	slopeMax    = 1.0 // MiB an hour
	growthMax   = 8 * mib
)

// A use is what the process takes of the machine, as its metrics say.
type use struct{ goroutines, descriptors, live int }

// use reads the metrics over a connection of its own, which is one of the
// descriptors.
func (s *site) use() (u use) {
	s.t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: time.Minute}
	response, err := client.Get(s.now.HTTP + "/metrics")
	require.NoError(s.t, err)
	defer response.Body.Close()
	found := map[string]*int{"go_goroutines": &u.goroutines, "process_open_fds": &u.descriptors, "go_gc_heap_live_bytes": &u.live}
	lines := bufio.NewScanner(response.Body)
	for lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), " ")
		if place := found[name]; place != nil {
			number, err := strconv.ParseFloat(value, 64)
			require.NoError(s.t, err)
			*place = int(number)
			delete(found, name)
		}
	}
	require.NoError(s.t, lines.Err())
	require.Empty(s.t, found, "the metrics lack these")
	return u
}

// quiet is what the process uses once it does nothing: the least of some looks.
func (s *site) quiet() use {
	s.t.Helper()
	least := s.use()
	for range 5 {
		time.Sleep(200 * time.Millisecond)
		now := s.use()
		least.goroutines, least.descriptors = min(least.goroutines, now.goroutines), min(least.descriptors, now.descriptors)
	}
	return least
}

// rests reports whether the process comes back to what it used before.
func (s *site) rests(base use, within time.Duration) (now use, back bool) {
	s.t.Helper()
	for began := time.Now(); time.Since(began) < within; time.Sleep(200 * time.Millisecond) {
		now = s.use()
		if now.goroutines <= base.goroutines+slack && now.descriptors <= base.descriptors+slack {
			return now, true
		}
	}
	return now, false
}

// soak has a few callers do all that callers do, well and badly, and watches what
// heap they leave: as often as there are stretches they rest, for what they hold
// themselves grows and shrinks with the time that the machine has for them.
func (s *site) soak(callers int, during time.Duration) (heap line) {
	s.t.Helper()
	ctx, cancel := context.WithCancel(s.t.Context())
	defer cancel()
	var rest sync.RWMutex // held by callers while they are about
	var all sync.WaitGroup
	for caller := range callers {
		all.Go(func() { s.caller(ctx, caller, &rest) })
	}
	stretches := level.Of(2, 10, 120)
	for began, n := time.Now(), 0; n < stretches; n++ {
		time.Sleep(during / time.Duration(stretches))
		rest.Lock()
		heap.add(time.Since(began).Hours(), float64(s.live())/mib)
		rest.Unlock()
	}
	cancel()
	all.Wait()
	return heap
}

// live is the heap that is no garbage, while nobody else is about: the least after
// some collections, which the looks themselves bring about.
func (s *site) live() int {
	s.t.Helper()
	least, last := math.MaxInt, 0
	for seen := 0; seen <= collections; {
		now := s.use().live
		if now == last {
			continue
		}
		if seen++; seen > 1 { // the first was from before
			least = min(least, now)
		}
		last = now
	}
	return least
}

// fill makes the log longer than anything that callers read of it at once: what
// an answer holds must not grow with the log while the heap is watched.
func (s *site) fill() {
	s.t.Helper()
	client, must := s.now.Client(), program.Must(s.t)
	for n := range 300 {
		must(client.Post(s.t.Context(), "/v1/books", program.JSON{"book": fmt.Sprintf("filled%d", n), "functional_currency": "EUR"}))
	}
	require.NoError(s.t, client.CaughtUp(s.t.Context()))
}

// caller comes with connections of its own, and goes with some of them open.
func (s *site) caller(ctx context.Context, who int, rest *sync.RWMutex) {
	for n := 0; ctx.Err() == nil; n++ {
		rest.RLock()
		transport := &http.Transport{}
		client := &program.Client{Base: s.now.HTTP, Token: s.now.Token, HTTP: &http.Client{Transport: transport, Timeout: time.Minute}}
		for _, path := range []string{"/v1/employees?limit=20", "/v1/books", "/v1/projections", "/v1/nothing", "/v1/events?limit=20", "/v1/employees?valid_at=never"} {
			_, _ = client.Get(ctx, path, nil)
		}
		_, _ = client.As("nobody").Get(ctx, "/v1/employees", nil)
		_, _ = client.Post(ctx, "/v1/books", program.JSON{"book": fmt.Sprintf("soak%d", who), "functional_currency": "EUR"}, program.Key(strconv.Itoa(who)))
		_, _ = client.Post(ctx, "/v1/books", program.JSON{"book": program.Book, "functional_currency": "EUR"})
		_, _ = client.Post(ctx, "/v1/books", program.JSON{"book": 7})
		s.stream(ctx, client)
		if who == 0 && n%50 == 0 { // the log grows, but slowly: what it holds is not what this is about
			_, _ = client.Post(ctx, "/v1/books", program.JSON{"book": fmt.Sprintf("grown%d", time.Now().UnixNano()), "functional_currency": "EUR"})
		}
		transport.CloseIdleConnections()
		rest.RUnlock()
		time.Sleep(pause)
	}
}

// stream follows the events for a moment and leaves in the middle.
func (s *site) stream(ctx context.Context, client *program.Client) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	response, err := s.follow(ctx, client)
	if err != nil {
		return
	}
	defer response.Body.Close()
	_, _ = bufio.NewReader(response.Body).ReadString('\n')
}

func (s *site) follow(ctx context.Context, client *program.Client) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, client.Base+"/v1/events?"+url.Values{"from": {"0/0"}}.Encode(), nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Authorization", "Bearer "+client.Token)
	request.Header.Set("Accept", "text/event-stream")
	return client.HTTP.Do(request)
}

// A line goes through points as closely as one can.
type line struct {
	n, x, y, xx, xy float64
	heights         []float64
}

func (l *line) add(x, y float64) {
	l.n, l.x, l.y, l.xx, l.xy = l.n+1, l.x+x, l.y+y, l.xx+x*x, l.xy+x*y
	l.heights = append(l.heights, y)
}

func (l *line) slope() float64 { return (l.n*l.xy - l.x*l.y) / (l.n*l.xx - l.x*l.x) }

// T21: a long time of everything leaves nothing behind.
func TestGivenALongTimeOfCallersWhenTheyAreGoneThenNothingOfThemIsLeft(t *testing.T) {
	s := open(t)
	s.fill()
	s.soak(3*soakers, seconds(2, 10, 600)) // pools and caches get as large as they will be
	base := s.quiet()
	heap := s.soak(soakers, seconds(3, 30, 1800))
	now, back := s.rests(base, quietMax)
	t.Logf("before %+v, after %+v; %+.2f MiB/h of live heap: %.1f MiB", base, now, heap.slope(), heap.heights)
	require.True(t, back, "before %+v, after %+v", base, now)
	require.Less(t, now.live, base.live+growthMax)
	if level.Of(0, 0, 1) == 1 { // a shorter time says nothing of an hour
		require.LessOrEqual(t, heap.slope(), slopeMax)
	}

	// The control: callers who do not go are found, also in the heap.
	rested := s.live()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	client := s.now.Client()
	for range 10 * slack {
		response, err := s.follow(ctx, client)
		require.NoError(t, err)
		defer response.Body.Close()
	}
	_, back = s.rests(base, 2*time.Second)
	require.False(t, back, "open streams are not noticed")
	held := s.live() - rested
	t.Logf("%d open streams hold %d KiB", 10*slack, held>>10)
	require.Greater(t, held, mib/2)
	cancel()
	client.HTTP.CloseIdleConnections()
	_, back = s.rests(base, quietMax)
	require.True(t, back)
}

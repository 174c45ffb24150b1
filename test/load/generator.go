// Package load puts more on the real program than it can carry, and a little for
// a long time: it must go on doing what it can, turn the rest away in time, and
// keep nothing of it.
package load

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

const (
	sentMax   = 2_000_000 // requests of one run, whatever is asked for
	rateMax   = 50_000    // requests a second
	answerMax = 30 * time.Second
	tick      = time.Millisecond
	settling  = 1500 * time.Millisecond // of an open run: a burst may wait longer than a crowd
)

// A Source makes the n-th request: the bytes that go over the wire.
type Source func(n int64) []byte

// A Gun fires requests of one kind at an address of this machine.
type Gun struct {
	Address string // host:port
	Source  Source
	fired   atomic.Int64 // so that no request is sent twice
}

// A Tally is what came of a run.
type Tally struct {
	Offered  int // requests that were due
	Unsent   int // of these, that no connection was free for
	Statuses map[int]int
	Bare     int             // refusals for now, 429 or 503, without Retry-After
	Broken   int             // connections that failed before an answer
	Good     []time.Duration // how long each 2xx took, sorted; of an open run, once it has settled
	Took     time.Duration   // of what Good is of
}

// Rate is how many requests a second went well.
func (t Tally) Rate() float64 { return float64(len(t.Good)) / t.Took.Seconds() }

// Quantile is how long the good answers took, but the share above q.
func (t Tally) Quantile(q float64) time.Duration {
	if len(t.Good) == 0 {
		return 0
	}
	return t.Good[min(len(t.Good)-1, int(q*float64(len(t.Good))))]
}

// Closed has callers send one request after another: what is offered follows
// what is answered.
func (g *Gun) Closed(ctx context.Context, callers int, during time.Duration) Tally {
	ctx, cancel := context.WithTimeout(ctx, during)
	defer cancel()
	return g.run(callers, time.Now(), func() bool { return ctx.Err() == nil })
}

// Open sends rate requests a second over so many connections, whatever comes back
// and when: who comes does not know how the others fare. It settles first, then
// it lasts.
func (g *Gun) Open(ctx context.Context, rate float64, connections int, during time.Duration) Tally {
	ctx, cancel := context.WithTimeout(ctx, settling+during)
	defer cancel()
	rate = min(rate, rateMax)
	due := make(chan struct{}, connections)
	offered, unsent := 0, 0
	go func() {
		defer close(due)
		for began := time.Now(); ctx.Err() == nil && offered < sentMax; time.Sleep(tick) {
			for ; offered < int(rate*time.Since(began).Seconds()); offered++ {
				select {
				case due <- struct{}{}:
				default:
					unsent++
				}
			}
		}
	}()
	t := g.run(connections, time.Now().Add(settling), func() bool { _, open := <-due; return open && ctx.Err() == nil })
	t.Offered, t.Unsent = offered, unsent
	return t
}

// run has each connection send a request whenever next says so. What is sent
// before a time is not among the good ones.
func (g *Gun) run(connections int, from time.Time, next func() bool) Tally {
	tallies := make([]Tally, connections)
	var all sync.WaitGroup
	for i := range connections {
		all.Go(func() { tallies[i] = g.connection(from, next) })
	}
	all.Wait()
	sum := Tally{Statuses: map[int]int{}, Took: time.Since(from)}
	for _, t := range tallies {
		for status, n := range t.Statuses {
			sum.Statuses[status] += n
			sum.Offered += n
		}
		sum.Bare, sum.Broken = sum.Bare+t.Bare, sum.Broken+t.Broken
		sum.Good = append(sum.Good, t.Good...)
	}
	slices.Sort(sum.Good)
	return sum
}

// connection sends requests one after another; a broken one is made anew.
func (g *Gun) connection(from time.Time, next func() bool) Tally {
	t := Tally{Statuses: map[int]int{}}
	var conn net.Conn
	var answers *bufio.Reader
	for next() {
		if conn == nil {
			var err error
			if conn, err = net.DialTimeout("tcp", g.Address, answerMax); err != nil {
				t.Broken++
				time.Sleep(10 * tick)
				continue
			}
			answers = bufio.NewReader(conn)
		}
		if !t.ask(conn, answers, from, g.Source(g.fired.Add(1))) {
			_ = conn.Close()
			conn = nil
		}
	}
	if conn != nil {
		_ = conn.Close()
	}
	return t
}

// ask sends one request and counts its answer; false if the connection is of no
// more use.
func (t *Tally) ask(conn net.Conn, answers *bufio.Reader, from time.Time, request []byte) bool {
	sent := time.Now()
	_ = conn.SetDeadline(sent.Add(answerMax))
	if _, err := conn.Write(request); err != nil {
		t.Broken++
		return false
	}
	response, err := http.ReadResponse(answers, nil)
	if err != nil {
		t.Broken++
		return false
	}
	_, err = io.Copy(io.Discard, response.Body)
	_ = response.Body.Close()
	if err != nil {
		t.Broken++
		return false
	}
	t.Statuses[response.StatusCode]++
	switch {
	case response.StatusCode < http.StatusMultipleChoices && sent.Before(from):
	case response.StatusCode < http.StatusMultipleChoices:
		t.Good = append(t.Good, time.Since(sent))
	case response.StatusCode == http.StatusTooManyRequests, response.StatusCode == http.StatusServiceUnavailable:
		if after, err := strconv.Atoi(response.Header.Get("Retry-After")); err != nil || after < 1 {
			t.Bare++
		}
	}
	return !response.Close
}

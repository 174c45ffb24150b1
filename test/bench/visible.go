package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"sync"
	"time"

	"daybook.example/test/program"
)

const (
	visibleFor = 5 * time.Second
	asking     = 100 // questions a second at most, so that they are no load of their own
	flightMax  = 256 // commands on their way; one that has to wait for room is late by that
)

// visible measures, at a steady rate of commands, how long after a command's
// answer its event is in an answer of the read API: a GET with after=.
func (b *bench) visible(ctx context.Context) error {
	return b.on(ctx, func(_ string, p *program.Process) error {
		people, err := employ(ctx, p)
		if err != nil {
			return err
		}
		for _, rate := range []int{100, 1000} {
			if b.rate != 0 && b.rate != rate {
				continue
			}
			if err := p.Client().CaughtUp(ctx); err != nil {
				return err
			}
			o := observation{people: people}
			program, database := cpuOf(p.PID()), cpuBelow(p.PID())
			if err := o.at(ctx, rate); err != nil {
				return err
			}
			if err := p.Client().CaughtUp(ctx); err != nil {
				return err
			}
			sent := float64(rate) * visibleFor.Seconds()
			at := fmt.Sprintf("%d/s: ", rate)
			b.row(at+"CPU us a command: the program; Postgres", fmt.Sprintf("%.0f; %.0f",
				float64((cpuOf(p.PID())-program).Microseconds())/sent, float64((cpuBelow(p.PID())-database).Microseconds())/sent), "")
			if o.refused > 0 {
				b.row(at+"not sustained", fmt.Sprintf("%d of %.0f commands were refused as too many at once", o.refused, sent), "")
			}
			if o.late > 0 {
				b.row(at+"not sustained", fmt.Sprintf("%d of %d questions were not answered within 5 s", o.late, o.late+len(o.seen)), "")
			}
			b.row(at+"command answered", o.answered.String(), "")
			b.row(at+"from there to visible", o.seen.String(), "")
			b.atMost(at+"the same, p50: ms", []float64{milliseconds(o.seen.percentile(0.50))}, "%.1f", 5)
			b.row(at+"visible / answered, from the sending, p50; p99", fmt.Sprintf("%.2f; %.2f", o.ratio(0.50), o.ratio(0.99)), "")
		}
		return nil
	})
}

// An observation is of commands that are sent at fixed times, whether the ones
// before are answered or not.
type observation struct {
	people               *workforce
	mu                   sync.Mutex
	answered, seen, both times
	refused              int // commands, as too many at once
	late                 int // the read model did not reach their position in time
	failed               error
}

func (o *observation) at(ctx context.Context, rate int) error {
	err := steadily(ctx, rate, visibleFor, func(due time.Time, n int) { o.one(ctx, due, n%max(rate/asking, 1) == 0) })
	return errors.Join(err, o.failed)
}

// steadily begins one thing after the other at a rate, whether the ones before are
// done or not.
func steadily(ctx context.Context, rate int, during time.Duration, one func(due time.Time, n int)) error {
	var all sync.WaitGroup
	defer all.Wait()
	room := make(chan struct{}, flightMax)
	began := time.Now()
	for n := range int(during.Seconds() * float64(rate)) {
		due := began.Add(time.Duration(n) * time.Second / time.Duration(rate))
		if err := sleep(ctx, time.Until(due)); err != nil {
			return err
		}
		room <- struct{}{}
		all.Go(func() {
			one(due, n)
			<-room
		})
	}
	return nil
}

// one sends a command and, where asked, looks for it.
func (o *observation) one(ctx context.Context, due time.Time, look bool) {
	id, answer, err := o.people.raised(ctx)
	answered, code := time.Now(), answer.Code()
	refused := code == "overloaded"
	if err == nil && look {
		answer, err = o.people.client.Get(ctx, "/v1/employees/"+id, url.Values{"after": {answer.Position()}, "valid_at": {"2020-01-01"}})
		if code = answer.Code(); err == nil {
			err = answer.Into(&struct{}{})
		}
	}
	seen := time.Now()
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case refused:
		o.refused++
	case code == "overloaded" || code == "not-reached" || code == "database-unavailable":
		o.late++
	case err != nil:
		o.failed = err
	case look:
		o.answered = append(o.answered, answered.Sub(due))
		o.seen = append(o.seen, seen.Sub(answered))
		o.both = append(o.both, seen.Sub(due))
	}
}

func (o *observation) ratio(p float64) float64 {
	return float64(o.both.percentile(p)) / float64(o.answered.percentile(p))
}

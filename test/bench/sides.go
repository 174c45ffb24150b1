package main

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// settle is how long a side is given to finish what it does in the background,
// such as making the next segment, so that the next side does not pay for it.
const settle = 200 * time.Millisecond

// A side is one of the things that are compared.
type side struct {
	name    string
	clients int
	events  int // of one thing done, 1 by default
	cpu     func() time.Duration
	one     func(ctx context.Context, client int) error
	run     func(ctx context.Context) (round, error) // instead of them, for a side in another process
	rounds  []round
}

// turns lets sides work one after the other, as often as things are compared.
func (b *bench) turns(ctx context.Context, sides ...*side) error {
	for range b.pairs {
		for _, s := range sides {
			r, err := s.turn(ctx, b.round/2)
			if err != nil {
				return fmt.Errorf("%s: %w", s.name, err)
			}
			s.rounds = append(s.rounds, r)
			if err := sleep(ctx, settle); err != nil {
				return err
			}
		}
	}
	for _, s := range sides {
		b.row(s.name, s.String(), "")
	}
	return nil
}

func (s *side) turn(ctx context.Context, during time.Duration) (round, error) {
	if s.run != nil {
		return s.run(ctx)
	}
	cpu := s.cpu
	if cpu == nil {
		cpu = ownCPU
	}
	return drive(ctx, s.clients, during, cpu, s.one)
}

func (s *side) perThing() float64 { return float64(max(s.events, 1)) }

// rates are events a second, of each round.
func (s *side) rates() (all []float64) {
	for _, r := range s.rounds {
		all = append(all, r.perSecond()*s.perThing())
	}
	return all
}

// cpus are microseconds an event, of each round.
func (s *side) cpus() (all []float64) {
	for _, r := range s.rounds {
		all = append(all, r.cpuEach()/s.perThing())
	}
	return all
}

// medians are the typical times of one thing in microseconds, of each round.
func (s *side) medians() (all []float64) {
	for _, r := range s.rounds {
		all = append(all, float64(r.each.percentile(0.50).Nanoseconds())/1000)
	}
	return all
}

func (s *side) String() string {
	var each times
	for _, r := range s.rounds {
		each = append(each, r.each...)
	}
	return fmt.Sprintf("%s events/s; %s", spread(s.rates(), "%.0f"), each)
}

// over divides what was measured in the same turns.
func over(these, those []float64) (all []float64) {
	for i := range these {
		all = append(all, these[i]/those[i])
	}
	return all
}

func median(numbers []float64) float64 {
	return slices.Sorted(slices.Values(numbers))[len(numbers)/2]
}

// atLeast prints a ratio whose median is to be no less than a goal.
func (b *bench) atLeast(figure string, numbers []float64, goal float64) {
	b.judged(figure, numbers, "%.2f", goal, median(numbers) >= goal, "at least ")
}

// atMost prints a figure whose median is to be no more than a goal.
func (b *bench) atMost(figure string, numbers []float64, format string, goal float64) {
	b.judged(figure, numbers, format, goal, median(numbers) <= goal, "at most ")
}

func (b *bench) judged(figure string, numbers []float64, format string, goal float64, met bool, side string) {
	aim := side + fmt.Sprintf("%g", goal)
	if !met {
		aim += ": MISSED"
	}
	measured := fmt.Sprintf(format, numbers[0])
	if len(numbers) > 1 {
		measured = spread(numbers, format)
	}
	b.row(figure, measured, aim)
}

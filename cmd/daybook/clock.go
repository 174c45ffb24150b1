package main

import (
	"sync/atomic"
	"time"
)

// A clock tells real time, unless the demo has set it.
type clock struct{ simulated atomic.Pointer[time.Time] }

func (c *clock) now() time.Time {
	if t := c.simulated.Load(); t != nil {
		return *t
	}
	return time.Now()
}

// set stops the clock at a moment; realTime lets it go again.
func (c *clock) set(t time.Time) { c.simulated.Store(&t) }
func (c *clock) realTime()       { c.simulated.Store(nil) }

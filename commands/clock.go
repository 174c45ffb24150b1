package commands

import "time"

// now is the recorded time of what is appended next: the injected clock, but
// never earlier than any event that this process has recorded or read.
func (c *Core) now() time.Time {
	return c.notBefore(c.Clock())
}

// notBefore raises the clock's floor to t and returns the floor. It keeps
// microseconds, as the stored form does.
func (c *Core) notBefore(t time.Time) time.Time {
	micros := t.UnixMicro()
	for {
		latest := c.latest.Load()
		if latest >= micros {
			return time.UnixMicro(latest).UTC()
		}
		if c.latest.CompareAndSwap(latest, micros) {
			return time.UnixMicro(micros).UTC()
		}
	}
}

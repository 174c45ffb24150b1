// Package resend makes certain of an append: it sends the same bytes until the
// store says what became of them.
package resend

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"daybook.example/eventstore"
)

// The times of one delivery.
const (
	PatienceMax = 30 * time.Second // of all attempts together
	attemptMax  = 5 * time.Second
	backoffMin  = 10 * time.Millisecond
	backoffMax  = time.Second
)

// ErrUnknown says that no attempt got a definite answer: the events may have
// been stored, or may be later.
var ErrUnknown = errors.New("result unknown")

// ErrLate says that the time to send was over before the first attempt.
var ErrLate = errors.New("too late to send")

// A Plan says how long to try. Its zero value tries for PatienceMax.
type Plan struct {
	Patience time.Duration
	May      func() bool // asked before every attempt; nil = always
}

// Until calls send until its answer is definite. The attempts have a context of
// their own: a caller who gives up must not turn a stored command into an unknown
// one. Send must offer the same bytes each time, so that the store knows a repeat.
func (p Plan) Until(send func(context.Context) (eventstore.Written, error)) (eventstore.Written, error) {
	patience := p.Patience
	if patience == 0 {
		patience = PatienceMax
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	last := ErrLate
	for pause := backoffMin; ; pause = min(2*pause, backoffMax) {
		if p.May != nil && !p.May() {
			return eventstore.Written{}, last
		}
		written, err := attempt(ctx, send)
		if err == nil || eventstore.Definite(err) {
			return written, err
		}
		last = fmt.Errorf("%w: %w", ErrUnknown, err)
		select {
		case <-ctx.Done():
			return eventstore.Written{}, last
		case <-time.After(pause/2 + rand.N(pause/2)):
		}
	}
}

func attempt(ctx context.Context, send func(context.Context) (eventstore.Written, error)) (eventstore.Written, error) {
	ctx, cancel := context.WithTimeout(ctx, attemptMax)
	defer cancel()
	return send(ctx)
}

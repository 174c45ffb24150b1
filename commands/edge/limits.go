package edge

import (
	"bytes"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Limits bound what one request, one principal and all together may use. A zero
// value stands for the default.
type Limits struct {
	BodyBytes    int64         // of one command; 512 KiB
	PerSecond    float64       // requests of one principal; 5,000
	Burst        int           // requests of one principal at once; 5,000
	Requests     int           // in progress at once, all together; 512, or eight times AtOnce
	AtOnce       int           // worked on at once: so many commands, and so many reads; 64
	Streams      int           // open at once, all together; 256
	AnswerWithin time.Duration // of a request that is no stream; 40 s, longer than an append may take
}

// HeaderBytesMax is how long all headers of a request may be together.
const HeaderBytesMax = 32 << 10

// headerBytesHeard is where net/http stops listening, in words of its own.
const headerBytesHeard = 2 * HeaderBytesMax

func (l Limits) orDefaults() Limits {
	orDefault(&l.BodyBytes, 512<<10)
	orDefault(&l.PerSecond, 5000)
	orDefault(&l.Burst, 5000)
	orDefault(&l.AtOnce, 64)
	orDefault(&l.Requests, max(512, 8*l.AtOnce))
	orDefault(&l.Streams, 256)
	orDefault(&l.AnswerWithin, 40*time.Second)
	return l
}

func orDefault[T comparable](value *T, otherwise T) {
	var zero T
	if *value == zero {
		*value = otherwise
	}
}

// A gate lets a number of requests in and turns away the others at once. Behind
// it requests wait for their turns.
type gate chan struct{}

func (g gate) enter() bool {
	select {
	case g <- struct{}{}:
		return true
	default:
		return false
	}
}

func (g gate) leave() { <-g }

func overloaded() *Problem {
	return NewProblem(http.StatusServiceUnavailable, "overloaded", "too many requests are in progress; nothing was done, send it again in a moment").RetryAfter(time.Second)
}

// rates hold one limiter per principal.
type rates struct {
	limits Limits
	mu     sync.Mutex
	of     map[string]*rate.Limiter
}

// take counts one request of a principal, or says how long to wait.
func (r *rates) take(principal string, now time.Time) error {
	r.mu.Lock()
	limiter, ok := r.of[principal]
	if !ok {
		limiter = rate.NewLimiter(rate.Limit(r.limits.PerSecond), r.limits.Burst)
		r.of[principal] = limiter
	}
	r.mu.Unlock()
	reservation := limiter.ReserveN(now, 1)
	wait := reservation.DelayFrom(now)
	if wait == 0 {
		return nil
	}
	reservation.CancelAt(now)
	return NewProblem(http.StatusTooManyRequests, "rate-limited", "this principal sends more requests than it may; slow down").RetryAfter(wait)
}

// headersFit refuses headers that are too long together.
func headersFit(r *http.Request) error {
	length := len(r.RequestURI)
	for name, values := range r.Header {
		for _, value := range values {
			length += len(name) + len(value) + len(": \r\n")
		}
	}
	if length <= HeaderBytesMax {
		return nil
	}
	return NewProblem(http.StatusRequestHeaderFieldsTooLarge, "headers-too-large", fmt.Sprintf("address and headers have at most %d bytes together", HeaderBytesMax))
}

// viaLoopback reports whether a request came to an address of the machine itself.
func viaLoopback(r *http.Request) bool {
	local, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	return ok && loopback(local)
}

func loopback(address net.Addr) bool {
	tcp, ok := address.(*net.TCPAddr)
	return ok && tcp.IP.IsLoopback()
}

// jsonOnly refuses a body that says it is something else.
func jsonOnly(contentType, wanted string) error {
	if contentType == "" || contentType == wanted || isType(contentType, wanted) {
		return nil
	}
	return NewProblem(http.StatusUnsupportedMediaType, "content-type", "the body must be "+wanted).Hinting("send the header Content-Type: " + wanted)
}

// isType ignores case and what follows the type, which can only say UTF-8.
func isType(contentType, wanted string) bool {
	name, _, _ := bytes.Cut([]byte(contentType), []byte(";"))
	return bytes.EqualFold(bytes.TrimSpace(name), []byte(wanted))
}

package eventstore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/url"
	"strings"
	"sync"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
)

// callsMax bounds the calls under way, so that a node which stays away cannot
// fill the memory with calls that nobody waits for any more.
const callsMax = 4096

var errClosed = fmt.Errorf("%w: the client is closed", ErrUnavailable)

// A connection guards the official client against what it does to its callers
// when the node is away: they hang, whatever their deadlines, and closing it
// under a call panics. So every call runs in a goroutine of its own while its
// caller waits, and the client is closed only after all calls have returned.
type connection struct {
	inner *esdb.Client
	slots chan struct{}

	life context.Context // ends subscriptions at Close
	end  context.CancelFunc

	mu     sync.Mutex
	closed bool
	calls  sync.WaitGroup // calls under way, abandoned ones too
	gone   chan struct{}  // closed when the client is
}

func dial(config *esdb.Configuration) (*connection, error) {
	inner, err := esdb.NewClient(config)
	if err != nil {
		return nil, err
	}
	life, end := context.WithCancel(context.Background())
	return &connection{inner: inner, slots: make(chan struct{}, callsMax), life: life, end: end, gone: make(chan struct{})}, nil
}

// begin counts a call in, unless the connection is closed.
func (c *connection) begin() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return errClosed
	}
	c.calls.Add(1)
	return nil
}

// call runs f and waits for it no longer than ctx lasts. An abandoned f ends by
// itself: its context has ended too, and the client looks at it as soon as it
// has a node to talk to. An append that was being sent has the client's deadline,
// of ten seconds unless the address sets defaultDeadline.
func call[T any](ctx context.Context, c *connection, f func(context.Context) (T, error)) (result T, err error) {
	select {
	case c.slots <- struct{}{}:
	case <-ctx.Done():
		return result, ended(ctx)
	}
	if err := c.begin(); err != nil {
		<-c.slots
		return result, err
	}
	type answer struct {
		result T
		err    error
	}
	answers := make(chan answer, 1)
	go func() {
		defer func() { <-c.slots; c.calls.Done() }()
		result, err := survive(ctx, f)
		answers <- answer{result, err}
	}()
	select {
	case a := <-answers:
		return a.result, translate(ctx, a.err)
	case <-ctx.Done():
		return result, ended(ctx)
	}
}

// survive runs f. The client panics on answers that it does not know, and a
// newer server's answer must not end the process.
func survive[T any](ctx context.Context, f func(context.Context) (T, error)) (result T, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the event store client gave up on an answer: %v", p)
		}
	}()
	return f(ctx)
}

// close lets no new call in, ends the subscriptions and waits for the calls
// under way. If ctx ends first, the client is closed when they have returned, be
// it never: closing it now would panic.
func (c *connection) close(ctx context.Context) error {
	c.mu.Lock()
	first := !c.closed
	c.closed = true
	c.mu.Unlock()
	if first {
		c.end()
		go func() {
			c.calls.Wait()
			_ = c.inner.Close() // knows no error
			close(c.gone)
		}()
	}
	select {
	case <-c.gone:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("close the event store client: calls are still under way: %w", ctx.Err())
	}
}

// configure makes the client's configuration of o. No error shows any part of
// an address that holds a password.
func configure(o Options) (*esdb.Configuration, error) {
	address := o.URL
	if address == "" {
		if o.Socket == "" {
			return nil, errors.New("no event store: give an esdb:// address (DAYBOOK_EVENTSTORE) or the node's socket")
		}
		address = "esdb://localhost:2113?tls=false"
	}
	if err := knownSettings(address); err != nil {
		return nil, err
	}
	config, err := esdb.ParseConnectionString(address)
	switch {
	case err != nil && strings.Contains(address, "@"):
		return nil, errors.New("event store address (DAYBOOK_EVENTSTORE) is not of the form esdb://user:password@host:port?tls=true; " +
			"write special characters of the password as %XX")
	case err != nil:
		return nil, fmt.Errorf("event store address (DAYBOOK_EVENTSTORE) is not of the form esdb://host:port?tls=false: %w", err)
	}
	if o.URL == "" {
		config.Address = "unix://" + o.Socket
	}
	config.MaxDiscoverAttempts = math.MaxInt // after the last attempt the client would be dead and its callers hang
	config.Logger = quietly(o.Logger)
	return config, nil
}

// settings are what an address may carry, in lower case as the client compares them.
var settings = map[string]bool{
	"discoveryinterval": true, "gossiptimeout": true, "maxdiscoverattempts": true, "nodepreference": true,
	"keepaliveinterval": true, "keepalivetimeout": true, "tls": true, "tlscafile": true, "usercertfile": true,
	"userkeyfile": true, "tlsverifycert": true, "defaultdeadline": true,
}

// knownSettings refuses what the client would only mention on standard error:
// a misspelt setting is a connection other than the one meant.
func knownSettings(address string) error {
	_, query, _ := strings.Cut(address, "?")
	values, err := url.ParseQuery(query)
	if err != nil {
		return errors.New("event store address (DAYBOOK_EVENTSTORE): its settings are not of the form ?name=value&name=value")
	}
	for name := range values {
		if !settings[strings.ToLower(name)] {
			return errors.New("event store address (DAYBOOK_EVENTSTORE) has an unknown setting: " +
				"known are tls, tlsVerifyCert, tlsCAFile, userCertFile, userKeyFile, nodePreference, discoveryInterval, gossipTimeout, keepAliveInterval, keepAliveTimeout, defaultDeadline")
		}
	}
	return nil
}

// quietly logs what the client says for debugging only: it calls every ordinary
// cancel an error, and what matters comes back to the caller anyway.
func quietly(logger *slog.Logger) esdb.LoggingFunc {
	if logger == nil {
		logger = slog.Default()
	}
	return func(_ esdb.LogLevel, format string, args ...any) {
		if logger.Enabled(context.Background(), slog.LevelDebug) {
			logger.Debug("event store client: " + fmt.Sprintf(format, args...))
		}
	}
}

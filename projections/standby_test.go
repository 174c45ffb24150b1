package projections_test

import (
	"context"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"daybook.example/projections"
	"daybook.example/projections/projtest"
)

// mortal is a pool whose process can be killed, as the database sees it: its
// sockets are closed in the middle of whatever was going on.
type mortal struct {
	*pgxpool.Pool
	mu      sync.Mutex
	sockets []net.Conn
	dead    bool
}

func newMortal(t *testing.T, of *pgxpool.Pool) *mortal {
	t.Helper()
	m := &mortal{}
	config := of.Config()
	dial := config.ConnConfig.DialFunc
	config.ConnConfig.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
		m.mu.Lock()
		defer m.mu.Unlock()
		if m.dead {
			return nil, net.ErrClosed // or pgx would ask the server to cancel the statement
		}
		socket, err := dial(ctx, network, address)
		if err == nil {
			m.sockets = append(m.sockets, socket)
		}
		return socket, err
	}
	pool, err := pgxpool.NewWithConfig(t.Context(), config)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	m.Pool = pool
	return m
}

func (m *mortal) kill() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.dead = true
	for _, socket := range m.sockets {
		_ = socket.Close()
	}
}

// sleeping never comes to the end of a batch.
type sleeping struct{ counting }

func (sleeping) Apply(ctx context.Context, tx pgx.Tx, _ []projections.Event) error {
	_, err := tx.Exec(ctx, "select pg_sleep(60)")
	return err
}

const asleep = "select count(*) from pg_stat_activity where query like 'select %pg_sleep%' and state = 'active' and pid <> pg_backend_pid() and datname = current_database()"

func TestAnOwnerThatIsKilledInTheMiddleOfAStatementGivesTheProjectionUp(t *testing.T) {
	t.Parallel()
	const takeoverMax = 15 * time.Second
	events := history(t)
	m := projtest.Empty(t, counting{name: "counting"})
	owner := newMortal(t, m.Pool)
	writer, err := projections.Claim(t.Context(), owner.Pool, sleeping{counting{name: "counting"}}, projections.Ownership{Owner: "killed"})
	require.NoError(t, err)
	applied := make(chan error, 1)
	go func() { applied <- writer.Apply(t.Context(), events[:1], events[0].Position) }()
	// And, as the control, a lock of somebody who did not ask to be noticed
	careless := newMortal(t, m.Pool)
	go func() { _, _ = careless.Exec(t.Context(), "select pg_advisory_lock(42), pg_sleep(60)") }()
	require.Eventually(t, func() bool { return number(t, m.Pool, asleep) == 2 }, patience, tick)

	owner.kill()
	careless.kill()
	began := time.Now()

	require.Error(t, <-applied)
	var next *projections.Writer
	require.Eventually(t, func() bool {
		next, err = projections.Claim(t.Context(), m.Pool, counting{name: "counting"}, projections.Ownership{Owner: "next"})
		return err == nil
	}, takeoverMax, 100*time.Millisecond, "%v", err)
	defer next.Close()
	t.Logf("the next one owned it %s after the kill", time.Since(began).Round(time.Millisecond))
	require.Equal(t, 1, number(t, m.Pool, asleep), "the careless one's lock is still held")
	require.NoError(t, next.Apply(t.Context(), events, events[11].Position))
	m.Expect("select sum(n) from tally", []any{8})
	run(t, m.Pool, "select pg_terminate_backend(pid) from pg_stat_activity where query like '%pg_advisory_lock(42)%' and pid <> pg_backend_pid()")
}

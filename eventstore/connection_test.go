package eventstore

import (
	"context"
	"testing"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/stretchr/testify/require"
)

func TestAPanicOfTheClientIsAnError(t *testing.T) {
	t.Parallel()
	config, err := configure(Options{Socket: "nowhere"})
	require.NoError(t, err)
	conn, err := dial(config)
	require.NoError(t, err)
	_, err = call(t.Context(), conn, func(context.Context) (*esdb.WriteResult, error) { panic("unreachable code") })
	require.ErrorContains(t, err, "unreachable code")
	require.False(t, Definite(err), "the result is unknown")
	require.NoError(t, conn.close(t.Context()), "the call was counted out")
}

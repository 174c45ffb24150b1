package main

import (
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"daybook.example/domain/operation"
	"daybook.example/eventstore/log"
)

func TestTheLogHasTheNameOfItsFiles(t *testing.T) {
	t.Parallel()
	l, err := log.Open(log.Options{Dir: t.TempDir()})
	require.NoError(t, err)
	defer func() { require.NoError(t, l.Close()) }()
	require.Equal(t, l.ID(), (&engine{log: l}).ownLogID())
	require.NotEqual(t, uuid.Nil, (&engine{}).ownLogID(), "a store elsewhere gets a name too")
}

// The ID is for ever: a start that names the log again must find it named.
func TestNamingALogAgainIsTheSameEvent(t *testing.T) {
	t.Parallel()
	id := uuid.MustParse("00000000-0000-4000-8000-000000000002")
	e := &engine{clock: &clock{}}
	named, err := e.logNamed(id)
	require.NoError(t, err)
	require.Equal(t, "871af709-6910-59f3-a49a-14ddab253d62", named.ID.String())
	require.Equal(t, "log-named", named.Type)
	require.Contains(t, string(named.Metadata), `"actor":{"id":"daybook","kind":"service"}`)
	event, err := operation.Catalog.Decode(named.Type, 1, named.Data)
	require.NoError(t, err)
	require.Equal(t, operation.LogNamed{LogID: id}, event)
}

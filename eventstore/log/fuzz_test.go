package log

import (
	"bufio"
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"daybook.example/test/limit"
)

// Whatever a snapshot holds, also under a sum that is right, it is read or refused.
func FuzzReadSnapshot(f *testing.F) {
	dir := f.TempDir()
	l, err := Open(small(dir))
	require.NoError(f, err)
	for _, stream := range []string{"a", "b"} {
		_, err := l.Append(f.Context(), Append{Stream: stream, Expected: Any, Events: []Proposed{{ID: uuid.New(), Type: "t", JSON: true, Data: []byte("{}")}}})
		require.NoError(f, err)
	}
	require.NoError(f, l.Close())
	seed, err := os.ReadFile(filepath.Join(dir, snapshotName))
	require.NoError(f, err)
	f.Add(seed[:len(seed)-4])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, body []byte) {
		defer limit.Input(t, len(body))()
		d := &decoder{in: bufio.NewReader(bytes.NewReader(body)), left: int64(len(body))}
		d.header()
		d.streams(newIndex())
		d.places(newIndex())
	})
}

// Stream metadata comes from outside: what makes no sense in it means nothing.
func FuzzParseMetadata(f *testing.F) {
	f.Add([]byte(`{"$maxCount":5,"$maxAge":60,"$tb":7,"colour":"red"}`), int64(3))
	f.Add([]byte(`{"$maxCount":-1,"$tb":"x","$acl":{}}`), int64(-1))
	f.Fuzz(func(t *testing.T, data []byte, revision int64) {
		defer limit.Input(t, len(data))()
		m := parseMetadata(data)
		require.GreaterOrEqual(t, m.truncateBefore, int64(0))
		if revision >= 0 {
			require.Equal(t, revision, parseMetadata(withTruncateBefore(data, revision)).truncateBefore)
		}
	})
}

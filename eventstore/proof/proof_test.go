package proof

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"daybook.example/eventstore"
)

var update = flag.Bool("update", false, "write the golden file anew; leaves are for ever, so never change a line of it")

func hired() eventstore.Recorded {
	return eventstore.Recorded{
		ID:          uuid.MustParse("0198a000-0000-7000-8000-0000000000e1"),
		Stream:      "employee-0198a000-0000-7000-8000-0000000000ff",
		Revision:    7,
		Position:    eventstore.Position{Commit: 4096, Prepare: 4096},
		Type:        "employee-hired",
		ContentType: "application/json",
		Data:        []byte(`{"employee_no":"E-1"}`),
		Metadata:    []byte(`{"schema_version":1}`),
		Created:     time.Unix(1, 0),
	}
}

func TestLeavesAreAsTheyEverWere(t *testing.T) {
	t.Parallel()
	empty, large := hired(), hired()
	empty.Data, empty.Metadata, empty.Revision = nil, nil, 0
	large.Data = []byte(strings.Repeat("x", 1<<16))
	var got strings.Builder
	for _, c := range []struct {
		name  string
		event eventstore.Recorded
	}{{"hired", hired()}, {"empty", empty}, {"64 KiB", large}, {"zero", eventstore.Recorded{}}} {
		leaf := Leaf(c.event)
		fmt.Fprintf(&got, "%s: %s\n", c.name, hex.EncodeToString(leaf[:]))
	}
	if *update {
		require.NoError(t, os.MkdirAll("testdata", 0o755))
		require.NoError(t, os.WriteFile("testdata/leaf.golden", []byte(got.String()), 0o644))
	}
	want, err := os.ReadFile("testdata/leaf.golden")
	require.NoError(t, err)
	require.Equal(t, string(want), got.String())
}

// The documented bytes, written out a second time.
func TestALeafIsTheHashOfTheDocumentedBytes(t *testing.T) {
	t.Parallel()
	e := hired()
	hash := sha256.New()
	hash.Write([]byte{0})
	revision := make([]byte, 8)
	binary.BigEndian.PutUint64(revision, e.Revision)
	for _, value := range [][]byte{[]byte(e.Stream), revision, e.ID[:], []byte(e.Type), []byte(e.ContentType), e.Data, e.Metadata} {
		_ = binary.Write(hash, binary.BigEndian, int64(len(value)))
		hash.Write(value)
	}
	leaf := Leaf(e)
	require.Equal(t, hash.Sum(nil), leaf[:])
}

func TestALeafKnowsNoPositionAndNoTimeOfTheNode(t *testing.T) {
	t.Parallel()
	copied := hired()
	copied.Position, copied.Created = eventstore.Position{Commit: 1, Prepare: 1}, time.Now()
	require.Equal(t, Leaf(hired()), Leaf(copied))
}

// A byte that moves from one field to the next changes the leaf.
func TestPropertyFieldsDoNotRunTogether(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		e := hired()
		e.Stream = rapid.StringN(1, 10, -1).Draw(t, "stream")
		e.Type = rapid.StringN(1, 10, -1).Draw(t, "type")
		e.Data = rapid.SliceOfN(rapid.Byte(), 1, 10).Draw(t, "data")
		e.Metadata = rapid.SliceOf(rapid.Byte()).Draw(t, "metadata")
		moved := e
		moved.Data, moved.Metadata = e.Data[:len(e.Data)-1], append([]byte{e.Data[len(e.Data)-1]}, e.Metadata...)
		require.NotEqual(t, Leaf(e), Leaf(moved))
		moved = e
		moved.Type, moved.ContentType = e.Type[:len(e.Type)-1], e.Type[len(e.Type)-1:]+e.ContentType
		require.NotEqual(t, Leaf(e), Leaf(moved))
	})
}

func BenchmarkLeaf(b *testing.B) {
	e := hired()
	e.Data = []byte(strings.Repeat("x", 650))
	b.ReportAllocs()
	for b.Loop() {
		_ = Leaf(e)
	}
}

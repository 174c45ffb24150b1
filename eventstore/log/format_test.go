package log

import (
	"encoding/hex"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"daybook.example/test/limit"
)

var update = flag.Bool("update", false, "write testdata/format.golden anew: only ever for a format nobody has stored yet")

// The stored format is for ever. If this test fails, existing logs cannot be
// read any more: change the code back, not the golden file.
func TestTheStoredFormatIsPinned(t *testing.T) {
	t.Parallel()
	// given a clock and an ID that are always the same
	o := small(t.TempDir())
	now := time.Date(2024, 2, 29, 12, 30, 0, 123_456_700, time.UTC)
	o.Now = func() time.Time { now = now.Add(time.Second); return now }
	o.newID = func() uuid.UUID { return uuid.MustParse("6ba7b810-9dad-41d1-80b4-00c04fd430c8") }
	l := open(t, o)
	// when each kind of frame is written, and the segment is sealed
	id := func(n byte) uuid.UUID { return uuid.UUID{15: n, 6: 0x40, 8: 0x80} }
	appended(t, l, "employee-1", NoStream,
		Proposed{ID: id(1), Type: "employee-hired", JSON: true, Data: []byte(`{"name":"x"}`), Metadata: []byte(`{"$correlationId":"c"}`)},
		Proposed{ID: id(2), Type: "picture", Data: make([]byte, 1200)})
	appended(t, l, "$$employee-1", NoStream, Proposed{ID: id(3), Type: metadataType, JSON: true, Data: []byte(`{"$maxCount":5,"colour":"red"}`)})
	_, err := l.Delete(t.Context(), "employee-1", 1)
	require.NoError(t, err)
	appended(t, l, "employee-1", Any, Proposed{ID: id(4), Type: "employee-hired", JSON: true})
	_, err = l.Tombstone(t.Context(), "employee-1", 2)
	require.NoError(t, err)
	appended(t, l, "next", Any, Proposed{ID: id(5), Type: "large", Data: make([]byte, 63<<10)})
	// then the bytes are those of the golden file
	content, err := os.ReadFile(filepath.Join(o.Dir, segmentName(0)))
	require.NoError(t, err)
	markBytes, err := os.ReadFile(filepath.Join(o.Dir, markName))
	require.NoError(t, err)
	got := "segment\n" + dump(content) + "mark\n" + dump(markBytes)
	golden := filepath.Join("testdata", "format.golden")
	if *update {
		require.NoError(t, os.MkdirAll("testdata", 0o755))
		require.NoError(t, os.WriteFile(golden, []byte(got), 0o644))
	}
	want, err := os.ReadFile(golden)
	require.NoError(t, err)
	require.Equal(t, string(want), got)
}

func TestALogOfALaterFormatIsNotCalledDamaged(t *testing.T) {
	t.Parallel()
	// given a log whose header names another format
	o := small(t.TempDir())
	l, err := Open(o)
	require.NoError(t, err)
	require.NoError(t, l.Close())
	path := filepath.Join(o.Dir, segmentName(0))
	content, err := os.ReadFile(path)
	require.NoError(t, err)
	le.PutUint32(content[40:], formatVersion+1)
	sign(content[:pageSize])
	require.NoError(t, os.WriteFile(path, content, 0o600))
	// when it is opened
	_, err = Open(o)
	// then the error says which program to take
	require.ErrorContains(t, err, "has format 2, and this program reads format 1")
	require.NotErrorAs(t, err, new(*Damaged))
}

// dump writes bytes as text and leaves out lines of zeros.
func dump(b []byte) string {
	var text strings.Builder
	for line := range strings.Lines(hex.Dump(b)) {
		if !strings.Contains(line, "|................|") || !strings.Contains(line, strings.Repeat(" 00", 8)+" "+strings.Repeat(" 00", 8)) {
			text.WriteString(line)
		}
	}
	return text.String()
}

func FuzzParsersNeverPanic(f *testing.F) {
	a := encodeFrame("stream", []Proposed{{ID: uuid.UUID{1}, Type: "t", JSON: true, Data: []byte("{}")}})
	group := append(make([]byte, groupHeaderSize), a.bytes...)
	a.settle(group[groupHeaderSize:], pageSize+groupHeaderSize, 0, 1)
	f.Add(sealGroup(group, groupHeader{frames: 1, events: 1, at: pageSize}))
	f.Fuzz(func(t *testing.T, b []byte) {
		defer limit.Input(t, len(b))()
		parseGroup(b, pageSize, func(v view) { v.record(); v.data() })
		v, ok := parseRecord(b, pageSize)
		if ok {
			v.data()
		}
		inspectTail(b, pageSize)
		parseSegmentHeader(b)
		parseSegmentFooter(b, segmentHeader{})
	})
}

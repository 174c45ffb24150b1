package node_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

func TestADamagedEventIsNeverServed(t *testing.T) {
	t.Parallel()
	s := start(t)
	appendTo(t, s.client(), "things-1", esdb.NoStream{}, events(1)...)
	appendTo(t, s.client(), "things-1", esdb.Any{}, event("thing-happened", `{"word":"sound"}`))
	s.overwrite("sound", "wound")

	all, _, err := s.read(streamQuery("things-1"), 10)

	require.Equal(t, codes.DataLoss, status.Code(err))
	require.ErrorContains(t, err, "daybook node fsck")
	require.Empty(t, all)
	_, _, err = s.read(allQuery(), 10)
	require.Equal(t, codes.DataLoss, status.Code(err))
}

func (s *server) overwrite(before, after string) {
	s.t.Helper()
	files, err := filepath.Glob(filepath.Join(s.dir, "log", "*.seg"))
	require.NoError(s.t, err)
	for _, name := range files {
		content, err := os.ReadFile(name)
		require.NoError(s.t, err)
		if at := bytes.Index(content, []byte(before)); at >= 0 {
			file, err := os.OpenFile(name, os.O_WRONLY, 0)
			require.NoError(s.t, err)
			_, err = file.WriteAt([]byte(after), int64(at))
			require.NoError(s.t, err)
			require.NoError(s.t, file.Close())
			return
		}
	}
	s.t.Fatal("not found in the log")
}

func TestAFullDiskIsSaidWithoutLosingTheConnection(t *testing.T) {
	t.Parallel()
	s := start(t)
	appendTo(t, s.client(), "things-1", esdb.NoStream{}, events(1)...)
	s.close()
	s.spare = 1 << 60
	s.open()
	_, _, err := s.append(options("things-1", expectAny), message(events(1)[0]))
	require.Equal(t, codes.ResourceExhausted, status.Code(err))
	all, err := readStream(t, s.client(), "things-1", esdb.ReadStreamOptions{})
	require.NoError(t, err, "reads go on")
	require.Len(t, all, 1)
}

func TestAnAppendTooLargeForTheLogIsAnInvalidTransaction(t *testing.T) {
	t.Parallel()
	s := start(t)
	requests := append(s.manyRequests(400), message(events(1)[0]))
	requests[0] = options(strings.Repeat("x", 60_000), expectAny)
	_, trailer, err := s.append(requests...)
	require.Equal(t, codes.InvalidArgument, status.Code(err))
	require.Equal(t, []string{"invalid-transaction"}, trailer.Get("exception"))

	_, _, err = s.append(options(strings.Repeat("x", 70_000), expectAny), message(events(1)[0]))
	require.Equal(t, codes.InvalidArgument, status.Code(err))
}

func TestAppendsToAClosedLogAreToldThatTheNodeShutsDown(t *testing.T) {
	t.Parallel()
	s := start(t)
	require.NoError(t, s.log.Close())
	_, trailer, err := s.append(options("things-1", expectAny), message(events(1)[0]))
	require.Equal(t, codes.Unavailable, status.Code(err))
	require.Equal(t, []string{"server-shutting-down"}, trailer.Get("exception"))
	require.NoError(t, s.node.Close(within(t)))
	s.open()
}

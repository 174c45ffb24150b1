package node_test

import (
	"math"
	"strings"
	"testing"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

func TestAnAppendedEventIsReadBackAsItWasGiven(t *testing.T) {
	t.Parallel()
	s := anywhere(t)
	c := s.client()
	given := esdb.EventData{
		EventID: events(1)[0].EventID, EventType: "thing-happened", ContentType: esdb.ContentTypeJson,
		Data: []byte(`{"a":1}`), Metadata: []byte(`{"$correlationId":"x"}`),
	}

	written := appendTo(t, c, s.stream("things-1"), esdb.NoStream{}, given)

	all, err := readStream(t, c, s.stream("things-1"), esdb.ReadStreamOptions{})
	require.NoError(t, err)
	require.Len(t, all, 1)
	got := all[0].Event
	require.Equal(t, given.EventID, got.EventID)
	require.Equal(t, "thing-happened", got.EventType)
	require.Equal(t, "application/json", got.ContentType)
	require.Equal(t, s.stream("things-1"), got.StreamID)
	require.Equal(t, given.Data, got.Data)
	require.Equal(t, given.Metadata, got.UserMetadata)
	require.Zero(t, got.EventNumber)
	require.Equal(t, written.CommitPosition, got.Position.Commit)
	require.Equal(t, written.PreparePosition, got.Position.Prepare)
	require.Equal(t, written.CommitPosition, *all[0].Commit)
	require.Zero(t, written.NextExpectedVersion)
	require.False(t, got.CreatedDate.IsZero())
	require.Nil(t, all[0].Link)
}

func TestAnAppendIsDecidedByItsExpectedRevision(t *testing.T) {
	t.Parallel()
	s := anywhere(t)
	c := s.client()
	a, b, x, y := events(1)[0], events(1)[0], events(1)[0], events(1)[0]
	const wrong = int64(-1)
	for name, test := range map[string]struct {
		given    []esdb.EventData
		expected esdb.ExpectedRevision
		when     []esdb.EventData
		then     int64 // the revision answered
		stored   int
	}{
		"no stream, there is none":                  {nil, esdb.NoStream{}, []esdb.EventData{x}, 0, 1},
		"no stream, there is one":                   {[]esdb.EventData{a}, esdb.NoStream{}, []esdb.EventData{x}, wrong, 1},
		"no stream, repeated":                       {[]esdb.EventData{a, b}, esdb.NoStream{}, []esdb.EventData{a, b}, 1, 2},
		"no stream, its beginning repeated":         {[]esdb.EventData{a, b}, esdb.NoStream{}, []esdb.EventData{a}, 0, 2},
		"no stream, repeated and more":              {[]esdb.EventData{a, b}, esdb.NoStream{}, []esdb.EventData{a, b, x}, wrong, 2},
		"a revision, the last":                      {[]esdb.EventData{a, b}, esdb.Revision(1), []esdb.EventData{x, y}, 3, 4},
		"a revision, one passed":                    {[]esdb.EventData{a, b}, esdb.Revision(0), []esdb.EventData{x}, wrong, 2},
		"a revision, one to come":                   {[]esdb.EventData{a, b}, esdb.Revision(2), []esdb.EventData{x}, wrong, 2},
		"a revision, repeated":                      {[]esdb.EventData{a, b}, esdb.Revision(0), []esdb.EventData{b}, 1, 2},
		"a revision, repeated and changed":          {[]esdb.EventData{a, b, x}, esdb.Revision(0), []esdb.EventData{b, y}, wrong, 3},
		"a revision, nothing appended behind it":    {[]esdb.EventData{a, b}, esdb.Revision(0), nil, wrong, 2},
		"any, there is none":                        {nil, esdb.Any{}, []esdb.EventData{x}, 0, 1},
		"any, there is one":                         {[]esdb.EventData{a}, esdb.Any{}, []esdb.EventData{x}, 1, 2},
		"any, repeated":                             {[]esdb.EventData{a, b}, esdb.Any{}, []esdb.EventData{a, b}, 1, 2},
		"any, an earlier part repeated":             {[]esdb.EventData{a, b}, esdb.Any{}, []esdb.EventData{a}, 0, 2},
		"any, repeated and more":                    {[]esdb.EventData{a, b}, esdb.Any{}, []esdb.EventData{b, x}, wrong, 2},
		"stream exists, there is none":              {nil, esdb.StreamExists{}, []esdb.EventData{x}, wrong, 0},
		"stream exists, there is one":               {[]esdb.EventData{a}, esdb.StreamExists{}, []esdb.EventData{x}, 1, 2},
		"stream exists, repeated":                   {[]esdb.EventData{a}, esdb.StreamExists{}, []esdb.EventData{a}, 0, 1},
		"no stream, nothing appended, there is one": {[]esdb.EventData{a}, esdb.NoStream{}, nil, wrong, 1},
		"the last revision, nothing appended":       {[]esdb.EventData{a, b}, esdb.Revision(1), nil, 1, 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			stream := s.stream("things-") + uuid.NewString()
			var before *esdb.WriteResult
			if test.given != nil {
				before = appendTo(t, c, stream, esdb.NoStream{}, test.given...)
			}

			written, err := c.AppendToStream(within(t), stream, esdb.AppendToStreamOptions{ExpectedRevision: test.expected}, test.when...)

			if test.then == wrong {
				require.Equal(t, esdb.ErrorCodeWrongExpectedVersion, codeOf(t, err))
			} else {
				require.NoError(t, err)
				require.Equal(t, uint64(test.then), written.NextExpectedVersion)
				if test.stored == len(test.given) && test.then == int64(len(test.given))-1 {
					require.Equal(t, before.CommitPosition, written.CommitPosition, "a repeat is answered with the first position")
				}
			}
			all, err := readStream(t, c, stream, esdb.ReadStreamOptions{})
			if test.stored == 0 {
				require.Equal(t, esdb.ErrorCodeResourceNotFound, codeOf(t, err))
				return
			}
			require.NoError(t, err)
			require.Len(t, all, test.stored)
		})
	}
}

func TestARepeatedAppendIsKnownAfterARestart(t *testing.T) {
	t.Parallel()
	s := start(t)
	batch := events(3)
	first := appendTo(t, s.client(), "things-1", esdb.NoStream{}, batch...)

	s.close()
	s.open()
	for _, expected := range []esdb.ExpectedRevision{esdb.NoStream{}, esdb.Any{}, esdb.StreamExists{}} {
		again := appendTo(t, s.client(), "things-1", expected, batch...)
		require.Equal(t, first, again)
	}
	all, err := readStream(t, s.client(), "things-1", esdb.ReadStreamOptions{})
	require.NoError(t, err)
	require.Len(t, all, 3)
}

func TestAnAppendOfExactlyTheLimitIsTakenAndOneByteMoreRefused(t *testing.T) {
	t.Parallel()
	s := anywhere(t)
	c := s.client()
	full := event("t", string(make([]byte, 1<<20-2)))
	appendTo(t, c, s.stream("things-1"), esdb.NoStream{}, full)

	larger := event("t", string(make([]byte, 1<<20-1)))
	_, trailer, err := s.append(options(s.stream("things-2"), expectAny), message(larger))

	require.Equal(t, codes.InvalidArgument, status.Code(err))
	require.Equal(t, []string{"maximum-append-size-exceeded"}, trailer.Get("exception"))
	require.Equal(t, []string{"1048576"}, trailer.Get("maximum-append-size"))
	_, err = c.AppendToStream(within(t), s.stream("things-2"), esdb.AppendToStreamOptions{ExpectedRevision: esdb.Any{}}, larger)
	require.Equal(t, esdb.ErrorCodeUnknown, codeOf(t, err))
	require.ErrorContains(t, err, "1048576")
	_, err = readStream(t, c, s.stream("things-2"), esdb.ReadStreamOptions{})
	require.Equal(t, esdb.ErrorCodeResourceNotFound, codeOf(t, err))
}

func TestAManyTimesTooLargeAppendIsStillAnswered(t *testing.T) {
	t.Parallel()
	s := anywhere(t)
	c := s.client()
	var all []esdb.EventData
	for range 3000 {
		all = append(all, event("t", string(make([]byte, 1000))))
	}
	_, err := c.AppendToStream(within(t), s.stream("things-1"), esdb.AppendToStreamOptions{ExpectedRevision: esdb.Any{}}, all...)
	require.ErrorContains(t, err, "1048576", "not a broken stream")
}

func TestMalformedAppendsAreRefusedAndStoreNothing(t *testing.T) {
	t.Parallel()
	s := start(t)
	good := message(events(1)[0])
	without := func(change func(*streams.AppendReq_ProposedMessage)) *streams.AppendReq {
		m := message(events(1)[0])
		change(m.GetProposedMessage())
		return m
	}
	for name, test := range map[string]struct {
		requests  []*streams.AppendReq
		code      codes.Code
		exception string
	}{
		"nothing":              {nil, codes.InvalidArgument, ""},
		"no options":           {[]*streams.AppendReq{good}, codes.InvalidArgument, ""},
		"two options":          {[]*streams.AppendReq{options("x", expectAny), options("x", expectAny), good}, codes.InvalidArgument, ""},
		"options last":         {[]*streams.AppendReq{options("x", expectAny), good, options("x", expectAny)}, codes.InvalidArgument, ""},
		"an empty message":     {[]*streams.AppendReq{options("x", expectAny), {}}, codes.InvalidArgument, ""},
		"no expected revision": {[]*streams.AppendReq{options("x", nil), good}, codes.InvalidArgument, ""},
		"a revision too large": {[]*streams.AppendReq{options("x", expectRevision(math.MaxInt64+1)), good}, codes.InvalidArgument, ""},
		"no stream name":       {[]*streams.AppendReq{options("", expectAny), good}, codes.InvalidArgument, ""},
		"a name not UTF-8":     {[]*streams.AppendReq{options("x\xff", expectAny), good}, codes.InvalidArgument, ""},
		"$all":                 {[]*streams.AppendReq{options("$all", expectAny), good}, codes.PermissionDenied, "access-denied"},
		"metadata of metadata": {[]*streams.AppendReq{options("$$$$x", expectAny), good}, codes.PermissionDenied, "access-denied"},
		"no type":              {[]*streams.AppendReq{options("x", expectAny), without(func(m *streams.AppendReq_ProposedMessage) { delete(m.Metadata, "type") })}, codes.InvalidArgument, "missing-required-metadata-property"},
		"no content type":      {[]*streams.AppendReq{options("x", expectAny), without(func(m *streams.AppendReq_ProposedMessage) { delete(m.Metadata, "content-type") })}, codes.InvalidArgument, "missing-required-metadata-property"},
		"an empty type":        {[]*streams.AppendReq{options("x", expectAny), without(func(m *streams.AppendReq_ProposedMessage) { m.Metadata["type"] = "" })}, codes.InvalidArgument, ""},
		"no ID":                {[]*streams.AppendReq{options("x", expectAny), without(func(m *streams.AppendReq_ProposedMessage) { m.Id = nil })}, codes.InvalidArgument, ""},
		"a zero ID": {[]*streams.AppendReq{options("x", expectAny), without(func(m *streams.AppendReq_ProposedMessage) {
			m.Id = &shared.UUID{Value: &shared.UUID_Structured_{Structured: &shared.UUID_Structured{}}}
		})}, codes.InvalidArgument, ""},
		"an ID that is no UUID": {[]*streams.AppendReq{options("x", expectAny), without(func(m *streams.AppendReq_ProposedMessage) {
			m.Id = &shared.UUID{Value: &shared.UUID_String_{String_: "7"}}
		})}, codes.InvalidArgument, ""},
		"one bad event of two": {[]*streams.AppendReq{options("x", expectAny), good, {}}, codes.InvalidArgument, ""},
	} {
		_, trailer, err := s.append(test.requests...)
		require.Equal(t, test.code, status.Code(err), "%s: %v", name, err)
		require.Equal(t, test.exception, strings.Join(trailer.Get("exception"), ","), name)
		if test.exception == "missing-required-metadata-property" {
			require.Equal(t, []string{"type,content-type"}, trailer.Get("required-metadata-properties"))
		}
	}
	require.Zero(t, s.log.Head())
}

func TestAnIDMayComeAsTextAndOtherMetadataAreDropped(t *testing.T) {
	t.Parallel()
	s := anywhere(t)
	m, id := message(events(1)[0]), uuid.New()
	m.GetProposedMessage().Id = &shared.UUID{Value: &shared.UUID_String_{String_: id.String()}}
	m.GetProposedMessage().Metadata["other"] = "dropped"
	m.GetProposedMessage().Metadata["content-type"] = "text/plain"
	_, _, err := s.append(options(s.stream("things-1"), expectAny), m)
	require.NoError(t, err)

	all, err := readStream(t, s.client(), s.stream("things-1"), esdb.ReadStreamOptions{})
	require.NoError(t, err)
	require.Equal(t, id, all[0].Event.EventID)
	require.Equal(t, "application/octet-stream", all[0].Event.ContentType)
	require.NotContains(t, all[0].Event.SystemMetadata, "other")
}

func TestAWrongExpectedRevisionIsSaidInFieldsOfAllAges(t *testing.T) {
	t.Parallel()
	s := anywhere(t)
	appendTo(t, s.client(), s.stream("things-1"), esdb.NoStream{}, events(3)...)
	refusal := func(stream string, o expect) *streams.AppendResp_WrongExpectedVersion {
		response, _, err := s.append(options(stream, o), message(events(1)[0]))
		require.NoError(t, err)
		require.NotNil(t, response.GetWrongExpectedVersion())
		return response.GetWrongExpectedVersion()
	}

	w := refusal(s.stream("things-1"), expectRevision(7))
	require.Equal(t, uint64(2), w.GetCurrentRevision())
	require.Equal(t, uint64(2), w.GetCurrentRevision_20_6_0())
	require.Equal(t, uint64(7), w.GetExpectedRevision())
	require.Equal(t, uint64(7), w.GetExpectedRevision_20_6_0())

	w = refusal(s.stream("things-1"), expectNoStream)
	require.NotNil(t, w.GetExpectedNoStream())
	require.Equal(t, uint64(math.MaxUint64), w.GetExpectedRevision_20_6_0())

	w = refusal(s.stream("things-2"), expectStream)
	require.NotNil(t, w.GetCurrentNoStream())
	require.NotNil(t, w.GetNoStream_20_6_0())
	require.NotNil(t, w.GetExpectedStreamExists())
	require.NotNil(t, w.GetStreamExists_20_6_0())

	both := events(2)
	appendTo(t, s.client(), s.stream("things-3"), esdb.NoStream{}, both[0])
	response, _, err := s.append(options(s.stream("things-3"), expectAny), message(both[0]), message(both[1]))
	require.NoError(t, err)
	w = response.GetWrongExpectedVersion()
	require.NotNil(t, w.GetExpectedAny())
	require.NotNil(t, w.GetAny_20_6_0())
}

func TestAnEmptyAppendToNoStreamSaysNoStream(t *testing.T) {
	t.Parallel()
	s := anywhere(t)
	response, _, err := s.append(options(s.stream("things-1"), expectAny))
	require.NoError(t, err)
	require.NotNil(t, response.GetSuccess().GetNoStream())
	require.NotNil(t, response.GetSuccess().GetPosition())
}

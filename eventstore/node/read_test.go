package node_test

import (
	"fmt"
	"math"
	"testing"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

func TestAStreamIsReadFromAnyRevisionBothWays(t *testing.T) {
	t.Parallel()
	s := anywhere(t)
	c := s.client()
	appendTo(t, c, s.stream("things-1"), esdb.NoStream{}, events(5)...)
	for name, test := range map[string]struct {
		options esdb.ReadStreamOptions
		count   uint64
		then    []uint64
	}{
		"forwards from the start":      {esdb.ReadStreamOptions{From: esdb.Start{}}, math.MaxUint64, []uint64{0, 1, 2, 3, 4}},
		"forwards from a revision":     {esdb.ReadStreamOptions{From: esdb.Revision(2)}, math.MaxUint64, []uint64{2, 3, 4}},
		"forwards, two of them":        {esdb.ReadStreamOptions{From: esdb.Revision(1)}, 2, []uint64{1, 2}},
		"forwards, none of them":       {esdb.ReadStreamOptions{From: esdb.Revision(1)}, 0, nil},
		"forwards from behind it":      {esdb.ReadStreamOptions{From: esdb.Revision(9)}, 7, nil},
		"forwards from the end":        {esdb.ReadStreamOptions{From: esdb.End{}}, 7, nil},
		"forwards from the wire's end": {esdb.ReadStreamOptions{From: esdb.Revision(math.MaxUint64)}, 7, nil},
		"backwards from the end":       {esdb.ReadStreamOptions{From: esdb.End{}, Direction: esdb.Backwards}, math.MaxUint64, []uint64{4, 3, 2, 1, 0}},
		"backwards, the last":          {esdb.ReadStreamOptions{From: esdb.End{}, Direction: esdb.Backwards}, 1, []uint64{4}},
		"backwards from a revision":    {esdb.ReadStreamOptions{From: esdb.Revision(2), Direction: esdb.Backwards}, math.MaxUint64, []uint64{2, 1, 0}},
		"backwards from behind it":     {esdb.ReadStreamOptions{From: esdb.Revision(9), Direction: esdb.Backwards}, 2, []uint64{4, 3}},
		"backwards from the start":     {esdb.ReadStreamOptions{From: esdb.Start{}, Direction: esdb.Backwards}, math.MaxUint64, []uint64{0}},
	} {
		read, err := c.ReadStream(within(t), s.stream("things-1"), test.options, test.count)
		require.NoError(t, err)
		all, err := collect(read)
		require.NoError(t, err, name)
		require.Equal(t, test.then, revisions(all), name)
	}
}

func TestALongStreamOfUnevenEventsIsReadWhole(t *testing.T) {
	t.Parallel()
	c := start(t).client()
	for i := range 60 {
		size := 1 << (i % 18)
		appendTo(t, c, "things-1", esdb.Any{}, event("t", string(make([]byte, size))), event("t", "{}"), event("t", "{}"), event("t", "{}"))
	}
	forwards, err := readStream(t, c, "things-1", esdb.ReadStreamOptions{From: esdb.Start{}})
	require.NoError(t, err)
	backwards, err := readStream(t, c, "things-1", esdb.ReadStreamOptions{From: esdb.End{}, Direction: esdb.Backwards})
	require.NoError(t, err)
	require.Len(t, forwards, 240)
	for i, e := range forwards {
		require.Equal(t, uint64(i), e.Event.EventNumber)
		require.Equal(t, e.Event, backwards[239-i].Event)
	}
	require.Equal(t, forwards, readAll(t, c, esdb.ReadAllOptions{From: esdb.Start{}}, math.MaxUint64))
}

func TestTheWholeLogIsReadInclusivelyForwardsAndExclusivelyBackwards(t *testing.T) {
	t.Parallel()
	c := start(t).client()
	var positions []esdb.Position
	for i := range 5 {
		written := appendTo(t, c, fmt.Sprintf("things-%d", i%2), esdb.Any{}, events(1)...)
		positions = append(positions, esdb.Position{Commit: written.CommitPosition, Prepare: written.PreparePosition})
	}
	at := func(all []*esdb.ResolvedEvent) (found []esdb.Position) {
		for _, e := range all {
			found = append(found, e.OriginalEvent().Position)
		}
		return found
	}
	read := func(from esdb.AllPosition, d esdb.Direction, count uint64) []esdb.Position {
		return at(readAll(t, c, esdb.ReadAllOptions{From: from, Direction: d}, count))
	}

	require.Equal(t, positions, read(esdb.Start{}, esdb.Forwards, math.MaxUint64))
	require.Equal(t, positions[2:], read(positions[2], esdb.Forwards, math.MaxUint64))
	require.Equal(t, positions[2:4], read(positions[2], esdb.Forwards, 2))
	between := esdb.Position{Commit: positions[2].Commit + 1, Prepare: positions[2].Commit + 1}
	require.Equal(t, positions[3:], read(between, esdb.Forwards, math.MaxUint64), "the next event behind a place that is none's")
	require.Empty(t, read(esdb.End{}, esdb.Forwards, 5))
	require.Equal(t, []esdb.Position{positions[4], positions[3]}, read(esdb.End{}, esdb.Backwards, 2))
	require.Equal(t, []esdb.Position{positions[1], positions[0]}, read(positions[2], esdb.Backwards, math.MaxUint64))
	require.Empty(t, read(esdb.Start{}, esdb.Backwards, 5))
}

func TestWhatMetadataHideIsNotReadButTheStreamIsThere(t *testing.T) {
	t.Parallel()
	s := anywhere(t)
	c := s.client()
	appendTo(t, c, s.stream("things-1"), esdb.NoStream{}, events(5)...)
	setMetadata := func(change func(*esdb.StreamMetadata)) {
		var m esdb.StreamMetadata
		change(&m)
		_, err := c.SetStreamMetadata(within(t), s.stream("things-1"), esdb.AppendToStreamOptions{ExpectedRevision: esdb.Any{}}, m)
		require.NoError(t, err)
	}
	visible := func() []uint64 {
		all, err := readStream(t, c, s.stream("things-1"), esdb.ReadStreamOptions{From: esdb.Start{}})
		require.NoError(t, err)
		return revisions(all)
	}

	setMetadata(func(m *esdb.StreamMetadata) { m.SetMaxCount(2) })
	require.Equal(t, []uint64{3, 4}, visible())
	setMetadata(func(m *esdb.StreamMetadata) { m.SetTruncateBefore(4) })
	require.Equal(t, []uint64{4}, visible())
	setMetadata(func(m *esdb.StreamMetadata) { m.SetTruncateBefore(17) })
	require.Empty(t, visible())
	o := allQuery()
	o.FilterOption = &streams.ReadReq_Options_Filter{Filter: prefixFilter(s.stream("things-1"), "$$"+s.stream("things-1"))}
	all, _, err := s.read(o, 100)
	require.NoError(t, err)
	require.Len(t, all, 8, "$all shows everything")
}

func TestMissingAndDeletedStreamsAreToldApart(t *testing.T) {
	t.Parallel()
	s := anywhere(t)
	c := s.client()
	_, err := readStream(t, c, s.stream("things-1"), esdb.ReadStreamOptions{})
	require.Equal(t, esdb.ErrorCodeResourceNotFound, codeOf(t, err))

	appendTo(t, c, s.stream("things-1"), esdb.NoStream{}, events(3)...)
	_, err = c.DeleteStream(within(t), s.stream("things-1"), esdb.DeleteStreamOptions{ExpectedRevision: esdb.Revision(2)})
	require.NoError(t, err)
	_, err = readStream(t, c, s.stream("things-1"), esdb.ReadStreamOptions{})
	require.Equal(t, esdb.ErrorCodeResourceNotFound, codeOf(t, err))

	again := appendTo(t, c, s.stream("things-1"), esdb.NoStream{}, events(1)...)
	require.Equal(t, uint64(3), again.NextExpectedVersion, "a stream goes on behind what was deleted")
	all, err := readStream(t, c, s.stream("things-1"), esdb.ReadStreamOptions{})
	require.NoError(t, err)
	require.Equal(t, []uint64{3}, revisions(all))

	buried, err := c.TombstoneStream(within(t), s.stream("things-1"), esdb.TombstoneStreamOptions{ExpectedRevision: esdb.Any{}})
	require.NoError(t, err)
	require.Greater(t, buried.Position.Commit, again.CommitPosition)
	_, err = readStream(t, c, s.stream("things-1"), esdb.ReadStreamOptions{})
	require.Equal(t, esdb.ErrorCodeStreamDeleted, codeOf(t, err))
	_, err = c.AppendToStream(within(t), s.stream("things-1"), esdb.AppendToStreamOptions{ExpectedRevision: esdb.Any{}}, events(1)...)
	require.Equal(t, esdb.ErrorCodeStreamDeleted, codeOf(t, err))
	_, err = c.DeleteStream(within(t), s.stream("things-1"), esdb.DeleteStreamOptions{ExpectedRevision: esdb.Any{}})
	require.Equal(t, esdb.ErrorCodeStreamDeleted, codeOf(t, err))
}

func TestANameThatNoHeaderCanHoldDoesNotBreakTheConnection(t *testing.T) {
	t.Parallel()
	s := anywhere(t)
	c := s.client()
	for _, name := range []string{s.stream("a\r\nb"), s.stream("größe/1"), s.stream("\x00")} {
		appendTo(t, c, name, esdb.NoStream{}, events(1)...)
		_, err := c.TombstoneStream(within(t), name, esdb.TombstoneStreamOptions{ExpectedRevision: esdb.Any{}})
		require.NoError(t, err)
		_, err = readStream(t, c, name, esdb.ReadStreamOptions{})
		require.Equal(t, esdb.ErrorCodeStreamDeleted, codeOf(t, err))
	}
}

func TestADeletionAtTheWrongRevisionSaysWhichItIs(t *testing.T) {
	t.Parallel()
	s := anywhere(t)
	appendTo(t, s.client(), s.stream("things-1"), esdb.NoStream{}, events(3)...)
	for stream, actual := range map[string]string{s.stream("things-1"): "2", s.stream("things-2"): "-1"} {
		for _, remove := range []func(string) ([]string, error){s.deleteAt7, s.tombstoneAt7} {
			trailers, err := remove(stream)
			require.Equal(t, codes.FailedPrecondition, status.Code(err))
			require.Equal(t, []string{"wrong-expected-version", stream, "7", actual}, trailers)
		}
	}
	_, err := streams.NewStreamsClient(s.raw()).Delete(within(t), &streams.DeleteReq{})
	require.Equal(t, codes.InvalidArgument, status.Code(err))
	_, err = streams.NewStreamsClient(s.raw()).Tombstone(within(t), &streams.TombstoneReq{
		Options: &streams.TombstoneReq_Options{StreamIdentifier: identifier(s.stream("things-1"))},
	})
	require.Equal(t, codes.InvalidArgument, status.Code(err))
	_, err = s.client().DeleteStream(within(t), "$all", esdb.DeleteStreamOptions{ExpectedRevision: esdb.Any{}})
	require.Equal(t, esdb.ErrorCodeAccessDenied, codeOf(t, err))
}

func TestTheWholeLogHidesOnlyWhatServersNoteForThemselves(t *testing.T) {
	t.Parallel()
	c := start(t).client()
	shown := []string{"things-1", "$$things-1", "$persistentsubscription-things-1::group-checkpoint", "$persistentsubscription-$all::group", "$settings"}
	hidden := []string{"$epoch-information", "$persistentsubscription-$all::group-checkpoint", "$persistentsubscription-$all::group-parked"}
	for _, stream := range append(hidden, shown...) {
		appendTo(t, c, stream, esdb.NoStream{}, events(1)...)
	}
	var found []string
	for _, e := range readAll(t, c, esdb.ReadAllOptions{From: esdb.Start{}}, 100) {
		found = append(found, e.Event.StreamID)
	}
	require.Equal(t, shown, found)
	own, err := readStream(t, c, hidden[1], esdb.ReadStreamOptions{})
	require.NoError(t, err)
	require.Len(t, own, 1, "by its own name it is read")
}

func TestLinksAreFollowedWhenAsked(t *testing.T) {
	t.Parallel()
	s := anywhere(t)
	c := s.client()
	target := events(2)
	appendTo(t, c, s.stream("things-1"), esdb.NoStream{}, target...)
	appendTo(t, c, s.stream("gone"), esdb.NoStream{}, events(1)...)
	_, err := c.TombstoneStream(within(t), s.stream("gone"), esdb.TombstoneStreamOptions{ExpectedRevision: esdb.Any{}})
	require.NoError(t, err)
	var m esdb.StreamMetadata
	m.SetTruncateBefore(1)
	_, err = c.SetStreamMetadata(within(t), s.stream("things-1"), esdb.AppendToStreamOptions{ExpectedRevision: esdb.Any{}}, m)
	require.NoError(t, err)
	for _, data := range []string{"1@" + s.stream("things-1"), "0@" + s.stream("things-1"), "7@" + s.stream("things-1"), "0@" + s.stream("gone"), "0@" + s.stream("missing"), "nonsense"} {
		appendTo(t, c, s.stream("links"), esdb.Any{}, event("$>", data))
	}

	plain, err := readStream(t, c, s.stream("links"), esdb.ReadStreamOptions{})
	require.NoError(t, err)
	require.Equal(t, "$>", plain[0].Event.EventType)
	require.Nil(t, plain[0].Link)

	all, err := readStream(t, c, s.stream("links"), esdb.ReadStreamOptions{ResolveLinkTos: true})
	require.NoError(t, err)
	require.Len(t, all, 6)
	require.Equal(t, target[1].EventID, all[0].Event.EventID)
	require.Equal(t, "1@"+s.stream("things-1"), string(all[0].Link.Data))
	require.Equal(t, all[0].Link.Position.Commit, *all[0].Commit)
	for _, broken := range all[1:5] {
		require.Nil(t, broken.Event)
		require.Equal(t, "$>", broken.Link.EventType)
	}
	require.Equal(t, "nonsense", string(all[5].Event.Data))
	require.Nil(t, all[5].Link)
}

func TestIDsComeAsTextWhenAsked(t *testing.T) {
	t.Parallel()
	s := anywhere(t)
	given := events(1)[0]
	appendTo(t, s.client(), s.stream("things-1"), esdb.NoStream{}, given)
	o := streamQuery(s.stream("things-1"))
	o.UuidOption.Content = &streams.ReadReq_Options_UUIDOption_String_{String_: &shared.Empty{}}
	all, _, err := s.read(o, 10)
	require.NoError(t, err)
	id := all[0].GetEvent().GetEvent().GetId()
	require.Equal(t, given.EventID.String(), id.GetString_())
	require.Nil(t, id.GetStructured())
}

func TestOnlyClientsThatAskForThemGetStreamPositions(t *testing.T) {
	t.Parallel()
	s := anywhere(t)
	c := s.client()
	appendTo(t, c, s.stream("things-1"), esdb.NoStream{}, events(3)...)
	var m esdb.StreamMetadata
	m.SetTruncateBefore(2)
	_, err := c.SetStreamMetadata(within(t), s.stream("things-1"), esdb.AppendToStreamOptions{ExpectedRevision: esdb.Any{}}, m)
	require.NoError(t, err)

	o := streamQuery(s.stream("things-1"))
	old, _, err := s.read(o, 10)
	require.NoError(t, err)
	require.Len(t, old, 1)

	o.ControlOption = &streams.ReadReq_Options_ControlOption{Compatibility: 1}
	all, _, err := s.read(o, 10)
	require.NoError(t, err)
	require.Len(t, all, 2)
	require.Equal(t, uint64(2), all[1].GetLastStreamPosition())

	o.GetStream().RevisionOption = &streams.ReadReq_Options_StreamOptions_Revision{Revision: 3}
	all, _, err = s.read(o, 10)
	require.NoError(t, err)
	require.Len(t, all, 1, "nothing was truncated there")

	o.GetStream().RevisionOption = streamQuery("").GetStream().RevisionOption
	o.CountOption = &streams.ReadReq_Options_Count{Count: 0}
	all, _, err = s.read(o, 10)
	require.NoError(t, err)
	require.Equal(t, uint64(2), all[0].GetFirstStreamPosition())

	if s.elsewhere != nil {
		return // others append to $all
	}
	o = allQuery()
	o.ControlOption = &streams.ReadReq_Options_ControlOption{Compatibility: 1}
	all, _, err = s.read(o, 10)
	require.NoError(t, err)
	require.Equal(t, s.log.Head(), all[len(all)-1].GetLastAllStreamPosition().GetCommitPosition())
}

func TestMalformedReadsAreRefused(t *testing.T) {
	t.Parallel()
	s := start(t)
	appendTo(t, s.client(), "things-1", esdb.NoStream{}, events(1)...)
	subscription := &streams.ReadReq_Options_Subscription{Subscription: &streams.ReadReq_Options_SubscriptionOptions{}}
	filterBy := func(o *streams.ReadReq_Options, f *streams.ReadReq_Options_FilterOptions) {
		o.FilterOption = &streams.ReadReq_Options_Filter{Filter: f}
	}
	for name, spoil := range map[string]func(o *streams.ReadReq_Options){
		"no ID form":       func(o *streams.ReadReq_Options) { o.UuidOption = nil },
		"an empty ID form": func(o *streams.ReadReq_Options) { o.UuidOption.Content = nil },
		"no stream":        func(o *streams.ReadReq_Options) { o.StreamOption = nil },
		"no stream name":   func(o *streams.ReadReq_Options) { o.GetStream().StreamIdentifier = nil },
		"$all by name":     func(o *streams.ReadReq_Options) { o.GetStream().StreamIdentifier = identifier("$all") },
		"no revision":      func(o *streams.ReadReq_Options) { o.GetStream().RevisionOption = nil },
		"a revision too large": func(o *streams.ReadReq_Options) {
			o.GetStream().RevisionOption = &streams.ReadReq_Options_StreamOptions_Revision{Revision: math.MaxUint64 - 1}
		},
		"no position": func(o *streams.ReadReq_Options) {
			o.StreamOption = &streams.ReadReq_Options_All{All: &streams.ReadReq_Options_AllOptions{}}
		},
		"a twisted position": func(o *streams.ReadReq_Options) {
			o.StreamOption = &streams.ReadReq_Options_All{All: &streams.ReadReq_Options_AllOptions{
				AllOption: &streams.ReadReq_Options_AllOptions_Position{Position: &streams.ReadReq_Options_Position{CommitPosition: 1, PreparePosition: 2}},
			}}
		},
		"no count":         func(o *streams.ReadReq_Options) { o.CountOption = nil },
		"no direction":     func(o *streams.ReadReq_Options) { o.ReadDirection = 7 },
		"no filter option": func(o *streams.ReadReq_Options) { o.FilterOption = nil },
		"a backwards subscription": func(o *streams.ReadReq_Options) {
			o.CountOption, o.ReadDirection = subscription, streams.ReadReq_Options_Backwards
		},
		"a filtered stream": func(o *streams.ReadReq_Options) { filterBy(o, prefixFilter("a")) },
		"an empty filter": func(o *streams.ReadReq_Options) {
			o.StreamOption = allQuery().StreamOption
			filterBy(o, &streams.ReadReq_Options_FilterOptions{})
		},
		"look-around": func(o *streams.ReadReq_Options) {
			o.StreamOption = allQuery().StreamOption
			filterBy(o, regexFilter(`^(?!x)`))
		},
		"a huge expression": func(o *streams.ReadReq_Options) {
			o.StreamOption = allQuery().StreamOption
			filterBy(o, regexFilter(string(make([]byte, 5000))))
		},
		"a multiplier of 0": func(o *streams.ReadReq_Options) {
			o.StreamOption, o.CountOption = allQuery().StreamOption, subscription
			filterBy(o, prefixFilter("a"))
		},
	} {
		o := streamQuery("things-1")
		spoil(o)
		all, _, err := s.read(o, 10)
		require.Equal(t, codes.InvalidArgument, status.Code(err), "%s: %v", name, err)
		require.Empty(t, all, name)
	}
	_, _, err := s.read(nil, 10)
	require.Equal(t, codes.InvalidArgument, status.Code(err))
}

func prefixFilter(prefixes ...string) *streams.ReadReq_Options_FilterOptions {
	return &streams.ReadReq_Options_FilterOptions{Filter: &streams.ReadReq_Options_FilterOptions_StreamIdentifier{
		StreamIdentifier: &streams.ReadReq_Options_FilterOptions_Expression{Prefix: prefixes},
	}}
}

func regexFilter(text string) *streams.ReadReq_Options_FilterOptions {
	return &streams.ReadReq_Options_FilterOptions{Filter: &streams.ReadReq_Options_FilterOptions_EventType{
		EventType: &streams.ReadReq_Options_FilterOptions_Expression{Regex: text},
	}}
}

func TestReadsOfTheWholeLogCanBeFiltered(t *testing.T) {
	t.Parallel()
	s := anywhere(t)
	c := s.client()
	for range 3 { // more than a page of what does not match
		var common []esdb.EventData
		for i := range 399 {
			common = append(common, event(s.stream(fmt.Sprintf("kind-%d", i%3)), "{}"))
		}
		appendTo(t, c, s.stream("things-1"), esdb.Any{}, common...)
		appendTo(t, c, s.stream("rare-")+uuid.NewString(), esdb.Any{}, event("rarity", "{}"))
	}
	o := allQuery()
	o.FilterOption = &streams.ReadReq_Options_Filter{Filter: prefixFilter("none", s.stream("rare-"))}
	all, _, err := s.read(o, 2000)
	require.NoError(t, err)
	require.Len(t, all, 3)
	o.CountOption = &streams.ReadReq_Options_Count{Count: 2}
	all, _, err = s.read(o, 2000)
	require.NoError(t, err)
	require.Len(t, all, 2)
	o = allQuery()
	o.CountOption = &streams.ReadReq_Options_Count{Count: 5000}
	o.ReadDirection = streams.ReadReq_Options_Backwards
	o.GetAll().AllOption = &streams.ReadReq_Options_AllOptions_End{End: &shared.Empty{}}
	o.FilterOption = &streams.ReadReq_Options_Filter{Filter: regexFilter(s.run + `.*nd-2$`)}
	all, _, err = s.read(o, 2000)
	require.NoError(t, err)
	require.Len(t, all, 399)
}

package node_test

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/persistent"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

const patience = 10 * time.Second

// A taker consumes a persistent subscription in the background.
type taker struct {
	t            testing.TB
	subscription *esdb.PersistentSubscription
	events       chan *esdb.EventAppeared
	dropped      chan error
}

func take(t testing.TB, c *esdb.Client, stream, group string, buffer uint32) *taker {
	t.Helper()
	o := esdb.SubscribeToPersistentSubscriptionOptions{BufferSize: buffer}
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	var subscription *esdb.PersistentSubscription
	var err error
	if stream == "$all" {
		subscription, err = c.SubscribeToPersistentSubscriptionToAll(ctx, group, o)
	} else {
		subscription, err = c.SubscribeToPersistentSubscription(ctx, stream, group, o)
	}
	require.NoError(t, err)
	k := &taker{t, subscription, make(chan *esdb.EventAppeared, 1000), make(chan error, 1)}
	go func() {
		for {
			e := subscription.Recv()
			if e.SubscriptionDropped != nil {
				k.dropped <- e.SubscriptionDropped.Error
				return
			}
			k.events <- e.EventAppeared
		}
	}()
	return k
}

// next is the next event that comes.
func (k *taker) next() *esdb.EventAppeared {
	k.t.Helper()
	select {
	case e := <-k.events:
		return e
	case err := <-k.dropped:
		require.NoError(k.t, err)
	case <-time.After(patience):
		require.Fail(k.t, "no event came")
	}
	return nil
}

// numbers acknowledges the next events and tells their revisions.
func (k *taker) numbers(count int) (all []uint64) {
	k.t.Helper()
	for range count {
		e := k.next()
		all = append(all, e.Event.OriginalEvent().EventNumber)
		require.NoError(k.t, k.subscription.Ack(e.Event))
	}
	return all
}

// nothing holds that no event comes for a moment.
func (k *taker) nothing() {
	k.t.Helper()
	select {
	case e := <-k.events:
		require.Fail(k.t, "an event came", "%v", e.Event.OriginalEvent())
	case <-time.After(300 * time.Millisecond):
	}
}

func groupSettings(change func(*esdb.PersistentSubscriptionSettings)) *esdb.PersistentSubscriptionSettings {
	s := esdb.SubscriptionSettingsDefault()
	s.CheckpointLowerBound, s.CheckpointUpperBound, s.CheckpointAfter = 1, 1, 0
	if change != nil {
		change(&s)
	}
	return &s
}

func createGroup(t testing.TB, c *esdb.Client, stream, group string, change func(*esdb.PersistentSubscriptionSettings)) {
	t.Helper()
	o := esdb.PersistentStreamSubscriptionOptions{StartFrom: esdb.Start{}, Settings: groupSettings(change)}
	require.NoError(t, c.CreatePersistentSubscription(within(t), stream, group, o))
}

func groupInfo(t testing.TB, c *esdb.Client, stream, group string) *esdb.PersistentSubscriptionInfo {
	t.Helper()
	info, err := c.GetPersistentSubscriptionInfo(within(t), stream, group, esdb.GetPersistentSubscriptionOptions{})
	require.NoError(t, err)
	return info
}

func upTo(n int) (all []uint64) {
	for i := range n {
		all = append(all, uint64(i))
	}
	return all
}

func TestAGroupGoesOnBehindItsCheckpoint(t *testing.T) {
	t.Parallel()
	s := start(t)
	c := s.client()
	appendTo(t, c, "things-1", esdb.NoStream{}, events(30)...)
	createGroup(t, c, "things-1", "group", nil)
	k := take(t, c, "things-1", "group", 5)
	require.Equal(t, upTo(10), k.numbers(10))
	require.Eventually(t, func() bool {
		at := groupInfo(t, c, "things-1", "group").Stats.LastCheckpointedEventRevision
		return at != nil && *at == 9
	}, patience, 10*time.Millisecond)

	// Given an event that is not acknowledged, and later ones that are
	held := k.next()
	require.Equal(t, uint64(10), held.Event.OriginalEvent().EventNumber)
	require.Equal(t, []uint64{11, 12}, k.numbers(2))

	// When the node starts anew, it comes again with all behind it: at least once
	s.close()
	s.open()
	k = take(t, s.client(), "things-1", "group", 5)
	require.Equal(t, []uint64{10, 11, 12, 13}, k.numbers(4))

	// And the checkpoints take no more room than two
	require.Eventually(t, func() bool { return s.log.Stream("$persistentsubscription-things-1::group-checkpoint").First > 0 }, patience, 10*time.Millisecond)
}

func TestACheckpointComesByItsTimeWhenItsCountDoesNot(t *testing.T) {
	t.Parallel()
	s := anywhere(t)
	c := s.client()
	appendTo(t, c, s.stream("things-1"), esdb.NoStream{}, events(5)...)
	createGroup(t, c, s.stream("things-1"), "group", func(o *esdb.PersistentSubscriptionSettings) {
		o.CheckpointUpperBound, o.CheckpointLowerBound, o.CheckpointAfter = 1000, 3, 100
	})
	k := take(t, c, s.stream("things-1"), "group", 1)
	k.numbers(2)
	time.Sleep(600 * time.Millisecond)
	require.Nil(t, groupInfo(t, c, s.stream("things-1"), "group").Stats.LastCheckpointedEventRevision, "two are too few")
	k.numbers(2)
	require.Eventually(t, func() bool {
		at := groupInfo(t, c, s.stream("things-1"), "group").Stats.LastCheckpointedEventRevision
		return at != nil && *at >= 2
	}, patience, 10*time.Millisecond)
}

func TestALiveGroupGetsWhatIsAppended(t *testing.T) {
	t.Parallel()
	s := anywhere(t)
	c := s.client()
	appendTo(t, c, s.stream("things-1"), esdb.NoStream{}, events(3)...)
	require.NoError(t, c.CreatePersistentSubscription(within(t), s.stream("things-1"), "a, from the end", esdb.PersistentStreamSubscriptionOptions{StartFrom: esdb.End{}, Settings: groupSettings(nil)}))
	require.NoError(t, c.CreatePersistentSubscription(within(t), s.stream("things-1"), "b, from 1", esdb.PersistentStreamSubscriptionOptions{StartFrom: esdb.Revision(1), Settings: groupSettings(nil)}))
	appendTo(t, c, s.stream("things-1"), esdb.Revision(2), events(1)...)
	k := take(t, c, s.stream("things-1"), "a, from the end", 5)
	require.Equal(t, []uint64{3}, k.numbers(1))
	require.Equal(t, []uint64{1, 2, 3}, take(t, c, s.stream("things-1"), "b, from 1", 5).numbers(3))
	appendTo(t, c, s.stream("things-1"), esdb.Revision(3), events(1)...)
	require.Equal(t, []uint64{4}, k.numbers(1))
	require.Equal(t, []string{"-1", "1"}, startsOf(t, s, s.stream("things-1")))
}

// startsOf tells where the groups of a stream began, in the order of their names.
func startsOf(t testing.TB, s *server, stream string) (starts []string) {
	t.Helper()
	all, err := persistent.NewPersistentSubscriptionsClient(s.raw()).List(within(t), &persistent.ListReq{Options: &persistent.ListReq_Options{
		ListOption: &persistent.ListReq_Options_ListAllSubscriptions{ListAllSubscriptions: &shared.Empty{}},
	}})
	require.NoError(t, err)
	byName := map[string]string{}
	for _, one := range all.GetSubscriptions() {
		if one.GetEventSource() == stream {
			byName[one.GetGroupName()] = one.GetStartFrom()
		}
	}
	for _, name := range slices.Sorted(maps.Keys(byName)) {
		starts = append(starts, byName[name])
	}
	return starts
}

func TestARefusedMessageIsTriedAgainThenParkedThenReplayed(t *testing.T) {
	t.Parallel()
	s := start(t)
	c := s.client()
	sent := events(3)
	appendTo(t, c, "things-1", esdb.NoStream{}, sent...)
	createGroup(t, c, "things-1", "group", func(o *esdb.PersistentSubscriptionSettings) { o.MaxRetryCount = 2 })
	k := take(t, c, "things-1", "group", 1)

	// Given a message that its consumer cannot cope with: it is tried twice more, before others
	for tries := range 3 {
		e := k.next()
		require.Equal(t, uint64(0), e.Event.OriginalEvent().EventNumber)
		require.Equal(t, tries, e.RetryCount)
		require.NoError(t, k.subscription.Nack("no", esdb.NackActionRetry, e.Event))
	}
	// And one that it wants parked, and one that it skips
	e := k.next()
	require.NoError(t, k.subscription.Nack("later", esdb.NackActionPark, e.Event))
	e = k.next()
	require.Equal(t, uint64(2), e.Event.OriginalEvent().EventNumber)
	require.NoError(t, k.subscription.Nack("never", esdb.NackActionSkip, e.Event))
	k.nothing()

	// Then two are parked, as links with their reasons
	const parked = "$persistentsubscription-things-1::group-parked"
	links, err := readStream(t, c, parked, esdb.ReadStreamOptions{})
	require.NoError(t, err)
	require.Len(t, links, 2)
	require.Equal(t, "0@things-1", string(links[0].OriginalEvent().Data))
	require.Contains(t, string(links[0].OriginalEvent().UserMetadata), `"reason":"Reached retry count"`)
	require.Contains(t, string(links[1].OriginalEvent().UserMetadata), `"reason":"later"`)
	require.Equal(t, int64(2), groupInfo(t, c, "things-1", "group").Stats.ParkedMessagesCount)

	// When they are replayed up to the first, that one comes again
	require.NoError(t, c.ReplayParkedMessages(within(t), "things-1", "group", esdb.ReplayParkedMessagesOptions{StopAt: 1}))
	e = k.next()
	require.Equal(t, sent[0].EventID, e.Event.OriginalEvent().EventID)
	k.nothing()

	// And as long as it is not settled, no restart loses it
	s.close()
	s.open()
	c = s.client()
	k = take(t, c, "things-1", "group", 1)
	require.NoError(t, c.ReplayParkedMessages(within(t), "things-1", "group", esdb.ReplayParkedMessagesOptions{}))
	require.Equal(t, []uint64{0, 1}, k.numbers(2))
	require.Eventually(t, func() bool { return s.log.Stream(parked).First == 2 }, patience, 10*time.Millisecond)
	require.Zero(t, groupInfo(t, c, "things-1", "group").Stats.ParkedMessagesCount)
}

func TestAMessageThatIsHeldTooLongComesAgain(t *testing.T) {
	t.Parallel()
	s := anywhere(t)
	c := s.client()
	appendTo(t, c, s.stream("things-1"), esdb.NoStream{}, events(2)...)
	createGroup(t, c, s.stream("things-1"), "group", func(o *esdb.PersistentSubscriptionSettings) { o.MessageTimeout = 300 })
	k := take(t, c, s.stream("things-1"), "group", 1)
	late := k.next()
	again := k.next()
	require.Equal(t, late.Event.OriginalEvent().EventID, again.Event.OriginalEvent().EventID)
	require.Equal(t, 1, again.RetryCount)
	require.NoError(t, k.subscription.Ack(again.Event))
	require.Equal(t, uint64(1), k.next().Event.OriginalEvent().EventNumber)
}

func TestWhatAConsumerThatWentAwayHeldGoesToAnother(t *testing.T) {
	t.Parallel()
	s := anywhere(t)
	c := s.client()
	appendTo(t, c, s.stream("things-1"), esdb.NoStream{}, events(6)...)
	createGroup(t, c, s.stream("things-1"), "group", func(o *esdb.PersistentSubscriptionSettings) { o.MaxRetryCount = 0 })
	k := take(t, c, s.stream("things-1"), "group", 4)
	for range 4 {
		k.next()
	}
	require.NoError(t, k.subscription.Close())
	require.Eventually(t, func() bool { // its going is on its way
		return groupInfo(t, c, s.stream("things-1"), "group").Stats.TotalInFlightMessages == 0
	}, patience, 10*time.Millisecond)
	require.Equal(t, upTo(6), take(t, c, s.stream("things-1"), "group", 4).numbers(6), "in order, and not parked: its going was no fault of theirs")
}

func TestConsumersGetMessagesByStrategy(t *testing.T) {
	t.Parallel()
	s := anywhere(t)
	c := s.client()
	appendTo(t, c, s.stream("things-1"), esdb.NoStream{}, events(12)...)

	// Round robin: each in turn
	createGroup(t, c, s.stream("things-1"), "round", nil)
	one, two := take(t, c, s.stream("things-1"), "round", 20), take(t, c, s.stream("things-1"), "round", 20)
	first := len(one.events)
	require.Eventually(t, func() bool { return len(one.events)+len(two.events) == 12 }, patience, time.Millisecond)
	appendTo(t, c, s.stream("things-1"), esdb.Any{}, events(8)...)
	require.Eventually(t, func() bool { return len(one.events)+len(two.events) == 20 }, patience, time.Millisecond)
	require.GreaterOrEqual(t, min(len(one.events), len(two.events)), 4, "%d came before there were two", first)

	// Dispatch to single: to the first as long as it has room
	createGroup(t, c, s.stream("things-1"), "single", func(o *esdb.PersistentSubscriptionSettings) {
		o.ConsumerStrategyName = esdb.ConsumerStrategyDispatchToSingle
	})
	one = take(t, c, s.stream("things-1"), "single", 5)
	require.Eventually(t, func() bool { return len(one.events) == 5 }, patience, time.Millisecond)
	two = take(t, c, s.stream("things-1"), "single", 20)
	require.Eventually(t, func() bool { return len(two.events) == 15 }, patience, time.Millisecond)
	require.Equal(t, upTo(5), one.numbers(5))
	require.Eventually(t, func() bool { // acknowledgements are on their way
		return groupInfo(t, c, s.stream("things-1"), "single").Stats.TotalInFlightMessages == 15
	}, patience, 10*time.Millisecond)
	appendTo(t, c, s.stream("things-1"), esdb.Any{}, events(1)...)
	require.Equal(t, uint64(20), one.next().Event.OriginalEvent().EventNumber)
}

// All events of a stream go to one consumer; another that is busy holds nobody up;
// one that comes takes over a share, and the others keep theirs.
func TestAPinnedStreamKeepsItsConsumer(t *testing.T) {
	t.Parallel()
	s := anywhere(t)
	c := s.client()
	const streams, rounds = 40, 3
	fill := func() {
		for i := range streams {
			appendTo(t, c, s.stream(fmt.Sprintf("things-%d", i)), esdb.Any{}, events(rounds)...)
		}
	}
	fill()
	require.NoError(t, c.CreatePersistentSubscriptionToAll(within(t), s.stream("pinned"), esdb.PersistentAllSubscriptionOptions{
		StartFrom: esdb.Start{}, Filter: &esdb.SubscriptionFilter{Type: esdb.StreamFilterType, Prefixes: []string{s.stream("things-")}},
		Settings: groupSettings(func(o *esdb.PersistentSubscriptionSettings) { o.ConsumerStrategyName = esdb.ConsumerStrategyPinned }),
	}))
	takers := []*taker{take(t, c, "$all", s.stream("pinned"), 500), take(t, c, "$all", s.stream("pinned"), 500)}
	// The first events may all go to whoever was first: pins count from when both are there.
	owners := func(count int) map[string]int {
		owner := map[string]int{}
		for seen := 0; seen < count; {
			for i, k := range takers {
				select {
				case e := <-k.events:
					seen++
					stream := e.Event.OriginalEvent().StreamID
					if was, ok := owner[stream]; ok {
						require.Equal(t, was, i, stream)
					}
					owner[stream] = i
					require.NoError(t, k.subscription.Ack(e.Event))
				case <-time.After(time.Millisecond):
				}
			}
		}
		return owner
	}
	for range streams * rounds {
		select {
		case e := <-takers[0].events:
			require.NoError(t, takers[0].subscription.Ack(e.Event))
		case e := <-takers[1].events:
			require.NoError(t, takers[1].subscription.Ack(e.Event))
		}
	}
	fill()
	before := owners(streams * rounds)
	shares := map[int]int{}
	for _, i := range before {
		shares[i]++
	}
	require.GreaterOrEqual(t, min(shares[0], shares[1]), streams/5)

	takers = append(takers, take(t, c, "$all", s.stream("pinned"), 500))
	fill()
	for stream, i := range owners(streams * rounds) {
		require.True(t, i == 2 || i == before[stream], "%s went from %d to %d", stream, before[stream], i)
	}
}

func TestAPinnedConsumerThatIsBusyHoldsNobodyUp(t *testing.T) {
	t.Parallel()
	s := anywhere(t)
	c := s.client()
	_, err := persistent.NewPersistentSubscriptionsClient(s.raw()).Create(within(t), &persistent.CreateReq{Options: &persistent.CreateReq_Options{
		GroupName: "pinned", StreamOption: &persistent.CreateReq_Options_Stream{Stream: &persistent.CreateReq_StreamOptions{StreamIdentifier: identifier(s.stream("mixed"))}},
		Settings: &persistent.CreateReq_Settings{HistoryBufferSize: 500, LiveBufferSize: 20, ReadBatchSize: 10, ConsumerStrategy: "PinnedByCorrelation"},
	}})
	require.NoError(t, err)
	one, two := take(t, c, s.stream("mixed"), "pinned", 1), take(t, c, s.stream("mixed"), "pinned", 100)
	const each = 20
	for i := range 2 * each {
		e := events(1)[0]
		e.Metadata = fmt.Appendf(nil, `{"$correlationId":"%d"}`, i%each)
		appendTo(t, c, s.stream("mixed"), esdb.Any{}, e)
	}
	pins := map[string]int{}
	held := one.next()
	require.Eventually(t, func() bool { return len(two.events) >= each/2 }, patience, time.Millisecond)
	for before := 0; before < len(two.events); time.Sleep(200 * time.Millisecond) { // until no more come
		before = len(two.events)
	}
	for range len(two.events) {
		pins[string((<-two.events).Event.OriginalEvent().UserMetadata)]++
	}
	for pin, count := range pins {
		require.Equal(t, 2, count, "both of %s", pin)
	}
	require.NotContains(t, pins, string(held.Event.OriginalEvent().UserMetadata))
}

func TestAGroupToAllWithAFilterPassesWhatItLeavesOut(t *testing.T) {
	t.Parallel()
	s := anywhere(t)
	c := s.client()
	require.NoError(t, c.CreatePersistentSubscriptionToAll(within(t), s.stream("group"), esdb.PersistentAllSubscriptionOptions{
		StartFrom: esdb.Start{}, Settings: groupSettings(nil), Filter: &esdb.SubscriptionFilter{Type: esdb.EventFilterType, Regex: "^" + s.run + "/wanted"},
	}))
	k := take(t, c, "$all", s.stream("group"), 5)
	last := appendTo(t, c, s.stream("things-1"), esdb.NoStream{}, append(events(40), event(s.stream("wanted"), "{}"), event("thing-happened", "{}"))...)
	require.Equal(t, []uint64{40}, k.numbers(1))
	var at *esdb.Position
	require.Eventually(t, func() bool {
		info, err := c.GetPersistentSubscriptionInfoToAll(within(t), s.stream("group"), esdb.GetPersistentSubscriptionOptions{})
		require.NoError(t, err)
		at = info.Stats.LastCheckpointedPosition
		return at != nil && at.Commit >= last.CommitPosition
	}, patience, 10*time.Millisecond)

	// And what it notes down itself does not make it note down more
	if s.elsewhere != nil {
		return // others append
	}
	head := s.log.Head()
	time.Sleep(700 * time.Millisecond)
	require.Equal(t, head, s.log.Head())
}

func TestAGroupResolvesLinksAndAnswersByThem(t *testing.T) {
	t.Parallel()
	s := anywhere(t)
	c := s.client()
	target := events(1)
	appendTo(t, c, s.stream("things-1"), esdb.NoStream{}, target...)
	link := func(data string) esdb.EventData {
		return esdb.EventData{EventID: uuid.New(), EventType: "$>", ContentType: esdb.ContentTypeBinary, Data: []byte(data)}
	}
	links := []esdb.EventData{link("0@" + s.stream("things-1")), link("7@" + s.stream("things-1")), link("0@" + s.stream("things-1"))}
	appendTo(t, c, s.stream("links"), esdb.NoStream{}, links...)
	createGroup(t, c, s.stream("links"), "group", func(o *esdb.PersistentSubscriptionSettings) { o.ResolveLinkTos = true })
	k := take(t, c, s.stream("links"), "group", 1)
	for i := range links {
		e := k.next().Event
		require.Equal(t, links[i].EventID, e.Link.EventID)
		if i != 1 {
			require.Equal(t, target[0].EventID, e.Event.EventID)
		} else {
			require.Nil(t, e.Event)
		}
		require.NoError(t, k.subscription.Ack(e))
	}
}

func TestTwoEventsOfOneIDAreTwoMessages(t *testing.T) {
	t.Parallel()
	s := anywhere(t)
	c := s.client()
	same := events(1)
	appendTo(t, c, s.stream("things-1"), esdb.NoStream{}, same...)
	appendTo(t, c, s.stream("things-2"), esdb.NoStream{}, same...)
	require.NoError(t, c.CreatePersistentSubscriptionToAll(within(t), s.stream("group"), esdb.PersistentAllSubscriptionOptions{
		StartFrom: esdb.Start{}, Settings: groupSettings(nil), Filter: &esdb.SubscriptionFilter{Type: esdb.StreamFilterType, Prefixes: []string{s.stream("things-")}},
	}))
	k := take(t, c, "$all", s.stream("group"), 2)
	one, two := k.next(), k.next()
	require.NotEqual(t, one.Event.OriginalEvent().StreamID, two.Event.OriginalEvent().StreamID)
	require.NoError(t, k.subscription.Ack(one.Event, two.Event))
	appendTo(t, c, s.stream("things-3"), esdb.NoStream{}, events(2)...)
	k.numbers(2)
}

func TestAnUpdateKeepsThePlaceAndADeletionDoesNot(t *testing.T) {
	t.Parallel()
	s := anywhere(t)
	c := s.client()
	appendTo(t, c, s.stream("things-1"), esdb.NoStream{}, events(4)...)
	createGroup(t, c, s.stream("things-1"), "group", nil)
	k := take(t, c, s.stream("things-1"), "group", 1)
	require.Equal(t, upTo(2), k.numbers(2))
	require.Eventually(t, func() bool {
		at := groupInfo(t, c, s.stream("things-1"), "group").Stats.LastCheckpointedEventRevision
		return at != nil && *at == 1
	}, patience, 10*time.Millisecond)

	// An update drops the consumers, who go on where they were
	require.NoError(t, c.UpdatePersistentSubscription(within(t), s.stream("things-1"), "group", esdb.PersistentStreamSubscriptionOptions{
		Settings: groupSettings(func(o *esdb.PersistentSubscriptionSettings) { o.MaxSubscriberCount = 1 }),
	}))
	require.Equal(t, codes.Canceled, status.Code(<-k.dropped))
	k = take(t, c, s.stream("things-1"), "group", 1)
	require.Equal(t, []uint64{2}, k.numbers(1))

	// One more than may be is refused
	_, err := c.SubscribeToPersistentSubscription(within(t), s.stream("things-1"), "group", esdb.SubscribeToPersistentSubscriptionOptions{})
	require.Equal(t, esdb.ErrorCodeUnknown, codeOf(t, err))
	require.ErrorContains(t, err, "as many consumers as it may")

	// A deletion drops them for good, and one of the same name begins anew
	require.NoError(t, c.DeletePersistentSubscription(within(t), s.stream("things-1"), "group", esdb.DeletePersistentSubscriptionOptions{}))
	require.Equal(t, codes.NotFound, status.Code(<-k.dropped))
	createGroup(t, c, s.stream("things-1"), "group", nil)
	require.Equal(t, upTo(4), take(t, c, s.stream("things-1"), "group", 1).numbers(4))

}

func TestARestartOfAllGroupsDropsTheirConsumers(t *testing.T) {
	s := alone(t)
	c := s.client()
	createGroup(t, c, s.stream("things-1"), "group", nil)
	k := take(t, c, s.stream("things-1"), "group", 1)
	require.NoError(t, c.RestartPersistentSubscriptionSubsystem(within(t), esdb.RestartPersistentSubscriptionSubsystemOptions{}))
	require.Equal(t, codes.Canceled, status.Code(<-k.dropped))
}

func TestAGroupOfATombstonedStreamSaysSo(t *testing.T) {
	t.Parallel()
	s := anywhere(t)
	c := s.client()
	appendTo(t, c, s.stream("things-1"), esdb.NoStream{}, events(1)...)
	createGroup(t, c, s.stream("things-1"), "group", nil)
	k := take(t, c, s.stream("things-1"), "group", 1)
	k.numbers(1)
	_, err := c.TombstoneStream(within(t), s.stream("things-1"), esdb.TombstoneStreamOptions{ExpectedRevision: esdb.Any{}})
	require.NoError(t, err)
	require.Equal(t, codes.FailedPrecondition, status.Code(<-k.dropped))
}

// Some official clients send requests in the shape that the first servers knew:
// the stream beside the group's name, a number for the strategy.
func TestGroupsAreMadeByRequestsOfTheFirstShapeToo(t *testing.T) {
	t.Parallel()
	s := anywhere(t)
	c := s.client()
	appendTo(t, c, s.stream("things-1"), esdb.NoStream{}, events(3)...)
	raw := persistent.NewPersistentSubscriptionsClient(s.raw())
	create := func(group string, revision uint64) {
		_, err := raw.Create(within(t), &persistent.CreateReq{Options: &persistent.CreateReq_Options{
			StreamIdentifier: identifier(s.stream("things-1")), GroupName: group,
			Settings: &persistent.CreateReq_Settings{
				Revision: revision, HistoryBufferSize: 20, LiveBufferSize: 20, ReadBatchSize: 10, NamedConsumerStrategy: persistent.CreateReq_Pinned,
				MessageTimeout: &persistent.CreateReq_Settings_MessageTimeoutTicks{MessageTimeoutTicks: 300_000_000},
			},
		}})
		require.NoError(t, err)
	}
	create("first", 1)
	create("last", math.MaxUint64)
	require.Equal(t, []uint64{1, 2}, take(t, c, s.stream("things-1"), "first", 5).numbers(2))
	info := groupInfo(t, c, s.stream("things-1"), "first")
	require.Equal(t, esdb.ConsumerStrategyPinned, info.Settings.ConsumerStrategyName)
	require.Equal(t, int32(30_000), info.Settings.MessageTimeout)
	_, err := raw.Update(within(t), &persistent.UpdateReq{Options: &persistent.UpdateReq_Options{
		StreamIdentifier: identifier(s.stream("things-1")), GroupName: "last",
		Settings: &persistent.UpdateReq_Settings{HistoryBufferSize: 30, LiveBufferSize: 20, ReadBatchSize: 10, Revision: math.MaxUint64},
	}})
	require.NoError(t, err)
	require.Equal(t, int32(30), groupInfo(t, c, s.stream("things-1"), "last").Settings.HistoryBufferSize)
	take(t, c, s.stream("things-1"), "last", 5).nothing()
}

func TestGroupsThatCannotBeAreRefused(t *testing.T) {
	t.Parallel()
	s := anywhere(t)
	raw := persistent.NewPersistentSubscriptionsClient(s.raw())
	good := func() *persistent.CreateReq_Options {
		return &persistent.CreateReq_Options{
			GroupName: "group",
			StreamOption: &persistent.CreateReq_Options_Stream{Stream: &persistent.CreateReq_StreamOptions{
				StreamIdentifier: identifier(s.stream("things-1")), RevisionOption: &persistent.CreateReq_StreamOptions_Start{Start: &shared.Empty{}},
			}},
			Settings: &persistent.CreateReq_Settings{HistoryBufferSize: 20, LiveBufferSize: 20, ReadBatchSize: 10, ConsumerStrategy: "RoundRobin"},
		}
	}
	for name, refused := range map[string]struct {
		spoil func(*persistent.CreateReq_Options)
		code  codes.Code
	}{
		"no settings":       {func(o *persistent.CreateReq_Options) { o.Settings = nil }, codes.InvalidArgument},
		"no group":          {func(o *persistent.CreateReq_Options) { o.GroupName = "" }, codes.InvalidArgument},
		"no stream":         {func(o *persistent.CreateReq_Options) { o.GetStream().StreamIdentifier = nil }, codes.InvalidArgument},
		"stream $all":       {func(o *persistent.CreateReq_Options) { o.GetStream().StreamIdentifier = identifier("$all") }, codes.InvalidArgument},
		"no history buffer": {func(o *persistent.CreateReq_Options) { o.Settings.HistoryBufferSize = 0 }, codes.InvalidArgument},
		"no live buffer":    {func(o *persistent.CreateReq_Options) { o.Settings.LiveBufferSize = 0 }, codes.InvalidArgument},
		"no batch":          {func(o *persistent.CreateReq_Options) { o.Settings.ReadBatchSize = -1 }, codes.InvalidArgument},
		"batch over buffer": {func(o *persistent.CreateReq_Options) { o.Settings.ReadBatchSize = 20 }, codes.InvalidArgument},
		"negative retries":  {func(o *persistent.CreateReq_Options) { o.Settings.MaxRetryCount = -1 }, codes.InvalidArgument},
		"unknown strategy":  {func(o *persistent.CreateReq_Options) { o.Settings.ConsumerStrategy = "Lottery" }, codes.Internal},
		"revision too large": {func(o *persistent.CreateReq_Options) {
			o.GetStream().RevisionOption = &persistent.CreateReq_StreamOptions_Revision{Revision: math.MaxUint64}
		}, codes.InvalidArgument},
		"filter of nothing": {func(o *persistent.CreateReq_Options) {
			o.StreamOption = &persistent.CreateReq_Options_All{All: &persistent.CreateReq_AllOptions{
				FilterOption: &persistent.CreateReq_AllOptions_Filter{Filter: &persistent.CreateReq_AllOptions_FilterOptions{}},
			}}
		}, codes.InvalidArgument},
	} {
		o := good()
		refused.spoil(o)
		_, err := raw.Create(within(t), &persistent.CreateReq{Options: o})
		require.Equal(t, refused.code, status.Code(err), "%s: %v", name, err)
	}
	_, err := raw.Create(within(t), &persistent.CreateReq{Options: good()})
	require.NoError(t, err)

	// And each refusal names the subscription in its trailers
	trailers := func(call func(grpc.CallOption) error) (string, []string) {
		var trailer metadata.MD
		require.Error(t, call(grpc.Trailer(&trailer)))
		return strings.Join(trailer.Get("exception"), ","), slices.Concat(trailer.Get("stream-name"), trailer.Get("group-name"))
	}
	kind, named := trailers(func(o grpc.CallOption) error {
		_, err := raw.Create(within(t), &persistent.CreateReq{Options: good()}, o)
		require.Equal(t, codes.AlreadyExists, status.Code(err))
		return err
	})
	require.Equal(t, "persistent-subscription-exists", kind)
	require.Equal(t, []string{s.stream("things-1"), "group"}, named)
	for name, call := range map[string]func(grpc.CallOption) error{
		"delete": func(o grpc.CallOption) error {
			_, err := raw.Delete(within(t), &persistent.DeleteReq{Options: &persistent.DeleteReq_Options{
				GroupName: "none", StreamOption: &persistent.DeleteReq_Options_StreamIdentifier{StreamIdentifier: identifier(s.stream("things-1"))}}}, o)
			return err
		},
		"update": func(o grpc.CallOption) error {
			_, err := raw.Update(within(t), &persistent.UpdateReq{Options: &persistent.UpdateReq_Options{
				GroupName: "none", StreamIdentifier: identifier(s.stream("things-1")),
				Settings: &persistent.UpdateReq_Settings{HistoryBufferSize: 20, LiveBufferSize: 20, ReadBatchSize: 10}}}, o)
			return err
		},
		"info": func(o grpc.CallOption) error {
			_, err := raw.GetInfo(within(t), &persistent.GetInfoReq{Options: &persistent.GetInfoReq_Options{
				GroupName: "none", StreamOption: &persistent.GetInfoReq_Options_StreamIdentifier{StreamIdentifier: identifier(s.stream("things-1"))}}}, o)
			return err
		},
		"replay": func(o grpc.CallOption) error {
			_, err := raw.ReplayParked(within(t), &persistent.ReplayParkedReq{Options: &persistent.ReplayParkedReq_Options{
				GroupName: "none", StreamOption: &persistent.ReplayParkedReq_Options_StreamIdentifier{StreamIdentifier: identifier(s.stream("things-1"))}}}, o)
			return err
		},
	} {
		kind, named := trailers(call)
		require.Equal(t, "persistent-subscription-does-not-exist", kind, name)
		require.Equal(t, []string{s.stream("things-1"), "none"}, named, name)
	}
}

func TestGroupsOverThePlaintextPortCanBeLookedAtOnly(t *testing.T) {
	t.Parallel()
	s := start(t)
	createGroup(t, s.client(), "things-1", "group", nil)
	outside := s.dial(s.node.Addr())
	require.Equal(t, "group", groupInfo(t, outside, "things-1", "group").GroupName)
	err := outside.CreatePersistentSubscription(within(t), "things-1", "another", esdb.PersistentStreamSubscriptionOptions{})
	require.Equal(t, esdb.ErrorCodeAccessDenied, codeOf(t, err))
	_, err = outside.SubscribeToPersistentSubscription(within(t), "things-1", "group", esdb.SubscribeToPersistentSubscriptionOptions{})
	require.Equal(t, esdb.ErrorCodeAccessDenied, codeOf(t, err))
}

package node

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/persistent"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"daybook.example/test/level"
)

const stalledSlots = 5000 // of each consumer: more than the backlog has events

// groups makes persistent subscriptions to the backlog, each with strategies in turn.
func (n *nodeApart) groups(c *esdb.Client, count int) {
	n.t.Helper()
	for i := range count {
		s := esdb.SubscriptionSettingsDefault()
		s.MessageTimeout = 10 * 60 * 1000
		s.ConsumerStrategyName = []esdb.ConsumerStrategy{esdb.ConsumerStrategyRoundRobin, esdb.ConsumerStrategyPinned}[i%2]
		o := esdb.PersistentStreamSubscriptionOptions{StartFrom: esdb.Start{}, Settings: &s}
		require.NoError(n.t, c.CreatePersistentSubscription(n.t.Context(), "backlog", fmt.Sprint("group-", i), o))
	}
}

// stallConsumers has one consumer of each group come, ask for all, and read nothing.
func (n *nodeApart) stallConsumers(ctx context.Context, count int) (stalled []persistent.PersistentSubscriptions_ReadClient) {
	n.t.Helper()
	var connection *grpc.ClientConn
	for i := range count {
		if i%50 == 0 {
			var err error
			connection, err = grpc.NewClient("unix://"+n.socket, grpc.WithTransportCredentials(insecure.NewCredentials()),
				grpc.WithInitialWindowSize(stalledWindow), grpc.WithInitialConnWindowSize(64*stalledWindow))
			require.NoError(n.t, err)
			context.AfterFunc(ctx, func() { _ = connection.Close() })
		}
		call, err := persistent.NewPersistentSubscriptionsClient(connection).Read(ctx)
		require.NoError(n.t, err)
		require.NoError(n.t, call.Send(&persistent.ReadReq{Content: &persistent.ReadReq_Options_{Options: &persistent.ReadReq_Options{
			StreamOption: &persistent.ReadReq_Options_StreamIdentifier{StreamIdentifier: &shared.StreamIdentifier{StreamName: []byte("backlog")}},
			GroupName:    fmt.Sprint("group-", i), BufferSize: stalledSlots,
			UuidOption: &persistent.ReadReq_Options_UUIDOption{Content: &persistent.ReadReq_Options_UUIDOption_Structured{Structured: &shared.Empty{}}},
		}}}))
		stalled = append(stalled, call)
	}
	return stalled
}

// consumeAtLast has a stalled consumer take everything, in order.
func consumeAtLast(t *testing.T, stalled persistent.PersistentSubscriptions_ReadClient, want []uint64) {
	t.Helper()
	var got []uint64
	for len(got) < len(want) {
		m, err := stalled.Recv()
		require.NoError(t, err)
		if e := m.GetEvent(); e != nil {
			require.NotEmpty(t, e.GetEvent().GetData())
			got = append(got, e.GetCommitPosition())
			ids := []*shared.UUID{e.GetEvent().GetId()}
			require.NoError(t, stalled.Send(&persistent.ReadReq{Content: &persistent.ReadReq_Ack_{Ack: &persistent.ReadReq_Ack{Ids: ids}}}))
		}
	}
	require.Equal(t, want, got)
}

// stalledGroups tells how much more memory a node takes for consumers that stall,
// and has some of them go on.
func stalledGroups(t *testing.T, hoards bool, count, goOn int) (grown int) {
	t.Helper()
	n := startApart(t, hoards)
	c := n.client()
	n.fill(c)
	backlog := positions(t, c)
	n.groups(c, count)
	empty := n.memory()
	stalled := n.stallConsumers(t.Context(), count)
	time.Sleep(stallingTime)
	grown = n.memory() - empty
	for i := range goOn {
		consumeAtLast(t, stalled[i*len(stalled)/goOn], backlog)
	}
	return grown
}

// Given consumers of persistent subscriptions, each with slots for the whole
// backlog, that never read.
// Then they cost the node no more memory than readers that stall may, and who
// reads at last gets everything, in order.
func TestStalledConsumersHurtNobody(t *testing.T) {
	count := level.Of(20, 200, 200)
	grown := stalledGroups(t, false, count, level.Of(4, 20, 20))
	t.Logf("%d stalled consumers: %.1f MiB more memory", count, float64(grown)/(1<<20))
	if !underRace {
		require.LessOrEqual(t, grown, stalledMemory)
	}
}

// The control: given a node whose consumers hold all that they have slots for,
// twenty who stall take more memory than they may.
func TestStalledConsumersWouldFillTheMemory(t *testing.T) {
	grown := stalledGroups(t, true, 20, 1)
	t.Logf("20 stalled consumers that hold what they like: %.1f MiB more memory", float64(grown)/(1<<20))
	require.Greater(t, grown, stalledMemory)
}

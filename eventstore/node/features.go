package node

import (
	"context"
	"net"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/gossip"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/serverfeatures"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/google/uuid"
	"google.golang.org/grpc/peer"
)

// version is the server version whose behaviour is served. Clients read three
// plain numbers and nothing else.
const version = "24.2.0"

// features tells clients what works here: exactly that, since they choose their
// ways by it.
type features struct {
	serverfeatures.UnimplementedServerFeaturesServer
}

func (features) GetSupportedMethods(context.Context, *shared.Empty) (*serverfeatures.SupportedMethods, error) {
	const prefix = "event_store.client."
	method := func(service, name string, features ...string) *serverfeatures.SupportedMethod {
		return &serverfeatures.SupportedMethod{ServiceName: prefix + service, MethodName: name, Features: features}
	}
	groups := func(name string) *serverfeatures.SupportedMethod {
		return method("persistent_subscriptions.persistentsubscriptions", name, "stream", "all")
	}
	return &serverfeatures.SupportedMethods{
		EventStoreServerVersion: version,
		Methods: []*serverfeatures.SupportedMethod{
			method("streams.streams", "append"),
			method("streams.streams", "batchappend", "deadline_duration"),
			method("streams.streams", "read", "position", "events"),
			method("streams.streams", "delete"),
			method("streams.streams", "tombstone"),
			groups("create"), groups("update"), groups("delete"), groups("read"),
			groups("getinfo"), groups("replayparked"), groups("list"), groups("restartsubsystem"),
			method("gossip.gossip", "read"),
			method("server_features.serverfeatures", "getsupportedmethods"),
		},
	}, nil
}

// members is a cluster of one.
type members struct {
	gossip.UnimplementedGossipServer
	id  uuid.UUID
	all func(asked context.Context) []*gossip.MemberInfo // nil: this node alone
}

// Read names the node by the address that the asking client reached it at: the
// client dials the answer literally.
func (m *members) Read(ctx context.Context, _ *shared.Empty) (*gossip.ClusterInfo, error) {
	if m.all != nil {
		return &gossip.ClusterInfo{Members: m.all(ctx)}, nil
	}
	here := &gossip.EndPoint{}
	if p, ok := peer.FromContext(ctx); ok {
		if tcp, ok := p.LocalAddr.(*net.TCPAddr); ok {
			here = &gossip.EndPoint{Address: tcp.IP.String(), Port: uint32(tcp.Port)}
		}
	}
	return &gossip.ClusterInfo{Members: []*gossip.MemberInfo{{
		InstanceId:   structuredID(m.id),
		TimeStamp:    time.Now().UnixNano() / 100,
		State:        gossip.MemberInfo_Leader,
		IsAlive:      true,
		HttpEndPoint: here,
	}}}, nil
}

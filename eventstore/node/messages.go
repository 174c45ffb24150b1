package node

import (
	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
)

// The answers to a read beside its events.

func (s sender) notFound(stream string) error {
	return s.Send(&streams.ReadResp{Content: &streams.ReadResp_StreamNotFound_{StreamNotFound: &streams.ReadResp_StreamNotFound{
		StreamIdentifier: &shared.StreamIdentifier{StreamName: []byte(stream)},
	}}})
}

func (s sender) confirmation(id string) error {
	return s.Send(&streams.ReadResp{Content: &streams.ReadResp_Confirmation{
		Confirmation: &streams.ReadResp_SubscriptionConfirmation{SubscriptionId: id},
	}})
}

func (s sender) caughtUp() error {
	return s.Send(&streams.ReadResp{Content: &streams.ReadResp_CaughtUp_{CaughtUp: &streams.ReadResp_CaughtUp{}}})
}

func (s sender) fellBehind() error {
	return s.Send(&streams.ReadResp{Content: &streams.ReadResp_FellBehind_{FellBehind: &streams.ReadResp_FellBehind{}}})
}

func (s sender) checkpoint(at uint64) error {
	return s.Send(&streams.ReadResp{Content: &streams.ReadResp_Checkpoint_{
		Checkpoint: &streams.ReadResp_Checkpoint{CommitPosition: at, PreparePosition: at},
	}})
}

func (s sender) firstPosition(revision int64) error {
	return s.Send(&streams.ReadResp{Content: &streams.ReadResp_FirstStreamPosition{FirstStreamPosition: uint64(revision)}})
}

func (s sender) lastPosition(revision int64) error {
	return s.Send(&streams.ReadResp{Content: &streams.ReadResp_LastStreamPosition{LastStreamPosition: uint64(revision)}})
}

func (s sender) lastPositionOfAll(at uint64) error {
	return s.Send(&streams.ReadResp{Content: &streams.ReadResp_LastAllStreamPosition{
		LastAllStreamPosition: &shared.AllStreamPosition{CommitPosition: at, PreparePosition: at},
	}})
}

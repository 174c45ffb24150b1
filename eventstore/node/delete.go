package node

import (
	"context"
	"errors"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"

	"daybook.example/eventstore/log"
)

// Delete soft-deletes a stream. The answer always holds a position: a client
// panics without.
func (s *service) Delete(ctx context.Context, request *streams.DeleteReq) (*streams.DeleteResp, error) {
	o := request.GetOptions()
	at, err := s.remove(ctx, s.log.Delete, o.GetStreamIdentifier(), o, o.GetExpectedStreamRevision() != nil)
	if err != nil {
		return nil, err
	}
	return &streams.DeleteResp{PositionOption: &streams.DeleteResp_Position_{
		Position: &streams.DeleteResp_Position{CommitPosition: at, PreparePosition: at},
	}}, nil
}

// Tombstone deletes a stream for ever.
func (s *service) Tombstone(ctx context.Context, request *streams.TombstoneReq) (*streams.TombstoneResp, error) {
	o := request.GetOptions()
	at, err := s.remove(ctx, s.log.Tombstone, o.GetStreamIdentifier(), o, o.GetExpectedStreamRevision() != nil)
	if err != nil {
		return nil, err
	}
	return &streams.TombstoneResp{PositionOption: &streams.TombstoneResp_Position_{
		Position: &streams.TombstoneResp_Position{CommitPosition: at, PreparePosition: at},
	}}, nil
}

type removal func(ctx context.Context, stream string, expected int64) (position uint64, err error)

func (s *service) remove(ctx context.Context, do removal, id *shared.StreamIdentifier, e expectation, set bool) (uint64, error) {
	stream, err := s.writable(ctx, deleting, id)
	if err != nil {
		return 0, err
	}
	expected, err := expectedRevision(e, set)
	if err != nil {
		return 0, err
	}
	at, err := do(ctx, stream, expected)
	if wrong, ok := errors.AsType[*log.WrongExpectedRevision](err); ok {
		return 0, wrongRevisionOfDeletion(ctx, wrong)
	}
	if err != nil {
		return 0, s.failure(ctx, stream, err)
	}
	return at, nil
}

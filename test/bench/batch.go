package main

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"github.com/google/uuid"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/known/emptypb"
)

// batches is one long call of BatchAppend that many writers share.
type batches struct {
	conn    *grpc.ClientConn
	call    streams.Streams_BatchAppendClient
	sending sync.Mutex
	mu      sync.Mutex
	waiting map[string]chan error // by correlation ID
	broken  error                 // why no answer comes any more
}

func openBatches(ctx context.Context, socket string) (*batches, error) {
	conn, err := grpc.NewClient("unix://"+socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return nil, err
	}
	call, err := streams.NewStreamsClient(conn).BatchAppend(ctx)
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	b := &batches{conn: conn, call: call, waiting: map[string]chan error{}}
	go b.receive()
	return b, nil
}

func (b *batches) close() error { return b.conn.Close() }

// receive hands every answer to the writer who waits for it.
func (b *batches) receive() {
	for {
		answer, err := b.call.Recv()
		b.mu.Lock()
		if err != nil {
			b.broken = err
			for _, waits := range b.waiting {
				waits <- err
			}
			b.mu.Unlock()
			return
		}
		id := answer.GetCorrelationId().GetString_()
		waits := b.waiting[id]
		delete(b.waiting, id)
		b.mu.Unlock()
		if refused := answer.GetError(); refused != nil {
			err = fmt.Errorf("refused: %s", refused.GetMessage())
		}
		waits <- err
	}
}

func (b *batches) append(ctx context.Context, stream string, expected int64, events int) error {
	options := &streams.BatchAppendReq_Options{
		StreamIdentifier:       &shared.StreamIdentifier{StreamName: []byte(stream)},
		ExpectedStreamPosition: &streams.BatchAppendReq_Options_StreamPosition{StreamPosition: uint64(expected)},
	}
	if expected < 0 {
		options.ExpectedStreamPosition = &streams.BatchAppendReq_Options_NoStream{NoStream: &emptypb.Empty{}}
	}
	request := &streams.BatchAppendReq{CorrelationId: asText(uuid.New()), Options: options, IsFinal: true}
	for range events {
		request.ProposedMessages = append(request.ProposedMessages, &streams.BatchAppendReq_ProposedMessage{
			Id: asText(uuid.New()), Metadata: map[string]string{"type": eventType, "content-type": "application/json"},
			Data: eventData, CustomMetadata: eventMetadata,
		})
	}
	answer := make(chan error, 1)
	if err := b.wait(request.CorrelationId.GetString_(), answer); err != nil {
		return err
	}
	b.sending.Lock()
	err := b.call.Send(request)
	b.sending.Unlock()
	if err != nil {
		return err
	}
	select {
	case err := <-answer:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (b *batches) wait(id string, answer chan error) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.waiting[id] = answer
	return b.broken
}

func asText(id uuid.UUID) *shared.UUID {
	return &shared.UUID{Value: &shared.UUID_String_{String_: id.String()}}
}

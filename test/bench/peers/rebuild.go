package main

import (
	"bufio"
	"context"
	"encoding/json"
	"os"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	published  = "published"
	subjectKey = published + "."
	lineMax    = 1 << 20
	flying     = 256 // messages that are not acknowledged yet
)

// publish stores the first lines of a file in a stream of their own.
func (p *peer) publish(count int, file string) (n int, err error) {
	ctx := context.Background()
	_, err = p.stream.CreateStream(ctx, jetstream.StreamConfig{Name: published, Subjects: []string{subjectKey + ">"}, Storage: jetstream.FileStorage})
	if err != nil {
		return 0, err
	}
	f, err := os.Open(file)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, lineMax)
	var sent []jetstream.PubAckFuture
	for n < count && lines.Scan() {
		var event struct {
			Stream string          `json:"stream"`
			Data   json.RawMessage `json:"data"`
		}
		if err := json.Unmarshal(lines.Bytes(), &event); err != nil {
			return n, err
		}
		future, err := p.stream.PublishMsgAsync(&nats.Msg{Subject: subjectKey + event.Stream, Data: event.Data})
		if err != nil {
			return n, err
		}
		n++
		if sent = append(sent, future); len(sent) < flying {
			continue
		}
		if err := acknowledged(sent[0]); err != nil {
			return n, err
		}
		sent = sent[1:]
	}
	for _, future := range sent {
		if err := acknowledged(future); err != nil {
			return n, err
		}
	}
	return n, lines.Err()
}

func acknowledged(future jetstream.PubAckFuture) error {
	select {
	case <-future.Ok():
		return nil
	case err := <-future.Err():
		return err
	}
}

// A tally is a row of the projection.
type tally struct{ count, cents int64 }

// rebuild projects all that was published into an empty table. Rows and position
// are one transaction, as exactly-once asks for, and it does not wait for the disk
// any more than ours does.
func (p *peer) rebuild(size int, url string) (n int, err error) {
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return 0, err
	}
	defer conn.Close(ctx)
	_, err = conn.Exec(ctx, `set synchronous_commit = off;
		drop table if exists peer_tally, peer_position;
		create table peer_tally (stream text primary key, count bigint not null, cents bigint not null);
		create table peer_position (sequence bigint not null);
		insert into peer_position values (0)`)
	if err != nil {
		return 0, err
	}
	stream, err := p.stream.Stream(ctx, published)
	if err != nil {
		return 0, err
	}
	info, err := stream.Info(ctx)
	if err != nil {
		return 0, err
	}
	consumer, err := stream.CreateConsumer(ctx, jetstream.ConsumerConfig{AckPolicy: jetstream.AckAllPolicy, DeliverPolicy: jetstream.DeliverAllPolicy, MaxAckPending: -1})
	if err != nil {
		return 0, err
	}
	messages, err := consumer.Messages(jetstream.PullMaxMessages(4096))
	if err != nil {
		return 0, err
	}
	defer messages.Stop()
	for last := int(info.State.Msgs); n < last; {
		batch := make([]jetstream.Msg, min(size, last-n))
		for i := range batch {
			if batch[i], err = messages.Next(); err != nil {
				return n, err
			}
		}
		n += len(batch)
		if err := project(ctx, conn, batch, n); err != nil {
			return n, err
		}
		if err := batch[len(batch)-1].Ack(); err != nil {
			return n, err
		}
	}
	return n, nil
}

// project adds some messages, in one transaction and one round trip.
func project(ctx context.Context, conn *pgx.Conn, batch []jetstream.Msg, sequence int) error {
	rows := map[string]tally{}
	for _, message := range batch {
		cents, err := debited(message.Data())
		if err != nil {
			return err
		}
		stream := strings.TrimPrefix(message.Subject(), subjectKey)
		row := rows[stream]
		rows[stream] = tally{row.count + 1, row.cents + cents}
	}
	var streams []string
	var counts, cents []int64
	for stream, row := range rows {
		streams, counts, cents = append(streams, stream), append(counts, row.count), append(cents, row.cents)
	}
	queue := &pgx.Batch{}
	queue.Queue("begin")
	queue.Queue("update peer_position set sequence = $1", sequence)
	queue.Queue(`insert into peer_tally as t select * from unnest($1::text[], $2::bigint[], $3::bigint[])
		on conflict (stream) do update set count = t.count + excluded.count, cents = t.cents + excluded.cents`, streams, counts, cents)
	queue.Queue("commit")
	return conn.SendBatch(ctx, queue).Close()
}

// debited is what an entry debits, in cents; other events debit nothing.
func debited(data []byte) (cents int64, err error) {
	var event struct {
		Lines []struct {
			Side             string `json:"side"`
			FunctionalAmount struct {
				Amount string `json:"amount"`
			} `json:"functional_amount"`
		} `json:"lines"`
	}
	if err := json.Unmarshal(data, &event); err != nil {
		return 0, err
	}
	for _, line := range event.Lines {
		if line.Side != "debit" {
			continue
		}
		amount, err := strconv.ParseInt(strings.Replace(line.FunctionalAmount.Amount, ".", "", 1), 10, 64)
		if err != nil {
			return 0, err
		}
		cents += amount
	}
	return cents, nil
}

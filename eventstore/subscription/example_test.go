package subscription_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"

	"daybook.example/eventstore"
	"daybook.example/eventstore/log"
	"daybook.example/eventstore/node"
	"daybook.example/eventstore/subscription"
)

// startNode starts an event store in this process, in a temporary folder, and
// makes a client of it. For one that runs elsewhere, eventstore.Connect with its
// esdb:// address is enough.
func startNode() (client *eventstore.Client, stop func()) {
	quiet := slog.New(slog.DiscardHandler)
	dir, err := os.MkdirTemp("", "example")
	must(err)
	l, err := log.Open(log.Options{Dir: filepath.Join(dir, "log"), FreeSpaceMin: 1, Logger: quiet})
	must(err)
	socket := filepath.Join(dir, "node.sock")
	n, err := node.Start(node.Options{Log: l, Socket: socket, Logger: quiet})
	must(err)
	client, err = eventstore.Connect(eventstore.Options{Socket: socket, Logger: quiet})
	must(err)
	return client, func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		must(errors.Join(client.Close(ctx), n.Close(ctx), l.Close(), os.RemoveAll(dir)))
	}
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

// A publisher appends messages to a stream, a subscriber brings them back.
func Example() {
	client, stop := startNode()
	defer stop()

	publisher, err := subscription.NewPublisher(subscription.PublisherConfig{Client: client})
	must(err)
	order := message.NewMessage(watermill.NewUUID(), []byte(`{"order":7}`))
	order.Metadata.Set(subscription.NameMetadata, "order-placed") // the event's type
	must(publisher.Publish("orders", order, message.NewMessage(watermill.NewUUID(), []byte(`{"order":8}`))))

	subscriber, err := subscription.NewEventSubscriber(subscription.EventConfig{Client: client})
	must(err)
	messages, err := subscriber.Subscribe(context.Background(), "orders")
	must(err)
	for range 2 {
		m := <-messages
		event, _ := subscription.EventFrom(m)
		fmt.Printf("%s %d %s: %s\n", event.Stream, event.Revision, event.Type, m.Payload)
		m.Ack()
	}
	must(subscriber.Close())
	must(publisher.Close())
	// Output:
	// orders 0 order-placed: {"order":7}
	// orders 1 message: {"order":8}
}

// What one member of a group has acknowledged comes to no other.
func ExampleEventSubscriber_group() {
	client, stop := startNode()
	defer stop()
	publisher, err := subscription.NewPublisher(subscription.PublisherConfig{Client: client})
	must(err)
	for _, text := range []string{"first", "second", "third"} {
		must(publisher.Publish("mails", message.NewMessage(watermill.NewUUID(), []byte(text))))
	}
	must(publisher.Close())

	for member := range 3 { // a member comes, handles one message and goes
		subscriber, err := subscription.NewEventSubscriber(subscription.EventConfig{
			Client: client, Group: "mailer", Logger: slog.New(slog.DiscardHandler),
		})
		must(err)
		messages, err := subscriber.Subscribe(context.Background(), "mails")
		must(err)
		m := <-messages
		fmt.Printf("member %d: %s\n", member, m.Payload)
		m.Ack()
		must(subscriber.Close()) // stores the checkpoint
	}
	// Output:
	// member 0: first
	// member 1: second
	// member 2: third
}

// With an expected revision, of two who decide on the same state one is refused.
func ExamplePublisher_expectedRevision() {
	client, stop := startNode()
	defer stop()
	publisher, err := subscription.NewPublisher(subscription.PublisherConfig{
		Client: client,
		Expected: func(string, []*message.Message) eventstore.ExpectedRevision {
			return eventstore.NoStream
		},
	})
	must(err)
	for range 2 {
		err := publisher.Publish("seat-12A", message.NewMessage(watermill.NewUUID(), []byte(`{}`)))
		fmt.Println(errors.Is(err, eventstore.ErrWrongExpectedRevision))
	}
	must(publisher.Close())
	// Output:
	// false
	// true
}

// A read model takes batches, and stores its rows with the batch's end as the
// checkpoint in one transaction.
func ExampleSubscriber() {
	client, stop := startNode()
	defer stop()
	publisher, err := subscription.NewPublisher(subscription.PublisherConfig{Client: client})
	must(err)
	for i := range 3 {
		must(publisher.Publish(fmt.Sprintf("account-%d", i), message.NewMessage(watermill.NewUUID(), []byte(`{"amount":5}`))))
	}
	must(publisher.Close())

	var checkpoint eventstore.Position // in the database, really
	subscriber, err := subscription.New(subscription.Config{
		Client: client,
		From:   func(context.Context) (eventstore.Position, error) { return checkpoint, nil },
	})
	must(err)
	messages, err := subscriber.Subscribe(context.Background(), subscription.Topic)
	must(err)
	for n := 0; n < 3; {
		m := <-messages
		batch, _ := subscription.BatchFrom(m)
		for _, event := range batch.Events {
			fmt.Println(event.Stream)
		}
		n += len(batch.Events)
		checkpoint = batch.To
		m.Ack()
	}
	must(subscriber.Close())
	// Output:
	// account-0
	// account-1
	// account-2
}

// Two read models share what is read and decoded; each has its own place and batches.
func ExampleFeed() {
	client, stop := startNode()
	defer stop()
	publisher, err := subscription.NewPublisher(subscription.PublisherConfig{Client: client})
	must(err)
	must(publisher.Publish("account-1", message.NewMessage(watermill.NewUUID(), []byte(`{"amount":5}`))))
	must(publisher.Close())

	feed, err := subscription.NewFeed(subscription.FeedConfig{Client: client, Decode: func(e eventstore.Recorded) (any, error) {
		fmt.Println("decoded once")
		var deposit struct{ Amount int }
		err := json.Unmarshal(e.Data, &deposit)
		return deposit.Amount, err
	}})
	must(err)
	for _, model := range []string{"balances", "statements"} {
		subscriber, err := subscription.New(subscription.Config{
			Feed: feed,
			From: func(context.Context) (eventstore.Position, error) { return eventstore.Position{}, nil },
		})
		must(err)
		defer func() { must(subscriber.Close()) }()
		messages, err := subscriber.Subscribe(context.Background(), subscription.Topic)
		must(err)
		m := <-messages
		batch, _ := subscription.BatchFrom(m)
		fmt.Println(model, batch.Decoded[0])
		m.Ack()
	}
	// Output:
	// decoded once
	// balances 5
	// statements 5
}

// Subscriber and Publisher in a Watermill Router: a handler turns orders into
// invoices. Its error would bring the order again.
func Example_router() {
	client, stop := startNode()
	defer stop()
	publisher, err := subscription.NewPublisher(subscription.PublisherConfig{Client: client})
	must(err)
	subscriber, err := subscription.NewEventSubscriber(subscription.EventConfig{Client: client, Group: "invoicing", Logger: slog.New(slog.DiscardHandler)})
	must(err)
	router, err := message.NewRouter(message.RouterConfig{}, watermill.NopLogger{})
	must(err)
	router.AddHandler("invoicing", "orders", subscriber, "invoices", publisher, func(m *message.Message) ([]*message.Message, error) {
		// An ID made of the order's, so that an order that comes again makes no second invoice.
		return message.Messages{message.NewMessage("invoice of "+m.UUID, m.Payload)}, nil
	})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- router.Run(ctx) }()

	must(publisher.Publish("orders", message.NewMessage(watermill.NewUUID(), []byte(`{"order":7}`))))
	reader, err := subscription.NewEventSubscriber(subscription.EventConfig{Client: client})
	must(err)
	invoices, err := reader.Subscribe(ctx, "invoices")
	must(err)
	m := <-invoices
	fmt.Printf("%s\n", m.Payload)
	m.Ack()
	cancel()
	must(<-done)
	must(errors.Join(reader.Close(), subscriber.Close(), publisher.Close()))
	// Output:
	// {"order":7}
}

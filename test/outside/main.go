// Command outside is a program of somebody else: it starts an event store of its
// own, publishes through Watermill, reads it back alone and as a member of a
// group, and says what it saw.
package main

import (
	"context"
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

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run() (err error) {
	slog.SetDefault(slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	dir, err := os.MkdirTemp("", "outside")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	events, err := log.Open(log.Options{Dir: filepath.Join(dir, "log")})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, events.Close()) }()
	server, err := node.Start(node.Options{Log: events, Socket: filepath.Join(dir, "node.sock")})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.Close(ctx)) }()
	client, err := eventstore.Connect(eventstore.Options{Socket: filepath.Join(dir, "node.sock")})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, client.Close(ctx)) }()
	if err := publish(client); err != nil {
		return err
	}
	for _, group := range []string{"", "readers"} {
		if err := read(ctx, client, group); err != nil {
			return err
		}
	}
	return nil
}

func publish(client *eventstore.Client) error {
	publisher, err := subscription.NewPublisher(subscription.PublisherConfig{Client: client})
	if err != nil {
		return err
	}
	var all []*message.Message
	for n := range 100 {
		all = append(all, message.NewMessage(watermill.NewUUID(), fmt.Appendf(nil, `{"n":%d}`, n)))
	}
	return errors.Join(publisher.Publish("outside", all...), publisher.Close())
}

func read(ctx context.Context, client *eventstore.Client, group string) error {
	subscriber, err := subscription.NewEventSubscriber(subscription.EventConfig{Client: client, Group: group})
	if err != nil {
		return err
	}
	messages, err := subscriber.Subscribe(ctx, "outside")
	if err != nil {
		return err
	}
	for n := range 100 {
		m, open := <-messages
		if !open {
			return fmt.Errorf("the channel was closed after %d messages", n)
		}
		if want := fmt.Sprintf(`{"n":%d}`, n); string(m.Payload) != want {
			return fmt.Errorf("message %d is %s", n, m.Payload)
		}
		m.Ack()
	}
	fmt.Printf("group %q: 100 messages in order\n", group)
	return subscriber.Close()
}

package subscription_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/pubsub/tests"
	"github.com/stretchr/testify/require"

	"daybook.example/eventstore"
	"daybook.example/eventstore/eventstoretest"
	"daybook.example/eventstore/log"
	"daybook.example/eventstore/node"
	"daybook.example/eventstore/subscription"
	"daybook.example/test/level"
)

// Watermill's universal suite. In full, as CI runs it, a node in a process of its
// own is killed with -9 twice under load and started again by a command, as the
// suite wants it; by default the suite is in its short form and has no restarts.
// The suite's test of them has a data race of its own (it reads publishedMessages
// while a goroutine appends to it, and so misses the last one where that was
// delivered before Publish returned): messages are held back until it has. Under
// the race detector TestExactAcrossKillsOfTheNode stands in its place.

// given no group, when the suite runs, then every subscription gets everything, in order, from the start
func TestUniversalSuiteWithoutAGroup(t *testing.T) {
	t.Parallel()
	features := tests.Features{Persistent: true, GuaranteedOrder: true, NewSubscriberReceivesOldMessages: true}
	universal(t, features, "", eventSubscribers)
}

// given subscriptions of a feed with batches of one event, when the suite runs, then every one gets everything, in order, from the start
//
// Each of them goes through what all tests of the suite publish, so the numbers
// stay those of the short form; in full, the restarts are added.
func TestUniversalSuiteOverAFeed(t *testing.T) {
	t.Parallel()
	features := tests.Features{ForceShort: true, Persistent: true, GuaranteedOrder: true, NewSubscriberReceivesOldMessages: true}
	universal(t, features, "", feedSubscribers)
}

// given consumer groups, when the suite runs, then each group gets everything once it goes on, in order
func TestUniversalSuiteWithGroups(t *testing.T) {
	t.Parallel()
	universal(t, tests.Features{ConsumerGroups: true, Persistent: true, GuaranteedOrder: true}, "everybody", eventSubscribers)
}

// subscribers makes the subscribers that the suite asks for, on a node.
type subscribers func(t *testing.T, socket string) func(t *testing.T, group string) message.Subscriber

func eventSubscribers(_ *testing.T, socket string) func(t *testing.T, group string) message.Subscriber {
	return func(t *testing.T, group string) message.Subscriber {
		subscriber, err := subscription.NewEventSubscriber(subscription.EventConfig{
			Client: connect(t, socket), Group: group, Logger: eventstoretest.Quiet,
			NackDelay: func(int) time.Duration { return time.Millisecond },
		})
		require.NoError(t, err)
		return subscriber
	}
}

// feedSubscribers share one feed.
func feedSubscribers(t *testing.T, socket string) func(t *testing.T, group string) message.Subscriber {
	feed := newFeed(t, subscription.FeedConfig{Client: connect(t, socket)})
	return func(t *testing.T, _ string) message.Subscriber {
		subscriber, err := subscription.New(subscription.Config{
			Feed: feed, From: fromStart, MaxEvents: 1, Logger: eventstoretest.Quiet,
			NackDelay: func(int) time.Duration { return time.Millisecond },
		})
		require.NoError(t, err)
		return &unpacking{Subscriber: subscriber}
	}
}

// unpacking makes of batches of one event messages of one topic.
type unpacking struct {
	message.Subscriber
	running sync.WaitGroup
}

func (s *unpacking) Close() error {
	defer s.running.Wait()
	return s.Subscriber.Close()
}

func (s *unpacking) Subscribe(ctx context.Context, topic string) (<-chan *message.Message, error) {
	batches, err := s.Subscriber.Subscribe(ctx, subscription.Topic)
	if err != nil {
		return nil, err
	}
	out := make(chan *message.Message)
	s.running.Go(func() {
		defer close(out)
		for packed := range batches {
			batch, _ := subscription.BatchFrom(packed)
			if len(batch.Events) == 0 || batch.Events[0].Stream != topic {
				packed.Ack()
				continue
			}
			unpack(packed, subscription.MessageOf(packed.Context(), &batch.Events[0]), out)
		}
	})
	return out, nil
}

// unpack hands out the message of a batch and passes its answer on.
func unpack(packed, m *message.Message, out chan<- *message.Message) {
	select {
	case out <- m:
	case <-packed.Context().Done():
		return
	}
	select {
	case <-m.Acked():
		packed.Ack()
	case <-m.Nacked():
		packed.Nack()
	case <-packed.Context().Done():
	}
}

func universal(t *testing.T, features tests.Features, group string, of subscribers) {
	socket := eventstoretest.Start(t).Socket
	if features.ForceShort = features.ForceShort || level.Few(); !level.Few() {
		socket, features.RestartServiceCommand = killableNode(t)
	}
	if underRace {
		features.RestartServiceCommand = nil
	}
	var known published
	subscriberOf := of(t, socket)
	construct := func(t *testing.T, group string) (message.Publisher, message.Subscriber) {
		publisher, err := subscription.NewPublisher(subscription.PublisherConfig{Client: connect(t, socket)})
		require.NoError(t, err)
		subscriber := subscriberOf(t, group)
		t.Cleanup(func() { // the suite leaves some of them open
			require.NoError(t, publisher.Close())
			require.NoError(t, subscriber.Close())
		})
		if features.RestartServiceCommand != nil {
			return telling{publisher, &known}, &patient{Subscriber: subscriber, of: &known}
		}
		return publisher, subscriber
	}
	tests.TestPubSub(t, features,
		func(t *testing.T) (message.Publisher, message.Subscriber) { return construct(t, group) }, construct)
}

// published knows the messages whose publishers know that they are published, too.
type published struct{ byID sync.Map }

func (p *published) of(id string) *publication {
	one, _ := p.byID.LoadOrStore(id, &publication{known: make(chan struct{})})
	return one.(*publication)
}

type publication struct {
	once  sync.Once
	known chan struct{} // closed
}

type telling struct {
	message.Publisher
	to *published
}

// Publish gives the publisher a moment to write down what it published.
func (p telling) Publish(topic string, messages ...*message.Message) error {
	err := p.Publisher.Publish(topic, messages...)
	for _, m := range messages {
		if one := p.to.of(m.UUID); err == nil {
			time.AfterFunc(2*time.Millisecond, func() { one.once.Do(func() { close(one.known) }) })
		}
	}
	return err
}

type patient struct {
	message.Subscriber
	of      *published
	running sync.WaitGroup
}

// Close returns when the channels are closed, as the suite wants it.
func (s *patient) Close() error {
	defer s.running.Wait()
	return s.Subscriber.Close()
}

func (s *patient) Subscribe(ctx context.Context, topic string) (<-chan *message.Message, error) {
	messages, err := s.Subscriber.Subscribe(ctx, topic)
	if err != nil {
		return nil, err
	}
	out := make(chan *message.Message)
	s.running.Go(func() {
		defer close(out)
		for m := range messages {
			select {
			case <-s.of.of(m.UUID).known:
			case <-m.Context().Done():
			}
			select {
			case out <- m:
			case <-m.Context().Done():
			}
		}
	})
	return out, nil
}

// killableNode is a node in a process of its own, and the command that restarts it.
func killableNode(t *testing.T) (socket string, restart []string) {
	dir, err := os.MkdirTemp("", "daybook")
	require.NoError(t, err)
	s := &supervisor{dir: dir, done: make(chan struct{})}
	require.NoError(t, s.start())
	go s.keep()
	t.Cleanup(func() {
		s.stop()
		require.NoError(t, os.RemoveAll(dir))
	})
	require.NoError(t, running(dir, 0))
	return filepath.Join(dir, "node.sock"), []string{os.Args[0], restartWord, dir}
}

// What this test binary does instead of testing when its first argument is one of these.
const (
	nodeWord    = "serve-a-node"
	restartWord = "restart-the-node"
)

// helped does what a helper process of this package is for, if this is one.
func helped() bool {
	if len(os.Args) != 3 {
		return false
	}
	var err error
	switch os.Args[1] {
	case nodeWord:
		err = serveNode(os.Args[2])
	case restartWord:
		err = restartNode(os.Args[2])
	default:
		return false
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	return true
}

// serveNode serves until the process is told to end, or killed.
func serveNode(dir string) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	l, err := log.Open(log.Options{Dir: filepath.Join(dir, "log"), FreeSpaceMin: 1, Logger: eventstoretest.Quiet})
	if err != nil {
		return err
	}
	n, err := node.Start(node.Options{Log: l, Socket: filepath.Join(dir, "node.sock"), Logger: eventstoretest.Quiet})
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "pid"), []byte(strconv.Itoa(os.Getpid())), 0o600); err != nil {
		return err
	}
	<-ctx.Done()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	_ = n.Close(ctx)
	return l.Close()
}

// restartNode kills the node with -9 and returns when another one serves.
func restartNode(dir string) error {
	pid, err := pidIn(dir)
	if err != nil {
		return err
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		return err
	}
	return running(dir, pid)
}

func pidIn(dir string) (int, error) {
	content, err := os.ReadFile(filepath.Join(dir, "pid"))
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(string(content))
}

// running waits until a node other than the one before serves the folder.
func running(dir string, before int) error {
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if pid, err := pidIn(dir); err == nil && pid != before {
			return nil
		}
	}
	return fmt.Errorf("no node came up on %s", dir)
}

// A supervisor starts the node again whenever it ends.
type supervisor struct {
	dir   string
	node  atomic.Pointer[exec.Cmd]
	ended atomic.Bool
	done  chan struct{}
}

func (s *supervisor) start() error {
	cmd := exec.Command(os.Args[0], nodeWord, s.dir)
	cmd.Stderr = os.Stderr
	s.node.Store(cmd)
	return cmd.Start()
}

func (s *supervisor) keep() {
	defer close(s.done)
	for {
		_ = s.node.Load().Wait()
		if s.ended.Load() || s.start() != nil {
			return
		}
	}
}

func (s *supervisor) stop() {
	s.ended.Store(true)
	_ = s.node.Load().Process.Signal(syscall.SIGTERM)
	<-s.done
}

func connect(t *testing.T, socket string) *eventstore.Client {
	client, err := eventstore.Connect(eventstore.Options{Socket: socket, Logger: eventstoretest.Quiet})
	require.NoError(t, err)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		_ = client.Close(ctx)
	})
	return client
}

// given a node that is killed under load, when it comes back, then what was published is delivered in order, with and without a group
func TestExactAcrossKillsOfTheNode(t *testing.T) {
	t.Parallel()
	count, kills := level.Of(600, 6000, 6000), level.Of(1, 4, 4)
	socket, restart := killableNode(t)
	publisher := newPublisher(t, subscription.PublisherConfig{Client: connect(t, socket)})
	alone := newEvents(t, subscription.EventConfig{Client: connect(t, socket)}).subscribe("killed")
	grouped := newEvents(t, subscription.EventConfig{Client: connect(t, socket), Group: "g"}).subscribe("killed")
	done, killed := make(chan error, 1), make(chan error, kills)
	go func() {
		for n := range count {
			if kill := n / (count / (kills + 1)); n > 0 && n%(count/(kills+1)) == 0 && kill <= kills {
				go func() { killed <- exec.Command(restart[0], restart[1:]...).Run() }()
			}
			if err := publisher.Publish("killed", newMessage(strconv.Itoa(n))); err != nil {
				done <- err
				return
			}
		}
		done <- nil
	}()
	for n := range count {
		text := strconv.Itoa(n)
		for _, messages := range []<-chan *message.Message{alone, grouped} {
			m := next(t, messages)
			require.Equal(t, text, string(m.Payload))
			m.Ack()
		}
	}
	require.NoError(t, <-done)
	for range kills {
		require.NoError(t, <-killed, "the node was not killed, or did not come back")
	}
}

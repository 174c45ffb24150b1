package subscription_test

import (
	"encoding/json"
	"math/rand/v2"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"daybook.example/eventstore"
	"daybook.example/eventstore/eventstoretest"
	"daybook.example/eventstore/subscription"
	"daybook.example/test/level"
)

const groupStream = "consumergroup-g::s"

func inGroup(t *testing.T, client *eventstore.Client, takeOver time.Duration) eventsTest {
	return newEvents(t, subscription.EventConfig{Client: client, Group: "g", TakeOver: takeOver, NackDelay: func(int) time.Duration { return time.Millisecond }})
}

// owners are those who had the seat, one after the other, as the group's stream
// says from its first event on. Reading the stream itself shows only the last one.
func owners(t *testing.T, client *eventstore.Client) (all []uuid.UUID) {
	t.Helper()
	for event, err := range client.All(within(t, patience), eventstore.Position{}) {
		require.NoError(t, err)
		if event.Stream != groupStream {
			continue
		}
		var says struct{ Owner uuid.UUID }
		require.NoError(t, json.Unmarshal(event.Data, &says))
		if len(all) == 0 || all[len(all)-1] != says.Owner {
			all = append(all, says.Owner)
		}
	}
	return all
}

// given two members, when one is served, then the other waits, and goes on where the first one left
func TestOneMemberIsServedAtATime(t *testing.T) {
	t.Parallel()
	node := eventstoretest.Start(t)
	appendTo(t, node.Connect(), "s", 10)
	first, second := inGroup(t, node.Connect(), time.Minute), inGroup(t, node.Connect(), time.Minute)
	one := first.subscribe("s")
	require.Equal(t, []string{"0", "1", "2"}, payloads(t, one, 3))
	two := second.subscribe("s")
	none(t, two, 100*time.Millisecond)
	m := next(t, one)
	m.Ack()
	require.NoError(t, first.Close())
	require.Equal(t, []string{"4", "5"}, payloads(t, two, 2))
	require.NoError(t, second.Close())
	require.Equal(t, []string{"6", "7", "8", "9"}, payloads(t, inGroup(t, node.Connect(), time.Minute).subscribe("s"), 4))
}

// given a member that vanished without a word, when another asks and hears nothing, then it takes the seat
func TestTheSeatOfADeadMemberIsTaken(t *testing.T) {
	t.Parallel()
	client := eventstoretest.Start(t).Connect()
	appendTo(t, client, "s", 4)
	dead := `{"owner":"` + uuid.NewString() + `","next":2,"position":"0/0"}`
	_, err := client.Append(t.Context(), groupStream, eventstore.NoStream, []eventstore.Proposed{{ID: uuid.New(), Type: "consumergroup-checkpoint", Data: []byte(dead)}})
	require.NoError(t, err)
	began := time.Now()
	require.Equal(t, []string{"2", "3"}, payloads(t, inGroup(t, client, 300*time.Millisecond).subscribe("s"), 2))
	require.Greater(t, time.Since(began), 300*time.Millisecond)
}

// given members that wait and ask, when the one served is alive but idle, then it keeps the seat and is written down only when asked
func TestALivingMemberKeepsItsSeat(t *testing.T) {
	t.Parallel()
	node := eventstoretest.Start(t)
	client := node.Connect()
	const patient = 200 * time.Millisecond
	one := inGroup(t, client, patient).subscribe("s")
	appendTo(t, client, "s", 1)
	payloads(t, one, 1)
	time.Sleep(2 * patient)
	alone := stored(t, client, groupStream)[0].Revision
	time.Sleep(4 * patient)
	require.Equal(t, alone, stored(t, client, groupStream)[0].Revision, "something was written with nobody there")
	two, three := inGroup(t, node.Connect(), patient).subscribe("s"), inGroup(t, node.Connect(), patient).subscribe("s")
	none(t, two, 5*patient)
	none(t, three, patient)
	require.Greater(t, stored(t, client, groupStream)[0].Revision, alone)
	appendTo(t, client, "s", 1)
	require.Len(t, payloads(t, one, 1), 1)
	require.Len(t, owners(t, client), 1)
}

// given a member whose seat was taken, when it hears of that, then its message's context ends and it stores no checkpoint
func TestAMemberThatLostItsSeatIsFenced(t *testing.T) {
	t.Parallel()
	client := eventstoretest.Start(t).Connect()
	appendTo(t, client, "s", 3)
	messages := inGroup(t, client, time.Minute).subscribe("s")
	payloads(t, messages, 1)
	m := next(t, messages)
	require.Eventually(t, func() bool { return stored(t, client, groupStream)[0].Revision == 1 }, patience, 10*time.Millisecond)
	thief := `{"owner":"` + uuid.NewString() + `","next":2,"position":"0/0"}`
	_, err := client.Append(t.Context(), groupStream, eventstore.Any, []eventstore.Proposed{{ID: uuid.New(), Type: "consumergroup-checkpoint", Data: []byte(thief)}})
	require.NoError(t, err)
	select {
	case <-m.Context().Done():
	case <-time.After(patience):
		require.Fail(t, "it goes on being served")
	}
	m.Ack()
	none(t, messages, 100*time.Millisecond)
	last := stored(t, client, groupStream)[0]
	require.Contains(t, string(last.Data), `"next":2`, "the displaced member moved the checkpoint")
}

// given members that come and go and refuse, when all events have been acknowledged, then each came at least once and no member saw them out of order
func TestAGroupLosesNothingWhileMembersComeAndGo(t *testing.T) {
	t.Parallel()
	count := level.Of(300, 3000, 3000)
	node := eventstoretest.Start(t)
	client := node.Connect()
	seen := map[string]int{}
	var mu sync.Mutex
	done := make(chan struct{})
	work := func(messages <-chan *message.Message, stop <-chan time.Time) {
		last := -1
		for {
			select {
			case m := <-messages:
				n, err := strconv.Atoi(string(m.Payload))
				require.NoError(t, err)
				if rand.IntN(20) == 0 {
					m.Nack()
					continue
				}
				require.True(t, last == -1 || n == last || n == last+1, "%d after %d", n, last)
				last = n
				mu.Lock()
				if seen[string(m.Payload)]++; len(seen) == count && seen[string(m.Payload)] == 1 {
					close(done)
				}
				mu.Unlock()
				m.Ack()
			case <-stop:
				return
			case <-done:
				return
			}
		}
	}
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for {
				s, err := subscription.NewEventSubscriber(subscription.EventConfig{Client: client, Group: "g", Logger: eventstoretest.Quiet, NackDelay: func(int) time.Duration { return time.Millisecond }})
				require.NoError(t, err)
				messages, err := s.Subscribe(t.Context(), "s")
				require.NoError(t, err)
				work(messages, time.After(time.Duration(20+rand.IntN(100))*time.Millisecond))
				require.NoError(t, s.Close())
				select {
				case <-done:
					return
				default:
				}
			}
		})
	}
	for n := range count {
		_, err := client.Append(t.Context(), "s", eventstore.Any, []eventstore.Proposed{{ID: uuid.New(), Type: "n", Data: []byte(strconv.Itoa(n))}})
		require.NoError(t, err)
	}
	select {
	case <-done:
	case <-time.After(2 * patience):
		mu.Lock()
		defer mu.Unlock()
		require.Fail(t, "lost", "%d of %d", len(seen), count)
	}
	all.Wait()
	for i, owner := range owners(t, client) {
		require.Equal(t, i%2 == 1, owner == uuid.Nil, "the seat of one who lives was taken")
	}
}

package crash

import (
	"encoding/json"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"daybook.example/domain"
	"daybook.example/test/program"
)

// An attempt is one command that a client has sent.
type attempt struct {
	path, key string
	body      program.JSON
	command   uuid.UUID // by which its events are known in the log
	outcome   outcome
	code      string   // of the refusal
	events    []string // IDs, of what was acknowledged
	id        string
}

type outcome int

const (
	unknown      outcome = iota // no answer, or one that says that nobody knows
	acknowledged                // it is in the log, once
	refused                     // nothing of it is in the log
)

// settle takes the answer to an attempt.
func (a *attempt) settle(answer program.Answer, err error) {
	a.code = answer.Code()
	switch {
	case err != nil || answer.Status >= http.StatusInternalServerError:
		return
	case answer.Status >= http.StatusBadRequest:
		a.outcome = refused
		return
	}
	var body struct {
		ID     string
		Events []struct{ ID string }
	}
	if json.Unmarshal(answer.Body, &body) != nil {
		return
	}
	a.outcome, a.id, a.events = acknowledged, body.ID, nil
	for _, event := range body.Events {
		a.events = append(a.events, event.ID)
	}
}

// A journal is what all clients have sent: the oracle of what may be in the log.
type journal struct {
	mu       sync.Mutex
	attempts []*attempt
	hired    []*attempt
	slowest  time.Duration // of all answers, and of what took their place
}

// settle takes the answer to an attempt, and how long it took.
func (j *journal) settle(a *attempt, answer program.Answer, err error, took time.Duration) {
	j.mu.Lock()
	defer j.mu.Unlock()
	a.settle(answer, err)
	j.slowest = max(j.slowest, took)
	if a.outcome == acknowledged && a.path == "/v1/employees" {
		j.hired = append(j.hired, a)
	}
}

// someone is any of the hired, nil if there is nobody yet.
func (j *journal) someone(random *rand.Rand) *attempt {
	j.mu.Lock()
	defer j.mu.Unlock()
	if len(j.hired) == 0 {
		return nil
	}
	return j.hired[random.IntN(len(j.hired))]
}

// send notes an attempt before it is made.
func (j *journal) send(path, key string, body program.JSON) *attempt {
	a := &attempt{path: path, key: key, body: body, command: domain.CommandID("admin", http.MethodPost, path, key)}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.attempts = append(j.attempts, a)
	return a
}

func (j *journal) with(o outcome) (found []*attempt) {
	for _, a := range j.attempts {
		if a.outcome == o {
			found = append(found, a)
		}
	}
	return found
}

// findings are what a log does not agree with the journal about: none, if all
// is well.
type findings struct {
	Lost       []string // acknowledged, but not in the log
	Doubled    []string // events that are there twice, or commands with more than was acknowledged
	Unasked    []string // nobody sent it, or it was refused
	Gaps       []string // revisions or entry numbers that are not contiguous
	Unbalanced []string
}

// check holds the log against the journal: I1, I2, I3 and I6.
func (j *journal) check(log []program.Event) (f findings) {
	times, ofCommand := map[string]int{}, map[string]int{}
	for _, e := range log {
		if times[e.ID]++; times[e.ID] > 1 {
			f.Doubled = append(f.Doubled, e.ID)
		}
		if !isOf(e, "claim") { // claims are taken on the way
			ofCommand[e.Metadata.CommandID]++
		}
	}
	sent := map[string]bool{}
	for _, a := range j.attempts {
		sent[a.command.String()] = a.outcome != refused
		if a.outcome != acknowledged {
			continue
		}
		for _, id := range a.events {
			if times[id] == 0 {
				f.Lost = append(f.Lost, a.key)
			}
		}
		if ofCommand[a.command.String()] > len(a.events) {
			f.Doubled = append(f.Doubled, a.key)
		}
	}
	for _, e := range log {
		if (isOf(e, "employee") || e.Type == "journal-entry-posted") && !sent[e.Metadata.CommandID] {
			f.Unasked = append(f.Unasked, e.ID)
		}
	}
	f.gaps(log)
	f.books(log)
	return f
}

func isOf(e program.Event, category string) bool { return strings.HasPrefix(e.Stream, category+"-") }

// gaps looks for missing revisions.
func (f *findings) gaps(log []program.Event) {
	next := map[string]uint64{}
	for _, e := range log {
		if e.Revision != next[e.Stream] {
			f.Gaps = append(f.Gaps, e.Stream)
		}
		next[e.Stream] = e.Revision + 1
	}
}

// books looks for missing entry numbers and for entries that do not balance.
func (f *findings) books(log []program.Event) {
	last := map[string]int{}
	for _, e := range log {
		if e.Type != "journal-entry-posted" {
			continue
		}
		var entry struct {
			EntryNo int `json:"entry_no"`
			Lines   []struct {
				Side   string
				Amount struct{ Amount domain.Decimal }
			}
		}
		if err := json.Unmarshal(e.Data, &entry); err != nil || entry.EntryNo != last[e.Stream]+1 {
			f.Gaps = append(f.Gaps, e.ID)
		}
		last[e.Stream] = entry.EntryNo
		sum := map[string]domain.Decimal{}
		for _, line := range entry.Lines {
			sum[line.Side] = sum[line.Side].Add(line.Amount.Amount)
		}
		if len(entry.Lines) < 2 || sum["D"].Compare(sum["C"]) != 0 {
			f.Unbalanced = append(f.Unbalanced, e.ID)
		}
	}
}

// TestTheJournalFindsWhatIsPlanted is the control of the crash tests: each fault
// that they look for is planted in a log, and found.
func TestTheJournalFindsWhatIsPlanted(t *testing.T) {
	t.Parallel()
	given := func() (*journal, []program.Event) {
		var j journal
		var log []program.Event
		for i, stream := range []string{"employee-1", "employee-1", "journal-main_202601", "journal-main_202601"} {
			a := j.send("/v1/some", stream+string(rune('a'+i)), nil)
			a.outcome, a.events = acknowledged, []string{uuid.NewString()}
			e := program.Event{Stream: stream, Revision: uint64(i % 2), ID: a.events[0], Type: "employee-hired"}
			if i > 1 {
				e.Type = "journal-entry-posted"
				e.Data = json.RawMessage(`{"entry_no":` + string(rune('0'+i-1)) + `,"lines":[{"side":"D","amount":{"amount":"1.00"}},{"side":"C","amount":{"amount":"1.00"}}]}`)
			}
			e.Metadata.CommandID = a.command.String()
			log = append(log, e)
		}
		return &j, log
	}
	j, log := given()
	require.Zero(t, j.check(log), "a log without fault")
	for fault, plant := range map[string]func(*journal, []program.Event) []program.Event{
		"a lost event":        func(_ *journal, log []program.Event) []program.Event { return log[:3] },
		"an event twice":      func(_ *journal, log []program.Event) []program.Event { return append(log, log[0]) },
		"an event of nobody":  func(j *journal, log []program.Event) []program.Event { j.attempts = j.attempts[1:]; return log },
		"a refused one there": func(j *journal, log []program.Event) []program.Event { j.attempts[0].outcome = refused; return log },
		"a command twice": func(j *journal, log []program.Event) []program.Event {
			again := log[1]
			again.ID, again.Revision = uuid.NewString(), 2
			return append(log, again)
		},
		"a hole in a stream": func(j *journal, log []program.Event) []program.Event { log[1].Revision = 2; return log },
		"a number left out": func(j *journal, log []program.Event) []program.Event {
			log[3].Data = json.RawMessage(strings.Replace(string(log[3].Data), `"entry_no":2`, `"entry_no":3`, 1))
			return log
		},
		"an entry off balance": func(j *journal, log []program.Event) []program.Event {
			log[3].Data = json.RawMessage(strings.Replace(string(log[3].Data), "1.00", "1.01", 1))
			return log
		},
	} {
		j, log := given()
		require.NotZero(t, j.check(plant(j, slices.Clone(log))), fault)
	}
}

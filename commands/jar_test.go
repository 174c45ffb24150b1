package commands

import (
	"maps"

	"github.com/google/uuid"

	"daybook.example/domain"
)

// A jar is the smallest aggregate that shows all that a handler does: it counts
// coins, its label is unique among all jars and its owner's name is sealed.
type jar struct {
	label string
	owner string
	coins int
	puts  map[uuid.UUID]int // evolved in place
}

type jarEvent interface {
	domain.Named
	evolve(jar, domain.Recording) jar
}

type jarCommand interface{ decide(jar) ([]jarEvent, error) }

var jars = domain.Decider[jarCommand, jar, jarEvent]{
	Decide: func(s jar, c jarCommand) ([]jarEvent, error) { return c.decide(s) },
	Evolve: func(s jar, fact domain.Recorded[jarEvent]) jar { return fact.Event.evolve(s, fact.Recording) },
	Claims: jarClaims,
	Copy:   func(s jar) jar { s.puts = maps.Clone(s.puts); return s },
}

var jarCatalog = domain.NewCatalog(
	domain.Is(func(e jarOpened) jarEvent { return e }),
	domain.Is(func(e coinsPut) jarEvent { return e }),
	domain.Is(func(e jarLabelled) jarEvent { return e }),
)

func jarClaims(s jar, event jarEvent) []domain.Claim {
	switch e := event.(type) {
	case jarOpened:
		return []domain.Claim{{Set: "label", Value: e.Label}}
	case jarLabelled:
		return []domain.Claim{{Set: "label", Value: e.Label}, {Set: "label", Value: s.label, Release: true}}
	}
	return nil
}

type jarOpened struct {
	Label string                   `json:"label"`
	Owner *domain.Identity[string] `json:"owner,omitempty"`
}

func (jarOpened) EventType() string { return "jar-opened" }

func (e jarOpened) evolve(s jar, _ domain.Recording) jar {
	s.label = e.Label
	if e.Owner != nil {
		s.owner = e.Owner.Value
		if e.Owner.Erased() {
			s.owner = "(erased)"
		}
	}
	return s
}

type coinsPut struct {
	Coins int    `json:"coins"`
	Pad   string `json:"pad,omitempty"`
	On    string `json:"on,omitempty"`
}

func (coinsPut) EventType() string { return "jar-coins-put" }

func (e coinsPut) EffectiveAt() string { return e.On }

func (e coinsPut) evolve(s jar, r domain.Recording) jar {
	if s.puts == nil {
		s.puts = map[uuid.UUID]int{}
	}
	s.puts[r.ID] = e.Coins
	s.coins += e.Coins
	return s
}

type jarLabelled struct {
	Label string `json:"label"`
}

func (jarLabelled) EventType() string { return "jar-labelled" }

func (e jarLabelled) evolve(s jar, _ domain.Recording) jar {
	s.label = e.Label
	return s
}

type open struct {
	Label   string
	Owner   string
	Subject uuid.UUID
	Coins   []int
}

func (c open) decide(s jar) ([]jarEvent, error) {
	if s.label != "" {
		return nil, domain.Refuse("already-open", "", "the jar is open")
	}
	opened := jarOpened{Label: c.Label}
	if c.Owner != "" {
		opened.Owner = domain.Identity[string]{}.Of(c.Subject, c.Owner)
	}
	events := []jarEvent{opened}
	for _, coins := range c.Coins {
		events = append(events, coinsPut{Coins: coins})
	}
	return events, nil
}

// put adds coins up to Max; with Next it requires the coin before it.
type put struct {
	Coins int
	Max   int
	Pad   string
	On    string
}

func (c put) decide(s jar) ([]jarEvent, error) {
	if c.Max > 0 && s.coins+c.Coins > c.Max {
		return nil, domain.Refuse("full", "/coins", "the jar holds %d", c.Max)
	}
	if c.Coins == 0 {
		return nil, nil
	}
	return []jarEvent{coinsPut{Coins: c.Coins, Pad: c.Pad, On: c.On}}, nil
}

type relabel struct{ Label string }

func (c relabel) decide(s jar) ([]jarEvent, error) {
	if s.label == c.Label {
		return nil, nil
	}
	return []jarEvent{jarLabelled(c)}, nil
}

type smash struct{}

func (smash) decide(jar) ([]jarEvent, error) { panic("smashed") }

// spoil makes an event that cannot be folded, behind one that can.
type spoil struct{}

func (spoil) decide(jar) ([]jarEvent, error) { return []jarEvent{coinsPut{Coins: 1}, spoiled{}}, nil }

type spoiled struct{}

func (spoiled) EventType() string { return "jar-spoiled" }

func (spoiled) evolve(jar, domain.Recording) jar { panic("spoiled") }

package employee

import (
	"slices"

	"github.com/google/uuid"

	"daybook.example/domain"
)

// A belief is a statement as it stands after all corrections.
type belief struct {
	domain.Recording             // of the head
	root             uuid.UUID   // the event that first made the statement
	order            int         // of the head
	recorded         Event       // the head itself
	event            statement   // what the head says
	day              domain.Date // from which, or for an end to which, it holds
	after            int         // 1 for an end: it comes after all else of its day
}

func (b belief) origin() origin {
	if _, ok := b.recorded.(FactCorrected); ok {
		return origin{b.ID, "/replacement/data"}
	}
	return origin{b.ID, ""}
}

// ofSpell reports whether the statement stands and falls with its spell.
func (b belief) ofSpell() bool {
	of := b.after == 1
	b.event.states(b.origin(), func(attribute Attribute, _ any) { of = of || attribute.OfSpell() })
	return of
}

// chains tell how corrections and rescissions hang together. Without any, its
// maps are nil: most records have none.
type chains struct {
	assertions []Assertion
	at         map[uuid.UUID]int
	rescinded  map[uuid.UUID]bool
	corrected  map[uuid.UUID][]int // the corrections of an event, in order
}

func chainsOf(assertions []Assertion) chains {
	c := chains{assertions: assertions}
	spoken := func(a Assertion) bool { return CauseOf(a.Event) != Changed }
	if !slices.ContainsFunc(assertions, spoken) {
		return c
	}
	c.at, c.rescinded, c.corrected = map[uuid.UUID]int{}, map[uuid.UUID]bool{}, map[uuid.UUID][]int{}
	for i, a := range assertions {
		c.at[a.ID] = i
		switch e := a.Event.(type) {
		case FactCorrected:
			if _, ok := e.Replacement.Event.(statement); ok { // bytes without a replacement decode, too
				c.corrected[e.CorrectsEventID] = append(c.corrected[e.CorrectsEventID], i)
			}
		case FactRescinded:
			c.rescinded[e.RescindsEventID] = true
		}
	}
	return c
}

// below is the event that a correction names: always an earlier one.
func (c chains) below(i int) (target int, isCorrection bool) {
	e, ok := c.assertions[i].Event.(FactCorrected)
	if !ok {
		return 0, false
	}
	target, known := c.at[e.CorrectsEventID]
	if !known || target >= i {
		return -1, true
	}
	return target, true
}

// live reports whether neither the event nor any link below it is rescinded.
func (c chains) live(i int) bool {
	for i >= 0 && !c.rescinded[c.assertions[i].ID] {
		target, isCorrection := c.below(i)
		if !isCorrection {
			return true
		}
		i = target
	}
	return false
}

// root is the event at the bottom of the chain of a live one.
func (c chains) root(i int) int {
	for {
		target, isCorrection := c.below(i)
		if !isCorrection {
			return i
		}
		i = target
	}
}

// head is the event that speaks for a live one: of its live corrections the
// last recorded, of that again, and so on.
func (c chains) head(i int) int {
	for _, by := range slices.Backward(c.corrected[c.assertions[i].ID]) {
		if by > i && !c.rescinded[c.assertions[by].ID] {
			return c.head(by)
		}
	}
	return i
}

// belief is what is believed of a live event.
func (c chains) belief(i int) belief {
	order := c.head(i)
	head := c.assertions[order]
	b := belief{Recording: head.Recording, root: c.assertions[c.root(i)].ID, order: order, recorded: head.Event}
	switch e := head.Event.(type) {
	case FactCorrected:
		b.event = e.Replacement.Event.(statement)
	case statement:
		b.event = e
	}
	b.day = b.event.day()
	if _, ok := b.event.(end); ok {
		b.after = 1
	}
	return b
}

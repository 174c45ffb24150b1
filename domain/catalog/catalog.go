// Package catalog lists every event of Daybook: one list for decoding, for the
// event catalogue that integrators and auditors read, and for the tests that keep
// names unique and personal values sealed.
//
// A stored name is the event's CamelCase name in kebab case, with the category in
// front unless the name begins with it. Exceptions, for ever:
//   - org units leave out a second "org-unit": orgunit-created;
//   - projection-event-waived and log-restored, in the stream operations, stand alone,
//     and so does log-named, in the stream log.
package catalog

import (
	"fmt"
	"iter"
	"reflect"

	"daybook.example/domain"
	"daybook.example/domain/access"
	"daybook.example/domain/book"
	"daybook.example/domain/claim"
	"daybook.example/domain/employee"
	"daybook.example/domain/journal"
	"daybook.example/domain/operation"
	"daybook.example/domain/organisation"
	"daybook.example/domain/orgunit"
	"daybook.example/domain/process"
)

// An Aggregate is one kind of stream and the events in it.
type Aggregate struct {
	Category string
	Streams  string // the form of the stream names
	About    string // one line

	names    []string
	types    []reflect.Type
	historic []domain.Shape
	decode   func(name string, version int, data []byte) (domain.Named, error)
}

// aggregates is the list; its order is that of the documentation.
var aggregates = []Aggregate{
	of(employee.Catalog, employee.Category, "employee-<id>", "the working life of one person"),
	of(organisation.Catalog, organisation.Category, organisation.Stream, "name, zone, legal entities and locations of the organisation"),
	of(orgunit.Catalog, orgunit.Category, "orgunit-<id>", "one org unit: its name and its place"),
	of(book.Catalog, book.Category, "book-<book>", "one book: its currency, scale and accounts"),
	of(journal.Catalog, journal.Category, "journal-<book>_<yyyymm>", "one period of a book: its entries"),
	of(process.Catalog, process.Category, "process-<name>-<id>, process-<name>", "one instance of a process: what it heard, asked for and awaits"),
	of(claim.Catalog, claim.Category, "claim-<set>-<hmac>", "who owns one value of which there is one in a set"),
	of(access.Catalog, access.Category, access.Stream, "the tokens that were issued"),
	of(operation.Catalog, operation.Category, operation.Stream+", "+operation.LogStream, "what operators did, and the name of the log"),
}

// byName is the place in aggregates of each stored name.
var byName = index()

func of[E domain.Named](c domain.Catalog[E], category, streams, about string) Aggregate {
	decode := func(name string, version int, data []byte) (domain.Named, error) {
		event, err := c.Decode(name, version, data)
		if err != nil {
			return nil, err // not a typed nil
		}
		return event, nil
	}
	return Aggregate{category, streams, about, c.Names(), c.Types(), c.Historic(), decode}
}

func index() map[string]int {
	places := map[string]int{}
	for i, aggregate := range aggregates {
		for _, name := range aggregate.names {
			if _, taken := places[name]; taken {
				panic(fmt.Sprintf("catalog: %s is the name of two events", name))
			}
			places[name] = i
		}
	}
	return places
}

// Lists reports whether name is the type of an event of ours.
func Lists(name string) bool {
	_, listed := byName[name]
	return listed
}

// Decode returns the event stored under a type and schema version. An unlisted
// one is domain.ErrUnknownType.
func Decode(name string, version int, data []byte) (domain.Named, error) {
	i, listed := byName[name]
	if !listed {
		return nil, fmt.Errorf("%w: %s", domain.ErrUnknownType, name)
	}
	return aggregates[i].decode(name, version, data)
}

// Aggregates lists every kind of stream.
func Aggregates() iter.Seq[Aggregate] {
	return func(yield func(Aggregate) bool) {
		for _, aggregate := range aggregates {
			if !yield(aggregate) {
				return
			}
		}
	}
}

// ByCategory finds the kind of stream whose names begin with a category.
func ByCategory(category string) (Aggregate, bool) {
	for _, aggregate := range aggregates {
		if aggregate.Category == category {
			return aggregate, true
		}
	}
	return Aggregate{}, false
}

// Types lists the events that are written today, in the order of the
// documentation.
func (a Aggregate) Types() iter.Seq[Type] {
	return func(yield func(Type) bool) {
		for i, name := range a.names {
			zero := reflect.Zero(a.types[i]).Interface().(domain.Named)
			if !yield(Type{name, domain.SchemaVersion(zero), a.types[i]}) {
				return
			}
		}
	}
}

// Historic lists the shapes of events that are no longer written but may stand in
// a log.
func (a Aggregate) Historic() []domain.Shape { return a.historic }

// Names lists the stored names of all events written today.
func Names() iter.Seq[string] {
	return func(yield func(string) bool) {
		for _, aggregate := range aggregates {
			for _, name := range aggregate.names {
				if !yield(name) {
					return
				}
			}
		}
	}
}

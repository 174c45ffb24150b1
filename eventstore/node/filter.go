package node

import (
	"regexp"
	"strings"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"

	"daybook.example/eventstore/log"
)

const regexMax = 4 << 10 // bytes; compiling takes memory in proportion

// A filter chooses events by the beginning of their stream's name or type, or
// by an expression that is found in it. Expressions are RE2, whose time is
// linear: none can stall the node.
type filter struct {
	byType   bool
	regex    *regexp.Regexp
	prefixes []string
}

func parseFilter(o *streams.ReadReq_Options_FilterOptions) (*filter, error) {
	if names := o.GetStreamIdentifier(); names != nil {
		return filterSpec{false, names.GetRegex(), names.GetPrefix()}.compile()
	}
	return filterSpec{true, o.GetEventType().GetRegex(), o.GetEventType().GetPrefix()}.compile()
}

// A filterSpec is a filter as it is asked for and kept.
type filterSpec struct {
	ByType   bool     `json:"byType"` // the event type, not the stream's name
	Regex    string   `json:"regex,omitempty"`
	Prefixes []string `json:"prefixes,omitempty"`
}

func (s filterSpec) compile() (*filter, error) {
	f := &filter{byType: s.ByType, prefixes: s.Prefixes}
	switch {
	case s.Regex == "" && len(s.Prefixes) == 0:
		return nil, invalid("a filter needs a prefix or a regular expression, on the stream's name or the event type")
	case s.Regex == "":
		return f, nil
	case len(s.Regex) > regexMax:
		return nil, invalid("a filter's regular expression has at most %d bytes", regexMax)
	}
	regex, err := regexp.Compile(s.Regex)
	if err != nil {
		return nil, invalid("a filter's regular expression must be RE2, which has no look-around and no back-references: %v", err)
	}
	f.regex = regex
	return f, nil
}

func (f *filter) match(r log.Record) bool {
	subject := r.Stream
	if f.byType {
		subject = r.Type
	}
	if f.regex != nil {
		return f.regex.MatchString(subject)
	}
	for _, prefix := range f.prefixes {
		if strings.HasPrefix(subject, prefix) {
			return true
		}
	}
	return false
}

// hidden tells which streams $all never shows: what a server notes down for
// itself while others read.
func hidden(stream string) bool {
	if !strings.HasPrefix(stream, "$") {
		return false
	}
	group, ok := strings.CutPrefix(stream, "$persistentsubscription-$all::")
	return stream == "$epoch-information" ||
		ok && (strings.HasSuffix(group, "-checkpoint") || strings.HasSuffix(group, "-parked"))
}

package main

import (
	"errors"
	"slices"
	"strings"

	"github.com/spf13/pflag"
)

type flag = pflag.Flag

// A hinted error tells whoever reads it what to do next.
type hinted struct {
	error
	hint string
}

func (h hinted) Unwrap() error { return h.error }

// hint adds the way out to an error that a person must act on.
func hint(err error, way string) error { return hinted{err, way} }

// oneLine prints an error with its hint, on one line.
func oneLine(err error) string {
	text := err.Error()
	var h hinted
	if errors.As(err, &h) {
		text += " — " + h.hint
	}
	return strings.Join(strings.Fields(text), " ")
}

func contains(list []string, value string) bool { return slices.Contains(list, value) }

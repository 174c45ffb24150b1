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
	return strings.Join(strings.Fields(err.Error()), " ") + wayOut(err)
}

// wayOut is the hint of an error, if it has one.
func wayOut(err error) string {
	var h hinted
	if !errors.As(err, &h) {
		return ""
	}
	return " — " + h.hint
}

func contains(list []string, value string) bool { return slices.Contains(list, value) }

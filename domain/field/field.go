// Package field holds the rules that the fields of all commands share, so that
// one mistake has one code wherever it is made. Fields are named by JSON pointers.
package field

import (
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/bojanz/currency"

	"daybook.example/domain"
)

// TextMax is the length of a line of text, in characters.
const TextMax = 200

// Required refuses a field that was not given.
func Required[T comparable](pointer string, value T) error {
	var none T
	if value == none {
		return domain.Refuse("required", pointer, "%s must be given", name(pointer))
	}
	return nil
}

// Text refuses what could not be stored or read everywhere; none is no text.
func Text(pointer, value string) error {
	if !utf8.ValidString(value) || utf8.RuneCountInString(value) > TextMax ||
		strings.ContainsFunc(value, unicode.IsControl) || strings.TrimSpace(value) != value {
		return domain.Refuse("text-invalid", pointer, "%s must have at most %d characters, no control characters and no blanks around it", name(pointer), TextMax)
	}
	return nil
}

// Line is a text that must be given.
func Line(pointer, value string) error {
	if err := Required(pointer, value); err != nil {
		return err
	}
	return Text(pointer, value)
}

var codeForm = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,63}$`)

// Code refuses what is no code; none is no code. Codes stand in clear for ever,
// so a field that says why is one, not a text that could name somebody.
func Code(pointer, value string) error {
	if value != "" && !codeForm.MatchString(value) {
		return domain.Refuse("code-invalid", pointer, "%s is a code of at most 64 lower-case letters, digits, - and _", name(pointer))
	}
	return nil
}

// OneOf refuses a value that is given but not listed.
func OneOf[T ~string](pointer string, value T, listed ...T) error {
	if value == "" || slices.Contains(listed, value) {
		return nil
	}
	words := make([]string, len(listed))
	for i, word := range listed {
		words[i] = string(word)
	}
	return domain.Refuse("value-unknown", pointer, "%s is one of %s", name(pointer), strings.Join(words, ", "))
}

// Country refuses what is no ISO 3166 code of two letters; none is no country.
func Country(pointer, value string) error {
	if _, known := currency.ForCountryCode(value); value != "" && !known {
		return domain.Refuse("country-unknown", pointer, "%s is an ISO 3166 code of two capital letters", name(pointer))
	}
	return nil
}

// Currency refuses what is no ISO 4217 code; none is no currency.
func Currency(pointer string, value domain.Currency) error {
	if value != "" && !value.Valid() {
		return domain.Refuse("currency-unknown", pointer, "%s is an ISO 4217 code of three capital letters", name(pointer))
	}
	return nil
}

// name is the last part of a JSON pointer.
func name(pointer string) string { return pointer[strings.LastIndexByte(pointer, '/')+1:] }

package domain

import (
	"strconv"
	"strings"

	"github.com/google/uuid"
)

// namespace makes every derived ID ours. It never changes.
var namespace = uuid.MustParse("5c0f9a54-6d3e-5b5a-9a51-0d6b0a3c9e11")

// Derive is UUIDv5 over parts joined by NUL, in Daybook's namespace. UUIDs
// among the parts are in lower-case text form. Pinned by testdata/identity.golden.
func Derive(parts ...string) uuid.UUID {
	return uuid.NewSHA1(namespace, []byte(strings.Join(parts, "\x00")))
}

// CommandID is the ID of the command that a principal sends under an
// idempotency key to one route.
func CommandID(principal, method, escapedPath, key string) uuid.UUID {
	return Derive(principal, method, escapedPath, key)
}

// EntityID is the ID of what a command creates.
func EntityID(command uuid.UUID) uuid.UUID { return Derive(command.String(), "entity") }

// SubjectID is the ID of the person whom a command makes known.
func SubjectID(command uuid.UUID) uuid.UUID { return Derive(command.String(), "subject") }

// EventID is the ID of the index-th event that a command appends to a stream:
// unique in the whole log, and another one when the request was another.
func EventID(command uuid.UUID, requestMAC, stream string, index int) uuid.UUID {
	return Derive(command.String(), requestMAC, stream, strconv.Itoa(index))
}

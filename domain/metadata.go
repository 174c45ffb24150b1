package domain

import (
	"time"

	"github.com/google/uuid"
)

// Metadata stands beside every event, in clear, for ever. So it holds no free
// text, no network address and no name. Its stored shape, written by Marshal, is
// pinned by a golden file: members may be added, and readers pass over those that
// they do not know.
type Metadata struct {
	CommandID       uuid.UUID   `json:"command_id"`
	RequestMAC      string      `json:"request_mac,omitempty"` // hex
	CorrelationID   uuid.UUID   `json:"$correlationId"`
	CausationID     uuid.UUID   `json:"$causationId"`
	Actor           Actor       `json:"actor"`
	OnBehalfOf      string      `json:"on_behalf_of,omitempty"`
	RecordedAt      time.Time   `json:"recorded_at"` // UTC, microseconds
	EffectiveAt     string      `json:"effective_at,omitempty"`
	ReasonCode      string      `json:"reason_code,omitempty"`
	SchemaVersion   int         `json:"schema_version"`
	SoftwareVersion string      `json:"software_version"`
	PolicyVersion   string      `json:"policy_version"`
	SubjectIDs      []uuid.UUID `json:"subject_ids,omitempty"`
	ApprovalID      *uuid.UUID  `json:"approval_id,omitempty"`
	Source          *Source     `json:"source,omitempty"`
}

// An Actor is who acted: an opaque principal ID and its kind.
type Actor struct {
	ID   string    `json:"id"`
	Kind ActorKind `json:"kind"`
}

// ActorKind tells people from machines.
type ActorKind string

// The kinds of actor.
const (
	User    ActorKind = "user"
	Service ActorKind = "service"
	Process ActorKind = "process"
)

// A Source says where an imported fact came from. RecordedAt is the time the
// source gave, in UTC and microseconds; it never replaces the recorded time.
type Source struct {
	System     string            `json:"system"` // a code
	Ref        string            `json:"ref"`    // file and row
	RecordedAt *time.Time        `json:"recorded_at,omitempty"`
	Keys       map[string]string `json:"keys,omitempty"` // other identifiers of the source row
}

package commands

import (
	"fmt"
	"time"

	"github.com/google/uuid"

	"daybook.example/domain"
	"daybook.example/eventstore"
)

// metadata is what all events of one decision have in common.
func (c *Core) metadata(r Request, at time.Time) domain.Metadata {
	return domain.Metadata{
		CommandID:       r.CommandID,
		RequestMAC:      r.RequestMAC,
		CorrelationID:   r.CorrelationID,
		CausationID:     r.CausationID,
		Actor:           domain.Actor{ID: r.Principal, Kind: r.Kind},
		OnBehalfOf:      r.OnBehalfOf,
		RecordedAt:      at,
		ReasonCode:      r.ReasonCode,
		SoftwareVersion: c.SoftwareVersion,
		PolicyVersion:   c.PolicyVersion,
		ApprovalID:      r.ApprovalID,
		Source:          r.Source,
	}
}

// describe completes the metadata for one event and encodes it.
func describe(m domain.Metadata, event domain.Named) ([]byte, error) {
	if effective, ok := event.(domain.Effective); ok {
		m.EffectiveAt = effective.EffectiveAt()
	}
	m.SchemaVersion = domain.SchemaVersion(event)
	m.SubjectIDs = domain.Subjects(event)
	encoded, err := domain.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("encode the metadata of %s: %w", event.EventType(), err)
	}
	return encoded, nil
}

// provenance is the part of the metadata that a handler needs to fold an event.
type provenance struct {
	CommandID     uuid.UUID `json:"command_id"`
	RequestMAC    string    `json:"request_mac"`
	RecordedAt    time.Time `json:"recorded_at"`
	SchemaVersion int       `json:"schema_version"`
}

func provenanceOf(event eventstore.Recorded) (provenance, error) {
	var p provenance
	if err := domain.Unmarshal(event.Metadata, &p); err != nil {
		return p, fmt.Errorf("read the metadata of %s at revision %d of %s: %w", event.Type, event.Revision, event.Stream, err)
	}
	return p, nil
}

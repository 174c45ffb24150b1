package projections

import (
	"fmt"

	"daybook.example/domain"
	"daybook.example/domain/catalog"
	"daybook.example/eventstore"
)

// decode looks an event up in the catalog of all aggregates. Its metadata is
// there even if its data cannot be decoded.
func decode(event eventstore.Recorded) (d decoded, err error) {
	if err := domain.Unmarshal(event.Metadata, &d.Meta); err != nil {
		return decoded{}, fmt.Errorf("decode the metadata of %s: %w", event.Type, err)
	}
	d.Decoded, err = catalog.Decode(event.Type, d.Meta.SchemaVersion, event.Data)
	return d, err
}

// decodeAny is decode as a subscription asks for it.
func decodeAny(event eventstore.Recorded) (any, error) { return decode(event) }

// Decode makes an event of what the store keeps.
func Decode(event eventstore.Recorded) Event {
	d, err := decode(event)
	return Event{Recorded: event, Meta: d.Meta, Decoded: d.Decoded, Err: err}
}

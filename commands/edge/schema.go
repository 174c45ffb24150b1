package edge

import (
	"cmp"
	"path"
	"reflect"
	"strings"
	"unicode"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"

	"daybook.example/domain"
	"daybook.example/eventstore"
)

// The types below stand in the OpenAPI document for types that have a codec of
// their own, so that neither the domain nor the event store knows huma.
type (
	dateSchema     struct{}
	periodSchema   struct{}
	decimalSchema  struct{}
	currencySchema struct{}
	positionSchema struct{}
	uuidSchema     struct{}
)

// Schema describes a domain.Date.
func (dateSchema) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeString, Format: "date", Description: "A business day, ISO 8601.", Examples: []any{"2025-03-31"}}
}

// Schema describes a domain.Period.
func (periodSchema) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeString, Pattern: `^[0-9]{4}-(0[1-9]|1[0-2])$`, Description: "An accounting month.", Examples: []any{"2025-03"}}
}

// Schema describes a domain.Decimal.
func (decimalSchema) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeString, Pattern: `^-?(0|[1-9][0-9]{0,23})(\.[0-9]{1,12})?$`, Description: "An exact decimal number, as a string; its scale is kept.", Examples: []any{"1234.50"}}
}

// Schema describes a domain.Currency.
func (currencySchema) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeString, Pattern: `^[A-Z]{3}$`, Description: "An ISO 4217 code.", Examples: []any{"EUR"}}
}

// Schema describes an eventstore.Position.
func (positionSchema) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeString, Pattern: `^[0-9]{1,19}/[0-9]{1,19}$`, Description: "A place in the log. It means something on one log only: send Daybook-Log with it.", Examples: []any{"4711/4711"}}
}

// Schema describes a uuid.UUID.
func (uuidSchema) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeString, Format: "uuid"}
}

// newRegistry makes the schemas of one document.
func newRegistry() huma.Registry {
	registry := huma.NewMapRegistry("#/components/schemas/", schemaName)
	for of, by := range map[reflect.Type]reflect.Type{
		reflect.TypeFor[domain.Date]():         reflect.TypeFor[dateSchema](),
		reflect.TypeFor[domain.Period]():       reflect.TypeFor[periodSchema](),
		reflect.TypeFor[domain.Decimal]():      reflect.TypeFor[decimalSchema](),
		reflect.TypeFor[domain.Currency]():     reflect.TypeFor[currencySchema](),
		reflect.TypeFor[eventstore.Position](): reflect.TypeFor[positionSchema](),
		reflect.TypeFor[uuid.UUID]():           reflect.TypeFor[uuidSchema](),
	} {
		registry.RegisterTypeAlias(of, by)
	}
	return registry
}

// schemaName puts the aggregate in front of its types: employee.Hire is
// EmployeeHire, so that two aggregates may both have an Open.
func schemaName(t reflect.Type, hint string) string {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	name := cmp.Or(huma.DefaultSchemaNamer(t, hint), "Empty")
	folder, aggregate := path.Split(t.PkgPath())
	if !strings.HasSuffix(folder, "/domain/") {
		return name
	}
	return string(unicode.ToUpper(rune(aggregate[0]))) + aggregate[1:] + name
}

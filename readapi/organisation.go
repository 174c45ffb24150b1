package readapi

import (
	"context"
	"net/http"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"daybook.example/commands/edge"
	"daybook.example/domain"
)

func (s *server) organisationRoutes() {
	edge.Register(s.api, edge.Operation{
		Method: http.MethodGet, Path: "/v1/organisation", Tag: "organisation", Action: edge.ReadOrganisation,
		Summary: "Read what the organisation is called, its zone, legal entities and locations",
	}, s.organisation)
	edge.Register(s.api, edge.Operation{
		Method: http.MethodGet, Path: "/v1/org-units", Tag: "org-units", Action: edge.ReadOrganisation,
		Summary: "List the org units as of a day",
	}, s.orgUnits)
	edge.Register(s.api, edge.Operation{
		Method: http.MethodGet, Path: "/v1/org-units/{id}", Tag: "org-units", Action: edge.ReadOrganisation,
		Summary:     "Read an org unit as of a day",
		Description: "On days before its creation and after its close it has no name.",
	}, s.orgUnit)
}

// An Organisation is what is known of the whole.
type Organisation struct {
	AsOf
	Revision      *int64  `json:"revision,omitempty" doc:"Of the organisation's stream; only of what is known now."`
	Name          string  `json:"name,omitempty"`
	Country       string  `json:"country,omitempty"`
	LegalEntities []Named `json:"legal_entities"`
	Locations     []Named `json:"locations"`
}

// A Named thing has an ID and a name.
type Named struct {
	ID   uuid.UUID `json:"id"`
	Name string    `json:"name"`
}

func (s *server) organisation(ctx context.Context, in *AsOfParams) (*answer[Organisation], error) {
	out, err := asOf(ctx, s, employeeFact, *in, func(ctx context.Context, tx *reading, at AsOf) (Organisation, error) {
		known := Organisation{AsOf: at, LegalEntities: []Named{}, Locations: []Named{}}
		if at.Current {
			if err := tx.QueryRow(ctx, `select max(revision) from api.organisation_event where starts_with(event_type, 'organisation-')`).Scan(&known.Revision); err != nil {
				return known, err
			}
		}
		var attribute, value string
		var id uuid.UUID
		rows, err := tx.Query(ctx, `select attribute, organisation_id, value #>> '{}' from api.organisation_fact
			where attribute in ('organisation.name', 'organisation.country', 'legal_entity.name', 'location.name')
			  and valid @> $1::date and recorded @> $2::bigint order by value #>> '{}' collate "und-x-icu", organisation_id`, at.ValidAt.String(), at.Known)
		if err != nil {
			return known, err
		}
		_, err = pgx.ForEachRow(rows, []any{&attribute, &id, &value}, func() error {
			switch attribute {
			case "organisation.name":
				known.Name = value
			case "organisation.country":
				known.Country = value
			case "legal_entity.name":
				known.LegalEntities = append(known.LegalEntities, Named{id, value})
			case "location.name":
				known.Locations = append(known.Locations, Named{id, value})
			}
			return nil
		})
		return known, err
	})
	if err != nil || out.Body.Revision == nil {
		return out, err
	}
	return out.tagged(out.Body.AsOf, *out.Body.Revision), nil
}

// OrgUnits is what a list of org units is asked by.
type OrgUnits struct {
	AsOfParams
	PageParams
}

// An OrgUnit is a part of the organisation as of a day.
type OrgUnit struct {
	ID     uuid.UUID  `json:"id"`
	Name   string     `json:"name"`
	Parent *uuid.UUID `json:"parent,omitempty" doc:"Absent at the top."`
}

func (s *server) orgUnits(ctx context.Context, in *OrgUnits) (*answer[Page[OrgUnit]], error) {
	after, err := in.cursor("org-units")
	if err != nil {
		return nil, err
	}
	return asOf(ctx, s, employeeFact, in.AsOfParams, func(ctx context.Context, tx *reading, at AsOf) (Page[OrgUnit], error) {
		rows, err := tx.Query(ctx, `select org_unit_id, name, parent_id from api.org_units_at($1::date, $2::bigint)
			where $4::uuid is null or (name collate "und-x-icu", org_unit_id) > ($3, $4)
			order by name collate "und-x-icu", org_unit_id limit $5`, at.ValidAt.String(), at.Known, after.Key, given(after.ID), in.Limit+1)
		if err != nil {
			return Page[OrgUnit]{}, err
		}
		units, err := pgx.CollectRows(rows, pgx.RowToStructByPos[OrgUnit])
		return pageOf(at, in.PageParams, "org-units", units, func(u OrgUnit) cursor { return cursor{u.Name, u.ID} }), err
	})
}

// OneOrgUnit is what one org unit is asked by.
type OneOrgUnit struct {
	ID uuid.UUID `path:"id"`
	AsOfParams
}

// An OrgUnitRecord is one org unit as of a day.
type OrgUnitRecord struct {
	AsOf
	ID       uuid.UUID  `json:"id"`
	Revision *int64     `json:"revision,omitempty" doc:"Of the stream; only of what is known now."`
	Name     string     `json:"name,omitempty"`
	Parent   *uuid.UUID `json:"parent,omitempty" doc:"Absent at the top."`
}

func (s *server) orgUnit(ctx context.Context, in *OneOrgUnit) (*answer[OrgUnitRecord], error) {
	var revision *int64
	out, err := asOf(ctx, s, employeeFact, in.AsOfParams, func(ctx context.Context, tx *reading, at AsOf) (OrgUnitRecord, error) {
		unit := OrgUnitRecord{AsOf: at, ID: in.ID}
		err := tx.QueryRow(ctx, `select r.revision, coalesce(u.name, ''), u.parent_id
			from (select max(revision) as revision from api.organisation_event
			  where organisation_id = $1 and starts_with(event_type, 'orgunit-') and position <= $3::bigint) r
			left join api.org_units_at($2::date, $3::bigint) u on u.org_unit_id = $1`,
			in.ID, at.ValidAt.String(), at.Known).Scan(&revision, &unit.Name, &unit.Parent)
		if err == nil && revision == nil {
			err = &domain.Error{Kind: domain.NotFound, Code: "org-unit-unknown", Message: "no such org unit was known at that time"}
		}
		if at.Current {
			unit.Revision = revision
		}
		return unit, err
	})
	if err != nil {
		return nil, err
	}
	return out.tagged(out.Body.AsOf, *revision), nil
}

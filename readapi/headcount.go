package readapi

import (
	"context"
	"net/http"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"daybook.example/commands/edge"
)

func (s *server) headcountRoutes() {
	edge.Register(s.api, edge.Operation{
		Method: http.MethodGet, Path: "/v1/reports/headcount", Tag: "reports", Action: edge.ReadHeadcount,
		Summary:     "Count heads by department as of a day",
		Description: "Everyone whose employment is active on the day, under the name that the department has on it.",
	}, s.headcount)
}

// A Headcount is the number of people employed on a day.
type Headcount struct {
	AsOf
	Total        int64             `json:"total"`
	ByDepartment []DepartmentHeads `json:"by_department"`
}

// DepartmentHeads are the people of one org unit.
type DepartmentHeads struct {
	OrgUnitID  *uuid.UUID `json:"org_unit_id,omitempty"`
	Department string     `json:"department" doc:"Empty where the org unit has no name on the day."`
	Total      int64      `json:"total"`
}

func (s *server) headcount(ctx context.Context, in *AsOfParams) (*answer[Headcount], error) {
	return asOf(ctx, s, employeeFact, *in, func(ctx context.Context, tx *reading, at AsOf) (Headcount, error) {
		rows, err := tx.Query(ctx, `select org_unit_id, coalesce(department, ''), total from api.headcount($1::date, $2)
			order by coalesce(department, '') collate "und-x-icu", org_unit_id`, at.ValidAt.String(), at.Known)
		if err != nil {
			return Headcount{}, err
		}
		heads, err := pgx.CollectRows(rows, pgx.RowToStructByPos[DepartmentHeads])
		report := Headcount{AsOf: at, ByDepartment: heads}
		for _, department := range heads {
			report.Total += department.Total
		}
		return report, err
	})
}

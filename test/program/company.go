package program

import (
	"context"
	"fmt"

	"github.com/google/uuid"
)

// Company is what there must be before people are hired and entries posted.
type Company struct {
	LegalEntity, Location, OrgUnit string
}

// The book that Found opens, with one period.
const (
	Book    = "main"
	Period  = "2026-01"
	Entries = "/v1/books/" + Book + "/periods/" + Period + "/entries"
)

// JSON is an object in a request.
type JSON map[string]any

// Found names the organisation and opens its book.
func Found(ctx context.Context, c *Client, zone string) (company Company, err error) {
	for _, step := range []struct {
		path string
		body JSON
		id   *string
	}{
		{"/v1/organisation", JSON{"name": "Harbour Lane", "zone": zone, "country": "DE"}, nil},
		{"/v1/organisation/legal-entities", JSON{"name": "Harbour Lane GmbH"}, &company.LegalEntity},
		{"/v1/organisation/locations", JSON{"name": "Bremen"}, &company.Location},
		{"/v1/org-units", JSON{"name": "Engineering", "effective_from": "2020-01-01"}, &company.OrgUnit},
		{"/v1/books", JSON{"book": Book, "functional_currency": "EUR"}, nil},
		{"/v1/books/" + Book + "/accounts", JSON{"code": "1000", "name": "Cash", "class": "asset"}, nil},
		{"/v1/books/" + Book + "/accounts", JSON{"code": "4000", "name": "Revenue", "class": "income"}, nil},
		{"/v1/books/" + Book + "/periods", JSON{"period": Period}, nil},
	} {
		answer, err := c.Post(ctx, step.path, step.body)
		if err == nil {
			err = answer.Into(&struct{}{})
		}
		if err != nil {
			return company, fmt.Errorf("found the company at %s: %w", step.path, err)
		}
		if step.id != nil {
			*step.id = answer.ID()
		}
	}
	return company, nil
}

// Hire is somebody's hire; more is laid over it.
func (c Company) Hire(number, hireDate string, more JSON) JSON {
	hire := JSON{
		"employee_no": number, "hire_date": hireDate, "employment_type": "permanent", "legal_entity_id": c.LegalEntity,
		"legal_name": JSON{"given": "Ada", "family": "Stone"}, "birth_date": "1980-05-17", "nationality": "DE",
		"work_email":   "ada@harbour-lane.example",
		"position":     c.Position("Engineer", ""),
		"compensation": Pay("5000.00", ""),
	}
	for field, value := range more {
		hire[field] = value
	}
	return hire
}

// Position is a position in the only org unit; without a day, the first one.
func (c Company) Position(title, from string) JSON {
	position := JSON{
		"position_id": uuid.NewSHA1(uuid.Nil, []byte(title)), "org_unit_id": c.OrgUnit, "job_title": title,
		"location_id": c.Location, "cost_center": "CC10",
	}
	return since(position, from)
}

// Pay is a monthly pay in euros; without a day, the first one.
func Pay(amount, from string) JSON {
	pay := JSON{"pay_basis": "monthly", "pay_frequency": "monthly", "amount": JSON{"amount": amount, "currency": "EUR"}}
	if from != "" {
		pay["change_reason"] = "review"
	}
	return since(pay, from)
}

func since(body JSON, from string) JSON {
	if from != "" {
		body["effective_from"] = from
	}
	return body
}

// Sale is a balanced entry of the period.
func Sale(document, amount string) JSON {
	line := func(account, side string) JSON {
		return JSON{"account": account, "side": side, "amount": JSON{"amount": amount, "currency": "EUR"}}
	}
	return JSON{
		"posting_date": "2026-01-15", "document_no": document, "description": "Sale",
		"lines": []JSON{line("1000", "D"), line("4000", "C")},
	}
}

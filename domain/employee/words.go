package employee

import (
	"strings"

	"daybook.example/domain"
)

// EmploymentType is the legal kind of an employment.
type EmploymentType string

// The employment types.
const (
	Permanent  EmploymentType = "permanent"
	FixedTerm  EmploymentType = "fixed_term"
	Apprentice EmploymentType = "apprentice"
	Contractor EmploymentType = "contractor"
)

// AssignmentKind tells the one primary position from secondary ones.
type AssignmentKind string

// The assignment kinds.
const (
	Primary   AssignmentKind = "primary"
	Secondary AssignmentKind = "secondary"
)

// PositionReason is why somebody came into a position.
type PositionReason string

// The reasons.
const (
	ForPromotion      PositionReason = "promotion"
	ForTransfer       PositionReason = "transfer"
	ForDemotion       PositionReason = "demotion"
	ForReorganisation PositionReason = "reorganisation"
	ForHire           PositionReason = "hire"
)

// PayBasis is the time that the amount of pay is for.
type PayBasis string

// The pay bases.
const (
	Annual  PayBasis = "annual"
	Monthly PayBasis = "monthly"
	Hourly  PayBasis = "hourly"
)

// PayFrequency is how often pay is paid.
type PayFrequency string

// The pay frequencies.
const (
	PaidMonthly     PayFrequency = "monthly"
	PaidFortnightly PayFrequency = "fortnightly"
	PaidWeekly      PayFrequency = "weekly"
)

// Ground is why an employment was terminated.
type Ground string

// The grounds.
const (
	Resignation   Ground = "resignation"
	Dismissal     Ground = "dismissal"
	Redundancy    Ground = "redundancy"
	EndOfContract Ground = "end_of_contract"
	Mutual        Ground = "mutual"
	OtherGround   Ground = "other"
)

// PersonName is a legal name.
type PersonName struct {
	Given  string `json:"given"`
	Middle string `json:"middle,omitempty"`
	Family string `json:"family"`
}

// NationalID is a number given by a state under one of its schemes.
type NationalID struct {
	Scheme string `json:"scheme"`
	Value  string `json:"value"`
}

// Address is a postal address; Country is an ISO 3166 code of two letters.
type Address struct {
	Line1      string `json:"line1"`
	Line2      string `json:"line2,omitempty"`
	PostalCode string `json:"postal_code,omitempty"`
	City       string `json:"city"`
	Region     string `json:"region,omitempty"`
	Country    string `json:"country"`
}

// Component is a part of pay beside the amount: money or a percentage of it.
type Component struct {
	Code      string         `json:"code"`
	Amount    domain.Money   `json:"amount,omitzero"`
	Percent   domain.Decimal `json:"percent,omitzero"`
	Recurring bool           `json:"recurring"`
}

// employeeNumber is the form in which employee numbers are compared.
func employeeNumber(text string) string { return strings.ToUpper(text) }

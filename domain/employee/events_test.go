package employee_test

import (
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"daybook.example/domain"
	"daybook.example/domain/domaintest"
	. "daybook.example/domain/employee"
)

func golden(t testing.TB, name string, got []byte) {
	t.Helper()
	domaintest.Golden(t, name, got)
}

func splitPointer(path string) []string { return strings.Split(path[1:], "/") }

// everyShape is a legal record that has each event at least once, and each
// optional field once given and once absent.
func everyShape() []Event {
	full := hired("2024-01-01")
	full.Person = Person{
		LegalName:     domain.Identity[PersonName]{}.Of(subject, PersonName{Given: "Sally", Middle: "<&>", Family: "Müller"}),
		PreferredName: domain.Identity[string]{}.Of(subject, "Sal"),
		BirthDate:     domain.Identity[domain.Date]{}.Of(subject, day("1990-05-17")),
		NationalID:    domain.Identity[NationalID]{}.Of(subject, NationalID{Scheme: "de-tax", Value: "12 345"}),
		Nationality:   domain.Identity[string]{}.Of(subject, "DE"),
		WorkEmail:     domain.Contact[string]{}.Of(subject, "sally@example.com"),
		PrivateEmail:  domain.Contact[string]{}.Of(subject, "s@example.net"),
		Phone:         domain.Contact[string]{}.Of(subject, "+49 30 1"),
		HomeAddress: domain.Contact[Address]{}.Of(subject, Address{
			Line1: "Street 1", Line2: "c/o B", PostalCode: "10115", City: "Berlin", Region: "BE", Country: "DE",
		}),
	}
	full.ContinuousServiceDate, full.EmploymentType = day("2020-01-01"), FixedTerm
	full.ContractEnd, full.ProbationEnd = day("2025-12-31"), day("2024-06-30")
	full.FTE, full.ApplicationID = domain.MustDecimal("0.8000"), boss
	graded := asClerk("2024-02-01", ForPromotion)
	graded.Grade = "B"
	deputy := asLead("2024-02-01")
	deputy.Kind = Secondary
	raise := paid("6000.00", "2024-02-01")
	raise.Components = domain.Payroll[[]Component]{}.Of(subject, []Component{
		{Code: "car", Amount: domain.NewMoney("200", "EUR"), Recurring: true},
		{Code: "bonus", Percent: domain.MustDecimal("12.5")},
	})
	dismissed := EmploymentTerminated{
		LastDay: day("2024-06-30"), Ground: OtherGround,
		GroundDetail: domain.Health[string]{}.Of(subject, "long illness"),
		Note:         domain.Note[string]{}.Of(subject, "left on good terms"),
	}
	again := rehiredOn("2024-09-01")
	again.Person = Person{Phone: domain.Contact[string]{}.Of(subject, "+49 30 2")}
	return []Event{
		full, asClerk("2024-01-01", ForHire),
		ManagerAssigned{boss, day("2024-01-01")},
		graded, deputy, raise,
		WorkingTimeChanged{WorkingTime{domain.MustDecimal("0.5"), domain.MustDecimal("19.5"), office}, day("2024-03-01")},
		PersonalDataChanged{Person{Phone: domain.Contact[string]{}.Of(subject, "+49 30 3")}, day("2024-03-01")},
		BankAccountChanged{
			IBAN: domain.Bank[string]{}.Of(subject, "DE89370400440532013000"), BIC: domain.Bank[string]{}.Of(subject, "COBADEFF"),
			Holder: domain.Bank[string]{}.Of(subject, "Sally Müller"), EffectiveFrom: day("2024-03-01"),
		},
		dismissed, again, asClerk("2024-09-01", ForHire), paid("1", "2024-09-01"),
		corrected(5, paid("6100", "2024-02-15")),
		rescinded(12),
		EmployeeRetired{day("2050-12-31"), "statutory"},
		ProbationExtended{day("2024-09-30"), "part-time", day("2024-05-01")},
		ProbationConfirmed{day("2024-06-15")},
	}
}

func TestEveryShapeIsALegalRecord(t *testing.T) {
	t.Parallel()
	given(t, everyShape()...).When(rehireOn("2051-01-01").With(ctx)).Then(
		EmployeeRehired{Terms: func() Terms { terms := hired("2051-01-01").Terms; return terms }()},
		asClerk("2051-01-01", ForTransfer),
	)
}

// TestStoredShapes pins the stored format for ever: lines may be added.
func TestStoredShapes(t *testing.T) {
	t.Parallel()
	var got []byte
	for _, event := range everyShape() {
		data, err := domain.Encode(event)
		require.NoError(t, err)
		effective := ""
		if e, ok := event.(domain.Effective); ok {
			effective = e.EffectiveAt()
		}
		got = fmt.Appendf(got, "%s %d [%s] %s\n", event.EventType(), domain.SchemaVersion(event), effective, data)
		back, err := Catalog.Decode(event.EventType(), domain.SchemaVersion(event), data)
		require.NoError(t, err)
		require.Equal(t, event, back, "decoding gives what was encoded")
	}
	golden(t, "stored.golden", got)
	for _, name := range Catalog.Names() {
		require.Contains(t, string(got), name+" ", "every event is pinned")
	}
}

func TestCatalogListsEveryEventThatEvolves(t *testing.T) {
	t.Parallel()
	paths, err := filepath.Glob("*.go")
	require.NoError(t, err)
	evolving := 0
	for _, path := range paths {
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		require.NoError(t, err)
		for _, d := range file.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv != nil && fn.Name.Name == "evolve" {
				evolving++
			}
		}
	}
	require.Len(t, Catalog.Types(), evolving)
}

func TestReplacementIsAStatement(t *testing.T) {
	t.Parallel()
	for name, data := range map[string]string{
		"a rescission":    `{"type":"employee-fact-rescinded","schema_version":1,"data":{}}`,
		"a correction":    `{"type":"employee-fact-corrected","schema_version":1,"data":{}}`,
		"unknown":         `{"type":"employee-promoted","schema_version":1,"data":{}}`,
		"another version": `{"type":"employee-retired","schema_version":2,"data":{}}`,
		"nothing":         `{}`,
		"no object":       `[]`,
	} {
		_, err := Catalog.Decode("employee-fact-corrected", 1, []byte(`{"replacement":`+data+`}`))
		require.Error(t, err, name)
	}
	_, err := domain.Encode(FactCorrected{})
	require.ErrorContains(t, err, "holds no event")
}

func TestSubjectsComeFromThePersonalFields(t *testing.T) {
	t.Parallel()
	for _, event := range everyShape() {
		switch event.(type) {
		case PositionAssigned, ManagerAssigned, WorkingTimeChanged, EmployeeRetired, ProbationConfirmed, ProbationExtended:
			require.Empty(t, domain.Subjects(event), event.EventType())
		default:
			require.Equal(t, []uuid.UUID{subject}, domain.Subjects(event), event.EventType())
		}
	}
}

// commands has one of each.
func commands() []Command {
	return []Command{
		Hire{}, Rehire{}, ChangePosition{}, ChangeManager{}, ChangeCompensation{}, ChangeWorkingTime{},
		ChangePersonalData{}, ChangeBankAccount{}, Terminate{}, Retire{},
		ConfirmProbation{}, ExtendProbation{}, Correct{}, Rescind{},
	}
}

// TestTheWireBringsNoContext sends every name that a Context could go by.
func TestTheWireBringsNoContext(t *testing.T) {
	t.Parallel()
	inner := `{"Self":"` + self.String() + `","Subject":"` + subject.String() + `","Today":"2024-01-01","Import":true,"AllowedCurrencies":["EUR"],` +
		`"self":"` + self.String() + `","subject":"` + subject.String() + `","today":"2024-01-01","import":true,"allowed_currencies":["EUR"]`
	wire := inner + `,"Context":` + inner + `},"context":` + inner + `},"-":` + inner + `}}`
	for _, c := range commands() {
		decoded := reflect.New(reflect.TypeOf(c))
		require.NoError(t, json.Unmarshal([]byte(wire), decoded.Interface()))
		require.Zero(t, decoded.Elem().FieldByName("Context").Interface(), "%T", c)
		data, err := json.Marshal(c.With(ctx))
		require.NoError(t, err)
		require.NotContains(t, string(data), subject.String(), "%T", c)
	}
}

// TestMembersAreSnakeCase also keeps every member optional by type, as a
// correction needs it.
func TestMembersAreSnakeCase(t *testing.T) {
	t.Parallel()
	for _, c := range commands() {
		for _, field := range reflect.VisibleFields(reflect.TypeOf(c)) {
			name, options, _ := strings.Cut(field.Tag.Get("json"), ",")
			if field.Anonymous || name == "-" {
				continue
			}
			require.Regexp(t, `^[a-z]+(_[a-z]+)*$`, name, "%T.%s", c, field.Name)
			require.Contains(t, []string{"omitempty", "omitzero"}, options, "%T.%s", c, field.Name)
		}
	}
}

func TestClaims(t *testing.T) {
	t.Parallel()
	number := func(no string) EmployeeHired {
		e := hired("2024-01-01")
		e.EmployeeNo = no
		return e
	}
	again := rehiredOn("2024-09-01")
	again.EmployeeNo = "E-2"
	take := func(no string) domain.Claim { return domain.Claim{Set: "employee_no", Value: no} }
	release := func(no string) domain.Claim { return domain.Claim{Set: "employee_no", Value: no, Release: true} }
	for name, c := range map[string]struct {
		given []Event
		event Event
		want  []domain.Claim
	}{
		"a hire":                           {nil, number("e-1"), []domain.Claim{take("E-1")}},
		"a change":                         {employed(), asLead("2024-03-01"), nil},
		"a correction of the number":       {employed(), corrected(0, number("E-2")), []domain.Claim{take("E-2"), release("E-1")}},
		"a correction of the case":         {employed(), corrected(0, number("e-1")), nil},
		"a correction of something else":   {employed(), corrected(1, asLead("2024-01-01")), nil},
		"its rescission":                   {employed(corrected(0, number("E-2"))), rescinded(2), []domain.Claim{take("E-1"), release("E-2")}},
		"a rescinded hire":                 {employed(), rescinded(0), []domain.Claim{release("E-1")}},
		"a rehire under the same number":   {employed(left("2024-06-30")), rehiredOn("2024-09-01"), nil},
		"a rehire under another":           {employed(left("2024-06-30")), again, []domain.Claim{take("E-2")}},
		"the rescission of such a rehire":  {employed(left("2024-06-30"), again), rescinded(3), []domain.Claim{release("E-2")}},
		"a hire after a rescinded hire":    {employed(rescinded(0)), number("E-1"), []domain.Claim{take("E-1")}},
		"a rescission of a corrected hire": {employed(corrected(0, number("E-2"))), rescinded(0), []domain.Claim{release("E-2")}},
	} {
		require.Equal(t, c.want, Decider.Claims(given(t, c.given...).State(), c.event), name)
	}
}

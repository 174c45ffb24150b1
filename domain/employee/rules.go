package employee

import (
	"cmp"
	"errors"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/bojanz/currency"
	"github.com/google/uuid"

	"daybook.example/domain"
)

// Rules are the stable codes of all refusals, with what each asks for.
var Rules = map[string]string{
	"already-hired":            "an employee is hired once; a later spell is a rehire",
	"not-hired":                "hire first",
	"spell-overlap":            "spells of employment do not overlap",
	"already-ended":            "a spell ends once",
	"last-day-before-hire":     "the last day is not before the hire",
	"effective-before-hire":    "nothing takes effect before the hire",
	"outside-spell":            "no assignment, pay or working time outside a spell",
	"primary-position-missing": "exactly one primary position on each day of a spell",
	"manager-self":             "nobody is their own manager",
	"rehire-depends":           "a hire is not rescinded while a rehire builds on it",
	"probation-missing":        "a spell that began without a probation has none to confirm or to extend",
	"probation-confirmed":      "a probation is confirmed once, and not extended after that",
	"probation-over":           "a probation is extended before it is over",
	"probation-not-later":      "an extended probation ends later than before",

	"required":                  "the field must be given",
	"name-missing":              "a hire names the person; only an import may leave the name out",
	"text-invalid":              "text has at most 200 characters (free text 4000), no control characters, and no blanks around it",
	"code-invalid":              "a code has lower-case letters, digits, - and _, at most 64",
	"value-unknown":             "the value is one of those listed",
	"email-invalid":             "an e-mail address has the form name@host",
	"country-unknown":           "a country is an ISO 3166 code of two letters",
	"iban-invalid":              "an IBAN has a valid check sum",
	"bic-invalid":               "a BIC has 8 or 11 letters and digits",
	"fte-range":                 "a full-time equivalent is above 0 and below 10, with at most 4 decimal places",
	"hours-range":               "weekly hours are from 0 to 168, with at most 4 decimal places",
	"amount-negative":           "amounts are not negative",
	"currency-unknown":          "a currency is an ISO 4217 code",
	"currency-not-allowed":      "pay is in a currency of the legal entity",
	"scale-exceeded":            "pay has at most 6 decimal places",
	"component-value":           "a component has either an amount or a percentage",
	"birth-after-hire":          "the birth date lies before the hire",
	"service-after-hire":        "continuous service begins with the hire or before",
	"contract-end-before-hire":  "the contract does not end before the hire",
	"probation-end-before-hire": "the probation does not end before the hire",

	"nothing-to-change":     "a change names at least one field",
	"fact-unknown":          "a correction names an event of this employee",
	"not-live":              "what is rescinded already can be neither corrected nor rescinded",
	"not-correctable":       "a rescission can be neither corrected nor rescinded",
	"superseded":            "a correction that a later one replaced is not corrected: correct the fact itself",
	"correction-one-member": "a correction states exactly one kind of fact",
	"correction-other-type": "a correction states the kind of fact that it corrects",
	"erased":                "a fact whose personal part is erased cannot be stated again",
}

const (
	textMax  = 200
	proseMax = 4000
	payScale = 6
	fteScale = 4
)

func refuse(code, field, format string, args ...any) error {
	if _, listed := Rules[code]; !listed {
		panic("employee: rule " + code + " is not listed")
	}
	return domain.Refuse(code, field, format, args...)
}

// errNoContext is the edge's mistake, not the caller's.
var errNoContext = errors.New("employee: the command came without its context")

// need refuses a field that was not given.
func need[T comparable](field string, value T) error {
	var none T
	if value == none {
		return refuse("required", field, "%s must be given", name(field))
	}
	return nil
}

// name is the last part of a JSON pointer.
func name(field string) string { return field[strings.LastIndexByte(field, '/')+1:] }

// text refuses what could not be stored or read everywhere; none is no text.
func text(field, value string) error {
	switch {
	case !utf8.ValidString(value), utf8.RuneCountInString(value) > textMax,
		strings.ContainsFunc(value, unicode.IsControl), strings.TrimSpace(value) != value:
		return refuse("text-invalid", field, "%s must have at most %d characters, no control characters and no blanks around it", name(field), textMax)
	}
	return nil
}

// prose is free text: longer than text, on several lines.
func prose(field, value string) error {
	odd := func(r rune) bool { return unicode.IsControl(r) && r != '\n' && r != '\t' }
	if !utf8.ValidString(value) || utf8.RuneCountInString(value) > proseMax || strings.ContainsFunc(value, odd) {
		return refuse("text-invalid", field, "%s must have at most %d characters and no control characters but line breaks", name(field), proseMax)
	}
	return nil
}

func texts(at string, values ...[2]string) error {
	for _, v := range values {
		if err := text(at+v[0], v[1]); err != nil {
			return err
		}
	}
	return nil
}

var codeForm = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,63}$`)

func code(field, value string) error {
	if value != "" && !codeForm.MatchString(value) {
		return refuse("code-invalid", field, "%s is a code of at most 64 lower-case letters, digits, - and _", name(field))
	}
	return nil
}

// oneOf refuses a value that is given but not listed.
func oneOf[T ~string](field string, value T, listed ...T) error {
	if value == "" || slices.Contains(listed, value) {
		return nil
	}
	words := make([]string, len(listed))
	for i, word := range listed {
		words[i] = string(word)
	}
	return refuse("value-unknown", field, "%s is one of %s", name(field), strings.Join(words, ", "))
}

// notBefore refuses a day before the hire date; no day is none.
func notBefore(rule, field string, day, hired domain.Date) error {
	if !day.IsZero() && day.Before(hired) {
		return refuse(rule, field, "%s lies before the hire date %s", name(field), hired)
	}
	return nil
}

// opened is the personal value, or none where it is absent, erased or sealed.
func opened[P domain.Purpose, T any](p *domain.Personal[P, T]) T {
	if p == nil || !p.Clear() {
		var none T
		return none
	}
	return p.Value
}

func (e EmployeeHired) check(at string, ctx Context) error {
	if e.LegalName == nil && !ctx.Import {
		return refuse("name-missing", at+"/legal_name", "a hire names the person")
	}
	return cmp.Or(
		need(at+"/birth_date", e.BirthDate),
		need(at+"/work_email", e.WorkEmail),
		e.Terms.check(at),
		e.Person.check(at),
		e.Person.bornBefore(at, e.HireDate),
	)
}

func (e EmployeeRehired) check(at string, _ Context) error {
	return cmp.Or(e.Terms.check(at), e.Person.check(at), e.Person.bornBefore(at, e.HireDate))
}

func (t Terms) check(at string) error {
	if err := cmp.Or(need(at+"/employee_no", t.EmployeeNo), need(at+"/legal_entity_id", t.LegalEntityID),
		need(at+"/hire_date", t.HireDate), need(at+"/employment_type", t.EmploymentType)); err != nil {
		return err
	}
	if t.ContinuousServiceDate.After(t.HireDate) {
		return refuse("service-after-hire", at+"/continuous_service_date", "continuous service begins on the hire date %s or before", t.HireDate)
	}
	return cmp.Or(
		text(at+"/employee_no", t.EmployeeNo),
		oneOf(at+"/employment_type", t.EmploymentType, Permanent, FixedTerm, Apprentice, Contractor),
		notBefore("contract-end-before-hire", at+"/contract_end", t.ContractEnd, t.HireDate),
		notBefore("probation-end-before-hire", at+"/probation_end", t.ProbationEnd, t.HireDate),
		fteRange(at+"/fte", t.FTE),
	)
}

func fteRange(field string, fte domain.Decimal) error {
	if fte.Sign() <= 0 || fte.Compare(domain.MustDecimal("10")) >= 0 || !fte.Fits(fteScale) {
		return refuse("fte-range", field, "fte is above 0 and below 10, with at most %d decimal places", fteScale)
	}
	return nil
}

func (p Person) bornBefore(at string, hired domain.Date) error {
	if born := opened(p.BirthDate); !born.IsZero() && !born.Before(hired) {
		return refuse("birth-after-hire", at+"/birth_date", "the birth date lies before the hire date")
	}
	return nil
}

func (p Person) check(at string) error {
	legal, id, home := opened(p.LegalName), opened(p.NationalID), opened(p.HomeAddress)
	err := texts(at,
		[2]string{"/legal_name/given", legal.Given},
		[2]string{"/legal_name/middle", legal.Middle},
		[2]string{"/legal_name/family", legal.Family},
		[2]string{"/preferred_name", opened(p.PreferredName)},
		[2]string{"/national_id/scheme", id.Scheme},
		[2]string{"/national_id/value", id.Value},
		[2]string{"/phone", opened(p.Phone)},
		[2]string{"/home_address/line1", home.Line1},
		[2]string{"/home_address/line2", home.Line2},
		[2]string{"/home_address/postal_code", home.PostalCode},
		[2]string{"/home_address/city", home.City},
		[2]string{"/home_address/region", home.Region},
	)
	return cmp.Or(
		err,
		whole(at+"/legal_name", legal, [2]string{"/given", legal.Given}, [2]string{"/family", legal.Family}),
		whole(at+"/national_id", id, [2]string{"/scheme", id.Scheme}, [2]string{"/value", id.Value}),
		whole(at+"/home_address", home, [2]string{"/line1", home.Line1}, [2]string{"/city", home.City}, [2]string{"/country", home.Country}),
		country(at+"/nationality", opened(p.Nationality)),
		country(at+"/home_address/country", home.Country),
		email(at+"/work_email", opened(p.WorkEmail)),
		email(at+"/private_email", opened(p.PrivateEmail)),
	)
}

// whole refuses a value of which some is given, but not what it needs.
func whole[T comparable](at string, value T, needed ...[2]string) error {
	var none T
	if value == none {
		return nil
	}
	for _, part := range needed {
		if err := need(at+part[0], part[1]); err != nil {
			return err
		}
	}
	return nil
}

func isCountry(value string) bool {
	_, known := currency.ForCountryCode(value)
	return known
}

func country(field, value string) error {
	if value != "" && !isCountry(value) {
		return refuse("country-unknown", field, "%s is an ISO 3166 code of two capital letters", name(field))
	}
	return nil
}

var emailForm = regexp.MustCompile(`^[^@\s\p{C}]+@[^@\s\p{C}]+$`)

func email(field, value string) error {
	if value != "" && (len(value) > 254 || !emailForm.MatchString(value)) {
		return refuse("email-invalid", field, "%s has the form name@host", name(field))
	}
	return nil
}

func (e PositionAssigned) check(at string, _ Context) error {
	return cmp.Or(
		need(at+"/position_id", e.PositionID),
		need(at+"/org_unit_id", e.OrgUnitID),
		need(at+"/job_title", e.JobTitle),
		need(at+"/location_id", e.LocationID),
		need(at+"/cost_center", e.CostCenter),
		need(at+"/effective_from", e.EffectiveFrom),
		need(at+"/change_reason", e.ChangeReason),
		texts(at, [2]string{"/job_title", e.JobTitle}, [2]string{"/grade", e.Grade}, [2]string{"/cost_center", e.CostCenter}),
		oneOf(at+"/assignment_kind", e.Kind, Primary, Secondary),
		oneOf(at+"/change_reason", e.ChangeReason, ForPromotion, ForTransfer, ForDemotion, ForReorganisation, ForHire),
	)
}

func (e ManagerAssigned) check(at string, ctx Context) error {
	if err := cmp.Or(need(at+"/manager_employee_id", e.ManagerEmployeeID), need(at+"/effective_from", e.EffectiveFrom)); err != nil {
		return err
	}
	switch ctx.Self {
	case uuid.Nil:
		return errNoContext
	case e.ManagerEmployeeID:
		return refuse("manager-self", at+"/manager_employee_id", "nobody is their own manager")
	}
	return nil
}

func (e CompensationChanged) check(at string, ctx Context) error {
	return cmp.Or(
		need(at+"/pay_basis", e.PayBasis),
		need(at+"/amount", e.Amount),
		need(at+"/pay_frequency", e.PayFrequency),
		need(at+"/effective_from", e.EffectiveFrom),
		need(at+"/change_reason", e.ChangeReason),
		oneOf(at+"/pay_basis", e.PayBasis, Annual, Monthly, Hourly),
		oneOf(at+"/pay_frequency", e.PayFrequency, PaidMonthly, PaidFortnightly, PaidWeekly),
		code(at+"/change_reason", e.ChangeReason),
		pay(at+"/amount", opened(e.Amount), ctx),
		components(at+"/components", opened(e.Components), ctx),
	)
}

// pay refuses an amount that is given but cannot be paid.
func pay(at string, m domain.Money, ctx Context) error {
	if m.IsZero() {
		return nil
	}
	if err := cmp.Or(need(at+"/amount", m.Amount), need(at+"/currency", m.Currency), m.Check(at, payScale)); err != nil {
		return err
	}
	if len(ctx.AllowedCurrencies) > 0 && !slices.Contains(ctx.AllowedCurrencies, m.Currency) {
		return refuse("currency-not-allowed", at+"/currency", "the legal entity does not pay in this currency")
	}
	if m.Amount.Sign() < 0 {
		return refuse("amount-negative", at+"/amount", "pay is not negative")
	}
	return nil
}

func components(at string, list []Component, ctx Context) error {
	for i, c := range list {
		here := at + "/" + strconv.Itoa(i)
		if err := cmp.Or(need(here+"/code", c.Code), code(here+"/code", c.Code), pay(here+"/amount", c.Amount, ctx)); err != nil {
			return err
		}
		if c.Amount.IsZero() == (c.Percent == domain.Decimal{}) {
			return refuse("component-value", here, "a component has either an amount or a percentage")
		}
		if c.Percent.Sign() < 0 {
			return refuse("amount-negative", here+"/percent", "a percentage is not negative")
		}
	}
	return nil
}

func (e WorkingTimeChanged) check(at string, _ Context) error {
	hours := e.WeeklyHours
	if hours.Sign() < 0 || hours.Compare(domain.MustDecimal("168")) > 0 || !hours.Fits(fteScale) {
		return refuse("hours-range", at+"/weekly_hours", "weekly hours are from 0 to 168")
	}
	return cmp.Or(need(at+"/fte", e.FTE), fteRange(at+"/fte", e.FTE), need(at+"/effective_from", e.EffectiveFrom))
}

func (e PersonalDataChanged) check(at string, _ Context) error {
	if e.Person == (Person{}) {
		return refuse("nothing-to-change", at, "name at least one field to change")
	}
	return cmp.Or(need(at+"/effective_from", e.EffectiveFrom), e.Person.check(at))
}

func (e BankAccountChanged) check(at string, _ Context) error {
	return cmp.Or(
		need(at+"/iban", e.IBAN),
		need(at+"/holder", e.Holder),
		need(at+"/effective_from", e.EffectiveFrom),
		iban(at+"/iban", opened(e.IBAN)),
		bic(at+"/bic", opened(e.BIC)),
		text(at+"/holder", opened(e.Holder)),
	)
}

var (
	ibanForm = regexp.MustCompile(`^[A-Z]{2}[0-9]{2}[A-Z0-9]{10,30}$`)
	bicForm  = regexp.MustCompile(`^[A-Z]{6}[A-Z0-9]{2}([A-Z0-9]{3})?$`)
)

// iban checks form and check sum (ISO 13616: the number modulo 97 is 1).
func iban(field, value string) error {
	if value == "" {
		return nil
	}
	rest := 0
	if ibanForm.MatchString(value) {
		for _, r := range value[4:] + value[:4] {
			if r >= 'A' {
				rest = (rest*100 + int(r-'A') + 10) % 97
			} else {
				rest = (rest*10 + int(r-'0')) % 97
			}
		}
	}
	if rest != 1 {
		return refuse("iban-invalid", field, "%s has no valid check sum", name(field))
	}
	return nil
}

func bic(field, value string) error {
	if value != "" && !bicForm.MatchString(value) {
		return refuse("bic-invalid", field, "%s has 8 or 11 capital letters and digits", name(field))
	}
	return nil
}

func (e EmploymentTerminated) check(at string, _ Context) error {
	return cmp.Or(
		need(at+"/last_day", e.LastDay),
		need(at+"/ground", e.Ground),
		oneOf(at+"/ground", e.Ground, Resignation, Dismissal, Redundancy, EndOfContract, Mutual, OtherGround),
		prose(at+"/ground_detail", opened(e.GroundDetail)),
		prose(at+"/note", opened(e.Note)),
	)
}

func (e EmployeeRetired) check(at string, _ Context) error {
	return cmp.Or(need(at+"/last_day", e.LastDay), need(at+"/scheme", e.Scheme), code(at+"/scheme", e.Scheme))
}

func (e ProbationConfirmed) check(at string, _ Context) error { return need(at+"/on", e.On) }

func (e ProbationExtended) check(at string, _ Context) error {
	return cmp.Or(
		need(at+"/probation_end", e.ProbationEnd),
		need(at+"/reason_code", e.ReasonCode),
		need(at+"/effective_from", e.EffectiveFrom),
		code(at+"/reason_code", e.ReasonCode),
	)
}

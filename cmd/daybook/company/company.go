// Package company makes up the company of the demo: the same one for the same
// seed. It only says who does what and when; every rule is the domain's.
package company

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/google/uuid"

	"daybook.example/domain"
	"daybook.example/domain/book"
	"daybook.example/domain/employee"
	"daybook.example/domain/journal"
	"daybook.example/domain/organisation"
	"daybook.example/domain/orgunit"
)

// The demo's company: so many people, in so many months up to the last day.
const (
	People = 120
	Months = 30
	Book   = "main"
	Closed = 24 // periods
)

var (
	first = domain.MustDate("2023-07-01")
	last  = domain.MustDate("2025-12-31")
)

// A Step is one command at one moment of the simulated clock.
type Step struct {
	At     time.Time
	Key    string // names the step; the ID of what it creates comes from it
	Actor  string
	Target string // the entity: an employee's or org unit's ID, a book, `book/period`, or "" for the organisation
	Make   func(Past) any
}

// A Reversal is journal.ReverseEntry with the entry that it reverses, which
// stands in the same period.
type Reversal struct {
	Entry   uuid.UUID
	Command journal.ReverseEntry
}

// Past finds the events of earlier steps, for corrections to name.
type Past interface {
	Event(key, eventType string) uuid.UUID
}

// ID is the ID of what the step under key creates.
func ID(key string) uuid.UUID { return domain.EntityID(Command(key)) }

// Command is the ID of a step's command.
func Command(key string) uuid.UUID { return domain.CommandID("demo", "DEMO", "/demo", key) }

// Steps are the whole life of the company, in order of time.
func Steps(seed uint64) []Step {
	c := &company{random: rand.New(rand.NewPCG(seed, 0)), now: first.Time().Add(4 * time.Hour)}
	c.found()
	c.staff()
	c.careers()
	c.mistakes()
	c.books()
	c.probations()
	slices.SortStableFunc(c.steps, func(a, b Step) int { return a.At.Compare(b.At) })
	return c.steps
}

type company struct {
	random *rand.Rand
	now    time.Time // of the next founding step
	steps  []Step
	people []person
}

// A person is what the story remembers of an employee.
type person struct {
	key    string
	unit   string
	hired  domain.Date
	gone   domain.Date
	salary int
}

func (p person) id() string { return ID(p.key).String() }

// do adds a step during working hours of a day.
func (c *company) do(day domain.Date, actor, key, target string, command any) {
	c.doLater(day, actor, key, target, func(Past) any { return command })
}

func (c *company) doLater(day domain.Date, actor, key, target string, make func(Past) any) {
	moment := day.Time().Add(8*time.Hour + time.Duration(c.random.IntN(8*3600))*time.Second)
	c.steps = append(c.steps, Step{moment, key, actor, target, make})
}

// set adds a founding step; they follow each other by seconds.
func (c *company) set(key, target string, command any) {
	c.now = c.now.Add(time.Second)
	c.steps = append(c.steps, Step{c.now, key, "founder", target, func(Past) any { return command }})
}

// The people who act, as opaque principals.
const (
	hr      = "hr-desk"
	payroll = "payroll-desk"
	finance = "finance-desk"
)

var units = []string{"Executive", "People", "Finance", "Sales", "Operations", "Warehouse", "Engineering", "Support"}

var accounts = []book.OpenAccount{
	{Code: "1000", Name: "Cash and cash equivalents", Class: book.Asset},
	{Code: "1100", Name: "Trade receivables", Class: book.Asset},
	{Code: "1200", Name: "Inventories", Class: book.Asset},
	{Code: "1900", Name: "Suspense", Class: book.Asset},
	{Code: "2000", Name: "Trade payables", Class: book.Liability},
	{Code: "2200", Name: "Wages payable", Class: book.Liability},
	{Code: "4000", Name: "Revenue from contracts with customers", Class: book.Income},
	{Code: "5000", Name: "Cost of sales", Class: book.Expense},
	{Code: "6000", Name: "Employee benefits expense", Class: book.Expense},
	{Code: "6100", Name: "Rent", Class: book.Expense},
}

func (c *company) found() {
	c.set("name", "", organisation.Name{Name: "Harbour Lane Bicycles", Zone: "Europe/Berlin", Country: "DE"})
	c.set("legal-entity", "", organisation.AddLegalEntity{Name: "Harbour Lane Bicycles GmbH"})
	c.set("location", "", organisation.AddLocation{Name: "Bremen"})
	for _, unit := range units {
		create := orgunit.Create{Name: unit, EffectiveFrom: first}
		if unit != units[0] {
			create.Parent = ID("unit-" + units[0])
		}
		c.set("unit-"+unit, ID("unit-"+unit).String(), create)
	}
	c.set("unit-Trade fairs", ID("unit-Trade fairs").String(), orgunit.Create{Name: "Trade fairs", Parent: ID("unit-Executive"), EffectiveFrom: first})
	c.do(domain.MustDate("2024-02-12"), hr, "rename-support", ID("unit-Support").String(),
		orgunit.Rename{Name: "Customer support", EffectiveFrom: domain.MustDate("2024-03-01")})
	c.do(domain.MustDate("2024-05-06"), hr, "move-warehouse", ID("unit-Warehouse").String(),
		orgunit.Move{Parent: ID("unit-Operations"), EffectiveFrom: domain.MustDate("2024-06-01")})
	c.do(domain.MustDate("2024-11-18"), hr, "close-fairs", ID("unit-Trade fairs").String(),
		orgunit.Close{EffectiveFrom: domain.MustDate("2025-01-01")})
	c.set("book", Book, book.Open{Book: Book, FunctionalCurrency: "EUR"})
	for _, account := range accounts {
		c.set("account-"+account.Code, Book, account)
	}
	c.do(domain.MustDate("2024-01-15"), finance, "rename-account", Book, book.RenameAccount{Code: "6100", Name: "Rent and ancillary costs"})
	c.do(domain.MustDate("2025-03-03"), finance, "block-account", Book, book.BlockAccount{Code: "1900"})
}

// staff hires everybody: a third at the start, the others over the months. The
// first of each unit leads it; the chief leads those.
func (c *company) staff() {
	for i := range People {
		unit := units[min(i, len(units)-1)]
		if i >= len(units) {
			unit = units[1+c.random.IntN(len(units)-1)]
		}
		hired := first
		if i >= People/3 {
			hired = first.AddDays(7 + c.random.IntN(30*Months-60))
		}
		p := person{key: fmt.Sprintf("hire-%03d", i+1), unit: unit, hired: hired, salary: 3000 + 50*c.random.IntN(60)}
		c.people = append(c.people, p)
	}
	for i, p := range c.people {
		recorded := p.hired.AddDays(-5)
		if recorded.Before(first) {
			recorded = first
		}
		hire := c.hire(i, p)
		if recorded == first {
			c.set(p.key, p.id(), hire)
		} else {
			c.do(recorded, hr, p.key, p.id(), hire)
		}
	}
}

func (c *company) hire(i int, p person) employee.Hire {
	given, family := givenNames[c.random.IntN(len(givenNames))], familyNames[i%len(familyNames)]
	position := c.position(p.unit, i < len(units))
	hire := employee.Hire{
		PersonalData: employee.PersonalData{
			LegalName:   employee.PersonName{Given: given, Family: family},
			BirthDate:   domain.NewDate(1960+c.random.IntN(42), time.Month(1+c.random.IntN(12)), 1+c.random.IntN(28)),
			NationalID:  employee.NationalID{Scheme: "de-steuer-id", Value: fmt.Sprintf("%011d", 10000000000+c.random.Int64N(89999999999))},
			Nationality: "DE",
			WorkEmail:   fmt.Sprintf("e%03d@harbour-lane.example", i+1),
			Phone:       fmt.Sprintf("+49 421 555%04d", c.random.IntN(10000)),
			HomeAddress: employee.Address{Line1: fmt.Sprintf("%s %d", streets[c.random.IntN(len(streets))], 1+c.random.IntN(120)), PostalCode: "28195", City: "Bremen", Country: "DE"},
		},
		Engagement: employee.Engagement{
			EmployeeNo: fmt.Sprintf("E%04d", i+1), LegalEntityID: ID("legal-entity"), HireDate: p.hired,
			EmploymentType: employee.Permanent, ProbationEnd: p.hired.AddDays(182), Position: &position,
			Compensation: &employee.ChangeCompensation{PayBasis: employee.Monthly, Amount: euros(p.salary), PayFrequency: employee.PaidMonthly},
		},
	}
	if boss := c.boss(i); boss != "" {
		hire.ManagerEmployeeID = ID(boss)
	}
	return hire
}

func (c *company) position(unit string, leads bool) employee.ChangePosition {
	title := titles[unit][c.random.IntN(len(titles[unit]))]
	if leads {
		title = "Head of " + unit
	}
	return employee.ChangePosition{
		PositionID: ID("position-" + title), OrgUnitID: ID("unit-" + unit), JobTitle: title,
		LocationID: ID("location"), CostCenter: costCenter(unit),
	}
}

// boss is the key of the hire of somebody's manager.
func (c *company) boss(i int) string {
	switch {
	case i == 0:
		return ""
	case i < len(units):
		return c.people[0].key
	}
	return c.people[slices.Index(units, c.people[i].unit)].key
}

func costCenter(unit string) string { return fmt.Sprintf("CC%02d", 10+slices.Index(units, unit)) }

func euros(amount int) domain.Money { return domain.NewMoney(fmt.Sprintf("%d.00", amount), "EUR") }

// careers are raises in advance and in arrears, moves, and the ends of employments.
func (c *company) careers() {
	c.leavers()
	for _, year := range []int{2024, 2025} {
		from := domain.NewDate(year, time.January, 1)
		for i, p := range c.people {
			if !p.hired.Before(from.AddDays(-90)) || !p.gone.IsZero() && p.gone.Before(from) {
				continue
			}
			recorded := from.AddDays(-20 + c.random.IntN(15))
			if i%7 == 0 {
				recorded = from.AddDays(10 + c.random.IntN(20)) // late
			}
			c.people[i].salary += 50 + 10*c.random.IntN(20)
			c.do(recorded, payroll, fmt.Sprintf("raise-%d-%03d", year, i+1), p.id(), employee.ChangeCompensation{
				PayBasis: employee.Monthly, Amount: euros(c.people[i].salary), PayFrequency: employee.PaidMonthly,
				EffectiveFrom: from, ChangeReason: "annual-review",
			})
		}
	}
	c.moves()
}

func (c *company) moves() {
	for n := range 12 {
		i := len(units) + n // all of these were hired at the start
		day := domain.NewDate(2024, time.Month(1+n), 1)
		position := c.position(units[1+n%(len(units)-1)], false)
		position.EffectiveFrom, position.ChangeReason = day, employee.ForTransfer
		c.do(day.AddDays(-14), hr, fmt.Sprintf("move-%02d", n+1), c.people[i].id(), position)
	}
	data := employee.ChangePersonalData{EffectiveFrom: domain.MustDate("2024-08-01")}
	data.HomeAddress = employee.Address{Line1: "Am Deich 4", PostalCode: "28199", City: "Bremen", Country: "DE"}
	c.do(domain.MustDate("2024-08-05"), hr, "new-address", c.people[9].id(), data)
	married := employee.ChangePersonalData{EffectiveFrom: domain.MustDate("2025-05-17")}
	married.LegalName = employee.PersonName{Given: "Alex", Family: "Petersen"}
	c.do(domain.MustDate("2025-05-26"), hr, "new-name", c.people[10].id(), married)
	c.do(domain.MustDate("2024-03-11"), hr, "part-time", c.people[11].id(), employee.ChangeWorkingTime{
		FTE: domain.MustDecimal("0.8"), WeeklyHours: domain.MustDecimal("32"), EffectiveFrom: domain.MustDate("2024-04-01")})
	c.do(domain.MustDate("2023-07-10"), payroll, "bank", c.people[12].id(), employee.ChangeBankAccount{
		IBAN: "DE89370400440532013000", BIC: "COBADEFFXXX", Holder: "Account holder", EffectiveFrom: first})
	c.do(domain.MustDate("2025-02-10"), hr, "new-manager", c.people[13].id(), employee.ChangeManager{
		ManagerEmployeeID: ID(c.people[1].key), EffectiveFrom: domain.MustDate("2025-03-01")})
}

// leavers go by resignation, by the end of a trial and into retirement; two come back.
func (c *company) leavers() {
	for n := range 9 {
		i := 21 + 2*n
		day := domain.NewDate(2024, time.Month(2+n), 28)
		c.people[i].gone = day
		c.do(day.AddDays(-28), hr, fmt.Sprintf("leave-%02d", n+1), c.people[i].id(), employee.Terminate{
			LastDay: day, Ground: employee.Resignation, Note: "Resigned in writing; notice kept."})
	}
	for n := range 3 {
		i := 14 + n
		day := domain.NewDate(2025, time.Month(3*(n+1)), 28)
		c.people[i].gone = day
		c.do(day.AddDays(-60), hr, fmt.Sprintf("retire-%02d", n+1), c.people[i].id(), employee.Retire{LastDay: day, Scheme: "statutory"})
	}
	for n, i := range []int{21, 23} {
		day := domain.NewDate(2025, time.Month(2+n), 1)
		position := c.position(c.people[i].unit, false)
		c.do(day.AddDays(-10), hr, fmt.Sprintf("return-%02d", n+1), c.people[i].id(), employee.Rehire{
			Engagement: employee.Engagement{HireDate: day, ManagerEmployeeID: ID(c.boss(i)), Position: &position}})
	}
}

// probations are put off for one, and confirmed on their last day for those who
// were hired at the start and stayed.
func (c *company) probations() {
	longer := first.AddDays(182 + 91)
	for i, p := range c.people[:People/3] {
		on := first.AddDays(182)
		if i == len(units) {
			c.do(on.AddDays(-14), hr, "probation-extended", p.id(), employee.ExtendProbation{ProbationEnd: longer, ReasonCode: "absence"})
			on = longer
		}
		c.do(on, hr, fmt.Sprintf("probation-%03d", i+1), p.id(), employee.ConfirmProbation{})
	}
}

// mistakes are the ten corrections and three rescissions.
func (c *company) mistakes() {
	correct := func(n int, day, key, event, why string, i int, with employee.Correct) {
		c.doLater(domain.MustDate(day), hr, fmt.Sprintf("correct-%02d", n), c.people[i].id(), func(past Past) any {
			with.CorrectsEventID, with.ReasonText = past.Event(key, event), why
			return with
		})
	}
	for n := range 4 {
		i := 17 + n
		correct(n+1, fmt.Sprintf("2023-1%d-09", n%3), c.people[i].key, "employee-hired", "Birth date mistyped.", i, employee.Correct{
			Hire: &employee.Hire{PersonalData: employee.PersonalData{BirthDate: domain.NewDate(1980+n, time.May, 5+n)}}})
	}
	for n := range 4 {
		i := 8 + n
		correct(n+5, fmt.Sprintf("2024-0%d-20", 2+n), fmt.Sprintf("raise-2024-%03d", i+1), "employee-compensation-changed", "Raise entered in the wrong line.", i, employee.Correct{
			Compensation: &employee.ChangeCompensation{Amount: euros(c.people[i].salary - 40)}})
	}
	correct(9, "2024-10-07", "correct-05", "employee-fact-corrected", "The correction was mistyped, too.", 8, employee.Correct{
		Compensation: &employee.ChangeCompensation{Amount: euros(c.people[8].salary - 25)}})
	correct(10, "2025-01-20", "move-03", "employee-position-assigned", "Moved two weeks later than recorded.", 10, employee.Correct{
		Position: &employee.ChangePosition{EffectiveFrom: domain.MustDate("2024-03-15")}})

	rescind := func(n int, day, key, event, why, target string) {
		c.doLater(domain.MustDate(day), hr, fmt.Sprintf("rescind-%02d", n), target, func(past Past) any {
			return employee.Rescind{RescindsEventID: past.Event(key, event), ReasonText: why}
		})
	}
	rescind(1, "2024-09-16", "move-08", "employee-position-assigned", "The transfer was called off.", c.people[15].id())
	rescind(2, "2024-11-04", "leave-09", "employee-employment-terminated", "Notice withdrawn by agreement.", c.people[37].id())
	ghost := person{key: "hire-ghost", unit: "Sales", hired: domain.MustDate("2024-07-01"), salary: 3200}
	hire := c.hire(len(units), ghost)
	hire.EmployeeNo = "E0900"
	c.do(domain.MustDate("2024-06-17"), hr, ghost.key, ghost.id(), hire)
	rescind(3, "2024-07-02", ghost.key, "employee-hired", "Never started.", ghost.id())
}

// books are the monthly entries and closes; see the late documents, the reversal
// and the month that was opened again.
func (c *company) books() {
	period := domain.PeriodOf(first)
	var before domain.Period
	for month := range Months {
		target := Book + "/" + period.String()
		opens := journal.OpenPeriod{Period: period, OpeningFrom: before}
		c.steps = append(c.steps, Step{period.First().Time().Add(6 * time.Hour), "open-" + period.String(), finance, target, func(Past) any { return opens }})
		c.month(period, target)
		if month < Closed {
			close := period.Next().First().AddDays(7)
			c.do(close, finance, "soft-close-"+period.String(), target, journal.SoftClose{})
			c.do(close.AddDays(1), finance, "close-"+period.String(), target, journal.ClosePeriod{})
		}
		before, period = period, period.Next()
	}
	c.do(domain.MustDate("2024-02-20"), finance, "reopen-2023-12", Book+"/2023-12", journal.ReopenPeriod{
		ApprovalID: domain.Derive("demo", "approval"), Reason: "Audit adjustment for the year end."})
	c.do(domain.MustDate("2024-02-21"), finance, "close-again-2023-12", Book+"/2023-12", journal.ClosePeriod{})
	for n, late := range [][2]string{{"2024-02-26", "2024-04-17"}, {"2025-01-30", "2025-03-19"}} {
		posted := domain.MustDate(late[1])
		entry := post(posted, fmt.Sprintf("LATE-%d", n+1), "Supplier invoice received late", 840+n, "5000", "2000")
		entry.DocumentDate = domain.MustDate(late[0])
		c.do(posted, finance, fmt.Sprintf("late-%d", n+1), Book+"/"+domain.PeriodOf(posted).String(), entry)
	}
	c.do(domain.MustDate("2024-06-24"), finance, "reverse", Book+"/2024-06", Reversal{
		Entry: ID("sale-2024-06-1"), Command: journal.ReverseEntry{PostingDate: domain.MustDate("2024-06-24"), ReasonCode: "posted-twice"}})
}

func (c *company) month(period domain.Period, target string) {
	for n := range 3 {
		day := period.First().AddDays(2 + 6*n)
		no := fmt.Sprintf("%s-%d", period, n+1)
		c.do(day, finance, "sale-"+no, target, post(day, "S-"+no, "Sale of bicycles", 20000+500*c.random.IntN(100), "1100", "4000"))
		paid := day.AddDays(4)
		c.do(paid, finance, "receipt-"+no, target, post(paid, "B-"+no, "Receipt from customer", 9000+100*c.random.IntN(100), "1000", "1100"))
	}
	c.do(period.First().AddDays(1), finance, "rent-"+period.String(), target, post(period.First().AddDays(1), "R-"+period.String(), "Rent", 7400, "6100", "1000"))
	c.do(period.Last(), finance, "wages-"+period.String(), target, post(period.Last(), "W-"+period.String(), "Wages of the month", 90000+1000*c.random.IntN(90), "6000", "2200"))
}

func post(day domain.Date, document, description string, amount int, debit, credit string) journal.PostEntry {
	return journal.PostEntry{
		DocumentDate: day, PostingDate: day, DocumentNo: document, Description: cmp.Or(description, document),
		Lines: []journal.LineItem{
			{Account: debit, Side: book.Debit, Amount: euros(amount)},
			{Account: credit, Side: book.Credit, Amount: euros(amount)},
		},
	}
}

// Span is the time that the story covers.
func Span() (from, to domain.Date) { return first, last }

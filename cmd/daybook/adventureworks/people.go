package adventureworks

import (
	"slices"
	"strings"

	"github.com/google/uuid"

	"daybook.example/commands/edge"
	"daybook.example/domain"
	"daybook.example/domain/employee"
)

const currency = domain.Currency("USD")

// The data name no legal entity, site, position or cost centre: each gets one.
const (
	legalEntityKey  = "default:legal-entity"
	locationKey     = "default:location"
	positionKey     = "default:position"
	defaultCenter   = "unassigned"
	legalEntityName = "Adventure Works Cycles"
	locationName    = "Main site"
)

// A roster is what the commands about people are made from.
type roster struct {
	*Source
	names, mails, phones, homes, addresses, states map[string]row
	positions, rates                               map[string][]row
	managers                                       map[string]string
	departments                                    map[string]uuid.UUID
	hired                                          map[string]domain.Date
}

func (s *Source) roster() (roster, error) {
	managers, err := s.managers()
	if err != nil {
		return roster{}, err
	}
	r := roster{
		Source:      s,
		names:       s.by("person/Person.csv", "businessentityid"),
		mails:       s.by("person/EmailAddress.csv", "businessentityid"),
		phones:      s.by("person/PersonPhone.csv", "businessentityid"),
		homes:       s.by("person/BusinessEntityAddress.csv", "businessentityid"),
		addresses:   s.by("person/Address.csv", "addressid"),
		states:      s.by("person/StateProvince.csv", "stateprovinceid"),
		positions:   s.groups("hr/EmployeeDepartmentHistory.csv", "businessentityid"),
		rates:       s.groups("hr/EmployeePayHistory.csv", "businessentityid"),
		managers:    managers,
		departments: make(map[string]uuid.UUID),
		hired:       make(map[string]domain.Date),
	}
	for _, d := range s.rows("hr/Department.csv") {
		r.departments[d.text("departmentid")] = ID(d.ref())
	}
	for _, e := range s.rows("hr/Employee.csv") {
		day, err := e.date("hiredate")
		if err != nil {
			return roster{}, err
		}
		r.hired[e.text("businessentityid")] = day
	}
	return r, nil
}

// people are the commands about employees: each hire with its first position,
// then every later position, every pay rate, and the manager.
func (p *plan) people() error {
	r, err := p.roster()
	if err != nil {
		return err
	}
	keys := make(map[string]string, len(r.hired))
	for _, e := range r.rows("hr/Employee.csv") {
		keys[e.text("businessentityid")] = e.ref()
	}
	for _, e := range r.rows("hr/Employee.csv") {
		if err := p.hire(r, e); err != nil {
			return err
		}
		if err := p.moves(r, e); err != nil {
			return err
		}
		if err := p.pay(r, e); err != nil {
			return err
		}
		p.manager(r, e, keys)
	}
	return nil
}

func (p *plan) hire(r roster, e row) error {
	id := e.text("businessentityid")
	born, err := e.date("birthdate")
	if err != nil {
		return err
	}
	first, err := r.position(e, r.positions[id][0], employee.ForHire)
	if err != nil {
		return err
	}
	hire := employee.Hire{
		PersonalData: employee.PersonalData{
			LegalName:   r.name(id),
			BirthDate:   born,
			NationalID:  employee.NationalID{Scheme: "us-national-id", Value: e.text("nationalidnumber")},
			WorkEmail:   r.mails[id].text("emailaddress"),
			Phone:       r.phones[id].text("phonenumber"),
			HomeAddress: r.home(id),
		},
		Engagement: employee.Engagement{
			EmployeeNo:     "AW" + id,
			LegalEntityID:  ID(legalEntityKey),
			HireDate:       r.hired[id],
			EmploymentType: employee.Permanent,
			Position:       &first,
		},
	}
	if (hire.LegalName == employee.PersonName{}) {
		p.leave(e, "hired without a name: person/Person.csv has no row for this employee")
	}
	p.add(Line{Key: e.ref(), Source: e.source("businessentityid"), Command: string(edge.HireEmployee), Body: hire})
	return nil
}

// moves are the positions after the first. An EndDate yields no command: the
// next position ends the one before it.
func (p *plan) moves(r roster, e row) error {
	for _, d := range r.positions[e.text("businessentityid")][1:] {
		position, err := r.position(e, d, employee.ForTransfer)
		if err != nil {
			return err
		}
		if position.EffectiveFrom, err = d.date("startdate"); err != nil {
			return err
		}
		p.add(Line{Key: d.ref(), Source: d.source("businessentityid"), Command: string(edge.ChangePosition), Target: ID(e.ref()).String(), Body: position})
	}
	return nil
}

func (r roster) position(e, d row, reason employee.PositionReason) (employee.ChangePosition, error) {
	from, err := d.date("startdate")
	return employee.ChangePosition{
		PositionID:    ID(positionKey),
		OrgUnitID:     r.departments[d.text("departmentid")],
		JobTitle:      e.text("jobtitle"),
		LocationID:    ID(locationKey),
		CostCenter:    defaultCenter,
		EffectiveFrom: from,
		ChangeReason:  reason,
	}, err
}

func (p *plan) pay(r roster, e row) error {
	rates := slices.Clone(r.rates[e.text("businessentityid")])
	slices.SortStableFunc(rates, func(a, b row) int {
		return strings.Compare(a.text("ratechangedate"), b.text("ratechangedate"))
	})
	for i, rate := range rates {
		from, err := rate.date("ratechangedate")
		if err != nil {
			return err
		}
		amount, err := rate.amount("rate")
		if err != nil {
			return err
		}
		reason := "rate-change"
		if i == 0 {
			reason = "hire"
		}
		frequency := employee.PaidFortnightly
		if rate.text("payfrequency") == "1" {
			frequency = employee.PaidMonthly
		}
		p.add(Line{
			Key: rate.ref(), Source: rate.source("businessentityid"), Command: string(edge.ChangeCompensation), Target: ID(e.ref()).String(),
			Body: employee.ChangeCompensation{
				PayBasis: employee.Hourly, Amount: domain.Money{Amount: amount, Currency: currency},
				PayFrequency: frequency, EffectiveFrom: from, ChangeReason: reason,
			},
			amount: amount,
		})
	}
	return nil
}

// manager takes effect on the later of both hire dates: 102 managers were hired
// after their report.
func (p *plan) manager(r roster, e row, keys map[string]string) {
	id := e.text("businessentityid")
	boss, ok := r.managers[id]
	if !ok {
		return
	}
	from := r.hired[id]
	if r.hired[boss].After(from) {
		from = r.hired[boss]
	}
	p.add(Line{
		Key: e.ref() + "#manager", Source: e.source("businessentityid", "org"), Command: string(edge.ChangeManager), Target: ID(e.ref()).String(),
		Body: employee.ChangeManager{ManagerEmployeeID: ID(keys[boss]), EffectiveFrom: from},
	})
}

func (r roster) name(id string) employee.PersonName {
	person, ok := r.names[id]
	if !ok {
		return employee.PersonName{}
	}
	return employee.PersonName{Given: person.text("firstname"), Middle: person.text("middlename"), Family: person.text("lastname")}
}

func (r roster) home(id string) employee.Address {
	a, ok := r.addresses[r.homes[id].text("addressid")]
	if !ok {
		return employee.Address{}
	}
	state := r.states[a.text("stateprovinceid")]
	return employee.Address{
		Line1: a.text("addressline1"), Line2: a.text("addressline2"), PostalCode: a.text("postalcode"),
		City: a.text("city"), Region: state.text("stateprovincecode"), Country: state.text("countryregioncode"),
	}
}

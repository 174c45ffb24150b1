package adventureworks

import (
	"daybook.example/commands/edge"
	"daybook.example/domain/book"
	"daybook.example/domain/orgunit"
)

// Book is the book into which the entries go.
const Book = "adventureworks"

// Accounts of the book, by the names of IFRS.
const (
	receivables = "1100"
	inventories = "1200"
	inputTax    = "1300"
	payables    = "2000"
	salesTax    = "2100"
	revenue     = "4000"
	freightOut  = "4100"
	freightIn   = "5100"
)

var accounts = []book.OpenAccount{
	{Code: receivables, Name: "Trade receivables", Class: book.Asset},
	{Code: inventories, Name: "Inventories", Class: book.Asset},
	{Code: inputTax, Name: "Input tax recoverable", Class: book.Asset},
	{Code: payables, Name: "Trade payables", Class: book.Liability},
	{Code: salesTax, Name: "Current tax liabilities", Class: book.Liability},
	{Code: revenue, Name: "Revenue from contracts with customers", Class: book.Income},
	{Code: freightOut, Name: "Freight charged to customers", Class: book.Income},
	{Code: freightIn, Name: "Freight-in", Class: book.Expense},
}

// company is what people and entries refer to: names, departments, the book.
func (p *plan) company() error {
	p.setUp(legalEntityKey, edge.AddLegalEntity, map[string]string{"name": legalEntityName})
	p.setUp(locationKey, edge.AddLocation, map[string]string{"name": locationName})
	from, err := p.earliest()
	if err != nil {
		return err
	}
	for _, d := range p.rows("hr/Department.csv") {
		p.add(Line{Key: d.ref(), Source: d.source("departmentid"), Command: string(edge.CreateOrgUnit),
			Body: orgunit.Create{Name: d.text("name"), EffectiveFrom: from}})
	}
	// The amounts have four decimals: at that scale every entry balances exactly.
	scale := 4
	p.setUp("default:book", edge.OpenBook, book.Open{Book: Book, FunctionalCurrency: currency, Scale: &scale})
	for _, account := range accounts {
		p.setUp("default:account:"+account.Code, edge.OpenAccount, account).Target = Book
	}
	return nil
}

// setUp adds a command that no row asks for.
func (p *plan) setUp(key string, command edge.Action, body any) *Line {
	p.add(Line{Key: key, Source: source(key), Command: string(command), Body: body})
	return &p.Lines[len(p.Lines)-1]
}

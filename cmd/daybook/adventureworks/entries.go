package adventureworks

import (
	"errors"
	"fmt"
	"slices"

	"daybook.example/commands/edge"
	"daybook.example/domain"
	"daybook.example/domain/book"
	"daybook.example/domain/journal"
)

// sales post each order on its order date. A currency rate of the order is told
// in the source only: the amounts are in USD.
func (p *plan) sales() error {
	headers := p.rows("sales/SalesOrderHeader.csv")
	known := p.by("sales/SalesOrderHeader.csv", "salesorderid")
	for _, line := range p.rows("sales/SalesOrderDetail.csv") {
		if _, ok := known[line.text("salesorderid")]; !ok {
			p.leave(line, "an order line without an order: no header has its number")
		}
	}
	return p.entries(headers, document{
		prefix: "SO", id: "salesorderid", date: "orderdate", party: "customerid", description: "Sales order",
		keys: []string{"salesorderid", "customerid", "currencyrateid"},
		lines: []part{
			{"totaldue", receivables, book.Debit}, {"subtotal", revenue, book.Credit},
			{"taxamt", salesTax, book.Credit}, {"freight", freightOut, book.Credit},
		},
	})
}

// purchaseStatuses are those of orders that are no ledger fact (yet).
var purchaseStatuses = map[string]string{"1": "pending", "2": "approved", "3": "rejected"}

const complete = "4"

// purchases post the complete orders on the day they were shipped.
func (p *plan) purchases() error {
	var shipped []row
	for _, order := range p.rows("purchasing/PurchaseOrderHeader.csv") {
		if status := order.text("status"); status != complete {
			p.leave(order, "purchase order is "+purchaseStatuses[status]+": no ledger fact")
			continue
		}
		shipped = append(shipped, order)
	}
	return p.entries(shipped, document{
		prefix: "PO", id: "purchaseorderid", date: "shipdate", party: "vendorid", description: "Purchase order",
		keys: []string{"purchaseorderid", "vendorid"},
		lines: []part{
			{"subtotal", inventories, book.Debit}, {"taxamt", inputTax, book.Debit},
			{"freight", freightIn, book.Debit}, {"totaldue", payables, book.Credit},
		},
	})
}

// A document says how a row becomes an entry.
type document struct {
	prefix, id, date, party, description string
	keys                                 []string
	lines                                []part
}

// A part is one line of an entry: the amount of a column on one side of an account.
type part struct {
	column, account string
	side            book.Side
}

// entries post one entry a row, and open the periods they fall into.
func (p *plan) entries(rows []row, d document) error {
	rows = slices.Clone(rows)
	var broken []error
	slices.SortStableFunc(rows, func(a, b row) int {
		x, err := a.date(d.date)
		y, err2 := b.date(d.date)
		broken = append(broken, err, err2)
		return x.Compare(y)
	})
	if err := errors.Join(broken...); err != nil {
		return err
	}
	for _, r := range rows {
		day, _ := r.date(d.date) // read above
		entry := journal.PostEntry{
			DocumentDate: day, PostingDate: day, DocumentNo: d.prefix + r.text(d.id),
			Description: fmt.Sprintf("%s %s", d.description, r.text(d.id)),
		}
		for _, part := range d.lines {
			amount, err := r.amount(part.column)
			if err != nil {
				return err
			}
			if amount.Sign() == 0 {
				continue
			}
			entry.Lines = append(entry.Lines, journal.LineItem{
				Account: part.account, Side: part.side, Amount: domain.Money{Amount: amount, Currency: currency},
				PartyRef: d.party + ":" + r.text(d.party),
			})
		}
		total, err := r.amount("totaldue")
		if err != nil {
			return err
		}
		p.open(domain.PeriodOf(day))
		p.add(Line{
			Key: r.ref(), Source: r.source(d.keys...), Command: string(edge.PostEntry),
			Target: Book + "/" + domain.PeriodOf(day).String(), Body: entry,
			amount: total, month: domain.PeriodOf(day).String(),
		})
	}
	return nil
}

// open opens a period before its first entry.
func (p *plan) open(period domain.Period) {
	if p.opened[period] {
		return
	}
	p.opened[period] = true
	p.setUp("default:period:"+period.String(), edge.OpenPeriod, journal.OpenPeriod{Period: period}).Target = Book
}

package journal_test

import (
	"testing"

	"daybook.example/domain"
	"daybook.example/domain/book"
	"daybook.example/domain/domaintest"
	. "daybook.example/domain/journal"
)

func refusal(code, field string, given []Event, when Command) domaintest.Refusal[Command, Event] {
	return domaintest.Refusal[Command, Event]{Code: code, Field: field, Given: given, When: when}
}

// withLine changes the second line of a sale.
func withLine(change func(*LineItem)) PostEntry {
	return sale(func(c *PostEntry) { change(&c.Lines[1]) })
}

func TestPeriodRefusals(t *testing.T) {
	t.Parallel()
	domaintest.Refusals(t, Decider, Rules, append(append(periodRefusals(), entryRefusals()...), reversalRefusals()...)...)
}

func periodRefusals() []domaintest.Refusal[Command, Event] {
	closed, soft := inJune(PeriodClosed{}), inJune(PeriodSoftClosed{})
	reverse := ReverseEntry{EntryID: other, Original: sold(first, 1), ReasonCode: "wrong-customer"}
	return []domaintest.Refusal[Command, Event]{
		refusal("book-not-open", "", nil, OpenPeriod{Period: june}),
		refusal("required", "/period", nil, OpenPeriod{Book: theBook()}),
		refusal("opening-from-later", "/opening_from", nil, OpenPeriod{theBook(), june, june}),
		refusal("period-already-open", "", inJune(), OpenPeriod{Book: theBook(), Period: june}),
		refusal("period-already-open", "", closed, OpenPeriod{theBook(), june, may}),
		refusal("period-not-open", "", nil, sale(asIs)),
		refusal("period-not-open", "/posting_date", nil, reverse),
		refusal("period-not-open", "", nil, SoftClose{}),
		refusal("period-not-open", "", nil, ClosePeriod{}),
		refusal("period-not-open", "", nil, ReopenPeriod{vote, "late invoice"}),
		refusal("period-soft-closed", "", soft, sale(asIs)),
		refusal("period-soft-closed", "/posting_date", soft, reverse),
		refusal("period-closed", "", closed, sale(asIs)),
		refusal("period-closed", "/posting_date", closed, reverse),
		refusal("period-closed", "", closed, SoftClose{}),
		refusal("period-not-closed", "", inJune(), ReopenPeriod{vote, "late invoice"}),
		refusal("required", "/approval_id", closed, ReopenPeriod{Reason: "late invoice"}),
		refusal("required", "/reason", closed, ReopenPeriod{ApprovalID: vote}),
	}
}

func entryRefusals() []domaintest.Refusal[Command, Event] {
	posted := inJune(soldFor(first, 1, Source{DocumentNo: "SO7"}))
	second := func(change func(*PostEntry)) PostEntry {
		return sale(func(c *PostEntry) { c.EntryID = other; change(c) })
	}
	return append(lineRefusals(),
		refusal("required", "/posting_date", inJune(), sale(func(c *PostEntry) { c.PostingDate = domain.Date{} })),
		refusal("required", "/description", inJune(), sale(func(c *PostEntry) { c.Description = "" })),
		refusal("required", "/source/stream", inJune(), sale(func(c *PostEntry) { c.Source.EventID = event })),
		refusal("required", "/source/event_id", inJune(), sale(func(c *PostEntry) { c.Source.Stream = "order-7" })),
		refusal("text-invalid", "/description", inJune(), sale(func(c *PostEntry) { c.Description = "a\nb" })),
		refusal("text-invalid", "/document_no", inJune(), sale(func(c *PostEntry) { c.DocumentNo = " 7" })),
		refusal("text-invalid", "/source/stream", inJune(), sale(func(c *PostEntry) { c.Source = SourceEvent{"\xff", event} })),
		refusal("posting-date-outside-period", "/posting_date", inJune(), sale(func(c *PostEntry) { c.PostingDate = day("2025-05-31") })),
		refusal("posting-date-outside-period", "/posting_date", inJune(), sale(func(c *PostEntry) { c.PostingDate = day("2025-07-01") })),
		refusal("posting-date-outside-period", "/posting_date", inJune(), sale(func(c *PostEntry) { c.PostingDate = day("2024-06-15") })),
		refusal("lines-too-few", "/lines", inJune(), sale(func(c *PostEntry) { c.Lines = nil })),
		refusal("lines-too-few", "/lines", inJune(), sale(func(c *PostEntry) { c.Lines = c.Lines[:1] })),
		refusal("unbalanced", "/lines", inJune(), withLine(func(l *LineItem) { l.Amount = eur("119.01") })),
		refusal("unbalanced", "/lines", inJune(), withLine(func(l *LineItem) { l.Side = book.Debit })),
		refusal("unbalanced", "/lines", inJune(), withLine(func(l *LineItem) { l.Amount, l.FunctionalAmount = usd("130"), eur("119") })),
		refusal("unbalanced-functional", "/lines", inJune(), sale(func(c *PostEntry) {
			c.Lines = []LineItem{
				{Account: "1400", Side: book.Debit, Amount: usd("130"), FunctionalAmount: eur("119")},
				{Account: "8400", Side: book.Credit, Amount: usd("130"), FunctionalAmount: eur("118.99")},
			}
		})),
		refusal("entry-exists", "", posted, sale(asIs)),
		refusal("source-posted", "/document_no", posted, second(func(c *PostEntry) { c.DocumentNo = "SO7" })),
	)
}

func lineRefusals() []domaintest.Refusal[Command, Event] {
	line := func(code, member string, change func(*LineItem)) domaintest.Refusal[Command, Event] {
		return refusal(code, "/lines/1/"+member, inJune(), withLine(change))
	}
	dollars := func(l *LineItem) { l.Amount, l.FunctionalAmount = usd("130"), eur("119") }
	return []domaintest.Refusal[Command, Event]{
		line("required", "account", func(l *LineItem) { l.Account = "" }),
		line("required", "side", func(l *LineItem) { l.Side = "" }),
		line("value-unknown", "side", func(l *LineItem) { l.Side = "d" }),
		line("text-invalid", "party_ref", func(l *LineItem) { l.PartyRef = " " }),
		line("text-invalid", "item_ref", func(l *LineItem) { l.ItemRef = "a\t" }),
		line("text-invalid", "tax_code", func(l *LineItem) { l.TaxCode = "a\t" }),
		line("text-invalid", "cost_center", func(l *LineItem) { l.CostCenter = "a\t" }),
		line("account-unknown", "account", func(l *LineItem) { l.Account = "9999" }),
		line("account-blocked", "account", func(l *LineItem) { l.Account = "1900" }),
		line("account-currency", "amount/currency", func(l *LineItem) { dollars(l); l.Account = "1200" }),
		line("currency-unknown", "amount/currency", func(l *LineItem) { l.Amount.Currency = "" }),
		line("currency-unknown", "functional_amount/currency", func(l *LineItem) { l.FunctionalAmount = domain.NewMoney("119", "EURO") }),
		line("scale-exceeded", "amount/amount", func(l *LineItem) { l.Amount = eur("119.001") }),
		line("scale-exceeded", "functional_amount/amount", func(l *LineItem) { l.FunctionalAmount = eur("119.001") }),
		line("amount-negative", "amount/amount", func(l *LineItem) { l.Amount = eur("-119") }),
		line("amount-negative", "functional_amount/amount", func(l *LineItem) { dollars(l); l.FunctionalAmount = eur("-119") }),
		line("amount-too-large", "amount/amount", func(l *LineItem) { l.Amount = eur("1000000000000000000") }),
		line("amount-too-large", "functional_amount/amount", func(l *LineItem) { dollars(l); l.FunctionalAmount = eur("1000000000000000000") }),
		line("amount-zero", "amount/amount", func(l *LineItem) { l.Amount = eur("0.00") }),
		line("functional-amount-missing", "functional_amount", func(l *LineItem) { l.Amount = usd("130") }),
		line("functional-currency", "functional_amount/currency", func(l *LineItem) { l.Amount, l.FunctionalAmount = usd("130"), usd("130") }),
		line("functional-currency", "functional_amount/currency", func(l *LineItem) { l.FunctionalAmount = usd("119") }),
		line("functional-amount-differs", "functional_amount/amount", func(l *LineItem) { l.FunctionalAmount = eur("118") }),
		line("fx-rate-invalid", "fx_rate", func(l *LineItem) { dollars(l); l.FxRate = domain.MustDecimal("0") }),
		line("fx-rate-invalid", "fx_rate", func(l *LineItem) { l.FxRate = domain.MustDecimal("1.1") }),
	}
}

func reversalRefusals() []domaintest.Refusal[Command, Event] {
	reverse := func(change func(*ReverseEntry)) Command {
		c := ReverseEntry{EntryID: other, Original: sold(first, 1), ReasonCode: "wrong-customer"}
		change(&c)
		return c
	}
	posted := inJune(sold(first, 1))
	return []domaintest.Refusal[Command, Event]{
		refusal("entry-unknown", "", posted, reverse(func(c *ReverseEntry) { c.Original = nil })),
		refusal("reversal-not-reversible", "", posted, reverse(func(c *ReverseEntry) { c.Original = unsold(id(3), 2, first, "2025-06-15") })),
		refusal("required", "/reason_code", posted, reverse(func(c *ReverseEntry) { c.ReasonCode = "" })),
		refusal("code-invalid", "/reason_code", posted, reverse(func(c *ReverseEntry) { c.ReasonCode = "Müller paid twice" })),
		refusal("posting-date-outside-period", "/posting_date", posted, reverse(func(c *ReverseEntry) { c.PostingDate = day("2025-07-01") })),
		refusal("reversal-before-entry", "/posting_date", posted, reverse(func(c *ReverseEntry) { c.PostingDate = day("2025-06-14") })),
		refusal("already-reversed", "", inJune(sold(first, 1), unsold(id(3), 2, first, "2025-06-15")), reverse(func(*ReverseEntry) {})),
		refusal("entry-exists", "", inJune(sold(first, 1), sold(other, 2)), reverse(func(*ReverseEntry) {})),
	}
}

package adventureworks

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"daybook.example/commands/edge"
	"daybook.example/domain"
)

// An Outcome is what became of the lines of a plan.
type Outcome struct {
	plan              Plan
	lines             map[string]Line
	accepted          map[string]bool
	added, knownTwice int
	left              []Left
}

// NewOutcome begins the account of a plan's import.
func NewOutcome(plan Plan) *Outcome {
	o := &Outcome{plan: plan, lines: make(map[string]Line, len(plan.Lines)), accepted: make(map[string]bool, len(plan.Lines))}
	for _, line := range plan.Lines {
		o.lines[line.Key] = line
	}
	return o
}

// Accepted notes a line that is recorded, now or by an earlier import.
func (o *Outcome) Accepted(key string, repeated bool) {
	o.accepted[key] = true
	if repeated {
		o.knownTwice++
	} else {
		o.added++
	}
}

// Refused notes a line that a rule keeps out.
func (o *Outcome) Refused(key, code, detail string) {
	o.left = append(o.left, Left{key, code + ": " + detail})
}

// sum adds up the accepted lines of one command from one file.
func (o *Outcome) sum(command edge.Action, file string) (count int, total domain.Decimal) {
	for key, line := range o.lines {
		if o.accepted[key] && line.Command == string(command) && strings.HasPrefix(key, file) {
			count++
			total = total.Add(line.amount)
		}
	}
	return count, total
}

// Figures are control totals read back from the read models.
type Figures struct {
	Headcount map[string]string // by day
	Sales     map[string]string // by month
	SalesAll  string
	Purchases string
}

// The control totals of the files' README.
var (
	headcounts = map[string]string{"2008-01-01": "7", "2009-01-01": "83", "2009-12-31": "229", "2010-12-31": "267", "2013-12-31": "290"}
	months     = map[string]string{
		"2011-05": "567020.9498", "2011-06": "507096.4690", "2011-07": "2292182.8828", "2011-08": "2800576.1723",
		"2011-09": "554791.6082", "2011-10": "5156269.5291", "2011-11": "815313.0152", "2011-12": "1336821.2028",
	}
	orders       = map[string]int{"2011-05": 43, "2011-06": 141, "2011-07": 231, "2011-08": 250, "2011-09": 157, "2011-10": 327, "2011-11": 230, "2011-12": 187}
	salesAll     = "14030071.8292"
	purchasesAll = "62786162.5048"
	payCount     = 314
	payAll       = "5593.3021"
)

// A getter fetches an answer of the read API.
type getter func(ctx context.Context, path string, query url.Values, answer any) error

// Totals reads the control totals back through the API.
func Totals(ctx context.Context, get getter) (Figures, error) {
	f := Figures{Headcount: map[string]string{}, Sales: map[string]string{}}
	for day := range headcounts {
		var report struct {
			Total int `json:"total"`
		}
		if err := get(ctx, "/v1/reports/headcount", url.Values{"valid_at": {day}}, &report); err != nil {
			return f, err
		}
		f.Headcount[day] = fmt.Sprint(report.Total)
	}
	var before domain.Decimal
	for _, month := range slices.Sorted(maps.Keys(months)) {
		period, err := domain.ParsePeriod(month)
		if err != nil {
			return f, err
		}
		until, err := moved(ctx, get, period.Last(), receivables, debit)
		if err != nil {
			return f, err
		}
		f.Sales[month], before = until.Sub(before).String(), until
	}
	f.SalesAll = before.String()
	purchases, err := moved(ctx, get, domain.MustDate("9999-12-31"), payables, credit)
	f.Purchases = purchases.String()
	return f, err
}

type balance struct {
	Account string         `json:"account"`
	Debit   domain.Decimal `json:"debit"`
	Credit  domain.Decimal `json:"credit"`
}

func debit(b balance) domain.Decimal  { return b.Debit }
func credit(b balance) domain.Decimal { return b.Credit }

// moved is what moved on one side of an account up to a day.
func moved(ctx context.Context, get getter, day domain.Date, account string, side func(balance) domain.Decimal) (domain.Decimal, error) {
	var report struct {
		Items []balance `json:"items"`
	}
	if err := get(ctx, "/v1/reports/trial-balance", url.Values{"book": {Book}, "valid_at": {day.String()}}, &report); err != nil {
		return domain.Decimal{}, err
	}
	for _, b := range report.Items {
		if b.Account == account {
			return side(b), nil
		}
	}
	return domain.MustDecimal("0.0000"), nil
}

// A Report is the outcome beside the control totals.
type Report struct {
	Commands int     `json:"commands"`
	Added    int     `json:"added"`
	Known    int     `json:"known"`
	Refused  int     `json:"refused"`
	Seconds  float64 `json:"seconds"` // until every read model had them
	Totals   []Total `json:"control_totals"`
	Left     []Left  `json:"left_aside"`
}

// A Total is one control total.
type Total struct {
	Name     string `json:"name"`
	Expected string `json:"expected"`
	Found    string `json:"found"`
}

// Report sets the outcome beside the control totals.
func (o *Outcome) Report(f Figures, took time.Duration) Report {
	r := Report{
		Commands: len(o.lines), Added: o.added, Known: o.knownTwice, Refused: len(o.left), Seconds: took.Seconds(),
		Left: slices.Concat(o.plan.Left, o.left),
	}
	add := func(name, expected, found string) { r.Totals = append(r.Totals, Total{name, expected, found}) }
	for _, day := range slices.Sorted(maps.Keys(headcounts)) {
		add("head count on "+day, headcounts[day], f.Headcount[day])
	}
	count, sum := o.sum(edge.ChangeCompensation, "hr/")
	add("pay rates", fmt.Sprint(payCount), fmt.Sprint(count))
	add("sum of pay rates", payAll, sum.String())
	for _, month := range slices.Sorted(maps.Keys(months)) {
		add("orders of "+month, fmt.Sprint(orders[month]), fmt.Sprint(o.ordersIn(month)))
		add("total due of "+month, months[month], f.Sales[month])
	}
	add("total due of all orders", salesAll, f.SalesAll)
	add("total due of complete purchase orders", purchasesAll, f.Purchases)
	return r
}

// Agrees reports whether all control totals were found as expected.
func (r Report) Agrees() bool {
	return !slices.ContainsFunc(r.Totals, func(t Total) bool { return t.Expected != t.Found })
}

func (o *Outcome) ordersIn(month string) (count int) {
	for key, line := range o.lines {
		if o.accepted[key] && line.month == month && strings.HasPrefix(key, "sales/") {
			count++
		}
	}
	return count
}

// Print writes the report for people to read.
func (r Report) Print(w io.Writer) error {
	fmt.Fprintf(w, "%d commands: %d added, %d known already, %d refused by rule; %.1f s until every read model had them\n\n",
		r.Commands, r.Added, r.Known, r.Refused, r.Seconds)
	table := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintln(table, "control total\texpected\tfound\t")
	for _, t := range r.Totals {
		mark := "ok"
		if t.Expected != t.Found {
			mark = "DIFFERS"
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", t.Name, t.Expected, t.Found, mark)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	return r.printLeft(w)
}

// printLeft lists every row left aside, by reason and file.
func (r Report) printLeft(w io.Writer) error {
	byReason := make(map[string][]string)
	for _, left := range r.Left {
		byReason[left.Reason] = append(byReason[left.Reason], left.Ref)
	}
	fmt.Fprintf(w, "\nrows left aside or taken without a part of them:\n")
	for _, reason := range slices.SortedFunc(maps.Keys(byReason), func(a, b string) int {
		return cmp.Or(len(byReason[a])-len(byReason[b]), strings.Compare(a, b))
	}) {
		refs := byReason[reason]
		if _, err := fmt.Fprintf(w, "  %d: %s\n      %s\n", len(refs), reason, strings.Join(ranges(refs), "\n      ")); err != nil {
			return err
		}
	}
	return nil
}

// ranges names rows (file:row) a line a file, neighbours as from-to.
func ranges(refs []string) (lines []string) {
	rows := make(map[string][]int)
	for _, ref := range refs {
		file, number, _ := strings.Cut(ref, ":")
		row, _ := strconv.Atoi(number)
		rows[file] = append(rows[file], row)
	}
	for _, file := range slices.Sorted(maps.Keys(rows)) {
		slices.Sort(rows[file])
		lines = append(lines, file+" rows "+runs(rows[file]))
	}
	return lines
}

// runs writes ascending numbers, those in a row as first-last.
func runs(numbers []int) string {
	var parts []string
	for first := 0; first < len(numbers); {
		last := first
		for last+1 < len(numbers) && numbers[last+1] <= numbers[last]+1 {
			last++
		}
		part := strconv.Itoa(numbers[first])
		if last > first {
			part += "-" + strconv.Itoa(numbers[last])
		}
		parts, first = append(parts, part), last+1
	}
	return strings.Join(parts, ", ")
}

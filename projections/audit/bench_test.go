package audit_test

import (
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"daybook.example/domain"
	"daybook.example/domain/book"
	"daybook.example/domain/journal"
	"daybook.example/projections"
	"daybook.example/projections/audit"
	"daybook.example/projections/employee/employeetest"
	"daybook.example/projections/postgres/postgrestest"
)

// BenchmarkRebuild applies as many entries as a rebuild of a year has, in the
// batches of a rebuild.
func BenchmarkRebuild(b *testing.B) {
	c := employeetest.Found(b)
	march := must(domain.ParsePeriod("2025-03"))
	lines := make([]journal.Line, 5)
	for i := range lines {
		amount := domain.NewMoney("10.0000", "EUR")
		lines[i] = journal.Line{LineNo: i + 1, Account: strconv.Itoa(1200 + i), Side: book.Debit, Amount: amount, FunctionalAmount: amount}
	}
	for i := range 10_000 {
		c.Record(journal.Stream("general", march), journal.EntryPosted{
			EntryID: domain.Derive("entry", strconv.Itoa(i)), EntryNo: i + 1, Description: "sale", Lines: lines,
			DocumentDate: domain.MustDate("2025-03-10"), PostingDate: domain.MustDate("2025-03-10"), Source: journal.Source{DocumentNo: strconv.Itoa(i)},
		})
	}
	for b.Loop() {
		pool := postgrestest.New(b)
		require.NoError(b, projections.Prepare(b.Context(), pool, c.LogID, audit.New()))
		writer, err := projections.Claim(b.Context(), pool, audit.New(), projections.Ownership{Owner: "bench"})
		require.NoError(b, err)
		start := time.Now()
		for batch := range slices.Chunk(c.Events, 4096) {
			require.NoError(b, writer.Apply(b.Context(), batch, batch[len(batch)-1].Position))
		}
		b.ReportMetric(float64(len(c.Events))/time.Since(start).Seconds(), "events/s")
		writer.Close()
	}
}

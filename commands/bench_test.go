package commands

import (
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"daybook.example/domain/access"
)

// BenchmarkCommand is a change of pay from the request to the answer, over 64
// people at once. Where its time goes says a profile:
//
//	go test ./commands -run '^$' -bench Command -cpuprofile cpu.out && go tool pprof -top -cum cpu.out
func BenchmarkCommand(b *testing.B) {
	s := newSite(b)
	people := make([]string, 64)
	for i := range people {
		people[i] = s.hired()
	}
	var next atomic.Int64
	b.SetParallelism(32)
	b.ResetTimer()
	b.RunParallel(func(each *testing.PB) {
		for each.Next() {
			n := int(next.Add(1))
			day := time.Date(2024, 2, 16, 0, 0, 0, 0, time.UTC).AddDate(0, 0, n/len(people)).Format(time.DateOnly)
			r := httptest.NewRequest(http.MethodPost, "/v1/employees/"+people[n%len(people)]+"/compensations",
				strings.NewReader(strings.NewReplacer("2024-02-15", day, "6500.00", strconv.Itoa(7000+n)+".00").Replace(raise)))
			r.Header.Set("Content-Type", "application/json")
			r.Header.Set("Idempotency-Key", uuid.NewString())
			r.Header.Set("Authorization", "Bearer "+s.tokens[access.Payroll])
			w := httptest.NewRecorder()
			if s.api.ServeHTTP(w, r); w.Code >= 300 {
				b.Errorf("%d: %s", w.Code, w.Body)
			}
		}
	})
}

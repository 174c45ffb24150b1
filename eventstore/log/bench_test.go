package log

import (
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"

	"github.com/google/uuid"
)

// BenchmarkAppend measures durable appends of one event, about 650 bytes, to
// many streams with an exact expected revision, at 2, 16 and 64 callers.
func BenchmarkAppend(b *testing.B) {
	for _, callers := range []int{2, 16, 64} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			l, err := Open(Options{Dir: b.TempDir()})
			if err != nil {
				b.Fatal(err)
			}
			defer l.Close()
			data := make([]byte, 400)
			for i := range data {
				data[i] = byte('a' + i%26)
			}
			var stream atomic.Int64
			b.SetParallelism(callers / runtime.GOMAXPROCS(0))
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				own := stream.Add(1)
				for revision := int64(-1); pb.Next(); revision++ {
					e := Proposed{ID: uuid.New(), Type: "employee-hired", JSON: true, Data: data, Metadata: data[:150]}
					if _, err := l.Append(b.Context(), Append{Stream: fmt.Sprintf("employee-%d", own), Expected: revision, Events: []Proposed{e}}); err != nil {
						b.Error(err)
						return
					}
				}
			})
		})
	}
}

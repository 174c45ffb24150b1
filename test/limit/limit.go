// Package limit holds what reads foreign input to what one input may cost.
package limit

import (
	"runtime/metrics"
	"syscall"
	"testing"
	"time"
)

const (
	memoryMax = 100 << 20   // bytes allocated for one input, freed or not
	perMiB    = time.Second // of CPU, for each MiB that is begun
)

// Input begins to count what an input of size bytes costs this process, in CPU and
// in memory, and returns what fails the test if that was too much.
func Input(t testing.TB, size int) (check func()) {
	t.Helper()
	cpu, allocated := spent(t), heap()
	return func() {
		t.Helper()
		if used, most := spent(t)-cpu, perMiB*time.Duration(1+size>>20); used > most {
			t.Errorf("an input of %d bytes cost %s of CPU, and may cost %s", size, used, most)
		}
		if used := heap() - allocated; used > memoryMax {
			t.Errorf("an input of %d bytes cost %d bytes of memory, and may cost %d", size, used, memoryMax)
		}
	}
}

func spent(t testing.TB) time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		t.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

func heap() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}

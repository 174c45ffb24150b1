package main

import (
	"bufio"
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// machine names what the figures are of.
func machine() string {
	return fmt.Sprintf("%d cores (%s), %d MiB of memory, %s, %s", runtime.NumCPU(), cmp.Or(field("/proc/cpuinfo", "model name"), runtime.GOARCH),
		kibibytes("/proc/meminfo", "MemTotal")/1024, runtime.GOOS, runtime.Version())
}

// field is the first value of a name in a file of /proc.
func field(file, name string) string {
	f, err := os.Open(file)
	if err != nil {
		return ""
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if key, value, _ := strings.Cut(lines.Text(), ":"); strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

func kibibytes(file, name string) int {
	n, _ := strconv.Atoi(strings.TrimSuffix(field(file, name), " kB"))
	return n
}

// memory is a process's own in MiB: VmRSS now, VmHWM at its peak.
func memory(pid int, name string) int {
	return kibibytes(fmt.Sprintf("/proc/%d/status", pid), name) / 1024
}

const ticksPerSecond = 100 // of /proc; Linux has had no other for user space

// stat are the numbers that /proc has of a process: its parent is 1, what it has
// used 11 and 12, and what its children had that have ended 13 and 14.
func stat(pid int) (numbers [15]int) {
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return numbers
	}
	fields := strings.Fields(string(content[strings.LastIndexByte(string(content), ')')+1:]))
	for i := range numbers {
		numbers[i], _ = strconv.Atoi(fields[i])
	}
	return numbers
}

// cpuOf is what a process has used, to a hundredth of a second.
func cpuOf(pid int) time.Duration {
	s := stat(pid)
	return time.Duration(s[11]+s[12]) * time.Second / ticksPerSecond
}

// cpuBelow is what the processes have used that a process has started, and theirs.
func cpuBelow(pid int) (used time.Duration) {
	all, _ := filepath.Glob("/proc/[0-9]*")
	for _, folder := range all {
		child, _ := strconv.Atoi(filepath.Base(folder))
		if s := stat(child); s[1] == pid {
			used += time.Duration(s[11]+s[12]+s[13]+s[14])*time.Second/ticksPerSecond + cpuBelow(child)
		}
	}
	return used
}

// ownCPU is what this process has used.
func ownCPU() time.Duration {
	var usage syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &usage)
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// times are durations of one thing done often.
type times []time.Duration

func (t times) percentile(p float64) time.Duration {
	if len(t) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(t))
	return sorted[min(int(p*float64(len(sorted))), len(sorted)-1)]
}

func (t times) seconds() (all []float64) {
	for _, one := range t {
		all = append(all, one.Seconds())
	}
	return all
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

func (t times) String() string {
	return fmt.Sprintf("p50 %s, p99 %s", short(t.percentile(0.50)), short(t.percentile(0.99)))
}

func short(d time.Duration) string {
	if d < 10*time.Millisecond {
		return d.Round(10 * time.Microsecond).String()
	}
	return d.Round(100 * time.Microsecond).String()
}

// spread is the median of numbers with their range.
func spread(numbers []float64, format string) string {
	sorted := slices.Sorted(slices.Values(numbers))
	return fmt.Sprintf(format+" ("+format+" to "+format+")", sorted[len(sorted)/2], sorted[0], sorted[len(sorted)-1])
}

// A round is what was measured of one side.
type round struct {
	each times
	wall time.Duration
	cpu  time.Duration
}

func (r round) perSecond() float64 { return float64(len(r.each)) / r.wall.Seconds() }
func (r round) cpuEach() float64   { return float64(r.cpu.Microseconds()) / float64(len(r.each)) }

// drive does one thing after the other from each of some clients, for a while;
// cpu is asked before and after.
func drive(ctx context.Context, clients int, during time.Duration, cpu func() time.Duration, one func(ctx context.Context, client int) error) (round, error) {
	parts, failed := make([]times, clients), atomic.Pointer[error]{}
	var all sync.WaitGroup
	before, began := cpu(), time.Now()
	for client := range clients {
		all.Go(func() {
			for time.Since(began) < during && failed.Load() == nil {
				start := time.Now()
				if err := one(ctx, client); err != nil {
					failed.Store(&err)
					return
				}
				parts[client] = append(parts[client], time.Since(start))
			}
		})
	}
	all.Wait()
	r := round{slices.Concat(parts...), time.Since(began), cpu() - before}
	if err := failed.Load(); err != nil {
		return r, *err
	}
	return r, nil
}

//go:build failpoints

package log

import (
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
)

// failpointVariable names a step, and how often it is passed before the process
// dies there: "commit: written@3".
const failpointVariable = "DAYBOOK_FAILPOINT"

var (
	deadlyStep, passes = armed(os.Getenv(failpointVariable))
	passed             atomic.Int64
)

func armed(text string) (step string, passes int64) {
	step, count, _ := strings.Cut(text, "@")
	passes, _ = strconv.ParseInt(count, 10, 64)
	return step, passes
}

func failpoint(step string) {
	if step == deadlyStep && passed.Add(1) == passes {
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {} // until it is dead
	}
}

package postgres

import (
	"os"
	"strconv"
)

// workingFolder is where a process is.
func workingFolder(pid int) (string, error) {
	return os.Readlink("/proc/" + strconv.Itoa(pid) + "/cwd")
}

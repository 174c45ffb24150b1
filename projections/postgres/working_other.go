//go:build unix && !linux

package postgres

import (
	"errors"
	"os/exec"
	"strconv"
	"strings"
)

// workingFolder is where a process is.
func workingFolder(pid int) (string, error) {
	out, err := exec.Command("lsof", "-a", "-d", "cwd", "-Fn", "-p", strconv.Itoa(pid)).Output()
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(out)) {
		if folder, found := strings.CutPrefix(line, "n"); found {
			return strings.TrimSpace(folder), nil
		}
	}
	return "", errors.New("the process has no working folder")
}

package postgres

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"strconv"
	"syscall"
)

// An account is the system user as whom the server runs: the program's own, but
// an unprivileged one where that is root, for Postgres refuses to be root.
type account struct {
	uid, gid uint32
	other    bool // not the program's own
}

func serverAccount() (account, error) {
	if os.Geteuid() != 0 {
		return account{}, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		found, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err1 := strconv.ParseUint(found.Uid, 10, 32)
		gid, err2 := strconv.ParseUint(found.Gid, 10, 32)
		if err1 == nil && err2 == nil {
			return account{uid: uint32(uid), gid: uint32(gid), other: true}, nil
		}
	}
	return account{}, errors.New("no user to run Postgres as: it refuses to be root, and there is neither a user postgres nor nobody: " +
		"make one (useradd --system postgres), or start the program as another user")
}

// own gives a path to the account.
func (a account) own(path string) error {
	if !a.other {
		return nil
	}
	return os.Chown(path, int(a.uid), int(a.gid))
}

// command runs as the account, in a folder that the account can enter, and in a
// process group of its own: else Ctrl-C would stop the server before the program.
func (a account) command(ctx context.Context, folder, program string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir = folder
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C", "TZ=UTC"} // no PG* variable of the caller's
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if a.other {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: a.uid, Gid: a.gid}
	}
	return cmd
}

// programUser is the name of the system user that the program is.
func programUser() (string, error) {
	self, err := user.Current()
	if err != nil {
		return "", fmt.Errorf("who runs the program: %w", err)
	}
	return self.Username, nil
}

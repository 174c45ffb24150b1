package postgres

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

const (
	database      = "daybook"
	programRole   = "daybook"        // over the unix socket, for the system user that made the cluster
	reportRole    = "daybook_report" // over loopback TCP, schema read only
	systemFolder  = "/var/lib/daybook"
	socketPathMax = 107 // bytes that the address of a unix socket can hold
	socketLongest = "/.s.PGSQL.65535.lock"
)

// A place is the folder of one cluster, with its socket in it, and the account
// whose it is.
type place struct {
	folder  string
	account account
}

// placeOf says where the cluster of a data folder lives: within it; but as root,
// where its account could not enter that, under /var/lib; and where the path is
// too long for a socket, in the user's cache.
func placeOf(dir string) (place, error) {
	real, err := filepath.EvalSymlinks(dir)
	if err == nil {
		real, err = filepath.Abs(real)
	}
	if err != nil {
		return place{}, fmt.Errorf("folder of the data: %w", err)
	}
	as, err := serverAccount()
	if err != nil {
		return place{}, err
	}
	sum := sha256.Sum256([]byte(real))
	short := hex.EncodeToString(sum[:6])
	if as.other {
		return place{filepath.Join(systemFolder, short), as}, nil
	}
	candidates := []string{filepath.Join(real, "postgres")}
	if cache, err := os.UserCacheDir(); err == nil {
		candidates = append(candidates, filepath.Join(cache, "daybook", short))
	}
	for _, folder := range candidates {
		if len(folder+socketLongest) <= socketPathMax {
			return place{folder, as}, nil
		}
	}
	return place{}, fmt.Errorf("%s is too long a path for a socket, and so is that of your cache folder: choose a shorter --dir", real)
}

// make makes the folder, the account's alone.
func (p place) make() error {
	if err := os.MkdirAll(filepath.Dir(p.folder), 0o755); err != nil {
		return fmt.Errorf("folder of the private Postgres: %w", err)
	}
	if p.account.other {
		// Whatever the program's umask is, the account must be able to pass.
		if err := os.Chmod(filepath.Dir(p.folder), 0o711); err != nil {
			return fmt.Errorf("folder of the private Postgres: %w", err)
		}
	}
	if err := os.Mkdir(p.folder, 0o700); err != nil && !os.IsExist(err) {
		return fmt.Errorf("folder of the private Postgres: %w", err)
	}
	return p.account.own(p.folder)
}

func (p place) data() string { return filepath.Join(p.folder, "data") }

func (p place) file(name string) string { return filepath.Join(p.folder, name) }

// major is the version that made the cluster, 0 if there is none.
func (p place) major() int {
	text, err := os.ReadFile(filepath.Join(p.data(), "PG_VERSION"))
	if err != nil {
		return 0
	}
	major, _ := strconv.Atoi(strings.TrimSpace(string(text)))
	return major
}

// socketURL is a database for the program itself.
func (p place) socketURL(port int, database string) string {
	query := url.Values{"host": {p.folder}, "port": {strconv.Itoa(port)}}
	return (&url.URL{Scheme: "postgres", User: url.User(programRole), Path: "/" + database, RawQuery: query.Encode()}).String()
}

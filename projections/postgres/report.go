package postgres

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strconv"
)

// A report is how dashboards reach the cluster. Both parts are kept from start to
// start, so that a dashboard need not be told again.
type report struct {
	Port     int    `json:"port"`
	Password string `json:"password"`
}

func readReport(p place) (r report, err error) {
	text, err := os.ReadFile(p.file("report.json"))
	if errors.Is(err, os.ErrNotExist) {
		return report{}, nil
	}
	if err != nil {
		return report{}, err
	}
	return r, json.Unmarshal(text, &r)
}

// write replaces the file. It is the program's alone: the server need not read it.
func (r report) write(p place) error {
	text, err := json.Marshal(r)
	if err != nil {
		return err
	}
	draft := p.file("report.json.new")
	if err := os.WriteFile(draft, text, 0o600); err != nil {
		return err
	}
	return os.Rename(draft, p.file("report.json"))
}

// url is the database as dashboards see it.
func (r report) url(database string) string {
	return (&url.URL{
		Scheme: "postgres", User: url.UserPassword(reportRole, r.Password), Host: "127.0.0.1:" + strconv.Itoa(r.Port), Path: "/" + database,
	}).String()
}

// free reports whether a loopback port can be listened on.
func free(port int) bool {
	listener, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(port))
	if err != nil {
		return false
	}
	return listener.Close() == nil
}

// pickPort lets the system choose a free port.
func pickPort() (int, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("find a port for reports: %w", err)
	}
	return listener.Addr().(*net.TCPAddr).Port, listener.Close()
}

package main

import (
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strings"

	"daybook.example/eventstore/node"
)

func (d dir) tls() string              { return d.path("tls") }
func (d dir) nodePasswordFile() string { return d.path("node.password") }

// nodeOverTLS tells whether the event store's port asks for users.
func (f flags) nodeOverTLS() bool { return f.nodeTLS || f.nodeTLSCert != "" || f.nodeTLSKey != "" }

func (f flags) checkNode() error {
	switch {
	case (f.nodeTLSCert == "") != (f.nodeTLSKey == ""):
		return hint(errors.New("a certificate needs its key"), "give both --node-tls-cert and --node-tls-key")
	case f.nodeOverTLS() && f.nodeAllowWrites:
		return hint(errors.New("--node-allow-writes lets anyone write, over TLS only users do"), "leave one of them out")
	}
	return nil
}

// nodeAccess says in a few words who may do what over the event store's port.
func (f flags) nodeAccess(d dir) string {
	switch {
	case f.nodeAllowWrites:
		return "anyone reads and writes"
	case !f.nodeOverTLS():
		return "reads; writes go through the API"
	}
	if _, err := os.Stat(d.nodePasswordFile()); err != nil {
		return "for users: daybook node users"
	}
	return "for users; the first password of admin and ops is in " + d.nodePasswordFile()
}

// secure gives the node's port TLS, and the log its first users. It returns the
// settings of a client's connection string.
func (e *engine) secure(o *node.Options) (settings string, err error) {
	if !e.flags.nodeOverTLS() {
		return "tls=false", nil
	}
	settings = "tls=true"
	files := node.Certificates{Cert: e.flags.nodeTLSCert, Key: e.flags.nodeTLSKey}
	if files.Cert == "" {
		if files, err = node.SelfSigned(e.dir.tls(), hostsOf(e.flags.nodeListen)...); err != nil {
			return "", fmt.Errorf("make the event store's certificate: %w", err)
		}
		settings += "&tlsCaFile=" + url.QueryEscape(files.Authority)
	}
	pair, err := tls.LoadX509KeyPair(files.Cert, files.Key)
	if err != nil {
		return "", hint(fmt.Errorf("read the event store's certificate: %w", err), "--node-tls-cert and --node-tls-key name PEM files that belong together")
	}
	o.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
	if e.log.Stream(node.UsersStream).Head < 0 {
		o.Password, err = e.firstPassword()
	}
	return settings, err
}

// hostsOf are the names under which a machine is called that listens there.
func hostsOf(listen string) []string {
	hosts := []string{"localhost", "127.0.0.1", "::1"}
	if name, err := os.Hostname(); err == nil {
		hosts = append(hosts, name)
	}
	host, _, err := net.SplitHostPort(listen)
	if ip := net.ParseIP(host); err == nil && host != "" && (ip == nil || !ip.IsUnspecified()) {
		hosts = append(hosts, host)
	}
	return hosts
}

// firstPassword is that of the users that every event store has, on file before
// they are: a crash between loses nothing.
func (e *engine) firstPassword() (string, error) {
	file := e.dir.nodePasswordFile()
	content, err := os.ReadFile(file)
	if password := strings.TrimSpace(string(content)); err == nil && password != "" {
		return password, nil
	}
	password := rand.Text()
	return password, writeSecret(file, password+"\n")
}

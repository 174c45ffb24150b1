package main

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"daybook.example/projections"
)

// withServer runs work against the server of an existing folder: the one that is
// running, or one of its own, which nobody else finds and which it stops
// afterwards.
func (m *Main) withServer(ctx context.Context, work func(context.Context, *client) error) error {
	d, err := m.existingDir()
	if err != nil {
		return err
	}
	return m.withServerOf(ctx, d, work)
}

// existingDir is --dir, unless nothing was ever recorded there: a question must
// not make a company.
func (m *Main) existingDir() (dir, error) {
	d, err := findDir(m.flags.dir)
	if err != nil {
		return "", err
	}
	if !d.begun() {
		return "", hint(fmt.Errorf("%s holds nothing of Daybook", d), "name its folder with --dir; daybook serve makes a new one")
	}
	return d, d.check()
}

func (m *Main) withServerOf(ctx context.Context, d dir, work func(context.Context, *client) error) error {
	if a, ok := d.running(); ok {
		api, err := m.clientOf(d, a.HTTP)
		if err != nil {
			return err
		}
		return work(ctx, api)
	}
	m.flags.keepToThemselves()
	r := roles{node: true, api: true, projections: true} // a question must not set processes to work
	if d.locked() {
		r = roles{api: true} // beside the process that carries the node
	}
	h, err := m.open(ctx, d, r)
	if err != nil {
		return err
	}
	return cmp.Or(m.workIn(ctx, h, work), h.close())
}

func (m *Main) workIn(ctx context.Context, h *house, work func(context.Context, *client) error) error {
	if err := h.begin(ctx); err != nil {
		return err
	}
	if err := h.start(ctx); err != nil {
		return err
	}
	// What is halted or paused is a thing to look at, and to act on.
	if err := h.caughtUp(ctx); err != nil && !errors.Is(err, projections.ErrHalted) && !errors.Is(err, projections.ErrPaused) {
		return err
	}
	api := &client{base: h.server.URL(), token: m.flags.token}
	if api.token == "" {
		var err error
		if api.token, err = h.ownToken(ctx); err != nil {
			return err
		}
	}
	return work(ctx, api)
}

func (m *Main) clientOf(d dir, base string) (*client, error) {
	token := m.flags.token
	if token == "" {
		var err error
		if token, err = d.operatorToken(); err != nil {
			return nil, err
		}
	}
	api := &client{base: base, token: token}
	if strings.HasPrefix(base, "https:") && m.flags.tlsCert != "" {
		config, err := trusting(m.flags.tlsCert)
		if err != nil {
			return nil, err
		}
		api.http.Transport = &http.Transport{TLSClientConfig: config, ForceAttemptHTTP2: true}
	}
	return api, nil
}

// trusting trusts one certificate, by whatever address its server is reached.
func trusting(file string) (*tls.Config, error) {
	content, err := os.ReadFile(file)
	if err != nil {
		return nil, hint(err, "--tls-cert names the PEM file that the server was started with")
	}
	block, _ := pem.Decode(content)
	if block == nil {
		return nil, hint(fmt.Errorf("%s is no PEM file", file), "--tls-cert names the PEM file that the server was started with")
	}
	// The usual check asks who signed for which host; this one asks for the very
	// certificate, which says more.
	return &tls.Config{MinVersion: tls.VersionTLS13, InsecureSkipVerify: true, VerifyConnection: func(made tls.ConnectionState) error {
		if !bytes.Equal(made.PeerCertificates[0].Raw, block.Bytes) {
			return hint(errors.New("the server shows another certificate"), "name its own with --tls-cert")
		}
		return nil
	}}, nil
}

// list prints a paged list as a table of the named columns, or as JSON lines.
func (m *Main) list(ctx context.Context, api *client, path string, query url.Values, limit int, columns []string) error {
	table := tabwriter.NewWriter(m.Stdout, 0, 4, 2, ' ', 0)
	if m.flags.output == "table" {
		fmt.Fprintln(table, strings.ToUpper(strings.Join(columns, "\t")))
	}
	printed := 0
	err := api.pages(ctx, path, query, func(item json.RawMessage) error {
		if printed == limit {
			return io.EOF
		}
		printed++
		return m.row(table, item, columns)
	})
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	return table.Flush()
}

func (m *Main) row(w io.Writer, item json.RawMessage, columns []string) error {
	if m.flags.output == "json" {
		_, err := fmt.Fprintf(m.Stdout, "%s\n", item)
		return err
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(item, &fields); err != nil {
		return err
	}
	cells := make([]string, len(columns))
	for i, column := range columns {
		if cells[i] = cell(fields[column]); column == "changes" {
			cells[i] = changes(fields[column])
		}
	}
	_, err := fmt.Fprintln(w, strings.Join(cells, "\t"))
	return err
}

// cell is a JSON value as a table shows it.
func cell(value json.RawMessage) string {
	var text string
	switch {
	case len(value) == 0 || string(value) == "null":
		return "-"
	case json.Unmarshal(value, &text) == nil:
		return text
	}
	return string(value)
}

// changes are old and new values per field, as a table shows them.
func changes(value json.RawMessage) string {
	var fields []struct {
		Path     string
		Old, New json.RawMessage
	}
	if json.Unmarshal(value, &fields) != nil {
		return cell(value)
	}
	texts := make([]string, len(fields))
	for i, f := range fields {
		texts[i] = f.Path + ": " + cell(f.Old) + " -> " + cell(f.New)
	}
	return strings.Join(texts, "; ")
}

func (m *Main) version() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version", Args: none,
		RunE: func(*cobra.Command, []string) error {
			if m.flags.output == "json" {
				return json.NewEncoder(m.Stdout).Encode(map[string]string{"version": version})
			}
			_, err := fmt.Fprintln(m.Stdout, "daybook", version)
			return err
		},
	}
}

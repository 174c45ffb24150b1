package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// A client talks to the HTTP API of a running server.
type client struct {
	base  string // http://host:port
	token string
	http  http.Client
}

// A problem is an error answer of the API (RFC 9457).
type problem struct {
	Status int    `json:"status"`
	Code   string `json:"code"`
	Title  string `json:"title"`
	Detail string `json:"detail"`
	Field  string `json:"field"`
}

func (p problem) Error() string {
	text := p.Detail
	if text == "" {
		text = p.Title
	}
	if p.Code != "" {
		text = p.Code + ": " + text
	}
	return text
}

// isUnauthorized reports whether an answer refused the token.
func isUnauthorized(err error) bool {
	var p problem
	return errors.As(err, &p) && p.Status == http.StatusUnauthorized
}

// get fetches path with a query and decodes the answer into answer.
func (c *client) get(ctx context.Context, path string, query url.Values, answer any) error {
	if len(query) > 0 {
		path += "?" + query.Encode()
	}
	body, err := c.send(ctx, http.MethodGet, path, nil, "")
	if err != nil {
		return err
	}
	defer body.Close()
	return json.NewDecoder(body).Decode(answer)
}

// post sends a body as JSON.
func (c *client) post(ctx context.Context, path string, payload, answer any) error {
	content, err := json.Marshal(payload)
	if err != nil {
		return err
	}
	body, err := c.send(ctx, http.MethodPost, path, bytes.NewReader(content), "application/json")
	if err != nil {
		return err
	}
	defer body.Close()
	return json.NewDecoder(body).Decode(answer)
}

// send makes one request; an answer of 400 or more is a problem. The caller
// closes the body.
func (c *client) send(ctx context.Context, method, path string, payload io.Reader, contentType string) (io.ReadCloser, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, payload)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+c.token)
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, unanswered(err)
	}
	if resp.StatusCode < http.StatusBadRequest {
		return resp.Body, nil
	}
	defer resp.Body.Close()
	p := problem{Status: resp.StatusCode, Title: resp.Status}
	_ = json.NewDecoder(io.LimitReader(resp.Body, 1<<20)).Decode(&p) // what is no problem document keeps its status
	if resp.StatusCode == http.StatusUnauthorized {
		return nil, hint(p, "give a valid token with --token or DAYBOOK_TOKEN; daybook token issue makes one")
	}
	return nil, p
}

// unanswered adds the way out where a request got no answer.
func unanswered(err error) error {
	var untrusted *tls.CertificateVerificationError
	if errors.As(err, &untrusted) {
		return hint(err, "name the server's certificate with --tls-cert (DAYBOOK_TLS_CERT)")
	}
	return hint(err, "is the server still running?")
}

// pages walks a paged list, item by item, until it ends or visit stops it.
func (c *client) pages(ctx context.Context, path string, query url.Values, visit func(json.RawMessage) error) error {
	for {
		var page struct {
			Items []json.RawMessage `json:"items"`
			Next  string            `json:"next"`
		}
		if err := c.get(ctx, path, query, &page); err != nil {
			return err
		}
		for _, item := range page.Items {
			if err := visit(item); err != nil {
				return err
			}
		}
		if page.Next == "" {
			return nil
		}
		query.Set("cursor", page.Next)
	}
}

// follow reads a text/event-stream and hands over the data of each event, until
// ctx ends or the stream does.
func (c *client) follow(ctx context.Context, path string, query url.Values, visit func(data []byte) error) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.base+path+"?"+query.Encode(), nil)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+c.token)
	req.Header.Set("Accept", "text/event-stream")
	resp, err := c.http.Do(req)
	if err != nil {
		return unanswered(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		p := problem{Status: resp.StatusCode, Title: resp.Status}
		_ = json.NewDecoder(io.LimitReader(resp.Body, 1<<20)).Decode(&p)
		return p
	}
	lines := bufio.NewReader(resp.Body)
	for {
		line, err := lines.ReadString('\n')
		if ctx.Err() != nil {
			return nil
		}
		if errors.Is(err, io.EOF) {
			return hint(errors.New("the server has ended the stream"), "go on later with --from and the last position printed")
		}
		if err != nil {
			return fmt.Errorf("read the event stream: %w", err)
		}
		if data, ok := strings.CutPrefix(line, "data:"); ok {
			if err := visit([]byte(strings.TrimSpace(data))); err != nil {
				return err
			}
		}
	}
}

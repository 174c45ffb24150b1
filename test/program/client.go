package program

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Client talks to the API under one token.
type Client struct {
	Base  string
	Token string
	HTTP  *http.Client
}

// Client talks to the process as its admin.
func (p *Process) Client() *Client {
	return &Client{Base: p.HTTP, Token: p.Token, HTTP: &http.Client{
		Timeout:   60 * time.Second,
		Transport: &http.Transport{MaxIdleConnsPerHost: 128},
	}}
}

// As is the same client under another token.
func (c *Client) As(token string) *Client { return &Client{c.Base, token, c.HTTP} }

// Answer is any answer of the API.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
}

// Position is the place in the log that the answer names.
func (a Answer) Position() string { return a.Header.Get("Daybook-Position") }

// Into decodes the body of an answer that is no problem.
func (a Answer) Into(value any) error {
	if a.Status >= http.StatusBadRequest {
		return fmt.Errorf("answered %d: %s", a.Status, a.Body)
	}
	return json.Unmarshal(a.Body, value)
}

// ID is what a command made or changed.
func (a Answer) ID() string {
	var made struct{ ID string }
	_ = json.Unmarshal(a.Body, &made)
	return made.ID
}

// Code is that of a problem, "" where the answer is none.
func (a Answer) Code() string {
	var problem struct{ Code string }
	_ = json.Unmarshal(a.Body, &problem)
	return problem.Code
}

// Header is one header of a request.
type Header struct{ Name, Value string }

// Key is the header that makes a command happen once.
func Key(key string) Header { return Header{"Idempotency-Key", key} }

// Post sends a command. An error says that there was no answer, so that nobody
// knows what became of it.
func (c *Client) Post(ctx context.Context, path string, body any, headers ...Header) (Answer, error) {
	content, err := json.Marshal(body)
	if err != nil {
		return Answer{}, err
	}
	return c.send(ctx, http.MethodPost, path, content, headers)
}

// Get asks a question.
func (c *Client) Get(ctx context.Context, path string, query url.Values) (Answer, error) {
	if len(query) > 0 {
		path += "?" + query.Encode()
	}
	return c.send(ctx, http.MethodGet, path, nil, nil)
}

func (c *Client) send(ctx context.Context, method, path string, content []byte, headers []Header) (Answer, error) {
	request, err := http.NewRequestWithContext(ctx, method, c.Base+path, bytes.NewReader(content))
	if err != nil {
		return Answer{}, err
	}
	request.Header.Set("Authorization", "Bearer "+c.Token)
	if content != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	for _, header := range headers {
		request.Header.Set(header.Name, header.Value)
	}
	response, err := c.HTTP.Do(request)
	if err != nil {
		return Answer{}, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return Answer{response.StatusCode, response.Header, body}, err
}

// Event is an event as the feed shows it.
type Event struct {
	Position string
	Stream   string
	Revision uint64
	ID       string
	Type     string
	Data     json.RawMessage
	Metadata struct {
		CommandID  string `json:"command_id"`
		RecordedAt string `json:"recorded_at"`
	}
}

// Events reads the whole log through the feed, page by page.
func (c *Client) Events(ctx context.Context) (all []Event, err error) {
	query := url.Values{"limit": {"500"}}
	for {
		answer, err := c.Get(ctx, "/v1/events", query)
		if err != nil {
			return nil, err
		}
		var page struct {
			Items []Event
			Next  string
		}
		if err := answer.Into(&page); err != nil {
			return nil, fmt.Errorf("read the feed: %w", err)
		}
		all = append(all, page.Items...)
		if page.Next == "" {
			return all, nil
		}
		query.Set("from", page.Next)
	}
}

// Follow reads the feed as a stream of what is behind a position ("" = all) and
// of all that comes, until ctx ends or the server goes. Visit gets each event
// and may end it with false.
func (c *Client) Follow(ctx context.Context, behind string, visit func(Event) bool) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, c.Base+"/v1/events", nil)
	if err != nil {
		return err
	}
	request.Header.Set("Authorization", "Bearer "+c.Token)
	request.Header.Set("Accept", "text/event-stream")
	if behind != "" {
		request.Header.Set("Last-Event-ID", behind)
	}
	response, err := (&http.Client{Transport: c.HTTP.Transport}).Do(request) // without the time limit of answers
	if err != nil {
		return err
	}
	defer response.Body.Close()
	lines := bufio.NewReader(response.Body)
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			return err
		}
		data, found := strings.CutPrefix(line, "data: ")
		if !found {
			continue
		}
		var event Event
		if err := json.Unmarshal([]byte(data), &event); err != nil {
			return err
		}
		if !visit(event) {
			return nil
		}
	}
}

// Projections say where each read model stands.
type Projections struct {
	Head  string
	Items []struct {
		Name, Phase, State, Position string
		LagBytes                     uint64 `json:"lag_bytes"`
		Failure                      struct{ Code, Reason, Hint string }
	}
}

// CaughtUp waits until every read model has passed the head of the log.
func (c *Client) CaughtUp(ctx context.Context) error {
	for {
		var now Projections
		answer, err := c.Get(ctx, "/v1/projections", nil)
		if err == nil {
			err = answer.Into(&now)
		}
		if err != nil {
			return err
		}
		behind := len(now.Items) == 0
		for _, item := range now.Items {
			if item.Phase == "outside" {
				continue // it may have nobody to run it
			}
			if item.State == "halted" || item.State == "paused" {
				return fmt.Errorf("the read model %s is %s: %s", item.Name, item.State, answer.Body)
			}
			behind = behind || item.LagBytes > 0
		}
		if !behind {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the read models did not catch up: %w: %s", ctx.Err(), answer.Body)
		case <-time.After(lookAt):
		}
	}
}

package migration

import (
	"context"

	"daybook.example/eventstore"
	"daybook.example/eventstore/proof"
)

const (
	pageFirst = 16      // events of the first page, whose size nobody knows yet
	pageMax   = 512     // events
	pageBytes = 4 << 20 // what a page is meant to have, by the size of those before
)

// A cursor goes through a log forwards, and waits at its end for more.
type cursor struct {
	reader eventstore.Reader
	keep   func(eventstore.Recorded) bool // nil: everything
	page   []eventstore.Recorded          // read and not passed yet
	read   eventstore.Position            // of the last event read
	passed eventstore.Position            // of the last one passed
	size   int                            // of the next page
	tree   proof.Tree                     // over what was taken
}

// ahead is what follows, a page at most; nothing at the end of the log.
func (c *cursor) ahead(ctx context.Context) ([]eventstore.Recorded, error) {
	for len(c.page) == 0 {
		if more, err := c.extend(ctx); err != nil || !more {
			return nil, err
		}
	}
	return c.page, nil
}

// extend reads a page more, if the log has one.
func (c *cursor) extend(ctx context.Context) (more bool, err error) {
	page, err := c.fetch(ctx)
	if err != nil || len(page) == 0 {
		return false, err
	}
	c.read = page[len(page)-1].Position
	for _, event := range page {
		if c.keep == nil || c.keep(event) {
			c.page = append(c.page, event)
		}
	}
	if len(c.page) == 0 {
		c.passed = c.read
	}
	return true, nil
}

// peek is the event that follows, none at the end of the log.
func (c *cursor) peek(ctx context.Context) (event eventstore.Recorded, ok bool, err error) {
	page, err := c.ahead(ctx)
	if err != nil || len(page) == 0 {
		return event, false, err
	}
	return page[0], true, nil
}

// take passes the event that follows and makes it a leaf of the tree.
func (c *cursor) take() {
	if event := c.page[0]; proof.Covers(event) {
		c.tree.Add(proof.Leaf(event))
	}
	c.skip()
}

// skip passes the event that follows.
func (c *cursor) skip() {
	c.passed = c.page[0].Position
	c.page[0] = eventstore.Recorded{}
	if c.page = c.page[1:]; len(c.page) == 0 {
		c.page = nil
	}
}

// fetch reads the next page; the event that was read last comes again in front of it.
func (c *cursor) fetch(ctx context.Context) ([]eventstore.Recorded, error) {
	ctx, cancel := context.WithTimeout(ctx, callMax)
	defer cancel()
	if c.size == 0 {
		c.size = pageFirst
	}
	page, err := c.reader.ReadAll(ctx, c.read, eventstore.Forwards, uint64(c.size)+1)
	if err != nil {
		return nil, err
	}
	for len(page) > 0 && !c.read.Less(page[0].Position) {
		page = page[1:]
	}
	c.resize(page)
	return page, nil
}

// resize keeps pages near pageBytes.
func (c *cursor) resize(page []eventstore.Recorded) {
	if len(page) == 0 {
		return
	}
	bytes := 0
	for _, event := range page {
		bytes += size(event)
	}
	mean := bytes/len(page) + 1
	c.size = min(max(pageBytes/mean, 1), 2*c.size, pageMax)
}

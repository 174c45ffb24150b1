package commands

import (
	"cmp"
	"container/list"
)

const cacheEventsDefault = 200_000

// A cache keeps values by stream and drops the least recently used ones when
// they outweigh its limit. Whoever takes a value out owns it until it is put back.
type cache[V any] struct {
	limit, weight int
	recent        *list.List // of *cached[V], the latest first
	places        map[string]*list.Element
}

type cached[V any] struct {
	stream string
	value  *V
	weight int
}

func newCache[V any](limit int) *cache[V] {
	return &cache[V]{limit: cmp.Or(limit, cacheEventsDefault), recent: list.New(), places: map[string]*list.Element{}}
}

// take removes and returns a stream's value, or nil.
func (c *cache[V]) take(stream string) *V {
	place, ok := c.places[stream]
	if !ok {
		return nil
	}
	return c.remove(place).value
}

// put keeps a value, even one above the limit: it is the likeliest to be asked for.
func (c *cache[V]) put(stream string, value *V, weight int) {
	c.take(stream)
	c.places[stream] = c.recent.PushFront(&cached[V]{stream, value, weight})
	c.weight += weight
	for c.weight > c.limit && c.recent.Len() > 1 {
		c.remove(c.recent.Back())
	}
}

func (c *cache[V]) remove(place *list.Element) *cached[V] {
	gone := c.recent.Remove(place).(*cached[V])
	delete(c.places, gone.stream)
	c.weight -= gone.weight
	return gone
}

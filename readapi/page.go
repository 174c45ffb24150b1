package readapi

import (
	"encoding/base64"
	"encoding/json"
	"net/http"

	"github.com/google/uuid"

	"daybook.example/commands/edge"
)

// PageParams are what every list takes.
type PageParams struct {
	Limit  int    `query:"limit" minimum:"1" maximum:"500" default:"50" doc:"Items a page."`
	Cursor string `query:"cursor" maxLength:"2048" doc:"The next of the page before; opaque."`
}

// A Page is a part of a list. Next is absent on the last one.
type Page[T any] struct {
	AsOf
	Items []T    `json:"items"`
	Next  string `json:"next,omitempty" doc:"Give it as cursor for the next page."`
}

// A cursor is the key of the last item that a page showed.
type cursor struct {
	Key string    `json:"k"`
	ID  uuid.UUID `json:"i"`
}

// cursor reads the cursor given; none is the beginning. List names what it must
// come from: the route with its order.
func (p PageParams) cursor(list string) (cursor, error) {
	if p.Cursor == "" {
		return cursor{}, nil
	}
	var stored struct {
		List string    `json:"l"`
		Key  string    `json:"k"`
		ID   uuid.UUID `json:"i"`
	}
	raw, err := base64.RawURLEncoding.DecodeString(p.Cursor)
	if err != nil || json.Unmarshal(raw, &stored) != nil || stored.List != list {
		return cursor{}, edge.NewProblem(http.StatusBadRequest, "cursor-invalid", "this is not the next of a page of this list in this order; begin without a cursor").At("query.cursor")
	}
	return cursor{stored.Key, stored.ID}, nil
}

// next is the cursor behind a key, as the next page's caller gives it.
func (c cursor) next(list string) string {
	raw, err := json.Marshal(map[string]any{"l": list, "k": c.Key, "i": c.ID})
	if err != nil {
		panic(err) // a string and a UUID
	}
	return base64.RawURLEncoding.EncodeToString(raw)
}

// pageOf makes a page of items that were asked for with one more than the limit.
func pageOf[T any](at AsOf, p PageParams, list string, items []T, key func(T) cursor) Page[T] {
	page := Page[T]{AsOf: at, Items: items}
	if len(items) > p.Limit {
		page.Items = items[:p.Limit]
		page.Next = key(items[p.Limit-1]).next(list)
	}
	if page.Items == nil {
		page.Items = []T{}
	}
	return page
}

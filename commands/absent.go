package commands

import (
	"daybook.example/domain/book"
	"daybook.example/domain/journal"
	"daybook.example/domain/orgunit"
	"daybook.example/domain/process"
)

// absent says what is missing in the words of the API, which are not always the
// name of the category, and the way out.
func absent(category string) string {
	switch category {
	case journal.Category:
		return "there is no such period of a book: open the period first"
	case book.Category:
		return "there is no such book: open it first"
	case process.Category:
		return "there is no such instance of a process: GET /v1/processes lists them"
	case orgunit.Category:
		return "there is no such org unit: create it first"
	}
	return "there is no such " + category
}

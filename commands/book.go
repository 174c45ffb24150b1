package commands

import (
	"context"
	"regexp"

	"daybook.example/commands/edge"
	"daybook.example/domain/book"
)

const bookPath = "/v1/books/{book}/"

func (w *writes) bookRoutes() {
	const account = bookPath + "accounts/{account}/"
	add(w, write{path: "/v1/books", action: edge.OpenBook, summary: "Open a book", creating: true, makes: true, located: true}, w.openBook)
	add(w, write{path: bookPath + "accounts", action: edge.OpenAccount, summary: "Add an account to a book", makes: true}, w.openAccount)
	add(w, write{path: account + "names", action: edge.RenameAccount, summary: "Give an account another name"}, w.renameAccount)
	add(w, write{path: account + "blocks", action: edge.BlockAccount, summary: "Keep new entries off an account"}, w.blockAccount)
}

// A book's name is part of stream names: one of another form cannot exist, and
// must not reach another stream.
var bookForm = regexp.MustCompile(`^[a-z0-9]{1,32}$`)

// book is the name in the path.
func (c call) book() (string, error) {
	name := c.at["book"]
	if !bookForm.MatchString(name) {
		return "", misplaced("book", "the name of a book: 1 to 32 lower-case letters and digits")
	}
	return name, nil
}

func (w *writes) openBook(ctx context.Context, c call, body book.Open) (pending, error) {
	if !bookForm.MatchString(body.Book) {
		return nil, w.refusedByBook(body)
	}
	return w.Books.submit(ctx, book.Stream(body.Book), c.Request, body).of(body.Book), nil
}

// refusedByBook lets the domain say what is wrong with a name that no stream
// could have.
func (w *writes) refusedByBook(body book.Open) error {
	_, err := book.Decider.Decide(book.Decider.Initial, body)
	return err
}

func (w *writes) openAccount(ctx context.Context, c call, body book.OpenAccount) (pending, error) {
	return w.changeBook(ctx, c, body, body.Code)
}

func (w *writes) renameAccount(ctx context.Context, c call, body book.RenameAccount) (pending, error) {
	body.Code = c.at["account"]
	return w.changeBook(ctx, c, body, body.Code)
}

func (w *writes) blockAccount(ctx context.Context, c call, body book.BlockAccount) (pending, error) {
	body.Code = c.at["account"]
	return w.changeBook(ctx, c, body, body.Code)
}

func (w *writes) changeBook(ctx context.Context, c call, command book.Command, id string) (pending, error) {
	name, err := c.book()
	if err != nil {
		return nil, err
	}
	return w.Books.submit(ctx, book.Stream(name), c.Request, command).of(id), nil
}

package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/google/uuid"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"daybook.example/cmd/daybook/company"
	"daybook.example/commands"
	"daybook.example/domain"
	"daybook.example/domain/access"
	"daybook.example/domain/book"
	"daybook.example/domain/employee"
	"daybook.example/domain/journal"
	"daybook.example/domain/operation"
	"daybook.example/domain/organisation"
	"daybook.example/domain/orgunit"
	"daybook.example/projections/postgres"
)

const demoSeed = 1

func (m *Main) demo() *cobra.Command {
	return &cobra.Command{
		Use:   "demo",
		Short: "Start everything on embedded defaults with a generated company to look at",
		Long: `Generates a company of 120 people over 30 months, with its books, on a simulated clock, and serves
it as daybook serve would. Without --dir everything is temporary and gone when it stops; with --dir
the same demo goes on at the next start.`,
		Example: "  daybook demo\n  daybook demo --dir ./demo --listen 127.0.0.1:0",
		Args:    none,
		RunE:    func(cmd *cobra.Command, _ []string) error { return m.runDemo(cmd.Context()) },
	}
}

func (m *Main) runDemo(ctx context.Context) (err error) {
	d, err := m.demoDir()
	if err != nil {
		return err
	}
	if m.flags.dir == "" {
		defer func() { err = errors.Join(err, postgres.Remove(string(d)), os.RemoveAll(string(d))) }()
	}
	h, err := m.open(ctx, d, allRoles)
	if err != nil {
		return err
	}
	return cmp.Or(h.showDemo(ctx, m.Stdout), h.close())
}

// demoDir is the folder given by hand, or a temporary one.
func (m *Main) demoDir() (dir, error) {
	if m.flags.dir != "" {
		return openDir(m.flags.dir)
	}
	folder, err := os.MkdirTemp("", "daybook-demo-")
	return dir(folder), err
}

func (h *house) showDemo(ctx context.Context, out io.Writer) error {
	if err := h.demoOnly(ctx); err != nil {
		return err
	}
	if err := h.nameLog(ctx); err != nil {
		return err
	}
	if err := h.generateBeside(ctx, out); err != nil {
		return err
	}
	if err := h.openDoors(ctx); err != nil {
		return err
	}
	if err := h.caughtUp(ctx); err != nil {
		return err
	}
	if err := h.writeDown(); err != nil {
		return err
	}
	h.announce(out)
	h.tryNext(out)
	return h.wait(ctx)
}

// generateBeside makes the company while the database starts.
func (h *house) generateBeside(ctx context.Context, out io.Writer) error {
	fmt.Fprintf(out, "making a company of %d people over %d months ...\n", company.People, company.Months)
	both, working := errgroup.WithContext(ctx)
	both.Go(func() error { return h.generate(working) })
	both.Go(func() error { return h.prepare(working) })
	if err := both.Wait(); ctx.Err() == nil {
		return err
	}
	return ctx.Err() // whatever was cut off
}

// demoOnly says in the log's first event that it is a demo, and refuses any
// other log.
func (h *house) demoOnly(ctx context.Context) error {
	state, _, _, err := h.handlers.Operations.State(ctx, operation.Stream)
	if err != nil {
		return err
	}
	if _, is := state.Demo(); is {
		return nil
	}
	empty, err := h.empty(ctx)
	if err != nil {
		return err
	}
	if !empty {
		return hint(fmt.Errorf("%s holds a log that is no demo", h.dir), "name another folder with --dir, or none for a temporary one")
	}
	from, to := company.Span()
	h.clock.set(from.Time())
	command := company.Command("demo")
	_, err = h.handlers.Operations.Handle(ctx, operation.Stream, h.asDemo(command, system, domain.Service), operation.StartDemo{Seed: demoSeed, From: from, To: to})
	return err
}

// asDemo is the request of a step: its command ID and MAC come from the story
// alone, so that an interrupted generation goes on where it stopped.
func (h *house) asDemo(command uuid.UUID, actor string, kind domain.ActorKind) commands.Request {
	return commands.Request{
		CommandID: command, RequestMAC: strings.Repeat("0", 64), CorrelationID: command, CausationID: command,
		Principal: actor, Kind: kind, Creating: true,
	}
}

// generate carries the story out on the simulated clock, and issues a token a role.
func (h *house) generate(ctx context.Context) error {
	if _, err := os.Stat(h.dir.tokensFile()); err != nil {
		run := storyteller{house: h, events: map[string]uuid.UUID{}}
		for _, step := range company.Steps(demoSeed) {
			h.clock.set(step.At)
			if err := run.carryOut(ctx, step); err != nil {
				return fmt.Errorf("step %s of the demo: %w", step.Key, err)
			}
		}
	}
	h.clock.realTime()
	return h.demoTokens(ctx)
}

// demoTokens writes a token for each role; they open on loopback only.
func (h *house) demoTokens(ctx context.Context) error {
	tokens := make(map[string]string, len(access.Roles))
	for _, role := range access.Roles {
		with := access.Issue{Role: role, Principal: "demo-" + string(role), LoopbackOnly: true}
		if role == access.Employee {
			with.EmployeeID = company.ID("hire-010")
		}
		token, err := h.issue(ctx, with, tokenLife)
		if err != nil {
			return err
		}
		tokens[string(role)] = token
	}
	return h.dir.writeJSON(h.dir.tokensFile(), tokens)
}

// A storyteller carries out the steps of the demo's company.
type storyteller struct {
	*house
	events map[string]uuid.UUID
}

// Event finds what an earlier step recorded.
func (s *storyteller) Event(key, eventType string) uuid.UUID { return s.events[key+" "+eventType] }

func (s *storyteller) carryOut(ctx context.Context, step company.Step) error {
	request := s.asDemo(company.Command(step.Key), step.Actor, domain.User)
	answer, err := s.send(ctx, step, request)
	for _, event := range answer.Events {
		s.events[step.Key+" "+event.Type] = event.ID
	}
	return err
}

func (s *storyteller) send(ctx context.Context, step company.Step, r commands.Request) (commands.Answer, error) {
	h, today := s.handlers, domain.DateOf(step.At)
	switch cmd := step.Make(s).(type) {
	case employee.Command:
		self, err := uuid.Parse(step.Target)
		if err != nil {
			return commands.Answer{}, err
		}
		return h.Employees.Handle(ctx, employee.Stream(self), r, cmd.With(employee.Context{Self: self, Subject: domain.SubjectID(r.CommandID), Today: today}))
	case orgunit.Command:
		self, err := uuid.Parse(step.Target)
		if err != nil {
			return commands.Answer{}, err
		}
		return h.OrgUnits.Handle(ctx, orgunit.Stream(self), r, cmd.With(orgunit.Context{Self: self, Today: today}))
	case organisation.AddLegalEntity:
		cmd.ID = domain.EntityID(r.CommandID)
		return h.Organisation.Handle(ctx, organisation.Stream, r, cmd)
	case organisation.AddLocation:
		cmd.ID = domain.EntityID(r.CommandID)
		return h.Organisation.Handle(ctx, organisation.Stream, r, cmd)
	case organisation.Command:
		return h.Organisation.Handle(ctx, organisation.Stream, r, cmd)
	case book.Command:
		return h.Books.Handle(ctx, book.Stream(step.Target), r, cmd)
	default:
		return s.post(ctx, step, r, cmd)
	}
}

// post carries out a step in a period of the book.
func (s *storyteller) post(ctx context.Context, step company.Step, r commands.Request, command any) (commands.Answer, error) {
	name, month, _ := strings.Cut(step.Target, "/")
	period, err := domain.ParsePeriod(month)
	if err != nil {
		return commands.Answer{}, err
	}
	of, _, _, err := s.handlers.Books.State(ctx, book.Stream(name))
	if err != nil {
		return commands.Answer{}, err
	}
	stream := journal.Stream(name, period)
	switch cmd := command.(type) {
	case journal.OpenPeriod:
		cmd.Book = of
		return s.handlers.Journals.Handle(ctx, stream, r, cmd)
	case journal.PostEntry:
		cmd.Book, cmd.EntryID = of, domain.EntityID(r.CommandID)
		return s.handlers.Journals.Handle(ctx, stream, r, cmd)
	case company.Reversal:
		cmd.Command.EntryID = domain.EntityID(r.CommandID)
		if cmd.Command.Original, err = s.handlers.Entry(ctx, stream, cmd.Entry); err != nil {
			return commands.Answer{}, err
		}
		return s.handlers.Journals.Handle(ctx, stream, r, cmd.Command)
	case journal.Command:
		return s.handlers.Journals.Handle(ctx, stream, r, cmd)
	}
	return commands.Answer{}, fmt.Errorf("no part of the story: %T", command)
}

// caughtUp waits until the read models have the whole story; in a process without
// projectors it waits for nobody.
func (h *house) caughtUp(ctx context.Context) error {
	if h.projectors == nil {
		return nil
	}
	head, err := h.store.Head(ctx)
	if err != nil {
		return err
	}
	if h.projectors == nil { // another process has the role
		return nil
	}
	return h.projectors.WaitFor(ctx, head)
}

// tryNext prints five lines that work as they stand.
func (h *house) tryNext(w io.Writer) {
	base := h.server.URL()
	self := os.Args[0] // as it was called, so that the lines work from the same place
	someone := company.ID("hire-009").String()
	fmt.Fprintf(w, "\nTokens of all roles are in %s. Try next:\n", h.dir.tokensFile())
	for _, line := range []string{
		fmt.Sprintf(`curl -s -H "Authorization: Bearer $(sed -n 's/.*"hr": "\(.*\)".*/\1/p' %s)" '%s/v1/employees?limit=3'`, h.dir.tokensFile(), base),
		fmt.Sprintf(`curl -s -H "Authorization: Bearer $(sed -n 's/.*"auditor": "\(.*\)".*/\1/p' %s)" '%s/v1/reports/headcount?valid_at=2024-07-01&known_at=2024-06-30T12:00:00Z'`, h.dir.tokensFile(), base),
		fmt.Sprintf("%s audit history %s --dir %s", self, someone, h.dir),
		fmt.Sprintf("%s audit log --actor finance-desk --limit 5 --dir %s", self, h.dir),
		fmt.Sprintf("%s events read --category journal --limit 3 --dir %s", self, h.dir),
	} {
		fmt.Fprintf(w, "  %s\n", line)
	}
}

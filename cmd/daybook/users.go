package main

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"

	"github.com/google/uuid"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"daybook.example/eventstore"
	"daybook.example/eventstore/node"
)

const (
	nodePasswordMin = 12
	usersMax        = 10_000 // that are listed
)

func (m *Main) nodeUsers() *cobra.Command {
	cmd := group("users", "Manage who may use the event store's port, where it is served over TLS",
		m.usersList(), m.usersAdd(), m.usersPassword(), m.usersDisable(true), m.usersDisable(false))
	cmd.Long = `With --node-tls the embedded event store's port is open to EventStoreDB clients that give the name and
the password of a user. What a user may do with a stream its access list says ($acl in its metadata);
without one everybody may do everything with ordinary streams, and only the group $admins with those
whose names begin with $. The group $ops manages persistent subscriptions.

The first users are admin and ops; the password of both is in DIR/node.password at first.
Changes count from the next call on. They need no token: who can read the folder is its operator.`
	return cmd
}

func (m *Main) usersList() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the users, without their passwords", Args: none,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return m.withUsers(cmd.Context(), m.printUsers)
		},
	}
}

func (m *Main) usersAdd() *cobra.Command {
	var groups []string
	cmd := &cobra.Command{
		Use: "add LOGIN", Short: "Add a user; the password is asked for, or read from standard input", Args: one("login"),
		Example: "  daybook node users add reporting\n  pass show daybook | daybook node users add operator --group '$ops'",
		RunE: func(cmd *cobra.Command, args []string) error {
			return m.withUsers(cmd.Context(), func(ctx context.Context, u users) error {
				added := node.User{Login: args[0], Groups: groups}
				if _, err := added.Encode(); err != nil {
					return err
				}
				if _, _, err := u.find(ctx, added.Login); !errors.Is(err, errNoUser) {
					return cmp.Or(err, hint(fmt.Errorf("there is a user %s already", added.Login), "daybook node users password sets another password"))
				}
				if err := m.ask(&added); err != nil {
					return err
				}
				return u.add(ctx, added)
			})
		},
	}
	cmd.Flags().StringSliceVar(&groups, "group", nil, "groups of the user: $admins, $ops, or names that access lists use")
	return cmd
}

func (m *Main) usersPassword() *cobra.Command {
	return &cobra.Command{
		Use: "password LOGIN", Short: "Set another password, asked for or read from standard input", Args: one("login"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return m.withUsers(cmd.Context(), func(ctx context.Context, u users) error {
				return u.change(ctx, args[0], m.ask)
			})
		},
	}
}

func (m *Main) usersDisable(disabled bool) *cobra.Command {
	use, short := "enable LOGIN", "Let a user in again"
	if disabled {
		use, short = "disable LOGIN", "Let a user in no more"
	}
	return &cobra.Command{
		Use: use, Short: short, Args: one("login"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return m.withUsers(cmd.Context(), func(ctx context.Context, u users) error {
				return u.change(ctx, args[0], func(user *node.User) error { user.Disabled = disabled; return nil })
			})
		},
	}
}

// users are those of the embedded event store. They are events in its log.
type users struct{ store *eventstore.Client }

var errNoUser = errors.New("no such user")

// withUsers reaches the event store of the folder through its socket, be it that
// of another process.
func (m *Main) withUsers(ctx context.Context, work func(context.Context, users) error) (err error) {
	if m.flags.eventstore != "" {
		return hint(errors.New("the users are those of the event store that --eventstore names"), "use the tools of that one; these are for the embedded node")
	}
	d, err := m.existingDir()
	if err != nil {
		return err
	}
	m.flags.keepToThemselves()
	e, err := m.openEngine(ctx, d, !d.locked())
	if err != nil {
		return err
	}
	defer func() { err = cmp.Or(err, e.close()) }()
	return work(ctx, users{e.store})
}

// find returns a user and the revision of the event that says how it is.
func (u users) find(ctx context.Context, login string) (user node.User, at eventstore.Revision, err error) {
	last, err := u.store.ReadStream(ctx, node.UserStream(login), eventstore.EndRevision, eventstore.Backwards, 1)
	if errors.Is(err, eventstore.ErrStreamNotFound) || err == nil && len(last) == 0 {
		return user, 0, hint(fmt.Errorf("%w: %s", errNoUser, login), "daybook node users list shows them")
	}
	if err != nil {
		return user, 0, err
	}
	return user, last[0].Revision, json.Unmarshal(last[0].Data, &user)
}

func (u users) add(ctx context.Context, user node.User) error {
	data, err := user.Encode()
	if err != nil {
		return err
	}
	if err := u.append(ctx, node.UserStream(user.Login), eventstore.NoStream, node.UserCreated, data); err != nil {
		return err
	}
	return u.append(ctx, node.UsersStream, eventstore.Any, node.UserListed, user.Listing())
}

func (u users) change(ctx context.Context, login string, change func(*node.User) error) error {
	user, at, err := u.find(ctx, login)
	if err != nil {
		return err
	}
	if err := change(&user); err != nil {
		return err
	}
	data, err := user.Encode()
	if err != nil {
		return err
	}
	return u.append(ctx, node.UserStream(login), eventstore.Exactly(at), node.UserUpdated, data)
}

func (u users) append(ctx context.Context, stream string, expected eventstore.ExpectedRevision, kind string, data []byte) error {
	_, err := u.store.Append(ctx, stream, expected, []eventstore.Proposed{{ID: uuid.New(), Type: kind, Data: data}})
	return err
}

func (m *Main) printUsers(ctx context.Context, u users) error {
	listed, err := u.store.ReadStream(ctx, node.UsersStream, 0, eventstore.Forwards, usersMax)
	if errors.Is(err, eventstore.ErrStreamNotFound) {
		return hint(errors.New("the event store has no users yet"), "the first start with --node-tls makes admin and ops")
	}
	if err != nil {
		return err
	}
	table := tabwriter.NewWriter(m.Stdout, 0, 4, 2, ' ', 0)
	if m.flags.output == "table" {
		fmt.Fprintln(table, "LOGIN\tGROUPS\tDISABLED")
	}
	for _, entry := range listed {
		var login string
		if err := json.Unmarshal(entry.Data, &login); err != nil {
			return err
		}
		user, _, err := u.find(ctx, login)
		if err != nil {
			return err
		}
		if m.flags.output == "json" {
			err = json.NewEncoder(m.Stdout).Encode(map[string]any{"login": user.Login, "groups": append([]string{}, user.Groups...), "disabled": user.Disabled})
		} else {
			_, err = fmt.Fprintf(table, "%s\t%s\t%t\n", user.Login, cmp.Or(strings.Join(user.Groups, ","), "-"), user.Disabled)
		}
		if err != nil {
			return err
		}
	}
	return table.Flush()
}

// ask sets the user's password to what is typed, twice, or piped in.
func (m *Main) ask(user *node.User) error {
	text, err := m.readPassword(user.Login)
	if err != nil {
		return err
	}
	if len(text) < nodePasswordMin {
		return fmt.Errorf("a password has at least %d characters", nodePasswordMin)
	}
	user.Password, err = node.NewPassword(text)
	return err
}

func (m *Main) readPassword(login string) (string, error) {
	terminal := int(os.Stdin.Fd())
	if !term.IsTerminal(terminal) {
		line, err := bufio.NewReader(os.Stdin).ReadString('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return "", err
		}
		return strings.TrimRight(line, "\r\n"), nil
	}
	var typed [2]string
	for i, prompt := range []string{"Password of " + login + ": ", "Once more: "} {
		fmt.Fprint(m.Stderr, prompt)
		text, err := term.ReadPassword(terminal)
		fmt.Fprintln(m.Stderr)
		if err != nil {
			return "", err
		}
		typed[i] = string(text)
	}
	if typed[0] != typed[1] {
		return "", errors.New("the two passwords differ")
	}
	return typed[0], nil
}

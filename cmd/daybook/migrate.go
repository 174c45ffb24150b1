package main

import (
	"cmp"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"daybook.example/eventstore"
	"daybook.example/eventstore/migration"
)

// migrating are the flags of the verb.
type migrating struct {
	from, to  string
	mapFile   string
	cutover   bool
	appendMax int
}

func (m *Main) migrate() *cobra.Command {
	var f migrating
	cmd := &cobra.Command{
		Use: "migrate --from STORE --to STORE", Short: "Copy a whole log to another event store", Args: none,
		Long: `Copies every event of one event store to another, empty one: the same IDs, bytes, revisions and order,
with the metadata of streams, their deletions and their tombstones. Streams that belong to a server
($settings, $users, persistent subscriptions and so on) are left out and listed.

A STORE is an esdb:// address or a folder such as --dir takes: of a running process, or one that lies
still and is carried for the time of the copy. The embedded node takes writes over TCP only with
--node-allow-writes; by its folder it takes them always.

Without --cutover it copies, then follows the source and prints how far behind the copy is, until Ctrl-C.
With --cutover it copies to the source's end, reads both logs once more to verify that they are equal,
gives the copy a name of its own and ends. Stop whoever writes to the source before: what is written
after the cut-over stays behind. On the copy, every read model is rebuilt at the first start.

A run that was stopped anywhere goes on when it is started again in the same way. Keys are not in the log:
take the source's DIR/keys along.`,
		Example: `  daybook migrate --from ./books --to 'esdb://user:password@host:2113' --map positions.txt
  daybook migrate --from ./books --to 'esdb://user:password@host:2113' --map positions.txt --cutover`,
		RunE: func(cmd *cobra.Command, _ []string) error { return m.runMigration(cmd.Context(), f) },
	}
	cmd.Flags().StringVar(&f.from, "from", "", "event store to copy: an esdb:// address or a folder")
	cmd.Flags().StringVar(&f.to, "to", "", "event store that takes the copy, likewise; empty, or begun by an earlier run")
	cmd.Flags().StringVar(&f.mapFile, "map", "", "file for a line per event: position at the source, position at the target, event ID")
	cmd.Flags().BoolVar(&f.cutover, "cutover", false, "end when the copy is complete and verified, and give it a name of its own")
	cmd.Flags().IntVar(&f.appendMax, "append-max", migration.AppendMax, "bytes that the target takes in one append")
	return cmd
}

func (m *Main) runMigration(ctx context.Context, f migrating) error {
	switch {
	case f.from == "" || f.to == "":
		return hint(errors.New("--from and --to are required"), "give each an esdb:// address or a folder")
	case f.from == f.to:
		return wayOutOf(migration.ErrSameLog)
	}
	from, err := m.storeAt(ctx, f.from, false)
	if err != nil {
		return fmt.Errorf("--from: %w", err)
	}
	to, err := m.storeAt(ctx, f.to, true)
	if err != nil {
		return cmp.Or(fmt.Errorf("--to: %w", err), from.close())
	}
	err = m.copyLog(ctx, f, from, to)
	return cmp.Or(err, errors.Join(to.close(), from.close()))
}

// storeAt connects to an event store by its address or by its folder. A folder
// that nobody runs on is carried here, over its socket only.
func (m *Main) storeAt(ctx context.Context, where string, fresh bool) (*engine, error) {
	e := &engine{flags: m.flags, logger: m.logger(), clock: &clock{}, stopping: m.stopping}
	e.flags.nodeListen, e.flags.eventstore = "", ""
	steps := []func(context.Context) error{e.connect}
	if strings.Contains(where, "://") {
		e.flags.eventstore = where
	} else {
		var err error
		if e.dir, err = logFolder(where, fresh); err != nil {
			return nil, err
		}
		if !e.dir.locked() {
			steps = []func(context.Context) error{e.lock, e.openNode, e.connect}
		}
	}
	for _, step := range steps {
		if err := step(ctx); err != nil {
			return nil, cmp.Or(err, e.close())
		}
	}
	return e, nil
}

// logFolder is a folder that holds a log, or a fresh one for it.
func logFolder(path string, fresh bool) (dir, error) {
	if fresh {
		return openDir(path)
	}
	d, err := findDir(path)
	if err != nil {
		return "", err
	}
	if _, err := os.Stat(d.log()); errors.Is(err, fs.ErrNotExist) {
		return "", hint(fmt.Errorf("%s holds no log", d), "name the folder that --dir names, or an esdb:// address")
	}
	return d, d.check()
}

func (m *Main) copyLog(ctx context.Context, f migrating, from, to *engine) error {
	shown := &copyProgress{main: m}
	report, err := migration.Run(ctx, migration.Options{
		From: from.store.ReadOnly(), To: to.store, Map: f.mapFile, AppendMax: f.appendMax, Cutover: f.cutover, Progress: shown.show,
	})
	shown.end()
	if err != nil {
		return wayOutOf(err)
	}
	name := uuid.Nil
	if f.cutover {
		if name, err = to.rename(ctx); err != nil {
			return hint(fmt.Errorf("the copy is complete and verified, but got no name of its own: %w", err), "run the same command again")
		}
	}
	return m.printMigration(report, name)
}

// rename gives the copy a name of its own, if the original has one.
func (e *engine) rename(ctx context.Context) (uuid.UUID, error) {
	named, err := e.logNamed(e.ownLogID())
	if err != nil {
		return uuid.Nil, err
	}
	if err := e.store.RenameLog(ctx, named); err != nil {
		return uuid.Nil, err
	}
	name, err := e.store.LogID(ctx)
	if errors.Is(err, eventstore.ErrStreamNotFound) {
		return uuid.Nil, nil
	}
	return name, err
}

// wayOutOf adds what to do about it to why a log was not copied.
func wayOutOf(err error) error {
	for reason, way := range map[error]string{
		migration.ErrNotEmpty:      "name an empty store with --to; what an earlier run began is gone on with, if nobody else wrote to it",
		migration.ErrForeign:       "stop whoever writes to the target, and begin again with an empty one",
		migration.ErrCutOver:       "use the target as it is, or name an empty one with --to",
		migration.ErrSameLog:       "name two stores; a copy of the files needs no migration",
		migration.ErrTooLarge:      "raise the target's limit (MaxAppendSize of a KurrentDB) and say so with --append-max",
		migration.ErrContent:       "only application/json and application/octet-stream can be kept",
		migration.ErrGap:           "copy the server's files instead: it takes a server of the same kind to keep such a log",
		migration.ErrMap:           "name a file of this migration's own with --map",
		eventstore.ErrAccessDenied: "name the target by its folder, start it with --node-allow-writes, or give a user and password in its address",
	} {
		if errors.Is(err, reason) {
			return hint(err, way)
		}
	}
	return hint(err, "are both stores there? the same command goes on where this one stopped")
}

// printMigration prints what was copied.
func (m *Main) printMigration(r migration.Report, name uuid.UUID) error {
	root, named := "", ""
	if r.Verified {
		root = hex.EncodeToString(r.Root[:])
	}
	if name != uuid.Nil {
		named = name.String()
	}
	if m.flags.output == "json" {
		return json.NewEncoder(m.Stdout).Encode(map[string]any{
			"events": r.Events, "leaves": r.Leaves, "root": root, "verified": r.Verified, "log_id": named,
			"left_out": r.LeftOut, "from": r.From, "to": r.To,
		})
	}
	left := []string{}
	for stream, events := range r.LeftOut {
		left = append(left, fmt.Sprintf("%s (%d)", stream, events))
	}
	slices.Sort(left)
	table := tabwriter.NewWriter(m.Stdout, 0, 4, 2, ' ', 0)
	fmt.Fprintf(table, "copied\t%d events, the last at %s, there at %s\n", r.Events, r.From, r.To)
	if r.Verified {
		fmt.Fprintf(table, "verified\tboth logs were read from their start to their end and are equal\nroot\t%s over %d leaves\n", root, r.Leaves)
	} else {
		fmt.Fprintf(table, "verified\tnot yet: run it with --cutover\n")
	}
	fmt.Fprintf(table, "left out\t%s\n", cmp.Or(strings.Join(left, ", "), "nothing"))
	if named != "" {
		fmt.Fprintf(table, "name\tthe copy is the log %s: read models are built anew on it\n", named)
	}
	if r.Verified {
		fmt.Fprintf(table, "next\ttake the folder keys of the source along: the log is unreadable without it\n")
	}
	return table.Flush()
}

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"text/tabwriter"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"daybook.example/eventstore/log"
)

func (m *Main) node() *cobra.Command {
	return group("node", "Check, inspect, back up and restore the log of the embedded event store",
		m.nodeCheck(), m.nodeInfo(), m.nodeBackup(), m.nodeRestore(), m.nodeUsers())
}

// logFolder is where the log of --dir is; a backup, which is a log as well, can be
// named itself.
func (m *Main) logFolder() (string, error) {
	if m.flags.eventstore != "" {
		return "", hint(errors.New("the log is kept by the event store that --eventstore names"), "use the tools of that one; these are for the embedded node")
	}
	d, err := findDir(m.flags.dir)
	if err != nil {
		return "", err
	}
	if _, err := os.Stat(d.log()); err == nil {
		return d.log(), d.check()
	}
	if segments, _ := filepath.Glob(d.path("*.seg")); len(segments) > 0 {
		return string(d), nil
	}
	return "", hint(fmt.Errorf("%s holds no log", d), "name the folder of a company, or a backup, with --dir")
}

// place is a position of the log as it is written everywhere.
func place(at uint64) string { return fmt.Sprintf("%d/%d", at, at) }

func (m *Main) nodeCheck() *cobra.Command {
	return &cobra.Command{
		Use: "fsck", Short: "Read every byte of the log and say what is damaged, and what is good around it", Args: none,
		Long: `Reads all files of the log: every segment, group, event and checksum, whether the revisions of each
stream follow each other, the mark and the snapshot of the index. Nothing is changed and nothing is left,
and it may run beside a server: what that one appends meanwhile is left to the next check.

For each fault it names the file, the byte in it and the position in the log, what checks before it and
what checks behind it. The exit code is 0 only if all is well.

To repair, restore a backup into an empty folder (daybook node restore). Keep the damaged one: what is good
in it can still be read.`,
		Example: "  daybook node fsck\n  daybook node fsck --dir /backups/books --output json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			dir, err := m.logFolder()
			if err != nil {
				return err
			}
			tell, end := m.bytes("check")
			report, err := log.Check(cmd.Context(), log.CheckOptions{Dir: dir, Progress: tell})
			end()
			if err != nil {
				return err
			}
			if err := m.printCheck(report); err != nil || len(report.Faults) == 0 {
				return err
			}
			return hint(fmt.Errorf("%s has %d faults", dir, len(report.Faults)+report.More),
				"restore a backup into another folder: daybook node restore BACKUP --dir FOLDER")
		},
	}
}

// stretch is a part of the log as it is printed.
type stretch struct {
	From   string `json:"from"`
	To     string `json:"to"`
	Groups int64  `json:"groups"`
	Events int64  `json:"events"`
}

func stretchOf(s *log.Stretch) *stretch {
	if s == nil {
		return nil
	}
	return &stretch{place(s.From), place(s.To), s.Groups, s.Events}
}

func (s *stretch) String() string {
	if s == nil {
		return "-"
	}
	return fmt.Sprintf("%d events, %s to %s", s.Events, s.From, s.To)
}

type fault struct {
	File     string   `json:"file"`
	Offset   int64    `json:"offset"`
	Position string   `json:"position,omitempty"`
	Reason   string   `json:"reason"`
	Missing  int64    `json:"events_missing,omitempty"`
	Before   *stretch `json:"good_before,omitempty"`
	After    *stretch `json:"good_after,omitempty"`
}

func (m *Main) printCheck(r *log.Report) error {
	faults := make([]fault, len(r.Faults))
	for i, f := range r.Faults {
		faults[i] = fault{File: f.File, Offset: f.Offset, Reason: f.Reason, Missing: f.Missing, Before: stretchOf(f.Before), After: stretchOf(f.After)}
		if f.Position > 0 {
			faults[i].Position = place(f.Position)
		}
	}
	if m.flags.output == "json" {
		return json.NewEncoder(m.Stdout).Encode(map[string]any{
			"log_id": r.LogID, "segments": r.Segments, "groups": r.Groups, "events": r.Events, "streams": r.Streams,
			"head": place(r.Head), "end": place(r.End), "faults": faults, "more_faults": r.More, "notes": append([]string{}, r.Notes...),
		})
	}
	fmt.Fprintf(m.Stdout, "log %s: %d segments, %d groups, %d events in %d streams check, up to %s\n",
		r.LogID, r.Segments, r.Groups, r.Events, r.Streams, place(r.End))
	for _, note := range r.Notes {
		fmt.Fprintf(m.Stdout, "note: %s\n", note)
	}
	for _, f := range faults {
		fmt.Fprintf(m.Stdout, "fault: %s at byte %d", f.File, f.Offset)
		if f.Position != "" {
			fmt.Fprintf(m.Stdout, ", position %s", f.Position)
		}
		fmt.Fprintf(m.Stdout, ": %s\n", f.Reason)
		if f.Missing > 0 {
			fmt.Fprintf(m.Stdout, "  missing here: at least %d events, by the revisions of later ones\n", f.Missing)
		}
		if f.Before != nil {
			fmt.Fprintf(m.Stdout, "  good before: %s\n  good after:  %s\n", f.Before, f.After)
		}
	}
	if r.More > 0 {
		fmt.Fprintf(m.Stdout, "and %d more\n", r.More)
	}
	if len(faults) == 0 {
		_, err := fmt.Fprintln(m.Stdout, "all is well")
		return err
	}
	return nil
}

func (m *Main) nodeInfo() *cobra.Command {
	return &cobra.Command{
		Use: "info", Short: "Show the log's ID, size, segments and end", Args: none,
		Long: `Shows what the log's files say of it. It changes nothing and works beside a running server. A check of
every byte is daybook node fsck.`,
		Example: "  daybook node info --output json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			dir, err := m.logFolder()
			if err != nil {
				return err
			}
			tell, end := m.bytes("read the log")
			info, err := log.Inspect(cmd.Context(), dir, tell)
			end()
			if errors.Is(err, fs.ErrNotExist) {
				return hint(fmt.Errorf("%s holds no segment of a log", dir), "name the folder of a company, or a backup, with --dir")
			}
			if err != nil {
				return err
			}
			return m.printInfo(dir, info)
		},
	}
}

func (m *Main) printInfo(dir string, i log.Info) error {
	perEvent := int64(0)
	if i.Events > 0 {
		perEvent = i.Bytes / int64(i.Events)
	}
	segments := make([]map[string]any, len(i.Segments))
	for n, s := range i.Segments {
		segments[n] = map[string]any{"file": s.Name, "size": s.Size, "state": s.State, "events": s.Events, "first": place(s.First), "last": place(s.Last)}
	}
	written, covered := "none", "-"
	if !i.Snapshot.Written.IsZero() {
		written, covered = i.Snapshot.Written.UTC().Format(time.RFC3339), place(i.Snapshot.Covered)
	}
	if m.flags.output == "json" {
		answer := map[string]any{
			"folder": dir, "log_id": i.LogID, "format": i.Format, "events": i.Events, "streams": i.Streams, "head": place(i.Head), "end": place(i.End),
			"bytes": i.Bytes, "bytes_per_event": perEvent, "mark": place(i.Mark), "segments": segments,
		}
		if covered != "-" {
			answer["snapshot"] = map[string]any{"written": written, "covered": covered, "bytes": i.Snapshot.Bytes}
		}
		return json.NewEncoder(m.Stdout).Encode(answer)
	}
	table := tabwriter.NewWriter(m.Stdout, 0, 4, 2, ' ', 0)
	for _, row := range [][2]any{
		{"folder", dir}, {"log", i.LogID}, {"format", i.Format}, {"events", i.Events}, {"streams", i.Streams}, {"head", place(i.Head)}, {"end", place(i.End)},
		{"bytes", i.Bytes}, {"bytes per event", perEvent}, {"durable (mark)", place(i.Mark)}, {"index snapshot", written + ", up to " + covered},
	} {
		fmt.Fprintf(table, "%s\t%v\n", row[0], row[1])
	}
	if err := table.Flush(); err != nil {
		return err
	}
	fmt.Fprintln(table, "\nSEGMENT\tSIZE\tSTATE\tEVENTS\tFIRST\tLAST")
	for _, s := range i.Segments {
		fmt.Fprintf(table, "%s\t%d\t%s\t%d\t%s\t%s\n", s.Name, s.Size, s.State, s.Events, place(s.First), place(s.Last))
	}
	return table.Flush()
}

func (m *Main) nodeBackup() *cobra.Command {
	return &cobra.Command{
		Use: "backup FOLDER", Short: "Copy the log into a folder, also while a server runs; again: what is new only", Args: one("FOLDER"),
		Long: `Copies the log up to its last durable group, checking every byte on the way, and writes backup.json last:
log ID, end, number of events and the SHA-256 of each file. A server may go on appending meanwhile.

A second backup into the same folder copies only what is new; until it is complete, the one before can
still be restored. A backup of another log, or of one that has gone another way since, is refused.

Back up the keys as well (daybook keys backup), and keep them elsewhere: a log without its keys is a
company of erased people, and with them next to it, whoever has the backup can read it.`,
		Example: "  daybook node backup /backups/books\n  daybook keys backup /elsewhere/books.keys",
		RunE:    func(cmd *cobra.Command, args []string) error { return m.backUp(cmd.Context(), args[0]) },
	}
}

func (m *Main) backUp(ctx context.Context, folder string) error {
	dir, err := m.logFolder()
	if err != nil {
		return err
	}
	if folder, err = filepath.Abs(folder); err != nil {
		return err
	}
	tell, end := m.bytes("back up")
	made, copied, err := log.Backup(ctx, log.BackupOptions{Dir: dir, To: folder, Progress: tell})
	end()
	switch {
	case errors.Is(err, log.ErrOtherLog), errors.Is(err, log.ErrDifferent):
		return hint(err, "name another folder: that backup is kept as it is")
	case errors.Is(err, context.Canceled):
		return hint(err, "run it again: what was copied stays")
	case err != nil:
		return err
	}
	if m.flags.output == "json" {
		return json.NewEncoder(m.Stdout).Encode(map[string]any{
			"folder": folder, "log_id": made.LogID, "end": place(made.End), "head": place(made.Head), "events": made.Events, "copied_bytes": copied, "taken_at": made.TakenAt,
		})
	}
	fmt.Fprintf(m.Stdout, "%d events of log %s, up to %s, are in %s (%d bytes copied)\n", made.Events, made.LogID, place(made.Head), folder, copied)
	_, err = fmt.Fprintln(m.Stdout, "The keys are not in it: daybook keys backup FILE, and keep that elsewhere.")
	return err
}

func (m *Main) nodeRestore() *cobra.Command {
	var r restoring
	cmd := &cobra.Command{
		Use: "restore FOLDER", Short: "Make the log of --dir out of a backup", Args: one("FOLDER"),
		Long: `Restores a backup into --dir, where no log may be. Every byte is held against backup.json and the log's
own checksums; the log comes about whole or not at all.

A log restored from a backup is the same log: read models and positions that know more than the backup
does not fit it any more, and daybook serve refuses to go on with them. If there is no newer backup, accept
the loss: with --accept-loss and --reason the log gets a new ID, so that read models are built anew (in a
database of your own, name a new one with --database) and positions of the lost part are refused, and its
first new event is log-restored, with the last event that was saved and the reason.`,
		Example: `  daybook node restore /backups/books --dir ./books
  daybook keys restore /elsewhere/books.keys --dir ./books
  daybook serve --dir ./books
  daybook node restore /backups/books --dir ./books --accept-loss --reason disk-lost`,
		RunE: func(cmd *cobra.Command, args []string) error { return m.restore(cmd.Context(), args[0], r) },
	}
	cmd.Flags().BoolVar(&r.lossy, "accept-loss", false, "make another log of it: what came after the backup is lost")
	cmd.Flags().StringVar(&r.reason, "reason", "", "with --accept-loss: a code for why, such as disk-lost, that is kept for ever")
	cmd.Flags().StringVar(&r.logID, "log-id", "", "refuse the backup of any other log")
	return cmd
}

// A restoring is how a backup is to be restored.
type restoring struct {
	lossy         bool
	reason, logID string
}

func (m *Main) restore(ctx context.Context, folder string, r restoring) error {
	if m.flags.eventstore != "" {
		return hint(errors.New("the log is kept by the event store that --eventstore names"), "use the tools of that one; these are for the embedded node")
	}
	d, err := openDir(m.flags.dir)
	if err != nil {
		return err
	}
	release, err := d.lock()
	if err != nil {
		return err
	}
	defer release()
	o := log.RestoreOptions{From: folder, To: d.log(), Logger: m.logger()}
	if err := m.expect(&o, r); err != nil {
		return err
	}
	tell, end := m.bytes("restore")
	o.Progress = tell
	made, err := log.Restore(ctx, o)
	end()
	switch {
	case errors.Is(err, log.ErrNotEmpty):
		return hint(err, "move the log that is there away, or name another folder with --dir")
	case errors.Is(err, log.ErrNoBackup):
		return hint(err, "name the folder that daybook node backup wrote; one that was interrupted is completed by running it again")
	case errors.Is(err, log.ErrOtherLog):
		return hint(err, "name the backup of that log")
	case errors.Is(err, log.ErrAltered):
		return hint(err, "restore another backup")
	case err != nil:
		return err
	}
	return m.tellRestored(d, o, made)
}

// expect works out which log is to come about.
func (m *Main) expect(o *log.RestoreOptions, r restoring) (err error) {
	if r.logID != "" {
		if o.LogID, err = uuid.Parse(r.logID); err != nil {
			return hint(fmt.Errorf("--log-id is no UUID: %q", r.logID), "daybook node info shows it, and backup.json")
		}
	}
	if r.reason != "" && !r.lossy {
		return hint(errors.New("--reason goes with --accept-loss"), "daybook node restore --help says what that does")
	}
	if !r.lossy {
		return nil
	}
	manifest, err := log.ReadManifest(o.From)
	if err != nil {
		return hint(err, "name the folder that daybook node backup wrote")
	}
	o.NewID = uuid.New()
	o.First, err = lossOnRecord(o.NewID, manifest.LastEventID, r.reason)
	return err
}

func (m *Main) tellRestored(d dir, o log.RestoreOptions, made log.Manifest) error {
	id := made.LogID
	if o.NewID != uuid.Nil {
		id = o.NewID
	}
	if m.flags.output == "json" {
		return json.NewEncoder(m.Stdout).Encode(map[string]any{
			"folder": string(d), "log_id": id, "backup_of": made.LogID, "end": place(made.End), "head": place(made.Head), "events": made.Events, "taken_at": made.TakenAt,
		})
	}
	fmt.Fprintf(m.Stdout, "%s holds log %s again as of %s: %d events, up to %s\n", d, id, made.TakenAt.Format(time.RFC3339), made.Events, place(made.Head))
	if o.NewID != uuid.Nil {
		fmt.Fprintf(m.Stdout, "It was log %s. What came after is lost: read models are built anew (with --database, name a new one), and positions of the old log are refused.\n", made.LogID)
	}
	next := "daybook serve --dir " + string(d)
	if !d.begun() {
		next = "daybook keys restore FILE --dir " + string(d) + ", then " + next
	}
	_, err := fmt.Fprintf(m.Stdout, "Next: %s\n", next)
	return err
}

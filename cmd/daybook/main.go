// Command daybook is the whole of Daybook in one binary: the event store's
// node, the write and read API, the projectors and the verbs around them.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"
	"time"
	_ "time/tzdata" // zones are known on every machine

	"github.com/spf13/cobra"
)

// version is set by the build.
var version = "0.1.0"

const (
	stopMax   = 10 * time.Second // for a clean stop
	atOnceMax = time.Second      // after the second Ctrl-C
)

func main() {
	m := Main{Stdout: os.Stdout, Stderr: os.Stderr}
	os.Exit(m.Run(context.Background(), os.Args[1:]))
}

// Main is one run of the program.
type Main struct {
	Stdout, Stderr io.Writer

	flags    flags
	stopping context.Context // ends at the second Ctrl-C
}

// flags are common to all verbs; each can be given as DAYBOOK_<NAME>, too.
type flags struct {
	dir, listen, nodeListen string
	eventstore, database    string
	token, output           string
	logFormat, logLevel     string
	tlsCert, tlsKey         string
	nodeTLSCert, nodeTLSKey string
	nodeTLS                 bool
	nodeAllowWrites         bool
	insecureListen          bool
	listenGiven             bool
	atOnce                  int
}

// The exit codes.
const (
	exitSuccess     = 0
	exitFailure     = 1
	exitInterrupted = 130
)

const stoppedAtOnce = "daybook: stopped at once; the next start recovers what was acknowledged"

// Run carries out the verb named by args and returns the exit code: 0 only for
// success.
func (m *Main) Run(ctx context.Context, args []string) int {
	tuneMemory()
	ctx, stop := m.interruptible(ctx)
	defer stop()
	root := m.command()
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	switch {
	case m.stopping.Err() != nil:
		fmt.Fprintln(m.Stderr, stoppedAtOnce)
		return exitInterrupted
	case err == nil:
		return exitSuccess
	case ctx.Err() != nil && errors.Is(err, context.Canceled):
		fmt.Fprintln(m.Stderr, "daybook: stopped before it was done"+wayOut(err))
		return exitInterrupted
	}
	fmt.Fprintln(m.Stderr, "daybook: "+oneLine(err))
	return exitFailure
}

// interruptible ends the context at Ctrl-C or SIGTERM; a second one ends the
// orderly stop, and soon after the process.
func (m *Main) interruptible(ctx context.Context) (context.Context, func()) {
	ctx, interrupt := context.WithCancel(ctx)
	stopping, atOnce := context.WithCancel(context.Background())
	m.stopping = stopping
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-signals
		interrupt()
		<-signals
		atOnce()
		time.Sleep(atOnceMax)
		fmt.Fprintln(m.Stderr, stoppedAtOnce)
		os.Exit(exitInterrupted)
	}()
	return ctx, func() { interrupt(); atOnce() }
}

// tuneMemory trades memory for fewer collections while there is plenty.
func tuneMemory() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(200)
	}
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(384 << 20)
	}
}

func (m *Main) command() *cobra.Command {
	root := &cobra.Command{
		Use:   "daybook",
		Short: "An event-sourced back-end for a business: every fact in order, for ever, provable",
		Long: `Daybook keeps every fact about people, books and money in an append-only log,
builds read models from it, and answers what was so on any day as known on any other.

Start with:  daybook demo      everything on embedded defaults, with a generated company
             daybook serve     the same for real, in --dir`,
		Args:          none,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		SilenceUsage:  true,
		SilenceErrors: true,
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			if err := fromEnvironment(cmd); err != nil {
				return err
			}
			m.flags.listenGiven = cmd.Flags().Changed("listen")
			return errors.Join(m.flags.check(), m.flags.checkNode())
		},
	}
	root.SetOut(m.Stdout)
	root.SetErr(m.Stderr)
	root.SetFlagErrorFunc(wrongFlag)
	p := root.PersistentFlags()
	f := &m.flags
	p.StringVar(&f.dir, "dir", "", "folder of the log, the keys and the read models (default $XDG_DATA_HOME/daybook; demo: a temporary one)")
	p.StringVar(&f.listen, "listen", "127.0.0.1:8080", "address of the HTTP API; port 0 picks a free one. Given to a process without role api: of its health and metrics")
	p.StringVar(&f.nodeListen, "node-listen", "127.0.0.1:2113", "address of the embedded event store for EventStoreDB clients")
	p.StringVar(&f.eventstore, "eventstore", "", "an esdb:// connection string; empty uses the embedded node")
	p.StringVar(&f.database, "database", "", "a postgres:// connection string; empty uses a private Postgres")
	p.StringVar(&f.tlsCert, "tls-cert", "", "PEM file of the HTTP API's certificate; with --tls-key")
	p.StringVar(&f.tlsKey, "tls-key", "", "PEM file of the certificate's key")
	p.BoolVar(&f.insecureListen, "insecure-listen", false, "serve plain HTTP to other machines too: tokens and pay travel readable")
	p.IntVar(&f.atOnce, "at-once", 64, "commands, and reads, that the HTTP API works on at once; more wait a moment or are turned away (503)")
	p.BoolVar(&f.nodeTLS, "node-tls", false, "serve --node-listen over TLS, for reads and writes of users with a name and a password (daybook node users)")
	p.StringVar(&f.nodeTLSCert, "node-tls-cert", "", "PEM file of the event store's certificate; with --node-tls-key (default: one of its own making in DIR/tls)")
	p.StringVar(&f.nodeTLSKey, "node-tls-key", "", "PEM file of the certificate's key")
	p.BoolVar(&f.nodeAllowWrites, "node-allow-writes", false, "let anyone who reaches --node-listen write to the event store: for conformance tests only")
	p.StringVar(&f.token, "token", "", "access token (default: that of the folder's operator)")
	p.StringVar(&f.output, "output", "table", "table or json")
	p.StringVar(&f.logFormat, "log-format", "text", "text or json")
	p.StringVar(&f.logLevel, "log-level", "warn", "debug, info, warn or error")
	root.AddCommand(m.demo(), m.serve(), m.importing(), m.projections(), m.processes(), m.audit(), m.events(), m.node(), m.keys(), m.tokens(), m.migrate(), m.version())
	return root
}

// keepToThemselves are the flags of a server that nobody else is meant to come to.
func (f *flags) keepToThemselves() {
	f.listen, f.nodeListen = "127.0.0.1:0", "127.0.0.1:0"
	f.tlsCert, f.tlsKey = "", ""
	f.nodeTLS, f.nodeTLSCert, f.nodeTLSKey = false, "", ""
}

// fromEnvironment fills flags that were not given from DAYBOOK_<NAME>.
func fromEnvironment(cmd *cobra.Command) error {
	var errs []error
	cmd.Flags().VisitAll(func(f *flag) {
		name := "DAYBOOK_" + strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_"))
		value, set := os.LookupEnv(name)
		if f.Changed || !set {
			return
		}
		if err := cmd.Flags().Set(f.Name, value); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", name, err))
		}
	})
	return errors.Join(errs...)
}

func (f flags) check() error {
	for _, choice := range []struct {
		flag, value string
		of          []string
	}{
		{"--output", f.output, []string{"table", "json"}},
		{"--log-format", f.logFormat, []string{"text", "json"}},
		{"--log-level", f.logLevel, []string{"debug", "info", "warn", "error"}},
	} {
		if !contains(choice.of, choice.value) {
			return hint(fmt.Errorf("%s is %q", choice.flag, choice.value), "give one of "+strings.Join(choice.of, ", "))
		}
	}
	if f.atOnce < 1 {
		return hint(fmt.Errorf("--at-once is %d", f.atOnce), "give a number from 1 on; 64 is right for most machines")
	}
	return nil
}

// logger writes to standard error, away from what verbs print.
func (m *Main) logger() *slog.Logger {
	var level slog.Level
	_ = level.UnmarshalText([]byte(m.flags.logLevel)) // checked with the flags
	options := &slog.HandlerOptions{Level: level}
	if m.flags.logFormat == "json" {
		return slog.New(slog.NewJSONHandler(m.Stderr, options))
	}
	return slog.New(slog.NewTextHandler(m.Stderr, options))
}

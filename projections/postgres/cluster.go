package postgres

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/jackc/pgx/v5"
)

// readyMark marks a cluster that has been furnished.
const readyMark = "made"

const removeTries = 50 // a tenth of a second apart

// prepare makes the cluster, unless there is one. It is made under a name of its
// own and then given its place, so that what stands there is whole, and that the
// initdb of a process that was killed, which may go on for a moment, never meets
// that of its successor in one folder.
func (s *Server) prepare(ctx context.Context) error {
	if _, err := os.Stat(s.data()); err == nil {
		return nil
	}
	s.clear()
	making := s.file(makingPrefix + rand.Text())
	if err := s.initdb(ctx, making); err != nil {
		return fmt.Errorf("make the private Postgres in %s: %w", s.folder, err)
	}
	if err := s.writeAccess(making); err != nil {
		return err
	}
	return os.Rename(making, s.data())
}

const makingPrefix = "making-"

// clear removes what starts before this one did not bring to their end. What an
// initdb still writes to is left to the next start.
func (s *Server) clear() {
	begun, _ := filepath.Glob(s.file(makingPrefix + "*")) // its one error is a bad pattern
	for _, path := range append(begun, s.file(readyMark)) {
		if err := os.RemoveAll(path); err != nil {
			s.logger.Info("leaving what a start before this one began", "path", path, "error", err)
		}
	}
}

// removeAll removes what a process that was stopped left of a cluster. Its initdb
// may have left a child that goes on writing for a moment.
func removeAll(folder string) (err error) {
	for range removeTries {
		if err = os.RemoveAll(folder); err == nil {
			return nil
		}
		time.Sleep(10 * lookEvery)
	}
	return err
}

// initdb makes an empty cluster. Text is compared by bytes unless a query asks
// for a language, and ICU knows them all. The superuser's password is thrown
// away: the program comes in by being the system user that it is. initdb insists
// on one all the same, in a file that its account can read.
func (s *Server) initdb(ctx context.Context, folder string) error {
	secret := folder + ".password"
	if err := s.writeOwned(secret, rand.Text()); err != nil {
		return err
	}
	defer os.Remove(secret)
	args := []string{
		"-D", folder, "-U", programRole, "-E", "UTF8", "--locale=C", "--locale-provider=icu", "--icu-locale=und",
		"--auth-local=peer", "--auth-host=scram-sha-256", "--pwfile=" + secret, "--no-instructions",
	}
	if s.unsafe {
		args = append(args, "--no-sync")
	}
	return run(s.account.command(ctx, s.folder, s.installed.program("initdb"), args...))
}

// writeAccess says who may come in: the program's system user over the socket,
// and over loopback the report role, into the one database.
func (s *Server) writeAccess(folder string) error {
	name, err := programUser()
	if err != nil {
		return err
	}
	reported := database
	if s.unsafe {
		reported = "all" // each test has a database of its own
	}
	access := fmt.Sprintf("local all %s peer map=program\n", programRole) +
		fmt.Sprintf("host %s %s 127.0.0.1/32 scram-sha-256\n", reported, reportRole)
	if err := s.writeOwned(folder+"/pg_hba.conf", access); err != nil {
		return err
	}
	return s.writeOwned(folder+"/pg_ident.conf", fmt.Sprintf("program %q %s\n", name, programRole))
}

// writeOwned writes a file that only the account can read.
func (s *Server) writeOwned(path, content string) error {
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		return err
	}
	return s.account.own(path)
}

// furnish makes the database and the roles of a new cluster, and gives the
// report role its password.
func (s *Server) furnish(ctx context.Context) error {
	if _, err := os.Stat(s.file(readyMark)); errors.Is(err, os.ErrNotExist) {
		// An earlier start may have been killed in the middle of this.
		for _, statement := range []string{"drop database if exists " + database, "create database " + database} {
			if err := s.exec(ctx, "postgres", statement); err != nil {
				return fmt.Errorf("make the database: %w", err)
			}
		}
		if err := s.exec(ctx, database, makeRoles); err != nil {
			return fmt.Errorf("make the roles: %w", err)
		}
		if err := os.WriteFile(s.file(readyMark), nil, 0o600); err != nil {
			return err
		}
		s.report.Password = ""
	}
	if s.report.Password != "" {
		return nil
	}
	password := rand.Text() // letters and digits
	if err := s.exec(ctx, "postgres", "alter role "+reportRole+" password '"+password+"'"); err != nil {
		return fmt.Errorf("give the report role a password: %w", err)
	}
	s.report.Password = password
	return s.report.write(s.place)
}

// makeRoles lets the report role log in and read what is in schema read. It can
// hold no lock the program waits for, and fill no disk: everybody's right to
// temporary tables, large objects and advisory locks is taken away.
const makeRoles = `
do $$ begin
  if not exists (select from pg_roles where rolname = 'daybook_report') then
    create role daybook_report login nosuperuser nocreatedb nocreaterole connection limit 20;
  end if;
end $$;
alter role daybook_report set search_path = read;
alter role daybook_report set statement_timeout = '60s';
alter role daybook_report set idle_in_transaction_session_timeout = '60s';
alter role daybook_report set default_transaction_read_only = on;
revoke all on schema public from public;
revoke temporary on database daybook from public;
do $$ declare f regprocedure; begin
  for f in select oid from pg_proc where pronamespace = 'pg_catalog'::regnamespace
           and (proname ~ '^pg_(try_)?advisory_' or proname ~ '^lo_' or proname in ('pg_notify', 'pg_sleep', 'pg_sleep_for', 'pg_sleep_until')) loop
    execute format('revoke execute on function %s from public', f);
  end loop;
end $$;
`

// exec runs statements in a database of the cluster.
func (s *Server) exec(ctx context.Context, database, statements string) error {
	conn, err := pgx.Connect(ctx, s.socketURL(s.report.Port, database))
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	_, err = conn.Exec(ctx, statements)
	return err
}

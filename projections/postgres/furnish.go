package postgres

import (
	"context"
	"crypto/rand"
	"fmt"
	"net"
	"os"
	"path/filepath"

	"github.com/jackc/pgx/v5"
)

// furnish makes the database and the report role of a new cluster, and notes
// that it is complete.
func (s *Server) furnish(ctx context.Context) error {
	if err := s.exec(ctx, "postgres", "create database "+database); err != nil {
		return err
	}
	if err := s.exec(ctx, database, reportRights(database)); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(s.root, "made"), nil, 0o600)
}

// reportRights is a role that may select from schema read, and nothing that
// could disturb the program: no temporary tables, no advisory locks.
func reportRights(db string) string {
	return fmt.Sprintf(`
		create role %[1]s login connection limit %[2]d;
		alter role %[1]s set statement_timeout = '60s';
		alter role %[1]s set search_path = read;
		create schema read;
		grant usage on schema read to %[1]s;
		alter default privileges in schema read grant select on tables to %[1]s;
		revoke all on schema public from public;
		revoke temporary on database %[3]s from public;
		do $$ declare f regprocedure; begin
			for f in select p.oid from pg_proc p where p.pronamespace = 'pg_catalog'::regnamespace and p.proname like 'pg\_%%advisory%%' loop
				execute format('revoke execute on function %%s from public', f);
			end loop;
		end $$;`, reportRole, reportMax, db)
}

// setReportPassword gives the report role a new password at every start.
func (s *Server) setReportPassword(ctx context.Context) error {
	secret := rand.Text()
	if err := os.WriteFile(filepath.Join(s.root, "report.password"), []byte(secret+"\n"), 0o600); err != nil {
		return err
	}
	return s.exec(ctx, database, fmt.Sprintf("alter role %s password '%s'", reportRole, secret))
}

func (s *Server) ping(ctx context.Context) error { return s.exec(ctx, "postgres", "select 1") }

func (s *Server) exec(ctx context.Context, db, sql string) error {
	conn, err := pgx.Connect(ctx, s.place.url(s.port, db))
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	if _, err := conn.Exec(ctx, sql); err != nil {
		return fmt.Errorf("set up the private Postgres: %w", err)
	}
	return nil
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("find a free port: %w", err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

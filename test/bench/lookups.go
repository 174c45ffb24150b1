package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"time"

	"daybook.example/projections/postgres"
	"daybook.example/test/program"
)

const lookers = 8

// What GET /v1/employees/{id} asks of the database, but for personal values, in
// the order of its snapshot; pgbench -S asks for the last line alone.
const (
	factsSQL = "select attribute, value from api.employee_fact where employee_id = '%[1]s' and valid @> '2020-06-01'::date and recorded @> 9223372036854775806;\n"
	readSQL  = `begin transaction isolation level repeatable read read only;
select name, version, commit_pos, prepare_pos, state from daybook.projection_checkpoint c join daybook.projection_version v using (name, version) where phase = 'active' and name = 'employee_fact';
select api.zone_at(9223372036854775806);
select last_revision, subject_id from api.employee e where employee_id = '%[1]s' and exists (select from api.employee_fact f where f.employee_id = e.employee_id and f.recorded @> 9223372036854775806);
` + factsSQL + "commit;\n"
)

// lookups measures reading one employee by ID over HTTP, as JSON, beside pgbench
// with the same statements, and with the one that reads the rows (P11).
func (b *bench) lookups(ctx context.Context) error {
	pgbench, _ := exec.LookPath("pgbench")
	if pgbench == "" {
		b.row("skipped", "pgbench is not in PATH", "")
		return nil
	}
	return b.on(ctx, func(dir string, p *program.Process) error {
		people, err := employ(ctx, p)
		if err != nil {
			return err
		}
		if err := people.client.CaughtUp(ctx); err != nil {
			return err
		}
		url, err := postgres.Attach(dir)
		if err != nil {
			return err
		}
		id := people.ids[0] // always the same: each ID would be other statements to pgbench
		http := &side{name: "one employee by ID: HTTP, JSON", clients: lookers, cpu: func() time.Duration { return cpuOf(p.PID()) + cpuBelow(p.PID()) }, one: func(ctx context.Context, _ int) error {
			answer, err := people.client.Get(ctx, "/v1/employees/"+id, map[string][]string{"valid_at": {"2020-06-01"}})
			if err == nil {
				err = answer.Into(&struct{}{})
			}
			return err
		}}
		raw := func(name, script string) *side {
			return &side{name: name, run: func(ctx context.Context) (round, error) {
				return b.pgbench(ctx, pgbench, url, fmt.Sprintf(script, id))
			}}
		}
		same := raw("the same statements: pgbench", readSQL)
		alone := raw("the statement that reads the rows: pgbench", factsSQL)
		if err := b.turns(ctx, http, same, alone); err != nil {
			return err
		}
		b.atLeast("HTTP / pgbench with the same statements (P11)", over(http.rates(), same.rates()), 0.4)
		b.row("CPU us a read, the program and Postgres", spread(http.cpus(), "%.0f"), "")
		b.row("HTTP / pgbench with the one that reads the rows", spread(over(http.rates(), alone.rates()), "%.2f"), "")
		return nil
	})
}

var printedRate = regexp.MustCompile(`(?s)transactions actually processed: ([0-9]+).*?latency average = ([0-9.]+) ms.*?tps = ([0-9.]+)`)

// pgbench lets it run a script.
func (b *bench) pgbench(ctx context.Context, binary, url, script string) (r round, err error) {
	folder, err := os.MkdirTemp("", "daybook-pgbench-")
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	file := filepath.Join(folder, "script")
	if err := os.WriteFile(file, []byte(script), 0o600); err != nil {
		return r, err
	}
	args := []string{
		"--no-vacuum", "--protocol=prepared", fmt.Sprintf("--client=%d", lookers), "--jobs=2",
		fmt.Sprintf("--time=%d", max(1, int(b.round.Seconds()/2))), "--file=" + file,
	}
	printed, err := exec.CommandContext(ctx, binary, append(args, url)...).CombinedOutput()
	if err != nil {
		return r, fmt.Errorf("pgbench: %w\n%s", err, printed)
	}
	read := printedRate.FindSubmatch(printed)
	if read == nil {
		return r, fmt.Errorf("pgbench printed no rate:\n%s", printed)
	}
	var number [3]float64
	for i := range number {
		if number[i], err = strconv.ParseFloat(string(read[1+i]), 64); err != nil {
			return r, err
		}
	}
	count, mean, rate := int(number[0]), number[1], number[2]
	each := slices.Repeat(times{time.Duration(mean * float64(time.Millisecond))}, count)
	return round{each: each, wall: time.Duration(float64(count) / rate * float64(time.Second))}, nil
}

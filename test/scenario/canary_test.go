package scenario

import (
	"encoding/hex"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"daybook.example/test/program"
)

// canaries are personal values that occur nowhere by chance, with the purpose
// under which they are sealed: one for every personal field of the domain.
var canaries = map[string]string{
	"Zuzanka": "identity", "Middlebirdie": "identity", "Finchley": "identity", "Zuzibird": "identity",
	"1961-02-03": "identity", "NID-77413": "identity", `"LI"`: "identity",
	"work.canary@birds.example": "contact", "private.canary@birds.example": "contact", "+423 555 7788": "contact",
	"Perch Lane 17": "contact", "Backyard 3": "contact", "FL-9490": "contact", "Vaduzbird": "contact", "Oberlandbird": "contact",
	"GB33BUKB20201555555555": "bank", "BUKBGB22XXX": "bank", "Zuzanka Finchley-Holder": "bank",
	"7391.37": "payroll", "411.93": "payroll", "8402.48": "payroll",
	"Bird flu": "health", "Feathers everywhere": "note", "Chirped wrongly": "note", "Never perched": "note",
}

// projected says which purposes have a table in clear.
var projected = map[string]string{"identity": "person_identity", "contact": "person_contact", "bank": "person_bank", "payroll": "person_pay"}

// aviary records every canary, in every kind of event that can hold it.
func aviary(t *testing.T, admin *program.Client) (id string) {
	t.Helper()
	company, err := program.Found(t.Context(), admin, "UTC")
	require.NoError(t, err)
	paid := func(amount, from string) program.JSON {
		pay := program.Pay(amount, from)
		pay["components"] = []program.JSON{{"code": "bonus", "amount": program.JSON{"amount": "411.93", "currency": "EUR"}, "recurring": true}}
		return pay
	}
	post := func(path string, body program.JSON) program.Answer {
		return program.Must(t)(admin.Post(t.Context(), "/v1/employees"+path, body))
	}
	hired := post("", company.Hire("E-1", "2024-01-01", program.JSON{
		"legal_name":     program.JSON{"given": "Zuzanka", "middle": "Middlebirdie", "family": "Finchley"},
		"preferred_name": "Zuzibird", "birth_date": "1961-02-03", "nationality": "LI",
		"national_id": program.JSON{"scheme": "li-pass", "value": "NID-77413"},
		"work_email":  "work.canary@birds.example", "private_email": "private.canary@birds.example", "phone": "+423 555 7788",
		"home_address": program.JSON{"line1": "Perch Lane 17", "line2": "Backyard 3", "postal_code": "FL-9490", "city": "Vaduzbird", "region": "Oberlandbird", "country": "LI"},
		"compensation": paid("7391.37", ""),
	}))
	self := "/" + hired.ID()
	post(self+"/bank-accounts", program.JSON{"iban": "GB33BUKB20201555555555", "bic": "BUKBGB22XXX", "holder": "Zuzanka Finchley-Holder", "effective_from": "2024-01-01"})
	post(self+"/personal-data", program.JSON{"private_email": "work.canary@birds.example", "effective_from": "2024-03-01"})
	raised := post(self+"/compensations", paid("8402.48", "2024-06-01"))
	post(self+"/corrections", program.JSON{"corrects_event_id": event(t, raised), "reason_text": "Chirped wrongly", "compensation": paid("7391.37", "")})
	left := post(self+"/terminations", program.JSON{"last_day": "2025-06-30", "ground": "other", "ground_detail": "Bird flu", "note": "Feathers everywhere"})
	post(self+"/rescissions", program.JSON{"rescinds_event_id": event(t, left), "reason_text": "Never perched"})
	return hired.ID()
}

// sing lists the canaries that are heard in a text, of all purposes or of some.
func sing(text string, purposes ...string) (heard []string) {
	for canary, purpose := range canaries {
		if len(purposes) > 0 && !slices.Contains(purposes, purpose) {
			continue
		}
		if strings.Contains(text, canary) || strings.Contains(text, hex.EncodeToString([]byte(canary))) {
			heard = append(heard, canary)
		}
	}
	return heard
}

func TestPersonalValuesAreInNoTableButTheirOwn(t *testing.T) {
	t.Parallel()
	p := program.NewHome(t).Start(t, program.Options{})
	aviary(t, p.Client())
	require.NoError(t, p.Client().CaughtUp(t.Context()))
	tables := map[string]string{}
	require.NoError(t, p.Query(t.Context(), func(conn *pgx.Conn) (err error) {
		tables, err = dump(t, conn)
		return err
	}))
	require.Greater(t, len(tables), 10)
	inClear := map[string]string{}
	for table, text := range tables {
		name := table[strings.LastIndex(table, ".")+1:]
		if strings.HasPrefix(name, "person_") {
			inClear[name] += text
			continue
		}
		require.Empty(t, sing(text), table)
	}
	for purpose, table := range projected { // and there they are: the search does find them
		var all []string
		for canary, of := range canaries {
			if of == purpose {
				all = append(all, canary)
			}
		}
		require.ElementsMatch(t, all, sing(inClear[table], purpose), table)
	}
	require.Equal(t, slices.Sorted(maps.Values(projected)), slices.Sorted(maps.Keys(inClear)))
}

// dump is the text of all rows of all tables.
func dump(t *testing.T, conn *pgx.Conn) (map[string]string, error) {
	t.Helper()
	rows, err := conn.Query(t.Context(), `select format('%I.%I', n.nspname, c.relname) from pg_class c join pg_namespace n on n.oid = c.relnamespace
		where c.relkind in ('r', 'm', 'p') and n.nspname not in ('pg_catalog', 'information_schema')`)
	if err != nil {
		return nil, err
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, err
	}
	tables := map[string]string{}
	for _, name := range names {
		var text string
		if err := conn.QueryRow(t.Context(), "select coalesce(string_agg(t::text, e'\n'), '') from "+name+" t").Scan(&text); err != nil {
			return nil, fmt.Errorf("dump %s: %w", name, err)
		}
		tables[name] = text
	}
	return tables, nil
}

func TestPersonalValuesAreInNoFileNoLogNoMetricAndNoError(t *testing.T) {
	t.Parallel()
	home := program.NewHome(t)
	p := home.Start(t, program.Options{Args: []string{"--log-level", "debug"}})
	admin := p.Client()
	id := aviary(t, admin)
	require.NoError(t, admin.CaughtUp(t.Context()))

	for name, body := range map[string]program.JSON{
		"unknown field": {"legal_name": program.JSON{"given": "Zuzanka", "surname": "Finchley"}},
		"wrong type":    {"birth_date": []string{"1961-02-03"}},
		"broken rule":   {"employee_no": "E-9", "legal_name": program.JSON{"given": "Zuzanka"}, "home_address": program.JSON{"line1": "Perch Lane 17"}},
		"taken number":  {"employee_no": "E-1", "work_email": "work.canary@birds.example"},
		"no date":       {"birth_date": "1961-02-03 NID-77413"},
	} {
		answer, err := admin.Post(t.Context(), "/v1/employees", body)
		require.NoError(t, err)
		require.GreaterOrEqual(t, answer.Status, 400, name)
		require.Empty(t, sing(string(answer.Body)), "%s: %s", name, answer.Body)
	}
	bad, err := admin.Post(t.Context(), "/v1/employees/"+id+"/compensations", program.Pay("7391.37", "2010-01-01"))
	require.NoError(t, err)
	require.Equal(t, 422, bad.Status)
	require.Empty(t, sing(string(bad.Body)), "%s", bad.Body)

	metrics := program.Must(t)(admin.Get(t.Context(), "/metrics", nil))
	require.Contains(t, string(metrics.Body), "daybook_")
	require.Empty(t, sing(string(metrics.Body)), "metrics")
	home.Stop(t)
	require.Empty(t, sing(p.Printed()+p.Complaints()), "printed and logged")
	for _, folder := range []string{home.Dir, p.Cluster()} {
		require.NoError(t, filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
			switch {
			case err != nil:
				return err
			case entry.Name() == "data":
				return fs.SkipDir // the tables themselves
			case !entry.Type().IsRegular():
				return nil
			}
			content, err := os.ReadFile(path)
			require.Empty(t, sing(string(content)), path)
			return err
		}))
	}
}

func TestPersonalValuesAreShownToNoRoleThatMayNotSeeThem(t *testing.T) {
	t.Parallel()
	admin := program.NewHome(t).Start(t, program.Options{}).Client()
	id := aviary(t, admin)
	require.NoError(t, admin.CaughtUp(t.Context()))
	paths := []string{"/v1/employees", "/v1/employees/" + id, "/v1/employees/" + id + "/facts", "/v1/employees/" + id + "/history", "/v1/audit/events", "/v1/events"}
	for role, sees := range map[string][]string{
		"hr": {"identity", "contact", "health", "note", "applicant"}, "payroll": {"identity", "contact", "bank", "payroll"},
		"auditor": nil, "integrator": nil, "finance": nil, "operator": nil,
	} {
		var hidden []string
		for _, purpose := range canaries {
			if !slices.Contains(sees, purpose) {
				hidden = append(hidden, purpose)
			}
		}
		client := tokenOf(t, admin, role)
		for _, path := range paths {
			answer, err := client.Get(t.Context(), path, nil)
			require.NoError(t, err)
			require.Empty(t, sing(string(answer.Body), hidden...), "%s at %s", role, path)
		}
	}
	hr := program.Must(t)(tokenOf(t, admin, "hr").Get(t.Context(), paths[1], nil))
	require.NotEmpty(t, sing(string(hr.Body), "identity"), "who may see them does")
	all := program.Must(t)(admin.Get(t.Context(), "/v1/events", nil))
	require.Len(t, sing(string(all.Body)), len(canaries), "the admin's feed shows every one")
}

// Package adventureworks turns the CSV files of the AdventureWorks sample
// company into commands: people, departments, managers, pay, sales and
// purchases. It reads files and decides nothing; every rule is the domain's.
package adventureworks

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"daybook.example/domain"
)

// files are all that the import reads, by path below the folder given.
var files = []string{
	"hr/Department.csv", "hr/Employee.csv", "hr/EmployeeDepartmentHistory.csv", "hr/EmployeePayHistory.csv",
	"person/Person.csv", "person/EmailAddress.csv", "person/PersonPhone.csv", "person/BusinessEntityAddress.csv",
	"person/Address.csv", "person/StateProvince.csv",
	"sales/SalesOrderHeader.csv", "sales/SalesOrderDetail.csv",
	"purchasing/PurchaseOrderHeader.csv",
}

// A Source is the company as the files tell it.
type Source struct {
	tables map[string][]row
}

// A row is one line of a file, with its cells by column name in lower case:
// the files spell their columns differently.
type row struct {
	file  string
	line  int // the header is line 1
	cells map[string]string
}

// Read loads the files of folder. A wrong folder is an error that names the
// files it lacks.
func Read(folder string) (*Source, error) {
	var missing []string
	for _, file := range files {
		if _, err := os.Stat(filepath.Join(folder, file)); errors.Is(err, os.ErrNotExist) {
			missing = append(missing, file)
		}
	}
	if len(missing) > 0 {
		return nil, fmt.Errorf("%s is not an AdventureWorks folder: it lacks %s", folder, strings.Join(missing, ", "))
	}
	s := &Source{tables: make(map[string][]row, len(files))}
	for _, file := range files {
		rows, err := readTable(folder, file)
		if err != nil {
			return nil, err
		}
		s.tables[file] = rows
	}
	return s, nil
}

func readTable(folder, file string) ([]row, error) {
	f, err := os.Open(filepath.Join(folder, file))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	reader := csv.NewReader(f)
	header, err := reader.Read()
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", file, err)
	}
	for i := range header {
		header[i] = strings.ToLower(header[i])
	}
	var rows []row
	for {
		record, err := reader.Read()
		if errors.Is(err, io.EOF) {
			return rows, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", file, err)
		}
		line, _ := reader.FieldPos(0)
		cells := make(map[string]string, len(header))
		for i, name := range header {
			cells[name] = record[i]
		}
		rows = append(rows, row{file, line, cells})
	}
}

func (s *Source) rows(file string) []row { return s.tables[file] }

// by indexes a file's rows by a column.
func (s *Source) by(file, column string) map[string]row {
	index := make(map[string]row, len(s.tables[file]))
	for _, r := range s.tables[file] {
		if _, seen := index[r.cells[column]]; !seen {
			index[r.cells[column]] = r
		}
	}
	return index
}

// groups collects a file's rows by a column, keeping their order.
func (s *Source) groups(file, column string) map[string][]row {
	groups := make(map[string][]row)
	for _, r := range s.tables[file] {
		groups[r.cells[column]] = append(groups[r.cells[column]], r)
	}
	return groups
}

// ref names a row for ever: file and line.
func (r row) ref() string { return fmt.Sprintf("%s:%d", r.file, r.line) }

func (r row) text(column string) string { return strings.TrimSpace(r.cells[column]) }

// date reads the day of a cell such as `2011-05-31 00:00:00`.
func (r row) date(column string) (domain.Date, error) {
	text, _, _ := strings.Cut(r.text(column), " ")
	d, err := domain.ParseDate(text)
	if err != nil {
		return d, fmt.Errorf("%s, column %s: %w", r.ref(), column, err)
	}
	return d, nil
}

// amount reads a number as it is written, less the zeros that carry nothing
// (`.00`, `1.50`), so that the same value has one text.
func (r row) amount(column string) (domain.Decimal, error) {
	text := r.text(column)
	if strings.HasPrefix(text, ".") {
		text = "0" + text
	}
	if strings.Contains(text, ".") {
		text = strings.TrimRight(strings.TrimRight(text, "0"), ".")
	}
	d, err := domain.ParseDecimal(text)
	if err != nil {
		return d, fmt.Errorf("%s, column %s: %w", r.ref(), column, err)
	}
	return d, nil
}

const system = "adventureworks"

func source(ref string) domain.Source { return domain.Source{System: system, Ref: ref} }

// source is the metadata of an imported fact. The time of the row is told
// beside the recorded time, which stays the server's.
func (r row) source(keys ...string) domain.Source {
	src := source(r.ref())
	if at, err := time.Parse(time.DateTime, strings.SplitN(r.text("modifieddate"), ".", 2)[0]); err == nil {
		src.RecordedAt = &at
	}
	for _, key := range keys {
		if value := r.text(key); value != "" {
			if src.Keys == nil {
				src.Keys = map[string]string{}
			}
			src.Keys[key] = value
		}
	}
	return src
}

// earliest is the first StartDate of the data: departments exist from then on.
func (s *Source) earliest() (domain.Date, error) {
	var days []domain.Date
	for _, r := range s.rows("hr/EmployeeDepartmentHistory.csv") {
		day, err := r.date("startdate")
		if err != nil {
			return day, err
		}
		days = append(days, day)
	}
	if len(days) == 0 {
		return domain.Date{}, errors.New("hr/EmployeeDepartmentHistory.csv has no rows")
	}
	return slices.MinFunc(days, domain.Date.Compare), nil
}

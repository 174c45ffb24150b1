package adventureworks

import (
	"encoding/hex"
	"fmt"
)

// Employee.Org is SQL Server's hierarchyid in hex: a path of numbers, each in
// one of these forms (x a bit of the value, the last 1 closes the number). The
// root is empty.
var forms = []struct {
	bits string
	base int
}{
	{"01xx1", 0},
	{"100xx1", 4},
	{"101xxx1", 8},
	{"110xx0x1xxx1", 16},
}

// path decodes a hierarchyid to its numbers, such as [1 1 4] for 5AE1.
func path(org string) ([]int, error) {
	raw, err := hex.DecodeString(org)
	if err != nil {
		return nil, fmt.Errorf("organisation path %q is not hexadecimal", org)
	}
	bits := ""
	for _, b := range raw {
		bits += fmt.Sprintf("%08b", b)
	}
	var numbers []int
	for !allZero(bits) {
		n, rest, ok := number(bits)
		if !ok {
			return nil, fmt.Errorf("organisation path %q has a number of another form", org)
		}
		numbers, bits = append(numbers, n), rest
	}
	return numbers, nil
}

func number(bits string) (n int, rest string, ok bool) {
	for _, form := range forms {
		if value, ok := match(form.bits, bits); ok {
			return form.base + value, bits[len(form.bits):], true
		}
	}
	return 0, "", false
}

func match(form, bits string) (value int, ok bool) {
	if len(bits) < len(form) {
		return 0, false
	}
	for i := range form {
		switch {
		case form[i] == 'x':
			value = value<<1 | int(bits[i]-'0')
		case form[i] != bits[i]:
			return 0, false
		}
	}
	return value, true
}

func allZero(bits string) bool {
	for _, bit := range bits {
		if bit != '0' {
			return false
		}
	}
	return true
}

// managers maps each employee's BusinessEntityID to that of the manager: the
// employee one level up the path. The chief has none.
func (s *Source) managers() (map[string]string, error) {
	at := make(map[string]string)
	paths := make(map[string][]int)
	for _, r := range s.rows("hr/Employee.csv") {
		p, err := path(r.text("org"))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", r.ref(), err)
		}
		at[fmt.Sprint(p)], paths[r.text("businessentityid")] = r.text("businessentityid"), p
	}
	managers := make(map[string]string, len(paths))
	for id, p := range paths {
		if len(p) == 0 {
			continue
		}
		manager, ok := at[fmt.Sprint(p[:len(p)-1])]
		if !ok {
			return nil, fmt.Errorf("employee %s stands under %v, where nobody is", id, p)
		}
		managers[id] = manager
	}
	return managers, nil
}

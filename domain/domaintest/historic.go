package domaintest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"daybook.example/domain"
)

// lifted begins a line that shows what the line before it is today.
const lifted = "= "

// Historic checks the golden files of shapes that are no longer written:
// folder/<name>.<version>.golden holds lines of data as they were stored, each
// followed by what decode makes of it, as it would be stored today. Every shape
// has its file, every such file its shape. Personal values stay in their places.
//
// With DAYBOOK_GOLDEN=write the second lines are written; the stored ones never
// are: they come from stored.golden, where they stood while they were today's.
func Historic(folder string, shapes []domain.Shape, decode func(name string, version int, data []byte) (domain.Named, error)) error {
	files := map[string]bool{}
	var errs []error
	for _, shape := range shapes {
		name := fmt.Sprintf("%s.%d.golden", shape.Name, shape.Version)
		files[name] = true
		lift := func(data []byte) (domain.Named, error) { return decode(shape.Name, shape.Version, data) }
		if err := historic(filepath.Join(folder, name), lift); err != nil {
			errs = append(errs, fmt.Errorf("%s version %d: %w", shape.Name, shape.Version, err))
		}
	}
	return errors.Join(append(errs, orphans(folder, files))...)
}

func historic(path string, decode func([]byte) (domain.Named, error)) error {
	content, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("no golden file pins what became of it: %w", err)
	}
	var want []byte
	for line := range strings.Lines(string(content)) {
		if strings.HasPrefix(line, lifted) {
			continue
		}
		stored := []byte(strings.TrimSpace(line))
		today, err := lift(stored, decode)
		if err != nil {
			return fmt.Errorf("lift %s: %w", stored, err)
		}
		want = fmt.Appendf(want, "%s\n%s%s\n", stored, lifted, today)
	}
	if len(want) == 0 {
		return errors.New("its golden file holds no line")
	}
	if os.Getenv("DAYBOOK_GOLDEN") == "write" {
		return os.WriteFile(path, want, 0o644)
	}
	if !bytes.Equal(want, content) {
		return fmt.Errorf("it is decoded into something else than its golden file says; now:\n%s", want)
	}
	return nil
}

// lift is a stored shape as it would be stored today.
func lift(stored []byte, decode func([]byte) (domain.Named, error)) ([]byte, error) {
	event, err := decode(stored)
	if err != nil {
		return nil, err
	}
	today, err := domain.Encode(event)
	if err != nil {
		return nil, err
	}
	before, after := personal(stored), personal(today)
	for _, at := range slices.Sorted(maps.Keys(after)) {
		if before[at] != after[at] {
			return nil, fmt.Errorf("the personal value at %q was not there: references and seals name the place", at)
		}
	}
	return today, nil
}

// personal are the markers in data, by their JSON pointers.
func personal(data []byte) map[string]string {
	var document any
	if json.Unmarshal(data, &document) != nil {
		return nil
	}
	found := map[string]string{}
	var look func(at string, value any)
	look = func(at string, value any) {
		switch value := value.(type) {
		case map[string]any:
			if marker, marked := value["$personal"]; marked {
				found[at] = fmt.Sprint(marker)
				return
			}
			for name, member := range value {
				look(at+"/"+name, member)
			}
		case []any:
			for i, element := range value {
				look(fmt.Sprintf("%s/%d", at, i), element)
			}
		}
	}
	look("", document)
	return found
}

var historicFile = regexp.MustCompile(`\.[0-9]+\.golden$`)

// orphans are files of shapes that no catalog lists any more, though a log may
// hold them.
func orphans(folder string, known map[string]bool) error {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if historicFile.MatchString(entry.Name()) && !known[entry.Name()] {
			return fmt.Errorf("%s pins a shape that the catalog does not list: logs may hold it for ever", entry.Name())
		}
	}
	return nil
}

// Package test holds what only the whole house shows: its rules, conformance,
// scenarios, crashes and figures.
package test

import (
	"bufio"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const (
	module       = "daybook.example/"
	functionMax  = 70  // lines
	fileMax      = 800 // lines
	folderDepths = 2   // levels below a room
)

// A room is a folder of the top level and what it may import: other folders of
// the project, and of everything else only what is not banned.
type room struct {
	folder string   // the longest matching folder decides
	may    []string // own folders, whole subtrees; "=" in front: this package only
	never  []string // prefixes of import paths of others
}

// rooms is the table of ARCHITECTURE.md.
var rooms = []room{
	{"domain", []string{"domain"}, nil}, // others: see domainMay
	{"eventstore", []string{"eventstore"}, []string{"github.com/jackc/pgx"}},
	{"commands", []string{"commands", "domain", "eventstore"}, []string{"github.com/jackc/pgx", "github.com/ThreeDotsLabs/watermill"}},
	{"commands/edge", []string{"commands/edge", "domain", "eventstore"}, []string{"github.com/jackc/pgx", "github.com/ThreeDotsLabs/watermill"}},
	{"projections", []string{"projections", "domain", "eventstore"}, nil},
	{"readapi", []string{"readapi", "domain", "eventstore", "commands/edge"}, nil},
	{"cmd", []string{"cmd", "domain", "eventstore", "commands", "projections", "readapi"}, nil},
	{"test", []string{""}, nil},
}

// domainMay is all that the domain imports beside itself; of the standard
// library everything but domainNever.
var (
	domainMay   = []string{"github.com/google/uuid", "github.com/go-json-experiment/json", "github.com/cockroachdb/apd/v3", "github.com/bojanz/currency"}
	domainNever = []string{"context", "os", "net", "log", "math/rand", "crypto/rand", "io/fs", "syscall"}
	topLevel    = []string{"domain", "commands", "projections", "eventstore", "readapi", "cmd", "test"}
	homeless    = []string{"internal", "pkg", "util", "utils", "common", "helpers", "types", "models"}
)

type source struct {
	path  string // slash-separated, from the root
	file  *ast.File
	fset  *token.FileSet
	lines int
}

func (s source) test() bool { return strings.HasSuffix(s.path, "_test.go") }

func (s source) imports() (paths []string) {
	for _, spec := range s.file.Imports {
		path, _ := strconv.Unquote(spec.Path.Value)
		paths = append(paths, path)
	}
	return paths
}

func TestRoomsImportOnlyWhatTheTableAllows(t *testing.T) {
	t.Parallel()
	for _, s := range sources(t) {
		r, ok := roomOf(s.path)
		if !ok || s.test() || testingOnly(s.path) {
			continue
		}
		for _, path := range s.imports() {
			require.NoError(t, r.allows(path), s.path)
		}
	}
}

// Test helpers stand beside what they test and may use the testing libraries.
func testingOnly(path string) bool {
	dir := filepath.Base(filepath.Dir(path))
	return strings.HasSuffix(dir, "test")
}

func (r room) allows(path string) error {
	own, isOwn := strings.CutPrefix(path, module)
	switch {
	case isOwn:
		for _, may := range r.may {
			if may == "" || own == may || strings.HasPrefix(own, may+"/") {
				return nil
			}
		}
		return fmt.Errorf("%s must not import %s", r.folder, own)
	case r.folder == "domain":
		return domainAllows(path)
	}
	for _, never := range r.never {
		if strings.HasPrefix(path, never) {
			return fmt.Errorf("%s must never import %s", r.folder, path)
		}
	}
	return nil
}

func domainAllows(path string) error {
	standard := !strings.Contains(strings.SplitN(path, "/", 2)[0], ".")
	for _, never := range domainNever {
		if path == never || strings.HasPrefix(path, never+"/") {
			return fmt.Errorf("the domain is pure and must never import %s", path)
		}
	}
	if standard || slices.Contains(domainMay, path) {
		return nil
	}
	return fmt.Errorf("domain must not import %s", path)
}

func TestTheDomainAsksNoClock(t *testing.T) {
	t.Parallel()
	for _, s := range sources(t) {
		if !strings.HasPrefix(s.path, "domain/") || s.test() {
			continue
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			if sel, ok := n.(*ast.SelectorExpr); ok {
				if pkg, ok := sel.X.(*ast.Ident); ok && pkg.Name == "time" {
					require.NotContains(t, []string{"Now", "Since", "Until", "Sleep", "After"}, sel.Sel.Name, s.path)
				}
			}
			return true
		})
	}
}

func TestFunctionsAndFilesFitTheEye(t *testing.T) {
	t.Parallel()
	for _, s := range sources(t) {
		require.LessOrEqual(t, s.lines, fileMax, "%s has too many lines", s.path)
		if s.test() {
			continue
		}
		for _, decl := range s.file.Decls {
			if fn, ok := decl.(*ast.FuncDecl); ok {
				length := s.fset.Position(fn.End()).Line - s.fset.Position(fn.Pos()).Line + 1
				require.LessOrEqual(t, length, functionMax, "%s: %s has too many lines", s.path, fn.Name.Name)
			}
		}
	}
}

func TestEveryExportedNameIsDocumented(t *testing.T) {
	t.Parallel()
	for _, s := range sources(t) {
		if s.test() {
			continue
		}
		for _, decl := range s.file.Decls {
			for _, name := range undocumented(decl) {
				t.Errorf("%s: %s has no doc comment", s.path, name)
			}
		}
	}
}

// undocumented lists exported names without a comment. Methods that an
// interface prescribes and the names of a commented group need none.
func undocumented(decl ast.Decl) (names []string) {
	switch d := decl.(type) {
	case *ast.FuncDecl:
		if d.Name.IsExported() && d.Doc == nil && d.Recv == nil {
			names = append(names, d.Name.Name)
		}
	case *ast.GenDecl:
		for _, spec := range d.Specs {
			switch spec := spec.(type) {
			case *ast.TypeSpec:
				if spec.Name.IsExported() && d.Doc == nil && spec.Doc == nil {
					names = append(names, spec.Name.Name)
				}
			case *ast.ValueSpec:
				if spec.Names[0].IsExported() && d.Doc == nil && spec.Doc == nil && spec.Comment == nil {
					names = append(names, spec.Names[0].Name)
				}
			}
		}
	}
	return names
}

func TestTheTopLevelHoldsOnlyTheRooms(t *testing.T) {
	t.Parallel()
	entries, err := os.ReadDir("..")
	require.NoError(t, err)
	for _, entry := range entries {
		if entry.IsDir() && !strings.HasPrefix(entry.Name(), ".") && entry.Name() != "bin" {
			require.Contains(t, topLevel, entry.Name(), "a folder that is no room")
		}
	}
	for _, s := range sources(t) {
		folders := strings.Split(filepath.ToSlash(filepath.Dir(s.path)), "/")
		require.LessOrEqual(t, len(folders), folderDepths+1, "%s lies too deep", s.path)
		for _, folder := range folders {
			require.NotContains(t, homeless, folder, s.path)
		}
	}
}

var bareTodo = regexp.MustCompile(`\b(TODO|FIXME|XXX)\b`)

func TestTodosNameTheirIssue(t *testing.T) {
	t.Parallel()
	numbered := regexp.MustCompile(`TODO\(#\d+\)`)
	for _, s := range sources(t) {
		if s.path == "test/tidy_test.go" {
			continue
		}
		for _, group := range s.file.Comments {
			text := group.Text()
			require.False(t, bareTodo.MatchString(text) && !numbered.MatchString(text), "%s: %s", s.path, text)
		}
	}
}

func sources(t *testing.T) (all []source) {
	t.Helper()
	root := ".."
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() && path != root && (strings.HasPrefix(entry.Name(), ".") || entry.Name() == "testdata") {
			return filepath.SkipDir
		}
		if entry.IsDir() || !strings.HasSuffix(path, ".go") {
			return nil
		}
		s, err := parse(root, path)
		all = append(all, s)
		return err
	})
	require.NoError(t, err)
	require.NotEmpty(t, all)
	return all
}

func parse(root, path string) (source, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return source{}, err
	}
	lines := 0
	for scan := bufio.NewScanner(strings.NewReader(string(content))); scan.Scan(); {
		lines++
	}
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, path, content, parser.ParseComments)
	name, _ := filepath.Rel(root, path)
	return source{filepath.ToSlash(name), file, fset, lines}, err
}

func roomOf(path string) (found room, ok bool) {
	for _, r := range rooms {
		if strings.HasPrefix(path, r.folder+"/") && len(r.folder) >= len(found.folder) {
			found, ok = r, true
		}
	}
	return found, ok
}

// A read model is a folder with a schema. Whoever adds one has it tested as all
// others are, and run.
func TestEveryReadModelIsTestedForWhatTheRuntimePromisesAndRuns(t *testing.T) {
	t.Parallel()
	schemas, err := filepath.Glob("../projections/*/schema.sql")
	require.NoError(t, err)
	require.NotEmpty(t, schemas)
	house, err := os.ReadFile("../cmd/daybook/house.go")
	require.NoError(t, err)
	for _, schema := range schemas {
		folder := filepath.Dir(schema)
		tests, err := filepath.Glob(filepath.Join(folder, "*_test.go"))
		require.NoError(t, err)
		tested := false
		for _, name := range tests {
			content, err := os.ReadFile(name)
			require.NoError(t, err)
			tested = tested || strings.Contains(string(content), "projtest.Conformance(")
		}
		require.True(t, tested, "%s has no projtest.Conformance", folder)
		require.Contains(t, string(house), "daybook.example/projections/"+filepath.Base(folder), "%s is run nowhere", folder)
	}
}

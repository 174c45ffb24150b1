package edge

import (
	"go/ast"
	"go/parser"
	"go/token"
	"strconv"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"daybook.example/domain/access"
)

func TestTheRoleTableHasARowForEveryActionAndNoOther(t *testing.T) {
	t.Parallel()
	declared := map[string]bool{}
	file, err := parser.ParseFile(token.NewFileSet(), "roles.go", nil, 0)
	require.NoError(t, err)
	ast.Inspect(file, func(n ast.Node) bool {
		if spec, ok := n.(*ast.ValueSpec); ok {
			if kind, ok := spec.Type.(*ast.Ident); ok && kind.Name == "Action" {
				name, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
				require.NoError(t, err)
				declared[name] = true
			}
		}
		return true
	})
	for name := range declared {
		require.True(t, Action(name).Declared(), name)
	}
	for name := range actionRows {
		require.True(t, declared[name], name)
	}
}

func TestATableWithAHoleDoesNotStart(t *testing.T) {
	t.Parallel()
	for name, table := range map[string]string{
		"missing cell": "action a b c d e f g h\nx - - - - - - -",
		"odd cell":     "action a b c d e f g h\nx - - - - - - - y",
		"row twice":    "action a b c d e f g h\nx - - - - - - - x\nx - - - - - - - x",
	} {
		require.Panics(t, func() { parseTable(table) }, name)
	}
}

func TestWhoMayWhat(t *testing.T) {
	t.Parallel()
	self, other := uuid.New(), uuid.New()
	is := func(role Role) Principal { return Principal{Role: role, EmployeeID: self} }

	require.True(t, May(is(access.Payroll), ChangeCompensation, other))
	require.False(t, May(is(access.Payroll), ChangeCompensation, self), "nobody sets their own pay")
	require.False(t, May(is(access.Admin), ChangeCompensation, self), "not even an admin")
	require.False(t, May(is(access.HR), ChangeCompensation, other), "pay needs payroll")
	require.True(t, May(is(access.Employee), ReadEmployees, self))
	require.False(t, May(is(access.Employee), ReadEmployees, other))
	require.False(t, May(is(access.Employee), ReadEmployees, uuid.Nil), "a list is not the own record")
	require.True(t, May(is(access.Employee), ChangePersonalData, self))
	require.False(t, May(is(access.Admin), "secrets.read", other), "what is not in the table nobody may")
	require.False(t, May(is("wizard"), ReadEmployees, other))
	require.False(t, May(Principal{Role: access.Employee}, ReadEmployees, uuid.Nil), "none is not none")
}

func TestWhoSeesWhat(t *testing.T) {
	t.Parallel()
	self, other := uuid.New(), uuid.New()
	sees := map[Role]string{ // of another's record, by purpose
		access.HR:      "identity contact applicant health note",
		access.Payroll: "identity contact applicant bank payroll",
		access.Admin:   "identity contact applicant bank payroll health note",
	}
	for _, role := range access.Roles {
		p := Principal{Role: role, EmployeeID: self}
		for purpose := range classes {
			require.Equal(t, contains(sees[role], purpose), CanSee(p, purpose, other), "%s %s", role, purpose)
			require.Equal(t, contains(sees[role], purpose), CanSee(p, purpose, uuid.Nil), "%s %s", role, purpose)
		}
		require.False(t, CanSee(p, "unheard-of", other))
	}
	own := Principal{Role: access.Employee, EmployeeID: self}
	for purpose, class := range classes {
		require.Equal(t, class != Special, CanSee(own, purpose, self), purpose)
	}
	require.False(t, CanSee(Principal{Role: access.Employee}, "identity", uuid.Nil))
	require.False(t, CanSeeClass(Principal{Role: access.Operator}, Internal, other))
}

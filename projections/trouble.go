package projections

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/jackc/pgx/v5/pgconn"

	"daybook.example/eventstore"
)

// A Trouble is why a runner does not come further although no event is to blame,
// and the way out. Its words are ours alone: no SQL, no value of any row.
type Trouble struct {
	Code   string `json:"code"`
	Reason string `json:"reason"`
	Hint   string `json:"hint"`

	halts bool // it does not pass by itself
}

// Why a turn ended, where the error itself does not say it.
var (
	errStore = errors.New("the event store was asked in vain")
	errLost  = errors.New("the connection to the database was lost")
)

const itself = "; it goes on by itself"

// byState are the troubles by SQLSTATE, or the beginning of one. None of them
// tells of an event.
var byState = []struct {
	class string
	Trouble
}{
	{"08", databaseAway},
	{"0A", Trouble{"tables-changed", "a table was changed under the program", "nothing needs to be done" + itself, false}},
	{"25006", Trouble{"database-read-only", "the database takes no writes", "name the primary, or end its read-only mode" + itself, false}},
	{"25P0", databaseAway},
	{"28", Trouble{"login-refused", "the database does not let the program in", "give its role the right to log in" + itself, false}},
	{"3D", Trouble{"database-missing", "the database does not exist", "make it and start the process again, which makes the read models; they fill from the log", true}},
	{"3F", tablesMissing},
	{"40", busy},
	{"42501", Trouble{"rights-missing", "the program's role lacks rights on the read model's tables", "grant them, or make the role their owner" + itself, true}},
	{"42", tablesMissing},
	{"53100", Trouble{"disk-full", "the disk of the database is full", "free space on it, or give it more" + itself, false}},
	{"53200", Trouble{"memory-exhausted", "the database has no memory left", "give it more, or end what else uses it" + itself, false}},
	{"53300", Trouble{"connections-exhausted", "the database takes no more connections", "end other clients of it, or raise its max_connections" + itself, false}},
	{"53", Trouble{"resources-exhausted", "the database has reached a limit", "its log says which" + itself, false}},
	{"55P03", busy},
	{"57014", Trouble{"statement-cancelled", "the database gave a statement up", "raise statement_timeout of the program's role, where it is set" + itself, false}},
	{"57", Trouble{"database-stopping", "the database stops or starts", "wait for it, or start it" + itself, false}},
	{"58", Trouble{"database-io", "the database cannot read or write its files", "its log says which; mend the disk" + itself, false}},
	{"XX", Trouble{"database-damaged", "the database has found damage, or an error of its own", "its log says which; then build the read model again: daybook projections rebuild NAME", true}},
}

var (
	databaseAway = Trouble{"database-away", "the database does not answer", "start it, or mend the network between" + itself, false}
	storeAway    = Trouble{"event-store-away", "the event store does not answer", "start it, or mend the network between" + itself, false}
	busy         = Trouble{"database-busy", "another transaction is in the way", "wait; it goes on by itself", false}
	displaced    = Trouble{"displaced", "another process has taken the projection over", "nothing needs to be done", false}
	slow         = Trouble{"batch-too-slow", "a batch took longer than it may", "look for locks on its tables, and for load on the database" + itself, false}
	unknown      = Trouble{"unknown", "the cause has no name", "the log of the process shows it", false}

	tablesMissing = Trouble{"tables-missing", "a table, column or function that the read model needs is not there",
		"build it again from the log: daybook projections rebuild NAME, then daybook projections promote NAME --unverified, for what is gone cannot be compared", true}
	otherLog = Trouble{"other-log", "its tables come from another log, or from more of it than there is",
		"restore a newer backup of the log, or name another database, which fills from the log", true}
)

// TroubleOf names the cause of an error that no event is to blame for.
func TroubleOf(err error) Trouble {
	var sql *pgconn.PgError
	switch {
	case errors.Is(err, ErrOtherLog):
		return otherLog
	case errors.Is(err, ErrFenced):
		return displaced
	case errors.As(err, &sql):
		return troubleOfState(sql.Code)
	case errors.Is(err, errStore) || errors.Is(err, eventstore.ErrUnavailable):
		return storeAway
	case errors.Is(err, errLost) || errors.As(err, new(*pgconn.ConnectError)) || errors.As(err, new(net.Error)) && !errors.Is(err, context.DeadlineExceeded),
		errors.Is(err, io.ErrUnexpectedEOF) && !errors.As(err, new(*jsontext.SyntacticError)): // JSON that is cut off says so, too
		return databaseAway
	case errors.Is(err, context.DeadlineExceeded):
		return slow
	}
	return unknown
}

func troubleOfState(state string) Trouble {
	for _, known := range byState {
		if strings.HasPrefix(state, known.class) {
			return known.Trouble
		}
	}
	return unknown
}

// of fills in the name of the projection.
func (t Trouble) of(spec Spec) Trouble {
	t.Hint = strings.ReplaceAll(t.Hint, "NAME", spec.Name)
	return t
}

package commands

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"maps"
	"net/http"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"daybook.example/commands/edge"
	"daybook.example/domain"
	"daybook.example/domain/field"
)

// An import is a stream of commands, one a line, with an answer line each:
//
//	{"key":"hr/Employee.csv:12","source":{"system":"adventureworks","ref":"Employee.csv:12"},"command":"employees.hire","body":{...}}
//	{"key":"...","source":{...},"command":"entries.post","target":"adventureworks/2013-07","body":{...}}
//
// The command is the action of a write route. The target is what stands in the
// braces of its path, joined by slashes; none where the path has none. The key
// makes the command happen once under its source system, whoever sends it, so an
// import can be repeated by another principal later: see ImportID.
//
// Lines of one target are carried out in their order, others side by side, and
// answers come as commands end. A line that builds on another target's line is
// sent after the answer to that.
const (
	importPath       = "/v1/imports"
	importLineMax    = 512 << 10 // bytes
	importBytesMax   = 16 << 20  // of lines in flight, in all imports together
	importFlightMax  = 512       // lines in flight of one import
	importLanes      = 64
	importKeysMax    = 16              // of one source, beside system and ref
	importPauseMax   = 2 * time.Minute // without a line from the caller, or room for an answer
	importBufferSize = 64 << 10
)

// An importable is a command that an import may bring.
type importable struct {
	names []string // in the braces of its path
	start func(context.Context, call, []byte) (pending, error)
}

// ImportLine is one line of an import.
type ImportLine struct {
	Key     string          `json:"key"`
	Source  domain.Source   `json:"source"`
	Command string          `json:"command"`
	Target  string          `json:"target,omitempty"`
	Body    json.RawMessage `json:"body"`
}

// ImportAnswer is the answer to one line. Status is that of the command's route.
type ImportAnswer struct {
	Line     int           `json:"line"` // from 1
	Key      string        `json:"key,omitempty"`
	Status   int           `json:"status"`
	Repeated bool          `json:"repeated,omitempty"` // it was carried out by an earlier line
	ID       string        `json:"id,omitempty"`
	Revision uint64        `json:"revision,omitempty"`
	Position string        `json:"position,omitempty"`
	Error    *edge.Problem `json:"error,omitempty"`
}

// ImportID is the ID of what a creating line makes, so that later lines can name it.
func ImportID(system, key string) uuid.UUID { return domain.EntityID(importCommandID(system, key)) }

// importCommandID leaves the principal out: an import repeated under another
// token must not record everything twice, and all who may import may see it all.
func importCommandID(system, key string) uuid.UUID {
	return domain.CommandID("import:"+system, http.MethodPost, importPath, key)
}

func (w *writes) importRoutes() {
	op := edge.Operation{
		Method: http.MethodPost, Path: importPath, Summary: "Carry out many commands, one a line", Tag: "imports",
		Description: "The body is NDJSON: {key, source{system, ref}, command, target, body} a line. Each line gets an answer line {line, key, status, id, error}.",
		Action:      edge.RunImport, Lines: true, Stream: true, Answers: []string{"application/x-ndjson"},
	}
	edge.Register(w.api, op, func(ctx context.Context, _ *struct{}) (*edge.Streamed, error) {
		principal, _ := edge.PrincipalFrom(ctx)
		return edge.Streaming(func(out http.ResponseWriter, r *http.Request) {
			i := &importRun{writes: w, principal: principal, out: out, control: http.NewResponseController(out)}
			i.serve(r)
		}), nil
	})
}

// An importRun is one import on its way.
type importRun struct {
	*writes
	principal edge.Principal
	out       http.ResponseWriter
	control   *http.ResponseController
	mu        sync.Mutex // for out
	flight    sync.WaitGroup
	slots     chan struct{}
}

// A line waits in its lane.
type importedLine struct {
	number int
	raw    []byte
	ImportLine
}

func (i *importRun) serve(r *http.Request) {
	_ = i.control.EnableFullDuplex()
	i.out.Header().Set("Content-Type", "application/x-ndjson")
	i.out.WriteHeader(http.StatusOK)
	_ = i.control.Flush()
	i.slots = make(chan struct{}, importFlightMax)
	lanes, done := i.openLanes(r.Context())
	i.read(r, lanes)
	for _, lane := range lanes {
		close(lane)
	}
	done.Wait()
	i.flight.Wait()
}

func (i *importRun) openLanes(ctx context.Context) (lanes []chan importedLine, done *sync.WaitGroup) {
	done = &sync.WaitGroup{}
	for range importLanes {
		lane := make(chan importedLine, importFlightMax)
		lanes = append(lanes, lane)
		done.Go(func() {
			for line := range lane {
				i.carry(ctx, line)
			}
		})
	}
	return lanes, done
}

// read sorts lines into lanes, as many as there is room for.
func (i *importRun) read(r *http.Request, lanes []chan importedLine) {
	seed := maphash.MakeSeed()
	reader := bufio.NewReaderSize(r.Body, importBufferSize)
	wake := context.AfterFunc(r.Context(), func() { _ = i.control.SetReadDeadline(time.Now()) })
	defer wake()
	for number := 1; ; number++ {
		_ = i.control.SetReadDeadline(time.Now().Add(importPauseMax))
		if r.Context().Err() != nil { // the server stops, and waits for no more lines
			return
		}
		raw, err := readLine(reader)
		if errors.Is(err, io.EOF) && len(raw) == 0 {
			return
		}
		if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, errLineTooLong) {
			return // the caller is gone
		}
		if len(bytes.TrimSpace(raw)) == 0 && err == nil {
			continue
		}
		line, bad := i.parse(number, raw, err)
		if bad != nil {
			i.answer(ImportAnswer{Line: number, Key: line.Key}, bad)
			continue
		}
		if !i.enter(r.Context(), line) {
			return
		}
		lanes[maphash.String(seed, line.lane())%importLanes] <- line
	}
}

var errLineTooLong = errors.New("line too long")

// readLine reads one line, or passes over one that is too long.
func readLine(reader *bufio.Reader) (line []byte, err error) {
	for {
		part, err := reader.ReadSlice('\n')
		if len(line) <= importLineMax {
			line = append(line, part...)
		}
		if errors.Is(err, bufio.ErrBufferFull) {
			continue
		}
		if len(line) > importLineMax {
			return nil, errLineTooLong
		}
		return line, err
	}
}

func (i *importRun) parse(number int, raw []byte, err error) (importedLine, error) {
	line := importedLine{number: number, raw: raw}
	if errors.Is(err, errLineTooLong) {
		return line, edge.NewProblem(http.StatusRequestEntityTooLarge, "body-too-large", fmt.Sprintf("a line has at most %d bytes", importLineMax))
	}
	if line.ImportLine, err = edge.Decode[ImportLine](raw); err != nil {
		return line, err
	}
	if err := cmp.Or(field.Line("/key", line.Key), field.Line("/command", line.Command), checkSource(line.Source)); err != nil {
		return line, err
	}
	if at := line.Source.RecordedAt; at != nil {
		line.Source.RecordedAt = new(at.UTC().Truncate(time.Microsecond))
	}
	if len(line.Body) == 0 {
		line.Body = json.RawMessage("{}")
	}
	return line, nil
}

// checkSource refuses what must not stand in metadata, in clear and for ever, and
// what would make the parts of a command's ID ambiguous: a source says which row
// of which system, in one line each.
func checkSource(s domain.Source) error {
	if len(s.Keys) > importKeysMax {
		return domain.Refuse("keys-too-many", "/source/keys", "a source has at most %d other keys", importKeysMax)
	}
	err := cmp.Or(
		field.Required("/source/system", s.System),
		field.Code("/source/system", s.System),
		field.Line("/source/ref", s.Ref),
	)
	for _, name := range slices.Sorted(maps.Keys(s.Keys)) {
		err = cmp.Or(err, field.Required("/source/keys", name), field.Code("/source/keys", name), field.Line("/source/keys", s.Keys[name]))
	}
	return err
}

// lane is the order that a line keeps: with the others of its target.
func (l importedLine) lane() string {
	if l.Target == "" {
		return l.Key
	}
	return l.Target
}

func (i *importRun) enter(ctx context.Context, line importedLine) bool {
	if i.importing.Acquire(ctx, line.weight()) != nil {
		return false
	}
	select {
	case i.slots <- struct{}{}:
		return true
	case <-ctx.Done():
		i.importing.Release(line.weight())
		return false
	}
}

func (i *importRun) leave(line importedLine) {
	<-i.slots
	i.importing.Release(line.weight())
}

func (l importedLine) weight() int64 { return int64(len(l.raw)) + 1024 }

// carry starts a line's command; its end is waited for beside the lane, so that
// commands of one stream can be appended together.
func (i *importRun) carry(ctx context.Context, line importedLine) {
	command, err := i.start(ctx, line)
	if err != nil {
		i.leave(line)
		i.answer(ImportAnswer{Line: line.number, Key: line.Key}, err)
		return
	}
	i.flight.Go(func() {
		answer, err := command()
		i.leave(line)
		i.answer(ImportAnswer{
			Line: line.number, Key: line.Key, Repeated: answer.Repeated,
			ID: answer.ID, Revision: answer.Revision, Position: answer.Position.String(),
		}, err)
	})
}

func (i *importRun) start(ctx context.Context, line importedLine) (command pending, err error) {
	defer func() {
		if reason := recover(); reason != nil { // one line must not end the process
			i.Core.logger().Error("a line of an import panicked", "command", line.Command, "stack", string(debug.Stack()))
			err = errors.New("panic in a line of an import")
		}
	}()
	return i.begin(ctx, line)
}

func (i *importRun) begin(ctx context.Context, line importedLine) (pending, error) {
	command, known := i.imported[line.Command]
	if !known {
		return nil, edge.NewProblem(http.StatusUnprocessableEntity, "command-unknown", "an import takes no such command; it is the action of a write route, such as employees.hire").At("/command")
	}
	mac, err := i.mac(line.raw)
	if err != nil {
		return nil, err
	}
	id := importCommandID(line.Source.System, line.Key)
	c := call{principal: i.principal, importing: true, at: map[string]string{}, Request: Request{
		CommandID: id, RequestMAC: mac, CorrelationID: id, CausationID: id,
		Principal: i.principal.ID, Kind: i.principal.Kind, Source: &line.Source,
	}}
	parts := strings.Split(line.Target, "/")
	if line.Target == "" {
		parts = nil
	}
	if len(parts) != len(command.names) {
		return nil, edge.NewProblem(http.StatusUnprocessableEntity, "target-invalid", "the target of this command is: "+strings.Join(command.names, "/")).At("/target")
	}
	for n, name := range command.names {
		c.at[name] = parts[n]
	}
	return command.start(ctx, c, line.Body)
}

// answer writes one answer line.
func (i *importRun) answer(a ImportAnswer, err error) {
	a.Status = http.StatusOK
	if err != nil {
		a.Error, _ = edge.ProblemOf(err)
		a.Status, a.ID, a.Position, a.Revision = a.Error.Status, "", "", 0
	}
	text, _ := json.Marshal(a)
	i.mu.Lock()
	defer i.mu.Unlock()
	_ = i.control.SetWriteDeadline(time.Now().Add(importPauseMax))
	_, _ = i.out.Write(append(text, '\n'))
	_ = i.control.Flush()
}

// submit lines a command up behind those submitted to its stream before.
func (h *Handler[C, S, E]) submit(ctx context.Context, stream string, req Request, cmd C) pending {
	started := time.Now()
	j := &job[C, S]{ctx: ctx, request: req, command: cmd, arrived: started, done: make(chan struct{})}
	accepted := h.enqueue(stream, j)
	return func() (answer Answer, err error) {
		defer func() { h.core.observer().observe(cmd, answer, err, time.Since(started)) }()
		if !accepted {
			return answer, busy()
		}
		select {
		case <-j.done:
			if j.err != nil {
				return answer, j.err
			}
			return j.answer, nil
		case <-ctx.Done():
			return answer, unknown()
		}
	}
}

func busy() error {
	return &domain.Error{Kind: domain.Unknown, Code: "busy", Message: fmt.Sprintf("%d commands wait for this stream already; try again in a moment", waitingMax)}
}

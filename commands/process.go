package commands

import (
	"context"
	"regexp"

	"daybook.example/commands/edge"
	"daybook.example/domain/process"
)

const processPath = "/v1/processes/{name}/{id}/"

var (
	processName    = regexp.MustCompile(`^[a-z]+(-[a-z]+)*$`)
	processNameMax = 64
)

func (w *writes) processRoutes() {
	add(w, write{path: processPath + "retry", action: edge.RetryProcess, summary: "Have a process try again what was refused"},
		func(ctx context.Context, c call, body process.Retry) (pending, error) {
			body.By = c.Principal
			return w.process(ctx, c, body)
		})
	add(w, write{path: processPath + "takeover", action: edge.TakeOverProcess, summary: "Take an instance from its process: a person goes on by hand"},
		func(ctx context.Context, c call, body process.TakeOver) (pending, error) {
			body.By = c.Principal
			return w.process(ctx, c, body)
		})
}

// process hands a person's word to an instance. What follows from it, its process
// does later.
func (w *writes) process(ctx context.Context, c call, command process.Command) (pending, error) {
	name := c.at["name"]
	if !processName.MatchString(name) || len(name) > processNameMax {
		return nil, misplaced("name", "the name of a process")
	}
	id, err := c.id("id")
	if err != nil {
		return nil, err
	}
	return w.Processes.submit(ctx, process.Stream(name, id), c.Request, command).of(id.String()), nil
}

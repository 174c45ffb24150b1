package projections

// A State is where a runner stands.
type State string

// The states of a runner.
const (
	Starting State = "starting"
	Standby  State = "standby" // another process owns the projection
	Running  State = "running"
	Retrying State = "retrying" // it lost the database, or its place in it
	Halted   State = "halted"   // see Status.Failure
	Stopped  State = "stopped"
)

// Status is what a runner says of itself.
type Status struct {
	Name     string
	Version  int
	State    State
	Position Position    // committed
	Failure  *EventError // while it is halted
}

// Status is the present one.
func (r *Runner) Status() Status {
	now, _ := r.status.read()
	return now
}

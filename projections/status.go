package projections

// A State is where a runner stands.
type State string

// The states of a runner.
const (
	Starting State = "starting"
	Standby  State = "standby" // another process owns the projection
	Running  State = "running"
	Retrying State = "retrying" // it comes back by itself: see Status.Trouble
	Halted   State = "halted"   // somebody must act: see Status.Failure or Status.Trouble
	Paused   State = "paused"   // an operator wants it to stand still
	Stopped  State = "stopped"
)

// Status is what a runner says of itself.
type Status struct {
	Name     string
	Version  int
	State    State
	Position Position    // committed, by whichever process owns it
	Holder   string      // while it stands by: the process that it waits for
	Failure  *EventError // the event at which it is halted
	Trouble  *Trouble    // why else it does not come further
}

// Status is the present one.
func (r *Runner) Status() Status {
	now, _ := r.status.read()
	return now
}

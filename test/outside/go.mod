// A module of somebody else, who uses the event store and its Watermill adapter.
// test/outside_test.go runs it, in a copy. Here: go mod tidy && go run .
module outside.example

go 1.26.0

require (
	daybook.example v0.0.0
	github.com/ThreeDotsLabs/watermill v1.5.3
)

replace daybook.example => ../..

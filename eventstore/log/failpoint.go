//go:build !failpoints

package log

// failpoint marks a step at which a process may die. A build with the tag
// failpoints kills itself there when it is told to; this one does nothing.
func failpoint(string) {}

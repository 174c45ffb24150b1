// Package level says how much a test does.
package level

import "os"

// Of gives a number by DAYBOOK_TEST_LEVEL: few without it, for make test; CI's; or
// nightly's.
func Of(few, ci, nightly int) int {
	switch os.Getenv("DAYBOOK_TEST_LEVEL") {
	case "nightly":
		return nightly
	case "ci":
		return ci
	}
	return few
}

// Few tells whether a test does only what make test has the time for.
func Few() bool { return Of(1, 0, 0) == 1 }

package projections_test

import "os"

// level says how much a test does: by default, with CI's numbers, or in the night.
func level(few, ci, nightly int) int {
	switch os.Getenv("DAYBOOK_TEST_LEVEL") {
	case "ci":
		return ci
	case "nightly":
		return nightly
	}
	return few
}

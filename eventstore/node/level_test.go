package node

import "os"

// level says how much a test does: by default, in CI, and by night.
func level(few, ci, nightly int) int {
	switch os.Getenv("DAYBOOK_TEST_LEVEL") {
	case "nightly":
		return nightly
	case "ci":
		return ci
	}
	return few
}

package proof

import (
	"crypto/sha256"
	"math"

	"golang.org/x/mod/sumdb/tlog"

	"daybook.example/eventstore"
)

// Covers reports whether an event is a leaf of the tree: every event is but
// those that a server makes for itself, whose IDs follow from the log they stand
// on. These are all in streams that begin with $, and the tombstone that ends a
// stream for ever. So any log with the same history has the same root.
func Covers(r eventstore.Recorded) bool { return !r.System() && !Tombstone(r) }

// The event that a server puts at the end of a stream which is deleted for ever.
const (
	tombstoneType     = "$streamDeleted"
	tombstoneRevision = math.MaxInt64
)

// Tombstone reports whether an event ends its stream for ever.
func Tombstone(r eventstore.Recorded) bool {
	return r.Type == tombstoneType && r.Revision == tombstoneRevision
}

// A Tree is the Merkle tree of RFC 6962 over leaves that come in one pass. It
// keeps the roots of the complete subtrees only, of which there are as many as
// its size has bits that are set. The zero value is the empty tree.
type Tree struct {
	size  uint64
	roots []tlog.Hash // of the complete subtrees, the largest first
}

// Add appends a leaf, which is a hash as Leaf makes them.
func (t *Tree) Add(leaf [sha256.Size]byte) {
	root := tlog.Hash(leaf)
	for n := t.size; n&1 == 1; n >>= 1 { // as a carry goes through a binary number
		last := len(t.roots) - 1
		root = tlog.NodeHash(t.roots[last], root)
		t.roots = t.roots[:last]
	}
	t.roots = append(t.roots, root)
	t.size++
}

// Size is the number of leaves.
func (t *Tree) Size() uint64 { return t.size }

// Root is the hash of the tree as it stands.
func (t *Tree) Root() [sha256.Size]byte {
	if t.size == 0 {
		return sha256.Sum256(nil)
	}
	last := len(t.roots) - 1
	root := t.roots[last]
	for i := last - 1; i >= 0; i-- {
		root = tlog.NodeHash(t.roots[i], root)
	}
	return root
}

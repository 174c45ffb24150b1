package proof

import (
	"crypto/sha256"
	"encoding/hex"
	"math"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"github.com/transparency-dev/merkle/compact"
	"github.com/transparency-dev/merkle/rfc6962"
	"golang.org/x/mod/sumdb/tlog"
	"pgregory.net/rapid"

	"daybook.example/eventstore"
)

// The leaves and roots that the implementations of Certificate Transparency
// are tested with.
func TestRootsAreThoseOfTheKnownVectors(t *testing.T) {
	t.Parallel()
	leaves := []string{
		"", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f",
	}
	roots := []string{
		"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
		"6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
		"fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
		"aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
		"d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
		"4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
		"76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
		"ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
		"5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
	}
	var tree Tree
	for i, want := range roots {
		root := tree.Root()
		require.Equal(t, want, hex.EncodeToString(root[:]), "%d leaves", i)
		if i < len(leaves) {
			data, err := hex.DecodeString(leaves[i])
			require.NoError(t, err)
			tree.Add(tlog.RecordHash(data))
		}
	}
}

// Two other implementations as oracles: merkle's compact ranges, and tlog's own
// tree over all the hashes it stores.
func TestPropertyRootsAreThoseOfOtherImplementations(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(0, 300).Draw(t, "leaves")
		seed := rapid.Uint64().Draw(t, "seed")
		ranges := compact.RangeFactory{Hash: rfc6962.DefaultHasher.HashChildren}
		other := ranges.NewEmptyRange(0)
		var stored hashes
		var tree Tree
		for i := range n {
			leaf := Leaf(eventstore.Recorded{Stream: "s", Revision: seed + uint64(i)})
			require.NoError(t, other.Append(leaf[:], nil))
			more, err := tlog.StoredHashesForRecordHash(int64(i), leaf, stored)
			require.NoError(t, err)
			stored = append(stored, more...)
			tree.Add(leaf)

			root := tree.Root()
			want, err := other.GetRootHash(nil)
			require.NoError(t, err)
			require.Equal(t, want, root[:])
			whole, err := tlog.TreeHash(int64(i+1), stored)
			require.NoError(t, err)
			require.Equal(t, whole[:], root[:])
			require.EqualValues(t, i+1, tree.Size())
		}
	})
}

type hashes []tlog.Hash

func (h hashes) ReadHashes(indexes []int64) (found []tlog.Hash, err error) {
	for _, i := range indexes {
		found = append(found, h[i])
	}
	return found, nil
}

// What the tree keeps grows with the logarithm of its size.
func TestATreeKeepsOneHashForEachBitOfItsSize(t *testing.T) {
	t.Parallel()
	var tree Tree
	for i := range 1<<16 - 1 {
		tree.Add([sha256.Size]byte{byte(i), byte(i >> 8)})
	}
	require.Len(t, tree.roots, 16)
	tree.Add([sha256.Size]byte{})
	require.Len(t, tree.roots, 1)
	require.LessOrEqual(t, cap(tree.roots), 32)
}

func TestTheTreeLeavesOutWhatAServerMakesForItself(t *testing.T) {
	t.Parallel()
	id := uuid.New()
	for _, c := range []struct {
		name    string
		event   eventstore.Recorded
		covered bool
	}{
		{"of ours", eventstore.Recorded{ID: id, Stream: "s", Type: "t"}, true},
		{"of ours, with a $ further on", eventstore.Recorded{ID: id, Stream: "s$", Type: "$x"}, true},
		{"metadata", eventstore.Recorded{ID: id, Stream: "$$s", Type: "$metadata"}, false},
		{"settings", eventstore.Recorded{ID: id, Stream: "$settings", Type: "x"}, false},
		{"a tombstone", eventstore.Recorded{ID: id, Stream: "s", Type: "$streamDeleted", Revision: math.MaxInt64}, false},
		{"no tombstone, but its type", eventstore.Recorded{ID: id, Stream: "s", Type: "$streamDeleted"}, true},
	} {
		require.Equal(t, c.covered, Covers(c.event), c.name)
	}
}

func BenchmarkTree(b *testing.B) {
	var tree Tree
	leaf := Leaf(hired())
	b.ReportAllocs()
	for b.Loop() {
		tree.Add(leaf)
	}
}

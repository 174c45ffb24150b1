// Package proof makes the history provable: what is hashed here is what a log
// checkpoint signs.
package proof

import (
	"crypto/sha256"
	"encoding/binary"

	"daybook.example/eventstore"
)

// Leaf is the hash of one event in the Merkle tree (RFC 6962) over all events of
// ours in the order of the log. It is
//
//	SHA-256(0x00 | stream | revision | event ID | type | content type | data | metadata)
//
// where each of the seven fields stands behind its length in bytes as 8 bytes,
// big-endian. The revision is 8 bytes, big-endian; the event ID its 16 bytes;
// all others are the stored bytes. So it covers ciphertext, and an erased person
// breaks no proof. It holds no position and no time of the node, so that a copy
// of the history on another log has the same leaves.
//
// These bytes are for ever: testdata/leaf.golden pins them.
func Leaf(r eventstore.Recorded) [sha256.Size]byte {
	size := 1 + 7*8 + len(r.Stream) + 8 + len(r.ID) + len(r.Type) + len(r.ContentType) + len(r.Data) + len(r.Metadata)
	content := make([]byte, 1, size) // 0x00 tells a leaf from an inner node
	content = field(content, r.Stream)
	content = field(content, binary.BigEndian.AppendUint64(nil, r.Revision))
	content = field(content, r.ID[:])
	content = field(content, r.Type)
	content = field(content, r.ContentType)
	content = field(content, r.Data)
	content = field(content, r.Metadata)
	return sha256.Sum256(content)
}

// field appends one field behind its length.
func field[T string | []byte](content []byte, value T) []byte {
	content = binary.BigEndian.AppendUint64(content, uint64(len(value)))
	return append(content, value...)
}

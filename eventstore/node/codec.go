package node

import (
	"github.com/google/uuid"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
)

// Fields of the messages that are written here by hand.
const (
	fieldOfEvent                       = 1       // of ReadResp
	fieldEvent, fieldLink, fieldCommit = 1, 2, 3 // of ReadEvent
	fieldRetries                       = 5       // of ReadEvent of a persistent subscription, which is the same else
	fieldID                            = 1       // of RecordedEvent
	fieldText                          = 2       // of UUID
	prefixMax                          = 64      // bytes beside the stored ones, generously
)

// wire is a response that is encoded already. The log keeps events in the form
// in which they are sent: decoding and encoding them again would cost more than
// reading them.
type wire []byte

// codec sends wire as it is, everything else as protobuf does.
type codec struct{ encoding.CodecV2 }

func newCodec() codec { return codec{encoding.GetCodecV2(proto.Name)} }

// Marshal gives the bytes of a message.
func (c codec) Marshal(message any) (mem.BufferSlice, error) {
	switch m := message.(type) {
	case wire:
		return mem.BufferSlice{mem.SliceBuffer(m)}, nil
	case *flying:
		return mem.BufferSlice{m}, nil
	}
	return c.CodecV2.Marshal(message)
}

// A recorded event as it is sent: the stored bytes, and behind them the ID once
// more when the client wants it as text. Protobuf lets the last one count.
type recorded struct{ stored, id []byte }

func (r recorded) size() int { return len(r.stored) + len(r.id) }

func textID(id uuid.UUID) []byte {
	text := protowire.AppendTag(nil, fieldText, protowire.BytesType)
	text = protowire.AppendString(text, id.String())
	b := protowire.AppendTag(nil, fieldID, protowire.BytesType)
	return protowire.AppendBytes(b, text)
}

// encodeEvent builds the response that carries an event, a link or both. The tail
// is further fields of it.
func encodeEvent(event, link *recorded, commit uint64, tail []byte) wire {
	parts := [...]struct {
		field protowire.Number
		*recorded
	}{{fieldEvent, event}, {fieldLink, link}}
	size := protowire.SizeTag(fieldCommit) + protowire.SizeVarint(commit) + len(tail)
	for _, part := range parts {
		if part.recorded != nil {
			size += protowire.SizeTag(part.field) + protowire.SizeBytes(part.size())
		}
	}
	b := make([]byte, 0, size+prefixMax)
	b = protowire.AppendTag(b, fieldOfEvent, protowire.BytesType)
	b = protowire.AppendVarint(b, uint64(size))
	b = protowire.AppendTag(b, fieldCommit, protowire.VarintType)
	b = protowire.AppendVarint(b, commit)
	for _, part := range parts {
		if part.recorded != nil {
			b = protowire.AppendTag(b, part.field, protowire.BytesType)
			b = protowire.AppendVarint(b, uint64(part.size()))
			b = append(append(b, part.stored...), part.id...)
		}
	}
	return append(b, tail...)
}

package log

import (
	"fmt"
	"hash/crc32"
	"math/bits"
	"time"

	"github.com/google/uuid"
	"google.golang.org/protobuf/encoding/protowire"
)

// Fields of the protobuf messages that a record holds.
const (
	fieldID, fieldStream, fieldRevision      = 1, 2, 3
	fieldPrepare, fieldCommit, fieldMetadata = 4, 5, 6
	fieldCustom, fieldData                   = 7, 8

	fieldStructured, fieldMost, fieldLeast = 1, 1, 2 // of UUID
	fieldStreamName                        = 3       // of StreamIdentifier
	fieldKey, fieldValue                   = 1, 2    // of a map's entry

	contentJSON, contentOctets = "application/json", "application/octet-stream"
)

// A frame is one append as bytes: its caller encodes and checksums all it
// knows, the writer adds revisions, positions and time.
type frame struct {
	bytes      []byte
	records    []int // where each record begins
	describing int   // which of them becomes a stream's metadata, if any does
}

// encodeFrame builds a frame but for what settle adds.
func encodeFrame(stream string, events []Proposed) frame {
	size := frameHeaderSize + len(stream)
	for i := range events {
		e := &events[i]
		size += 192 + len(stream) + len(e.Type) + len(e.Data) + len(e.Metadata)
	}
	f := frame{bytes: make([]byte, frameHeaderSize, size), records: make([]int, 0, len(events))}
	le.PutUint32(f.bytes, frameMagic)
	le.PutUint32(f.bytes[12:], uint32(len(events)))
	le.PutUint16(f.bytes[32:], uint16(len(stream)))
	f.bytes = append(f.bytes, stream...)
	for i := range events {
		f.add(stream, &events[i])
	}
	le.PutUint32(f.bytes[8:], uint32(len(f.bytes)))
	return f
}

func (f *frame) add(stream string, e *Proposed) {
	at := len(f.bytes)
	f.records = append(f.records, at)
	b := f.bytes
	b = append(b, make([]byte, recordHeaderSize)...)
	b = appendEvent(b, stream, e)
	b = append(b, recordTail[:]...)
	record := b[at:]
	le.PutUint32(record, recordMagic)
	le.PutUint32(record[8:], uint32(len(record)))
	le.PutUint32(record[12:], uint32(at))
	copy(record[16:], e.ID[:])
	le.PutUint32(record[4:], checksum(record[8:len(record)-recordTailSize]))
	f.bytes = b
}

func appendEvent(b []byte, stream string, e *Proposed) []byte {
	b = appendID(b, e.ID)
	b = protowire.AppendTag(b, fieldStream, protowire.BytesType)
	b = protowire.AppendVarint(b, uint64(1+protowire.SizeBytes(len(stream))))
	b = protowire.AppendTag(b, fieldStreamName, protowire.BytesType)
	b = protowire.AppendString(b, stream)
	b = appendEntry(b, "type", e.Type)
	content := contentOctets
	if e.JSON {
		content = contentJSON
	}
	b = appendEntry(b, "content-type", content)
	if len(e.Metadata) > 0 {
		b = protowire.AppendTag(b, fieldCustom, protowire.BytesType)
		b = protowire.AppendBytes(b, e.Metadata)
	}
	if len(e.Data) > 0 {
		b = protowire.AppendTag(b, fieldData, protowire.BytesType)
		b = protowire.AppendBytes(b, e.Data)
	}
	return b
}

func appendID(b []byte, id uuid.UUID) []byte {
	most, least := bits.ReverseBytes64(le.Uint64(id[:])), bits.ReverseBytes64(le.Uint64(id[8:]))
	size := 2 + protowire.SizeVarint(most) + protowire.SizeVarint(least)
	b = protowire.AppendTag(b, fieldID, protowire.BytesType)
	b = protowire.AppendVarint(b, uint64(1+protowire.SizeBytes(size)))
	b = protowire.AppendTag(b, fieldStructured, protowire.BytesType)
	b = protowire.AppendVarint(b, uint64(size))
	b = protowire.AppendTag(b, fieldMost, protowire.VarintType)
	b = protowire.AppendVarint(b, most)
	b = protowire.AppendTag(b, fieldLeast, protowire.VarintType)
	return protowire.AppendVarint(b, least)
}

func appendEntry(b []byte, key, value string) []byte {
	b = protowire.AppendTag(b, fieldMetadata, protowire.BytesType)
	b = protowire.AppendVarint(b, uint64(2+protowire.SizeBytes(len(key))+protowire.SizeBytes(len(value))))
	b = protowire.AppendTag(b, fieldKey, protowire.BytesType)
	b = protowire.AppendString(b, key)
	b = protowire.AppendTag(b, fieldValue, protowire.BytesType)
	return protowire.AppendString(b, value)
}

// Where the parts of a record's tail stand. Its numbers are protobuf varints
// padded to nine bytes and its time is padded to seventeen digits, so that a
// record's size is known before the writer knows what to put there.
const (
	tailRevision, tailPrepare, tailCommit, tailCreated = 1, 11, 21, 43

	paddedVarint  = 9
	createdDigits = 17
	ticksMax      = 99_999_999_999_999_999
)

var recordTail = func() (tail [recordTailSize]byte) {
	b := tail[:0]
	for _, field := range []protowire.Number{fieldRevision, fieldPrepare, fieldCommit} {
		b = protowire.AppendTag(b, field, protowire.VarintType)
		b = append(b, make([]byte, paddedVarint)...)
	}
	appendEntry(b, "created", fmt.Sprintf("%0*d", createdDigits, 0))
	return tail
}()

// settle completes a frame that stands at its final place.
func (f frame) settle(b []byte, at uint64, revision int64, ticks uint64) {
	var tail [recordTailSize]byte
	copy(tail[:], recordTail[:])
	putDigits(tail[tailCreated:], ticks)
	for i, begin := range f.records {
		end := len(b)
		if i+1 < len(f.records) {
			end = f.records[i+1]
		}
		putVarint(tail[tailRevision:], uint64(revision)+uint64(i))
		putVarint(tail[tailPrepare:], at+uint64(begin))
		putVarint(tail[tailCommit:], at+uint64(begin))
		copy(b[end-recordTailSize:], tail[:])
		le.PutUint32(b[begin+4:], crc32.Update(le.Uint32(b[begin+4:]), castagnoli, tail[:]))
	}
	le.PutUint64(b[16:], at)
	le.PutUint64(b[24:], uint64(revision))
	sign(b[:frameHeaderSize+int(le.Uint16(b[32:]))])
}

func putVarint(b []byte, v uint64) {
	for i := range paddedVarint {
		b[i] = byte(v>>(7*i)) | 0x80
	}
	b[paddedVarint-1] &^= 0x80
}

func putDigits(b []byte, ticks uint64) {
	for i := createdDigits - 1; i >= 0; i-- {
		b[i] = byte('0' + ticks%10)
		ticks /= 10
	}
}

func ticksOf(t time.Time) uint64 {
	ticks := t.Unix()*10_000_000 + int64(t.Nanosecond())/100
	return uint64(min(max(ticks, 0), ticksMax))
}

func timeOf(ticks uint64) time.Time {
	return time.Unix(int64(ticks/10_000_000), int64(ticks%10_000_000)*100).UTC()
}

// A view is a record as it lies in memory, checked.
type view struct {
	at       uint64
	revision int64
	ticks    uint64
	id       uuid.UUID
	stream   []byte
	kind     []byte // its event type
	event    []byte // the serialized RecordedEvent
	size     int    // of the record
	crc      uint32
}

// parseRecord checks and reads the record at the beginning of b, which must
// hold all of it.
func parseRecord(b []byte, at uint64) (v view, ok bool) {
	if len(b) < recordHeaderSize || le.Uint32(b) != recordMagic {
		return v, false
	}
	size := int(le.Uint32(b[8:]))
	if size < recordHeaderSize+recordTailSize || size > len(b) || !signed(b[:size], recordMagic) {
		return v, false
	}
	v = view{at: at, size: size, crc: le.Uint32(b[4:]), event: b[recordHeaderSize:size:size]}
	copy(v.id[:], b[16:])
	tail := b[size-recordTailSize : size]
	revision, _ := protowire.ConsumeVarint(tail[tailRevision:])
	position, _ := protowire.ConsumeVarint(tail[tailPrepare:])
	v.revision = int64(revision)
	for _, digit := range tail[tailCreated:] {
		v.ticks = v.ticks*10 + uint64(digit-'0')
	}
	v.stream, v.kind, ok = leadingFields(v.event)
	return v, ok && position == at
}

// leadingFields reads the stream and the type, which stand right behind the ID.
func leadingFields(event []byte) (stream, kind []byte, ok bool) {
	_, rest, ok1 := lengthDelimited(event, fieldID)
	identifier, rest, ok2 := lengthDelimited(rest, fieldStream)
	stream, _, ok3 := lengthDelimited(identifier, fieldStreamName)
	entry, _, ok4 := lengthDelimited(rest, fieldMetadata)
	_, entry, ok5 := lengthDelimited(entry, fieldKey)
	kind, _, ok6 := lengthDelimited(entry, fieldValue)
	return stream, kind, ok1 && ok2 && ok3 && ok4 && ok5 && ok6
}

func lengthDelimited(b []byte, field protowire.Number) (value, rest []byte, ok bool) {
	number, kind, n := protowire.ConsumeTag(b)
	if n < 0 || number != field || kind != protowire.BytesType {
		return nil, b, false
	}
	value, m := protowire.ConsumeBytes(b[n:])
	if m < 0 {
		return nil, b, false
	}
	return value, b[n+m:], true
}

// data finds the event's data, empty when it has none.
func (v view) data() []byte {
	for b := v.event; len(b) > 0; {
		number, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			return nil
		}
		m := protowire.ConsumeFieldValue(number, kind, b[n:])
		if m < 0 {
			return nil
		}
		if number == fieldData {
			value, _ := protowire.ConsumeBytes(b[n:])
			return value
		}
		b = b[n+m:]
	}
	return nil
}

func (v view) record() Record {
	return Record{
		Position: v.at, Stream: string(v.stream), Revision: v.revision, ID: v.id, Type: string(v.kind),
		Created: timeOf(v.ticks), Event: append([]byte(nil), v.event...),
	}
}

// parseFrameHeader reads a frame's header and its stream's name.
func parseFrameHeader(b []byte, at uint64) (h frameHeader, ok bool) {
	if len(b) < frameHeaderSize || le.Uint32(b) != frameMagic {
		return h, false
	}
	name := frameHeaderSize + int(le.Uint16(b[32:]))
	if len(b) < name || !signed(b[:name], frameMagic) || le.Uint64(b[16:]) != at {
		return h, false
	}
	h = frameHeader{
		size: name, length: int(le.Uint32(b[8:])), records: int(le.Uint32(b[12:])),
		revision: int64(le.Uint64(b[24:])), stream: b[frameHeaderSize:name],
	}
	return h, h.length >= name
}

type frameHeader struct {
	size     int // with the stream's name
	length   int // with its records
	records  int
	revision int64
	stream   []byte
}

// parseGroup checks a whole group, every byte of it, before it hands out any record.
func parseGroup(b []byte, at uint64, visit func(view)) (ok bool) {
	h, ok := parseGroupHeader(b, at)
	if !ok || h.length > len(b) {
		return false
	}
	b = b[:h.length]
	end := h.length - groupTrailerSize
	if le.Uint64(b[end:]) != trailerMagic<<32|trailerMagic {
		return false
	}
	views := make([]view, 0, min(h.events, len(b)/recordHeaderSize))
	next := groupHeaderSize
	for range h.frames {
		var size int
		if views, size, ok = parseFrame(views, b[next:end], at+uint64(next)); !ok {
			return false
		}
		next += size
	}
	if next != end || len(views) != h.events {
		return false
	}
	for _, v := range views {
		visit(v)
	}
	return true
}

func parseFrame(views []view, b []byte, at uint64) (_ []view, n int, ok bool) {
	h, ok := parseFrameHeader(b, at)
	if !ok || h.length > len(b) {
		return views, 0, false
	}
	next := h.size
	for i := range h.records {
		v, ok := parseRecord(b[next:h.length], at+uint64(next))
		if !ok || string(v.stream) != string(h.stream) || v.revision != h.revision+int64(i) ||
			int(le.Uint32(b[next+12:])) != next {
			return views, 0, false
		}
		views = append(views, v)
		next += v.size
	}
	return views, h.length, next == h.length
}

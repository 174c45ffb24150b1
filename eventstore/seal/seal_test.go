package seal

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"daybook.example/test/limit"
)

var update = flag.Bool("update", false, "write the golden files anew; what is stored is for ever, so never change a line of them")

var (
	ann  = uuid.MustParse("0198a000-0000-7000-8000-00000000000a")
	bob  = uuid.MustParse("0198a000-0000-7000-8000-00000000000b")
	fact = uuid.MustParse("0198a000-0000-7000-8000-0000000000e1")
)

const stream = "employee-0198a000-0000-7000-8000-0000000000ff"

// A counting reader gives golden files the same keys and nonces every time.
type counting byte

func (c *counting) Read(p []byte) (int, error) {
	for i := range p {
		*c++
		p[i] = byte(*c)
	}
	return len(p), nil
}

func newKeyring(t testing.TB) *Keyring {
	k, err := Create(filepath.Join(t.TempDir(), "keys"))
	require.NoError(t, err)
	return k
}

func marked(subject uuid.UUID, purpose, value string) string {
	return fmt.Sprintf(`{"$personal":{"subject":"%s","purpose":"%s","value":%s}}`, subject, purpose, value)
}

// hired is an event's data with a value of each shape.
func hired() []byte {
	return []byte(`{"employee_no":"E-1","legal_name":` + marked(ann, "identity", `{"given":"Ann","family":"Lee"}`) +
		`,"hire_date":"2024-03-01","phones":[` + marked(ann, "contact", `"+44 1"`) + `,` + marked(ann, "contact", `"+44 2"`) +
		`],"amount/gross":` + marked(ann, "payroll", `["60000.00","EUR"]`) + `,"fte":"1.00000"}`)
}

func mustSeal(t require.TestingT, k *Keyring, data []byte) []byte {
	stored, err := k.Seal(stream, fact, data)
	require.NoError(t, err)
	return stored
}

func TestTheBytesAreAsTheyEverWere(t *testing.T) {
	t.Parallel()
	k := newKeyring(t)
	k.random = new(counting)
	stored := mustSeal(t, k, hired())
	opened, err := k.Open(stream, fact, stored)
	require.NoError(t, err)
	require.NoError(t, k.Destroy(ann, "contact", "payroll"))
	erased, err := k.Open(stream, fact, stored)
	require.NoError(t, err)

	golden(t, "values.golden", "marked: "+string(hired())+"\nstored: "+string(stored)+
		"\nopened: "+string(opened)+"\nerased: "+string(erased)+"\n")
}

func golden(t *testing.T, name, got string) {
	path := filepath.Join("testdata", name)
	if *update {
		require.NoError(t, os.MkdirAll("testdata", 0o755))
		require.NoError(t, os.WriteFile(path, []byte(got), 0o644))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, string(want), got)
}

func TestGivenSealedDataWhenOpenedThenItIsWhatItWas(t *testing.T) {
	t.Parallel()
	k := newKeyring(t)
	stored := mustSeal(t, k, hired())
	for _, secret := range []string{`"Ann"`, `"Lee"`, `"+44`, `"60000`, "$personal"} {
		require.NotContains(t, string(stored), secret)
	}
	require.Contains(t, string(stored), `"hire_date":"2024-03-01"`)
	opened, err := k.Open(stream, fact, stored)
	require.NoError(t, err)
	require.Equal(t, string(hired()), string(opened))
}

func TestTheSameValueIsNeverSealedAlike(t *testing.T) {
	t.Parallel()
	k := newKeyring(t)
	require.NotEqual(t, mustSeal(t, k, hired()), mustSeal(t, k, hired()))
}

func TestDataWithoutMarkersIsReturnedItself(t *testing.T) {
	t.Parallel()
	k := newKeyring(t)
	for _, text := range []string{`{"amount":"1.00"}`, `{"text":"caf\u00e9","price":"$5"}`, `{"text":"see $personal and $sealed"}`} {
		data := []byte(text)
		stored := mustSeal(t, k, data)
		require.Same(t, &data[0], &stored[0], text)
		opened, err := k.Open(stream, fact, data)
		require.NoError(t, err)
		require.Same(t, &data[0], &opened[0], text)
	}
}

func TestASealedValueOpensOnlyInItsPlace(t *testing.T) {
	t.Parallel()
	k := newKeyring(t)
	stored := mustSeal(t, k, []byte(`{"name":`+marked(ann, "identity", `"Ann"`)+`}`))
	_, err := k.Open(stream, fact, stored)
	require.NoError(t, err)
	_ = mustSeal(t, k, []byte(`{"name":`+marked(bob, "identity", `"Bob"`)+`,"phone":`+marked(ann, "contact", `"1"`)+`}`))

	_, err = k.Open("employee-another", fact, stored)
	require.ErrorIs(t, err, ErrForged, "another stream")
	_, err = k.Open(stream, uuid.New(), stored)
	require.ErrorIs(t, err, ErrForged, "another event")
	_, err = k.Open(stream, fact, bytes.Replace(stored, []byte(`"name"`), []byte(`"note"`), 1))
	require.ErrorIs(t, err, ErrForged, "another field")
	_, err = k.Open(stream, fact, bytes.Replace(stored, []byte(ann.String()), []byte(bob.String()), 1))
	require.ErrorIs(t, err, ErrKeyMissing, "another subject: it has no key of that ID")
	_, err = k.Open(stream, fact, bytes.Replace(stored, []byte(`"identity"`), []byte(`"contact"`), 1))
	require.ErrorIs(t, err, ErrKeyMissing, "another purpose")
}

func TestAFlippedByteOfASealedValueNeverOpens(t *testing.T) {
	t.Parallel()
	k := newKeyring(t)
	stored := mustSeal(t, k, []byte(`{"name":`+marked(ann, "identity", `"Ann"`)+`}`))
	from := bytes.Index(stored, []byte(`"nonce"`))
	for i := from; i < len(stored); i++ {
		damaged := bytes.Clone(stored)
		damaged[i] ^= 1
		opened, err := k.Open(stream, fact, damaged)
		if err == nil { // a bit that base64 ignores changes nothing
			require.Equal(t, `{"name":`+marked(ann, "identity", `"Ann"`)+`}`, string(opened), "byte %d", i)
		}
	}
}

func TestADestroyedKeyErasesItsValuesAndNoOthers(t *testing.T) {
	t.Parallel()
	k := newKeyring(t)
	stored := mustSeal(t, k, hired())
	require.NoError(t, k.Destroy(ann, "contact"))
	require.NoError(t, k.Destroy(ann, "contact"), "repeated")

	opened, err := k.Open(stream, fact, stored)
	require.NoError(t, err)
	require.Contains(t, string(opened), `{"$personal":{"subject":"`+ann.String()+`","purpose":"contact","erased":true}}`)
	require.NotContains(t, string(opened), "+44")
	require.Contains(t, string(opened), "Ann")
}

func TestAValueGivenAfterErasureHasAKeyOfItsOwn(t *testing.T) {
	t.Parallel()
	k := newKeyring(t)
	before := mustSeal(t, k, hired())
	require.NoError(t, k.Destroy(ann, "contact"))
	after := mustSeal(t, k, hired())

	opened, err := k.Open(stream, fact, after)
	require.NoError(t, err)
	require.Equal(t, string(hired()), string(opened))
	opened, err = k.Open(stream, fact, before)
	require.NoError(t, err)
	require.NotContains(t, string(opened), "+44")
}

func TestWhatIsNoMarkerIsRefused(t *testing.T) {
	t.Parallel()
	k := newKeyring(t)
	sealedName := string(mustSeal(t, k, []byte(marked(ann, "identity", `"Ann"`))))
	for name, data := range map[string]string{
		"sealed already":     `{"name":` + sealedName + `}`,
		"second member":      `{"$personal":{"subject":"` + ann.String() + `","purpose":"note","value":1},"x":1}`,
		"not first member":   `{"x":1,"$personal":{"subject":"` + ann.String() + `","purpose":"note","value":1}}`,
		"erased":             `{"$personal":{"subject":"` + ann.String() + `","purpose":"note","erased":true}}`,
		"no value":           `{"$personal":{"subject":"` + ann.String() + `","purpose":"note"}}`,
		"no purpose":         `{"$personal":{"subject":"` + ann.String() + `","value":1}}`,
		"no subject":         `{"$personal":{"subject":"ann","purpose":"note","value":1}}`,
		"nobody":             `{"$personal":{"purpose":"note","value":1}}`,
		"sealed in it":       marked(ann, "note", `{"a":[{"$sealed":{}}]}`),
		"unknown member":     `{"$personal":{"subject":"` + ann.String() + `","purpose":"note","value":1,"more":1}}`,
		"marker in a marker": marked(ann, "note", `{"inner":`+marked(bob, "note", `1`)+`}`),
		"duplicate":          `{"a":1,"a":` + marked(ann, "note", `1`) + `}`,
		"no JSON":            `{"$personal":`,
		"escaped name":       `{"\u0024personal":1}`,
	} {
		_, err := k.Seal(stream, fact, []byte(data))
		require.Error(t, err, name)
		require.NotContains(t, err.Error(), "Ann", name)
	}
}

func TestAMarkerStoredInClearIsNotOpened(t *testing.T) {
	t.Parallel()
	_, err := newKeyring(t).Open(stream, fact, []byte(`{"name":`+marked(ann, "identity", `"Eve"`)+`}`))
	require.ErrorIs(t, err, ErrMarker)
}

func TestMarkersAreFoundHoweverTheyAreWritten(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		marked(ann, "note", `1`):             true,
		`{"a":[{"\u0024personal" : 1}]}`:     true,
		`{"a":[{"$\u0070ersonal":1}]}`:       true,
		`{"$personal`:                        true,
		`{"a":"$personal"}`:                  false,
		`{"a":"\u0024personal"}`:             false,
		`{"$sealed":{"purpose":"note"}}`:     false,
		`{"$personal2":1,"x$personal":true}`: false,
		``:                                   false,
	} {
		require.Equal(t, want, Marked([]byte(text)), text)
	}
}

func TestIncomingValuesMayNotUseOurNames(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		`{"$personal":1}`, `{"a":[{"$sealed":1}]}`, `{"$Personal":1}`, `{"\u0024sealed":1}`, `{"$SEALED":{}}`, `{"$per\u017fonal":1}`,
	} {
		require.ErrorIs(t, CheckIncoming([]byte(text)), ErrMarker, text)
	}
	for _, text := range []string{`{"a":"$personal"}`, `{"price":"$5"}`, `{"a":"\u0041"}`, `[]`} {
		require.NoError(t, CheckIncoming([]byte(text)), text)
	}
}

// Any document, with values marked anywhere in it, comes back as it was; and
// nothing marked is left in clear.
func TestPropertySealThenOpenIsIdentity(t *testing.T) {
	t.Parallel()
	k := newKeyring(t)
	rapid.Check(t, func(t *rapid.T) {
		data, err := json.Marshal(document(3).Draw(t, "document"))
		require.NoError(t, err)
		stored := mustSeal(t, k, data)
		require.False(t, Marked(stored))
		require.NotContains(t, string(stored), "canary")
		require.True(t, json.Valid(stored))
		opened, err := k.Open(stream, fact, stored)
		require.NoError(t, err)
		require.Equal(t, string(data), string(opened))
	})
}

// document draws any JSON value up to a depth.
func document(depth int) *rapid.Generator[any] {
	value := rapid.Custom(func(t *rapid.T) any {
		return json.RawMessage(marked(rapid.SampledFrom([]uuid.UUID{ann, bob}).Draw(t, "subject"),
			rapid.SampledFrom([]string{"identity", "contact"}).Draw(t, "purpose"), `{"it is":["the canary",null,1.50]}`))
	})
	leaf := rapid.OneOf(rapid.String().AsAny(), rapid.Int().AsAny(), rapid.Bool().AsAny(), rapid.Just[any](nil), value)
	if depth == 0 {
		return leaf
	}
	inner := rapid.Deferred(func() *rapid.Generator[any] { return document(depth - 1) })
	name := rapid.String().Filter(func(s string) bool { return !strings.HasPrefix(s, "$") })
	return rapid.OneOf(leaf, rapid.SliceOfN(inner, 0, 4).AsAny(), rapid.MapOfN(name, inner, 0, 4).AsAny())
}

func BenchmarkSeal(b *testing.B) {
	k := newKeyring(b)
	data := hired()
	b.ReportAllocs()
	for b.Loop() {
		_, _ = k.Seal(stream, fact, data)
	}
}

func BenchmarkOpen(b *testing.B) {
	k := newKeyring(b)
	stored := mustSeal(b, k, hired())
	b.ReportAllocs()
	for b.Loop() {
		_, _ = k.Open(stream, fact, stored)
	}
}

func FuzzOpenNeverPanics(f *testing.F) {
	k := newKeyring(f)
	f.Add(hired())
	f.Add(mustSeal(f, k, hired()))
	f.Add([]byte(`{"$sealed":{"subject":"0198a000-0000-7000-8000-00000000000a","purpose":"x","key":"0198a000-0000-7000-8000-00000000000a","nonce":"AA==","data":""}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		defer limit.Input(t, len(data))()
		_, _ = k.Open(stream, fact, data)
		_ = CheckIncoming(data)
		_ = Marked(data)
	})
}

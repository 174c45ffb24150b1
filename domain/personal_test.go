package domain_test

import (
	"encoding/json"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	. "daybook.example/domain"
)

var (
	ada  = uuid.MustParse("00000000-0000-4000-8000-00000000000a")
	bert = uuid.MustParse("00000000-0000-4000-8000-00000000000b")
)

const someone = `"subject":"00000000-0000-4000-8000-00000000000a"`

func TestPersonalValueIsMarkedForSealing(t *testing.T) {
	t.Parallel()
	pay := Payroll[Money]{}.Of(ada, NewMoney("6000.00", "EUR"))
	data, err := Marshal(pay)
	require.NoError(t, err)
	require.Equal(t, `{"$personal":{`+someone+`,"purpose":"payroll","value":{"amount":"6000.00","currency":"EUR"}}}`, string(data))
	var back *Payroll[Money]
	require.NoError(t, json.Unmarshal(data, &back))
	require.Equal(t, pay, back)
	require.True(t, back.Clear())

	street, err := Marshal(Contact[string]{}.Of(ada, "<Straße> & Hof"))
	require.NoError(t, err)
	require.Contains(t, string(street), `"<Straße> & Hof"`, "bytes as they are")
}

func TestEveryPurposeHasItsName(t *testing.T) {
	t.Parallel()
	require.Equal(t, []string{"identity", "contact", "bank", "payroll", "health", "note", "applicant"}, []string{
		Identity[int]{}.SealedUnder(), Contact[int]{}.SealedUnder(), Bank[int]{}.SealedUnder(), Payroll[int]{}.SealedUnder(),
		Health[int]{}.SealedUnder(), Note[int]{}.SealedUnder(), Applicant[int]{}.SealedUnder(),
	})
}

func TestHiddenValuesKnowTheirSubjectAndCannotBeWritten(t *testing.T) {
	t.Parallel()
	for form, erased := range map[string]bool{
		`{"$personal":{` + someone + `,"purpose":"note","erased":true}}`:                                true,
		`{"$sealed":{` + someone + `,"purpose":"note","key":"k","nonce":"bm9uY2U=","data":"Y2lwaGVy"}}`: false,
	} {
		var note Note[string]
		require.NoError(t, json.Unmarshal([]byte(form), &note))
		require.Equal(t, ada, note.Subject)
		require.Empty(t, note.Value)
		require.False(t, note.Clear())
		require.Equal(t, erased, note.Erased())
		_, err := json.Marshal(note)
		require.ErrorContains(t, err, "cannot be written")
	}
}

func TestPersonalValueRefusesOtherForms(t *testing.T) {
	t.Parallel()
	for name, form := range map[string]string{
		"bare":            `"secret"`,
		"no marker":       `{}`,
		"other purpose":   `{"$personal":{` + someone + `,"purpose":"health","value":"secret"}}`,
		"sealed as other": `{"$sealed":{` + someone + `,"purpose":"health"}}`,
		"both":            `{"$personal":{` + someone + `,"purpose":"note","value":"secret"},"$sealed":{` + someone + `,"purpose":"note"}}`,
		"no value":        `{"$personal":{` + someone + `,"purpose":"note"}}`,
		"other type":      `{"$personal":{` + someone + `,"purpose":"note","value":{"text":"secret"}}}`,
	} {
		var note Note[string]
		err := json.Unmarshal([]byte(form), &note)
		require.Error(t, err, name)
		require.NotContains(t, err.Error(), "secret", name)
	}
	var born Identity[Date]
	err := json.Unmarshal([]byte(`{"$personal":{`+someone+`,"purpose":"identity","value":"17.5.1990"}}`), &born)
	require.ErrorContains(t, err, "does not decode")
	require.NotContains(t, err.Error(), "1990")
}

func TestReferenceNeedsNoKey(t *testing.T) {
	t.Parallel()
	var note *Note[string]
	require.Nil(t, note.Reference(bert, "/note"))
	require.NoError(t, json.Unmarshal([]byte(`{"$sealed":{`+someone+`,"purpose":"note"}}`), &note))
	data, err := Marshal(note.Reference(bert, "/note"))
	require.NoError(t, err)
	require.Equal(t, `{"personal":{`+someone+`,"purpose":"note","path":"/note","event_id":"`+bert.String()+`"}}`, string(data))
}

func TestSubjectsAreFoundWhereverTheyAre(t *testing.T) {
	t.Parallel()
	type inner struct{ Note *Note[string] }
	event := struct {
		inner
		Public  string
		Absent  *Note[string]
		Nothing any
		List    []inner
		Nested  any
	}{
		inner:  inner{Note[string]{}.Of(bert, "b")},
		List:   []inner{{}, {Note[string]{}.Of(ada, "a")}, {Note[string]{}.Of(bert, "again")}},
		Nested: &inner{Note[string]{}.Of(ada, "a")},
	}
	require.Equal(t, []uuid.UUID{bert, ada}, Subjects(event))
	require.Empty(t, Subjects(nil))
}

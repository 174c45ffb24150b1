package projections_test

import (
	"encoding/json"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"daybook.example/domain"
	"daybook.example/domain/employee"
	"daybook.example/projections"
)

func TestGivenAnOpenedEventWhenItIsSplitThenNothingPersonalIsLeftInIt(t *testing.T) {
	t.Parallel()
	subject, event := uuid.New(), uuid.New()
	data, err := domain.Encode(employee.FactCorrected{
		CorrectsEventID: uuid.New(),
		Replacement: employee.Replacement{Event: employee.CompensationChanged{
			PayBasis: employee.Monthly, PayFrequency: employee.PaidMonthly, ChangeReason: "raise",
			EffectiveFrom: domain.MustDate("2025-02-15"),
			Amount:        domain.Payroll[domain.Money]{}.Of(subject, domain.NewMoney("6500.00", "EUR")),
		}},
		ReasonText: domain.Note[string]{}.Of(subject, "typed the canary wrong"),
	})
	require.NoError(t, err)

	rest, found, err := projections.SplitPersonal(event, data)

	require.NoError(t, err)
	require.NotContains(t, string(rest), "6500")
	require.NotContains(t, string(rest), "canary")
	require.Len(t, found, 2)
	require.Equal(t, domain.Place{Subject: subject, Purpose: "payroll", Path: "/replacement/data/amount", EventID: event}, found[0].Place)
	require.JSONEq(t, `{"amount":"6500.00","currency":"EUR"}`, string(found[0].Value))
	require.Equal(t, "note", found[1].Purpose)
	var left struct {
		Reason      domain.Reference `json:"reason_text"`
		Replacement struct {
			Data struct {
				Basis  string           `json:"pay_basis"`
				Amount domain.Reference `json:"amount"`
			} `json:"data"`
		} `json:"replacement"`
	}
	require.NoError(t, json.Unmarshal(rest, &left))
	require.Equal(t, found[0].Place, left.Replacement.Data.Amount.Personal)
	require.Equal(t, found[1].Place, left.Reason.Personal)
	require.Equal(t, "monthly", left.Replacement.Data.Basis)
}

func TestGivenSealedAndErasedValuesWhenTheEventIsSplitThenTheyAreReferencesWithoutValues(t *testing.T) {
	t.Parallel()
	const id = "11111111-1111-4111-8111-111111111111"
	data := `{"a":{"$personal":{"subject":"` + id + `","purpose":"contact","erased":true}},"b":[{"$sealed":{"subject":"` + id + `","purpose":"bank","key":"` + id + `","nonce":"AA==","data":"AA=="}}],"c":1}`

	rest, found, err := projections.SplitPersonal(uuid.MustParse(id), []byte(data))

	require.NoError(t, err)
	require.Len(t, found, 2)
	require.Nil(t, found[0].Value)
	require.Nil(t, found[1].Value)
	require.Equal(t, "/b/0", found[1].Path)
	require.JSONEq(t, `{"a":{"personal":{"subject":"`+id+`","purpose":"contact","path":"/a","event_id":"`+id+`"}},
		"b":[{"personal":{"subject":"`+id+`","purpose":"bank","path":"/b/0","event_id":"`+id+`"}}],"c":1}`, string(rest))
}

func TestGivenDataWithoutMarkersWhenItIsSplitThenItIsUnchanged(t *testing.T) {
	t.Parallel()
	for _, data := range []string{`{}`, `{"price":"5 $","n":"\u00e9"}`, `[]`} {
		rest, found, err := projections.SplitPersonal(uuid.New(), []byte(data))
		require.NoError(t, err)
		require.Empty(t, found)
		require.Equal(t, data, string(rest))
	}
}

func TestGivenNoJSONWhenItIsSplitThenTheErrorShowsNothingOfIt(t *testing.T) {
	t.Parallel()
	for _, data := range []string{`{"$personal":{"subject":"canary"}}`, `{"$personal":`, `{"$personal":{},"x":1}`, `$canary`} {
		_, _, err := projections.SplitPersonal(uuid.New(), []byte(data))
		require.Error(t, err)
		require.NotContains(t, err.Error(), "canary")
	}
}

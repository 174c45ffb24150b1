package catalog_test

import (
	"bufio"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"daybook.example/domain"
	. "daybook.example/domain/catalog"
	"daybook.example/test/limit"
)

// FuzzDecode: no bytes make decoding panic, and what can be stored again is
// stored as it was.
func FuzzDecode(f *testing.F) {
	goldens, err := filepath.Glob("../*/testdata/stored.golden")
	require.NoError(f, err)
	for _, path := range goldens {
		file, err := os.Open(path)
		require.NoError(f, err)
		for scan := bufio.NewScanner(file); scan.Scan(); {
			name, _, _ := strings.Cut(scan.Text(), " ")
			f.Add(name, []byte(scan.Text()[strings.Index(scan.Text(), "{"):]))
		}
		require.NoError(f, file.Close())
	}
	f.Fuzz(func(t *testing.T, name string, data []byte) {
		defer limit.Input(t, len(data))()
		event, err := Decode(name, 1, data)
		if err != nil {
			require.Nil(t, event)
			return
		}
		stored, err := domain.Encode(event)
		if err != nil {
			return // an erased or sealed value cannot be written
		}
		again, err := Decode(name, 1, stored)
		if err != nil {
			return // a date that must be given was not
		}
		twice, err := domain.Encode(again)
		require.NoError(t, err)
		require.Equal(t, string(stored), string(twice))
	})
}

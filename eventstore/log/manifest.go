package log

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/google/uuid"
)

const (
	manifestName   = "backup.json"
	manifestFormat = 1
	manifestMax    = 64 << 20 // bytes; a segment takes some 250
)

// ErrNoBackup says that a folder holds no backup that was finished.
var ErrNoBackup = errors.New("no finished backup")

// A Manifest says what a backup holds. It is written last: a backup that was
// interrupted has none, or still the one of the backup before, whose bytes are
// all there.
type Manifest struct {
	Format      int          `json:"format"`
	LogID       uuid.UUID    `json:"log_id"`
	LogFormat   int          `json:"log_format"` // of the segments
	TakenAt     time.Time    `json:"taken_at"`
	End         uint64       `json:"end,string"`    // behind the last group
	Head        uint64       `json:"head,string"`   // position of the last event, 0 for none
	Events      uint64       `json:"events,string"` // the store's own too
	LastEventID uuid.UUID    `json:"last_event_id"` // of the last event that is not the store's own; zero for none
	Files       []BackupFile `json:"files"`
}

// A BackupFile is one segment in a backup.
type BackupFile struct {
	Name   string `json:"name"`
	Size   int64  `json:"size"`
	Bytes  int64  `json:"bytes"` // header and groups; what is behind them is zero, but for the footer
	Events uint64 `json:"events,string"`
	Sealed bool   `json:"sealed"` // it does not change any more
	SHA256 string `json:"sha256"` // of the whole file if it is sealed, else of its first so many bytes
}

// ReadManifest reads what the backup in folder says of itself.
func ReadManifest(folder string) (m Manifest, err error) {
	path := filepath.Join(folder, manifestName)
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return m, fmt.Errorf("%w in %s: it has no %s, which is written last", ErrNoBackup, folder, manifestName)
	}
	if err != nil {
		return m, err
	}
	if info.Size() > manifestMax {
		return m, fmt.Errorf("%s is no manifest of a backup", path)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return m, err
	}
	if err := json.Unmarshal(content, &m); err != nil {
		return m, fmt.Errorf("%s is no manifest of a backup: %w", path, err)
	}
	if m.Format != manifestFormat || m.LogFormat != formatVersion {
		return m, fmt.Errorf("the backup in %s has format %d of log format %d, and this program reads format %d of %d: use the program that wrote it",
			folder, m.Format, m.LogFormat, manifestFormat, formatVersion)
	}
	return m, m.check(path)
}

// check refuses a manifest that contradicts itself.
func (m Manifest) check(path string) error {
	base, end, events := uint64(0), uint64(0), uint64(0)
	for i, f := range m.Files {
		last := i == len(m.Files)-1
		sum, err := hex.DecodeString(f.SHA256)
		switch {
		case f.Name != segmentName(base), f.Size < segmentOverhead, f.Bytes < pageSize, f.Bytes > f.Size-pageSize, !f.Sealed && !last, err != nil, len(sum) != 32:
			return fmt.Errorf("%s was altered: %s is not described as a backup does it", path, f.Name)
		}
		end, base, events = base+uint64(f.Bytes), base+uint64(f.Size), events+f.Events
	}
	if end != m.End || events != m.Events || len(m.Files) == 0 || m.LogID == uuid.Nil {
		return fmt.Errorf("%s was altered: it is not the sum of its files", path)
	}
	return nil
}

// write puts the manifest in the place of the one before, whole or not at all.
func (m Manifest) write(folder string) error {
	var content bytes.Buffer
	e := json.NewEncoder(&content)
	e.SetIndent("", "  ")
	if err := e.Encode(m); err != nil {
		return err
	}
	return replaceFile(filepath.Join(folder, manifestName), content.Bytes())
}

// replaceFile stores content at path durably, whole or not at all.
func replaceFile(path string, content []byte) error {
	next := path + ".new"
	f, err := os.OpenFile(next, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(next, path); err != nil {
		return err
	}
	return localDisk{}.syncFolder(filepath.Dir(path))
}

// ours tells whether a backup may stand in a folder: an empty one, or one with
// nothing in it but what a backup leaves.
func ours(folder string) error {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		name := entry.Name()
		switch {
		case filepath.Ext(name) == ".seg", name == markName, name == manifestName, name == manifestName+".new", name == markName+".new":
		default:
			return fmt.Errorf("%s holds %s, which is no part of a backup", folder, name)
		}
	}
	return nil
}

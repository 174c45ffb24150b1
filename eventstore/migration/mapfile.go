package migration

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"daybook.example/eventstore"
)

// A mapFile holds a line for every event that was copied, in order:
//
//	<position at the source> <position at the target> <event ID at the source>
//
// What an earlier run wrote is compared, never trusted: both logs are read anyway.
type mapFile struct {
	file   *os.File
	known  *bufio.Reader // lines of an earlier run, nil behind them
	offset int64         // behind the last line that was compared
	out    *bufio.Writer
}

var errMapFile = errors.New("the position map cannot be written")

// openMap opens or makes the file; without a path nothing is written.
func openMap(path string) (*mapFile, error) {
	if path == "" {
		return &mapFile{}, nil
	}
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errMapFile, err)
	}
	return &mapFile{file: file, known: bufio.NewReader(file), out: bufio.NewWriter(file)}, nil
}

// pair writes the line of an event, or finds it.
func (m *mapFile) pair(original, copied eventstore.Recorded) error {
	if m.file == nil {
		return nil
	}
	line := fmt.Sprintf("%s %s %s\n", original.Position, copied.Position, original.ID)
	if m.known != nil {
		found, err := m.compare(line)
		if found || err != nil {
			return err
		}
	}
	_, err := m.out.WriteString(line)
	return wrapMap(err)
}

// compare reads the next line of an earlier run. What was torn by a kill is
// written again.
func (m *mapFile) compare(line string) (found bool, err error) {
	known, err := m.known.ReadString('\n')
	switch {
	case err == nil && known == line:
		m.offset += int64(len(line))
		return true, nil
	case errors.Is(err, io.EOF) && strings.HasPrefix(line, known):
		return false, m.goOn()
	case err != nil && !errors.Is(err, io.EOF):
		return false, wrapMap(err)
	}
	return false, fmt.Errorf("%w: %s has %.120q where this one has %.120q", ErrMap, m.file.Name(), known, line)
}

// goOn writes from the last whole line on.
func (m *mapFile) goOn() error {
	m.known = nil
	if err := m.file.Truncate(m.offset); err != nil {
		return wrapMap(err)
	}
	_, err := m.file.Seek(m.offset, io.SeekStart)
	return wrapMap(err)
}

// settle is told that every event has its line: an earlier run has no more.
func (m *mapFile) settle() error {
	if m.known == nil {
		return nil
	}
	known, err := m.known.ReadString('\n')
	switch {
	case errors.Is(err, io.EOF):
		return m.goOn()
	case err != nil:
		return wrapMap(err)
	}
	return fmt.Errorf("%w: %s has %.120q for no event of this one", ErrMap, m.file.Name(), known)
}

// flush hands the lines to the file.
func (m *mapFile) flush() error {
	if m.file == nil || m.known != nil {
		return nil
	}
	return wrapMap(m.out.Flush())
}

// close makes the lines durable.
func (m *mapFile) close() error {
	if m.file == nil {
		return nil
	}
	return errors.Join(m.flush(), wrapMap(m.file.Sync()), wrapMap(m.file.Close()))
}

func wrapMap(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w: %w", errMapFile, err)
}

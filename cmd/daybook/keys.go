package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"daybook.example/eventstore/seal"
)

func (m *Main) keys() *cobra.Command {
	cmd := group("keys", "Back up and restore the keys of personal values", m.keysBackup(), m.keysRestore())
	cmd.Long = `Personal values lie in the log under keys, one per person and purpose, in DIR/keys. A log without its keys
is a company of erased people: back up both, and keep them apart. Backups of the keys must expire by
themselves: a key that is destroyed to erase a person lives on in them.`
	return cmd
}

func (m *Main) keysBackup() *cobra.Command {
	return &cobra.Command{
		Use: "backup FILE", Short: "Write all keys into one new file, also while a server runs; - is standard output", Args: one("FILE"),
		Long: `Writes the keys as a tar archive that ends with the SHA-256 of each file. They are in clear: whoever has
the file and the log can read all personal values. Pipe it through a tool that encrypts, and keep it
elsewhere than the log.`,
		Example: "  daybook keys backup /elsewhere/books.keys\n  daybook keys backup - | age -r RECIPIENT > /elsewhere/books.keys.age",
		RunE: func(_ *cobra.Command, args []string) error {
			d, err := m.existingDir()
			if err != nil {
				return err
			}
			if args[0] == "-" {
				_, err := seal.Backup(d.keys(), m.Stdout)
				return err
			}
			return m.backUpKeys(d, args[0])
		},
	}
}

// backUpKeys leaves a whole file or none.
func (m *Main) backUpKeys(d dir, path string) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return hint(err, "an earlier backup is not overwritten: name another file")
	}
	if err != nil {
		return err
	}
	files, err := seal.Backup(d.keys(), file)
	if err = errors.Join(err, file.Sync(), file.Close(), syncFolder(filepath.Dir(path))); err != nil {
		return errors.Join(err, os.Remove(path))
	}
	_, err = fmt.Fprintf(m.Stdout, "%d keys of %s are in %s, in clear: encrypt it, keep it elsewhere than the log, and let it expire\n", files, d, path)
	return err
}

func (m *Main) keysRestore() *cobra.Command {
	return &cobra.Command{
		Use: "restore FILE", Short: "Put the keys of a backup into --dir, where none may be; - is standard input", Args: one("FILE"),
		Long: `Restores what daybook keys backup wrote, every file held against its SHA-256, whole or not at all.
Keys that were destroyed after the backup was made are back: destroy them again.`,
		Example: "  daybook keys restore /elsewhere/books.keys --dir ./books\n  age -d /elsewhere/books.keys.age | daybook keys restore - --dir ./books",
		RunE: func(_ *cobra.Command, args []string) error {
			d, err := openDir(m.flags.dir)
			if err != nil {
				return err
			}
			release, err := d.lock()
			if err != nil {
				return err
			}
			defer release()
			content, err := readFile(args[0])
			if err != nil {
				return err
			}
			files, err := seal.Restore(bytes.NewReader(content), d.keys())
			switch {
			case errors.Is(err, seal.ErrNotEmpty):
				return hint(err, "move the keys that are there away, or name another folder with --dir")
			case errors.Is(err, seal.ErrNoBackup):
				return hint(err, "name a file that daybook keys backup wrote")
			case err != nil:
				return err
			}
			_, err = fmt.Fprintf(m.Stdout, "%d keys are in %s\n", files, d.keys())
			return err
		},
	}
}

// syncFolder makes the names in a folder durable.
func syncFolder(path string) error {
	folder, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}

func readFile(path string) ([]byte, error) {
	if path == "-" {
		return io.ReadAll(os.Stdin)
	}
	return os.ReadFile(path)
}

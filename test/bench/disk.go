package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"syscall"
)

// preWritten is a file for syncs, as the log's segments are.
type preWritten struct {
	file *os.File
	at   int64
}

const (
	preWrittenBytes = 64 << 20
	sector          = 512
)

func openPreWritten(folder string) (*preWritten, error) {
	f, err := os.Create(filepath.Join(folder, "pre-written"))
	if err != nil {
		return nil, err
	}
	if _, err := f.Write(make([]byte, preWrittenBytes)); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &preWritten{file: f}, f.Sync()
}

// sync writes a sector behind the one before and makes it durable.
func (w *preWritten) sync(context.Context, int) error {
	if _, err := w.file.WriteAt(make([]byte, sector), w.at); err != nil {
		return err
	}
	w.at = (w.at + sector) % preWrittenBytes
	return syscall.Fdatasync(int(w.file.Fd()))
}

func (w *preWritten) close() error { return w.file.Close() }

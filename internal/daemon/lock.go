package daemon

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

const lockFile = "lock"

// lock keeps a second daemon out of dir, until the file that it returns is
// closed. On a disk that cannot be written the directory itself is locked.
func lock(dir string) (*os.File, error) {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, fmt.Errorf("state directory: %w (hint: name another one with --state)", err)
	}
	f, err := os.OpenFile(filepath.Join(dir, lockFile), os.O_RDWR|os.O_CREATE, 0o640)
	writable := err == nil
	if errors.Is(err, syscall.EROFS) || errors.Is(err, syscall.ENOSPC) || errors.Is(err, fs.ErrPermission) {
		f, err = os.Open(dir)
	}
	if err != nil {
		return nil, fmt.Errorf("state directory: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		defer f.Close()
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("lock %s: %w", f.Name(), err)
		}
		return nil, fmt.Errorf("state directory %s: another spindle%s uses it (hint: stop it, or name another directory with --state)", dir, holderOf(f))
	}
	if writable {
		// Who holds it is for people only: it may fail.
		_ = f.Truncate(0)
		_, _ = fmt.Fprintln(f, os.Getpid())
	}
	return f, nil
}

// holderOf returns the process that wrote the lock file, for people.
func holderOf(f *os.File) string {
	b := make([]byte, 16)
	n, _ := f.ReadAt(b, 0)
	if pid := strings.TrimSpace(string(b[:n])); pid != "" {
		return " (process " + pid + ")"
	}
	return ""
}

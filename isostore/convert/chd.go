package convert

import (
	"context"
	"errors"
	"os"
	"path/filepath"

	"spindle/isostore/image"
)

// writeCHD writes a CHD.
func writeCHD(ctx context.Context, j *job, dir, base string) (names []string, err error) {
	name := base + ".chd"
	f, err := os.OpenFile(filepath.Join(dir, name), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	last := int64(0)
	if err := image.WriteCHD(ctx, f, j.d, func(done, _ int64) {
		j.progress(int(done - last))
		last = done
	}); err != nil {
		return nil, err
	}
	return []string{name}, f.Sync()
}

package convert

import (
	"context"
	"errors"
	"os"
	"path/filepath"

	"spindle/isostore/image"
)

// writeCHD writes a CHD.
func writeCHD(ctx context.Context, j *job, dir string, names []string) (err error) {
	f, err := os.OpenFile(filepath.Join(dir, names[0]), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	last := int64(0)
	if err := image.WriteCHD(ctx, f, j.d, func(done, _ int64) {
		j.progress(int(done - last))
		last = done
	}); err != nil {
		return err
	}
	return f.Sync()
}

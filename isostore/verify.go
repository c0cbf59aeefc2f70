package isostore

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// Verify reads the image of that name, compares it with its checksums, and
// keeps the result for as long as the files do not change. tell, which may be
// nil, is called now and then with how many bytes were read. An image that is
// not what its checksums say, or has none, is no error: Checks says so.
//
// Those who verify one image at the same time share the work, and few images
// are read at a time. It ends early when ctx is done.
func (l *Library) Verify(ctx context.Context, name string, tell func(done, total int64)) (Checks, error) {
	p, err := l.find(name)
	if err != nil {
		return Checks{}, err
	}
	var checks Checks
	err = l.await(ctx, jobKey{verifyJob, p}, tell, func(j *job) { checks = j.checks })
	return checks, err
}

// VerifyLater has Verify done in the background, while Run runs.
func (l *Library) VerifyLater(name string) { l.later(verifyJob, name) }

// VerifyFile verifies the image at path, as [Library.Verify] does, with the
// checksums beside it; nothing is kept.
func VerifyFile(ctx context.Context, path string, tell func(done, total int64)) (Checks, error) {
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return Checks{}, err
	}
	if fi, err := os.Stat(real); err == nil && fi.IsDir() {
		return Checks{}, fmt.Errorf("%s: %w", path, errFolder)
	}
	l, err := Open([]string{filepath.Dir(real)})
	if err != nil {
		return Checks{}, err
	}
	return l.Verify(ctx, filepath.Base(real), tell)
}

// errFolder: a folder's files have checksums, if any.
var errFolder = errors.New("it is a folder, which has no checksum (hint: name the files in it)")

// verify does the work.
func (l *Library) verify(ctx context.Context, p place, j *job) (Checks, error) {
	root, err := os.OpenRoot(l.dirs[p.dir])
	if err != nil {
		return Checks{}, err
	}
	defer root.Close()
	named := func(err error) error {
		return fmt.Errorf("%s: %w", filepath.Join(root.Name(), filepath.FromSlash(p.name)), cause(err))
	}
	if fi, err := root.Stat(p.name); err == nil && fi.IsDir() {
		return Checks{}, named(errFolder)
	}
	if err := l.whole(root, p); err != nil {
		return Checks{}, err
	}
	k, err := l.learn(root, p)
	if err != nil {
		return Checks{}, named(err)
	}
	sums := func(file string) []sum { return sumsFor(root, file) }
	l.tell()
	now, err := digestImage(ctx, root, p.name, k, sums, l.options(Options{}), j.tell)
	if err != nil {
		return Checks{}, named(err)
	}
	l.index.put(now)
	l.learned(p, now)
	return compare(now, p.name, sums), nil
}

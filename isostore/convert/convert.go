// Package convert writes discs as images of other formats, and proves that
// nothing was lost on the way.
package convert

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"spindle/isostore/disc"
	"spindle/isostore/image"
)

// ErrLossy: the format cannot hold all of the disc.
var ErrLossy = errors.New("something of the disc would be lost")

// Options say how to convert.
type Options struct {
	Lossy bool // leave out what the format cannot hold
	Force bool // write over files that exist
	// Progress, if any, is told how many sectors of how many are done, writing
	// and comparing alike. It must not block.
	Progress func(done, total int64)
}

// A Result is what a conversion made.
type Result struct {
	Format string   `json:"format"`
	Files  []string `json:"files"` // the first is the image, the others belong to it
	Size   int64    `json:"size"`  // of all, in bytes
	Lost   []string `json:"lost,omitempty"`
}

// A format is a format that can be written.
type format struct {
	ext  string // of the destination, in lower case
	name string
	// lacks says what it cannot hold of a disc, as far as the layout tells; an
	// error when it cannot hold the disc at all.
	lacks func(d disc.Disc) ([]string, error)
	// write makes the image's files in dir; base is their name without
	// extension. It returns their names, that of the image first.
	write func(ctx context.Context, j *job, dir, base string) ([]string, error)
	same  func(ctx context.Context, j *job, made disc.Disc) error
}

// formats are the formats that can be written; a longer extension comes first.
var formats = []format{
	{".iso.zst", "seekable zstd", lacksISO, writeZstd, sameISO},
	{".iso", "ISO", lacksISO, writeISO, sameISO},
	{".cue", "BIN/CUE", lacksCUE, writeCUE, sameDisc},
	{".toc", "cdrdao TOC/BIN", lacksTOC, writeTOC, sameDisc},
	{".chd", "CHD", lacksNothing, writeCHD, sameDisc},
}

// Formats lists the extensions that a destination may have.
func Formats() (exts []string) {
	for _, f := range formats {
		exts = append(exts, f.ext)
	}
	return exts
}

// Convert writes the disc as an image at dst, whose extension says the format.
//
// It writes below a temporary name in dst's directory, syncs, opens the result
// and compares it with d sector by sector, and only then renames it. When it
// fails, nothing is left behind. The error wraps [ErrLossy] when the format
// cannot hold all of the disc, and fs.ErrExist when a file is there already.
func Convert(ctx context.Context, d disc.Disc, dst string, o Options) (r Result, err error) {
	i := slices.IndexFunc(formats, func(f format) bool { return strings.HasSuffix(strings.ToLower(dst), f.ext) })
	if i < 0 {
		return r, fmt.Errorf("%s: no format is known by that name (hint: end it in one of %s)", dst, strings.Join(Formats(), ", "))
	}
	f := &formats[i]
	if r.Lost, err = f.lacks(d); err != nil {
		return r, fmt.Errorf("%s: %w", dst, err)
	}
	if len(r.Lost) > 0 && !o.Lossy {
		return r, fmt.Errorf("%w in %s: %s (hint: a .cue or .chd holds more; --lossy leaves it out)", ErrLossy, f.name, strings.Join(r.Lost, "; "))
	}
	if _, err := os.Lstat(dst); err == nil && !o.Force {
		return r, fmt.Errorf("%s: %w (hint: --force writes over it)", dst, fs.ErrExist)
	}
	dir, err := os.MkdirTemp(filepath.Dir(dst), ".spindle-convert-*")
	if err != nil {
		return r, err
	}
	defer os.RemoveAll(dir)
	j := newJob(d, o)
	base := filepath.Base(dst)
	base = base[:len(base)-len(f.ext)]
	names, err := f.write(ctx, j, dir, base)
	if err == nil {
		err = prove(ctx, f, j, filepath.Join(dir, names[0]))
	}
	if err != nil {
		return r, err
	}
	j.progress(int(j.total)) // gaps between sessions count, and are not there
	r.Format, r.Lost = f.name, append(r.Lost, j.lost...)
	r.Files, r.Size, err = install(dir, filepath.Dir(dst), names, filepath.Base(dst), o.Force)
	return r, err
}

// prove opens what was written and compares it with the source.
func prove(ctx context.Context, f *format, j *job, path string) error {
	made, _, err := image.OpenFile(path, image.Options{Kind: j.layout.Kind})
	if err != nil {
		return fmt.Errorf("the result cannot be opened: %w", err)
	}
	defer made.Close()
	if err := f.same(ctx, j, made); err != nil {
		return fmt.Errorf("the result is not the same: %w", err)
	}
	return nil
}

// install moves the files to their names, the image last, so that it is there
// only with all that it consists of.
func install(from, to string, names []string, image string, force bool) (files []string, size int64, err error) {
	for i, name := range slices.Backward(names) {
		target := filepath.Join(to, name)
		if i == 0 {
			target = filepath.Join(to, image)
		}
		if _, err := os.Lstat(target); err == nil && !force {
			return nil, 0, fmt.Errorf("%s: %w (hint: --force writes over it)", target, fs.ErrExist)
		}
		fi, err := os.Stat(filepath.Join(from, name))
		if err == nil {
			err = os.Rename(filepath.Join(from, name), target)
		}
		if err != nil {
			return nil, 0, err
		}
		files, size = append(files, target), size+fi.Size()
	}
	slices.Reverse(files)
	return files, size, syncDir(to)
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

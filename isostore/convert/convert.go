// Package convert writes discs as images of other formats, and proves that
// nothing was lost on the way.
package convert

import (
	"context"
	"errors"
	"fmt"
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
	// Source are the files that the disc is read from: they are never written over.
	Source []string
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
	ext    string // of the destination, in lower case
	name   string
	better string  // formats that hold more, as the start of a hint
	checks []check // for what it cannot hold
	// stored is what it holds of session i, and so what is compared.
	stored func(s *disc.Session, i int) span
	sub    bool // it holds sub-channels
	// names are those of its files, the image first; base is the image's name
	// without extension.
	names func(l *disc.Layout, base string) []string
	// write makes the files of those names in dir.
	write func(ctx context.Context, j *job, dir string, names []string) error
	same  func(ctx context.Context, j *job, made disc.Disc) error
}

// formats are the formats that can be written; a longer extension comes first.
var formats = []format{
	{
		ext: ".iso.zst", name: "seekable zstd", better: "a .cue or .chd holds more; ", checks: isoChecks,
		stored: fromZero, names: oneFile(".iso.zst"), write: writeZstd, same: sameISO,
	},
	{
		ext: ".iso", name: "ISO", better: "a .cue or .chd holds more; ", checks: isoChecks,
		stored: fromZero, names: oneFile(".iso"), write: writeISO, same: sameISO,
	},
	{
		ext: ".cue", name: "BIN/CUE", better: "a .chd may hold more; ", checks: []check{cdOnly, gaps, sheetTypes, leadIns, subChannels},
		stored: stored, names: cueNames, write: writeCUE, same: sameDisc,
	},
	{
		ext: ".toc", name: "cdrdao TOC/BIN", better: "a .cue or .chd may hold more; ", checks: []check{cdOnly, oneSession, fromOne, tocNames, leadIns, subChannels},
		stored: stored, names: tocFiles, write: writeTOC, same: sameDisc,
	},
	{
		ext: ".chd", name: "CHD", checks: []check{fromOne, leadIns, structures, kindInCHD},
		stored: fromZero, sub: true, names: oneFile(".chd"), write: writeCHD, same: sameDisc,
	},
}

var isoChecks = []check{isoOnly, leadIns, subChannels, structures, kindBySize}

func oneFile(ext string) func(*disc.Layout, string) []string {
	return func(_ *disc.Layout, base string) []string { return []string{base + ext} }
}

// fromZero is all of a session but what lies before LBA 0.
func fromZero(s *disc.Session, _ int) span { return span{max(0, s.Tracks[0].Pregap), s.LeadOut} }

// Formats lists the extensions that a destination may have.
func Formats() (exts []string) {
	for i := range formats {
		exts = append(exts, formats[i].ext)
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
	f, base := &formats[i], filepath.Base(dst)
	names := f.names(d.Layout(), base[:len(base)-len(f.ext)])
	p := placing{to: filepath.Dir(dst), image: base, names: names, o: o}
	if err := p.check(); err != nil {
		return r, err
	}
	losses, err := lossesOf(ctx, f, d)
	if err != nil {
		return r, fmt.Errorf("%s: %w", dst, err)
	}
	if r.Lost = losses.list; len(r.Lost) > 0 && !o.Lossy {
		return r, losses.refusal()
	}
	dir, err := os.MkdirTemp(p.to, ".spindle-convert-*")
	if err != nil {
		return r, fmt.Errorf("%s: %w", dst, cause(err))
	}
	defer os.RemoveAll(dir)
	j := newJob(d, f, losses.layout, o)
	if err = f.write(ctx, j, dir, names); err == nil {
		err = prove(ctx, j, filepath.Join(dir, names[0]))
	}
	if err != nil {
		return r, placed(err, dir, p.to)
	}
	j.progress(int(j.total)) // gaps between sessions count, and are not there
	r.Format, r.Lost = f.name, append(r.Lost, j.lost...)
	r.Files, r.Size, err = p.install(dir)
	return r, err
}

// prove opens what was written and compares it with the source.
func prove(ctx context.Context, j *job, path string) error {
	made, _, err := image.OpenFile(path, image.Options{Kind: j.layout.Kind})
	switch {
	case errors.Is(err, image.ErrFormat):
		return fmt.Errorf("the disc has no file system that is known here, and %s of it would not be known either (hint: take .iso.zst, .cue or .chd)", j.f.name)
	case err != nil:
		return fmt.Errorf("the result cannot be opened: %w", err)
	}
	defer made.Close()
	if err := j.f.same(ctx, j, made); err != nil {
		return fmt.Errorf("the result is not the same: %w", err)
	}
	return nil
}

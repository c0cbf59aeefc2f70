package daemon

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"spindle/internal/api/client"
	"spindle/isostore"
	"spindle/isostore/convert"
	"spindle/isostore/iso9660"
)

// Work on files that needs no daemon: the verbs do it themselves.

// ConvertOptions say how to convert; see [convert.Options].
type ConvertOptions = convert.Options

// Convert writes the image at path src as one at path dst, in the format that
// its extension says. A packed one is unpacked for it: unpacking, which may be
// nil, is told how far that is, in bytes.
func Convert(ctx context.Context, src, dst string, o ConvertOptions, unpacking func(done, total int64)) (client.Converted, error) {
	d, info, done, err := isostore.OpenUnpacked(ctx, src, isostore.Options{}, unpacking)
	if err != nil {
		return client.Converted{}, err
	}
	defer done()
	o.Source = []string{info.Path}
	for _, f := range info.Files {
		o.Source = append(o.Source, filepath.Join(filepath.Dir(info.Path), filepath.FromSlash(f)))
	}
	r, err := convert.Convert(ctx, d, dst, o)
	return client.Converted{Format: r.Format, Files: r.Files, Size: r.Size, Lost: r.Lost, Warnings: info.Warnings}, err
}

// CreateOptions say what disc to make of a folder; see [iso9660.Options].
type CreateOptions = iso9660.Options

// Create writes the folder from as an ISO image at path dst, and returns what
// it is; its warnings say what was left out, too. progress, if any, is told how
// many bytes of how many are done.
func Create(ctx context.Context, dst, from string, o CreateOptions, progress func(done, total int64)) (client.Info, error) {
	from, err := filepath.Abs(from)
	if err != nil {
		return client.Info{}, err
	}
	root, err := os.OpenRoot(from)
	if err != nil {
		return client.Info{}, folderError(from, err)
	}
	defer root.Close()
	left, err := iso9660.Create(ctx, dst, root, o, progress)
	if err != nil {
		return client.Info{}, err
	}
	info, err := Inspect(ctx, dst, nil)
	info.Warnings = append(left, info.Warnings...)
	return info, err
}

func folderError(from string, err error) error {
	e := &client.Error{Message: "folder " + from + ": " + cause(err).Error()}
	if errors.Is(err, fs.ErrNotExist) {
		e.Hint = "--from names the folder whose files go on the disc"
	}
	return e
}

// cause strips the path that os puts into its errors.
func cause(err error) error {
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		return p.Err
	}
	return err
}

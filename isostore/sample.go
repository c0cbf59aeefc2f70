package isostore

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"spindle/isostore/iso9660"
)

// Names of the images that MakeSample makes.
const (
	SampleName = "spindle-sample.iso"
	SecondName = "spindle-second.iso"
)

// A sample is an image for a first walk: a few text files.
type sample struct {
	name, label string
	files       map[string]string
}

var samples = []sample{
	{SampleName, "SPINDLE_SAMPLE", map[string]string{
		"README.TXT": `This is a sample disc made by spindle, an emulated optical drive.

If you can read this, a host logged in to the drive, found a disc in the
tray, and mounted it. Nothing here is needed: put your own disc images beside
` + SampleName + ` and insert one of them.
`,
		"NEXT.TXT": `To see the disc change while the host looks on:

    spindle insert cd0 ` + SecondName + `

and then mount or read the drive again.
`,
	}},
	{SecondName, "SPINDLE_SECOND", map[string]string{
		"README.TXT": `This is the second sample disc made by spindle.

If you have just read the first one, the swap worked: the drive told the host
that its medium changed, and the host threw away what it had cached. To go back:

    spindle insert cd0 ` + SampleName + `
`,
	}},
}

// MakeSample makes two small disc images in dir, [SampleName] and
// [SecondName], and dir itself when it is missing. It returns the names of
// those that it made: one that exists is left as it is.
func MakeSample(dir string) ([]string, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("sample images: %w", err)
	}
	var names []string
	for _, s := range samples {
		path := filepath.Join(dir, s.name)
		if _, err := os.Lstat(path); err == nil {
			continue
		}
		if err := s.write(path); err != nil {
			return names, fmt.Errorf("sample image %s: %w", path, err)
		}
		names = append(names, s.name)
	}
	return names, nil
}

// made is the time of all files, so that a sample has the same bytes everywhere.
var made = time.Date(2026, 11, 26, 0, 0, 0, 0, time.UTC)

// write makes the image at path, whole or not at all.
func (s *sample) write(path string) error {
	dir, err := os.MkdirTemp("", "spindle-sample-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	for name, text := range s.files {
		if err := putFile(filepath.Join(dir, name), text); err != nil {
			return err
		}
	}
	if err := errors.Join(os.Chmod(dir, 0o755), os.Chtimes(dir, made, made)); err != nil {
		return err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	_, err = iso9660.Create(context.Background(), path, root, iso9660.Options{Label: s.label, NoBoot: true}, nil)
	return err
}

// putFile writes a file of the time and mode that all have, whatever the umask.
func putFile(path, text string) error {
	return errors.Join(os.WriteFile(path, []byte(text), 0o600), os.Chmod(path, 0o644), os.Chtimes(path, made, made))
}

// IsEmpty reports whether the library holds no file that is named as an image.
func (l *Library) IsEmpty() bool {
	empty := true
	l.each(func(_ int, f finding) { empty = empty && (f.err != nil || f.kind != picture) })
	return empty
}

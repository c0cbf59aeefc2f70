package isostore

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/diskfs/go-diskfs/backend/file"
	"github.com/diskfs/go-diskfs/filesystem/iso9660"
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
	var made []string
	for _, s := range samples {
		path := filepath.Join(dir, s.name)
		if _, err := os.Lstat(path); err == nil {
			continue
		}
		if err := s.write(path); err != nil {
			return made, fmt.Errorf("sample image %s: %w", path, err)
		}
		made = append(made, s.name)
	}
	return made, nil
}

// write makes the image at path, whole or not at all.
func (s *sample) write(path string) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".spindle-*.tmp")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // fails after the rename, as it should
	defer f.Close()
	if err := s.fill(f); err != nil {
		return err
	}
	if err := f.Chmod(0o644); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

// fill writes the file system. go-diskfs collects the files in a directory of
// its own first and leaves that to us.
func (s *sample) fill(f *os.File) error {
	work, err := os.MkdirTemp("", "spindle-sample-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	if err := os.Chmod(work, 0o755); err != nil { // it becomes the root directory's mode
		return err
	}
	for name, text := range s.files {
		if err := os.WriteFile(filepath.Join(work, name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	iso, err := iso9660.Create(file.New(f, false), 0, 0, 2048, work)
	if err != nil {
		return err
	}
	return iso.Finalize(iso9660.FinalizeOptions{RockRidge: true, VolumeIdentifier: s.label})
}

// IsEmpty reports whether the library holds no file that is named as an image.
func (l *Library) IsEmpty() bool {
	empty := true
	l.each(func(_ int, f finding) { empty = empty && (f.err != nil || f.kind != picture) })
	return empty
}

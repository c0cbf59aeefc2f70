package iso9660

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// Create writes the volume over the directory root to a new file dst: to a
// temporary name beside it first, which is synced, read back, compared with the
// files and then renamed. What is at dst already stays, unless o.Force is set,
// and dst must not lie in the directory. progress, unless nil, is told how many of
// the total bytes are done: those to write, and as many to compare. What was left
// out or shortened is returned, as [Image.Warnings] has it.
func Create(ctx context.Context, dst string, root *os.Root, o Options, progress func(done, total int64)) (warnings []string, err error) {
	if err := checkDestination(dst, root, o.Force); err != nil {
		return nil, err
	}
	img, err := New(root, ".", o)
	if err != nil {
		return nil, err
	}
	defer img.Close()
	tmp, err := os.CreateTemp(filepath.Dir(dst), ".spindle-create-*.part")
	if err != nil {
		return nil, fmt.Errorf("%s: %w", dst, cause(err))
	}
	defer os.Remove(tmp.Name())
	defer tmp.Close()
	if progress == nil {
		progress = func(int64, int64) {}
	}
	c := &creation{ctx: ctx, img: img, progress: progress}
	err = c.write(tmp)
	if err == nil {
		err = errors.Join(tmp.Chmod(0o644), tmp.Sync(), tmp.Close())
	}
	if err == nil {
		err = c.compare(tmp.Name())
	}
	if err == nil {
		err = publish(tmp.Name(), dst, o.Force)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", dst, cause(err))
	}
	return img.Warnings(), nil
}

// checkDestination refuses a dst that exists or lies in root.
func checkDestination(dst string, root *os.Root, force bool) error {
	fi, err := os.Lstat(dst)
	switch {
	case err == nil && fi.IsDir():
		return fmt.Errorf("%s: is a directory (hint: name the file to write)", dst)
	case err == nil && !fi.Mode().IsRegular() && fi.Mode()&fs.ModeSymlink == 0:
		return fmt.Errorf("%s: %s: not a file that can be replaced (hint: create a file, then copy it there)", dst, kindOf(fi.Mode()))
	case err == nil && !force:
		return fmt.Errorf("%s: %w (hint: --force replaces it)", dst, fs.ErrExist)
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return err
	}
	source, err := root.Stat(".")
	if err != nil {
		return err
	}
	dir, err := filepath.Abs(filepath.Dir(dst))
	if err == nil {
		dir, err = filepath.EvalSymlinks(dir)
	}
	for ; err == nil; dir = filepath.Dir(dir) {
		var fi fs.FileInfo
		if fi, err = os.Stat(dir); err == nil && os.SameFile(fi, source) {
			return fmt.Errorf("%s: lies in %s, the folder that is written (hint: choose another place)", dst, root.Name())
		}
		if dir == filepath.Dir(dir) {
			break
		}
	}
	return err
}

// A creation is a volume on its way into a file.
type creation struct {
	ctx      context.Context
	img      *Image
	progress func(done, total int64)
	done     int64
	sum      []byte // SHA-256 of what was written
}

func (c *creation) step(n int) error {
	c.done += int64(n)
	c.progress(c.done, 2*c.img.Size())
	return context.Cause(c.ctx)
}

func (c *creation) write(w io.Writer) error {
	h := sha256.New()
	n, err := c.img.WriteTo(io.MultiWriter(w, h, stepper{c}))
	if err == nil && n != c.img.Size() {
		err = io.ErrShortWrite
	}
	c.sum = h.Sum(nil)
	return err
}

// A stepper is a writer that only counts.
type stepper struct{ c *creation }

func (s stepper) Write(p []byte) (int, error) { return len(p), s.c.step(len(p)) }

// compare reads the written file and the volume side by side.
func (c *creation) compare(name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	if fi, err := f.Stat(); err != nil || fi.Size() != c.img.Size() {
		return errors.Join(err, fmt.Errorf("the written file has another size than the %d bytes of the volume", c.img.Size()))
	}
	got, want, sums := make([]byte, chunk), make([]byte, chunk), [2]hash.Hash{sha256.New(), sha256.New()}
	for off := int64(0); off < c.img.Size(); off += chunk {
		n := int(min(chunk, c.img.Size()-off))
		if _, err := c.img.ReadAt(want[:n], off); err != nil && err != io.EOF {
			return err
		}
		if _, err := f.ReadAt(got[:n], off); err != nil {
			return err
		}
		if !bytes.Equal(got[:n], want[:n]) {
			return fmt.Errorf("byte %d to %d: read back otherwise than it was written (hint: look at the storage, and whether the folder is being changed)", off, off+int64(n))
		}
		sums[0].Write(got[:n])
		sums[1].Write(want[:n])
		if err := c.step(n); err != nil {
			return err
		}
	}
	if a, b := sums[0].Sum(nil), sums[1].Sum(nil); !bytes.Equal(a, b) || !bytes.Equal(a, c.sum) {
		return fmt.Errorf("SHA-256 %x of the file, %x of the folder, %x while it was written", a, b, c.sum)
	}
	return nil
}

// publish gives the file its name and syncs the directory. A link is made where
// nothing may be replaced: unlike a rename it fails when dst came to exist.
func publish(tmp, dst string, force bool) error {
	err := errors.ErrUnsupported
	if !force {
		if err = os.Link(tmp, dst); errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	if err != nil { // or the file system has no links
		if _, serr := os.Lstat(dst); serr == nil && !force {
			return fs.ErrExist
		}
		if err := os.Rename(tmp, dst); err != nil {
			return err
		}
	}
	d, err := os.Open(filepath.Dir(dst))
	if err != nil {
		return err
	}
	defer d.Close()
	if err := d.Sync(); err != nil && !errors.Is(err, errors.ErrUnsupported) && !errors.Is(err, fs.ErrInvalid) {
		return err
	}
	return nil
}

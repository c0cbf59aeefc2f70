// Package massstorage hands plain images to the kernel's own f_mass_storage, for
// boards where speed matters more than MMC: the kernel answers SCSI, and no
// byte passes through this process. [Limits] says what that costs.
package massstorage

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"

	"spindle/gadget"
)

// ErrHeld says that a host prevents removal of the disc. The kernel does not
// tell which.
var ErrHeld = errors.New("a host holds the tray (the kernel does not say which)")

// A Composer makes the gadget that the function is in.
type Composer interface {
	// Function is the directory of the function in configfs, which is there and
	// not linked to a configuration yet.
	Function() string
	// Bind links the function and makes the gadget visible to the host.
	Bind() error
	// Status is what the controller says.
	Status() gadget.Status
	// Remove takes the gadget off the bus and out of configfs, and as much of it
	// as there is.
	Remove() error
}

// A Gadget is a gadget of drives that the kernel serves.
type Gadget struct {
	composer Composer
	drives   []*Drive
	close    func() error
}

// A Drive is one of its logical units. All methods may be called concurrently.
type Drive struct {
	mu  sync.Mutex // one change at a time
	dir string     // of its attributes
}

// Status is what a drive is at one moment.
type Status struct {
	Path string // of the image; empty when there is none, also after a host's eject
	gadget.Status
	Limits []string // as Limits
}

// Open composes a gadget of n empty drives, which are LUN 0 and up, and binds
// it. Of o, FunctionFS, Subclass and Stall mean nothing here. When it fails,
// the error is a [*gadget.Error] where a remedy is known, and nothing is left
// behind.
//
// The kernel goes on to serve when this process is killed; the next Open of
// that name takes over, and the host finds a new device.
func Open(o gadget.Options, n int) (*Gadget, error) {
	c, err := compose(o, kernel(o.Root))
	if err != nil {
		return nil, err
	}
	return OpenIn(c, n)
}

// OpenIn is Open in a gadget of the composer's.
func OpenIn(c Composer, n int) (*Gadget, error) {
	g := &Gadget{composer: c}
	g.close = sync.OnceValue(c.Remove)
	if err := g.open(n); err != nil {
		return nil, errors.Join(err, g.close())
	}
	return g, nil
}

const maxDrives = 16

func (g *Gadget) open(n int) error {
	if n < 1 || n > maxDrives {
		return fmt.Errorf("a gadget has 1 to %d drives", maxDrives)
	}
	for i := range n {
		d := &Drive{dir: filepath.Join(g.composer.Function(), fmt.Sprintf("lun.%d", i))}
		if err := os.Mkdir(d.dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) { // the first is there
			return err
		}
		for _, name := range []string{"cdrom", "ro", "removable"} {
			if err := d.write(name, "1"); err != nil {
				return err
			}
		}
		g.drives = append(g.drives, d)
	}
	return g.composer.Bind()
}

// Drive returns the drive of a LUN.
func (g *Gadget) Drive(lun int) *Drive { return g.drives[lun] }

// Status returns what a drive and the gadget are.
func (g *Gadget) Status(lun int) Status {
	return Status{Path: g.drives[lun].Path(), Status: g.composer.Status(), Limits: Limits()}
}

// Close takes the gadget away.
func (g *Gadget) Close() error { return g.close() }

// Path returns the image that is in the drive, or nothing.
func (d *Drive) Path() string {
	b, _ := os.ReadFile(filepath.Join(d.dir, "file"))
	return strings.TrimSuffix(string(b), "\n")
}

// Insert puts an image into the drive, in place of the one that is there. It
// refuses what Check refuses, and fails with ErrHeld while a host holds the
// tray, unless force is set.
func (d *Drive) Insert(ctx context.Context, path string, force bool) error {
	path, err := filepath.Abs(path)
	if err != nil {
		return err
	}
	if strings.ContainsRune(path, '\n') {
		return fmt.Errorf("%q is %w: a new line ends the name for the kernel", path, ErrImage)
	}
	if _, err := Check(path); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return d.change(path, force)
}

// Eject takes the disc out. Ejecting an empty drive is no error. A held tray is
// treated as by Insert.
func (d *Drive) Eject(ctx context.Context, force bool) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return d.change("", force)
}

func (d *Drive) change(path string, force bool) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	err := d.write("file", path)
	if errors.Is(err, syscall.EBUSY) && force {
		if err := d.write("forced_eject", "1"); err != nil {
			return fmt.Errorf("force: %w (Linux before 6.0 cannot)", err)
		}
		err = d.write("file", path)
	}
	if errors.Is(err, syscall.EBUSY) {
		return ErrHeld
	}
	return err
}

// write sets an attribute. An empty value is a line of its own: the kernel sees
// no write of nothing.
func (d *Drive) write(name, value string) error {
	f, err := os.OpenFile(filepath.Join(d.dir, name), os.O_WRONLY|os.O_TRUNC, 0) // never one that the kernel has not
	if err != nil {
		return err
	}
	_, err = f.WriteString(value + "\n")
	return errors.Join(err, f.Close())
}

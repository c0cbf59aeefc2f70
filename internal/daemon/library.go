package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"spindle/config"
	"spindle/internal/api/client"
	"spindle/isostore"
)

// libraries are what the daemon does with the library that it uses, and those
// before it. It is the loop's, or of what runs before that.
type libraries struct {
	life    context.Context    // in which they run
	end     context.CancelFunc // of the one that runs
	changed bool               // since followLibrary looked
	looked  time.Time          // when it did
	checks  int                // numbers looks at the directories: a late one does not count
	waits   map[string]string  // images that a reload lacked, with what the library said of them
}

// await sets the images that a reload lacked.
func (l *libraries) await(images []string) {
	l.waits = map[string]string{}
	for _, name := range images {
		l.waits[name] = ""
	}
	l.changed = true
}

// mayPass reports whether an image may become good to insert by itself.
func mayPass(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, isostore.ErrIncomplete) ||
		errors.Is(err, isostore.ErrUnchecked) || errors.Is(err, isostore.ErrPacked)
}

// newLibrary returns the library that a configuration asks for.
func (d *Daemon) newLibrary(c *config.Config, cache *isostore.Cache) (*isostore.Library, error) {
	return isostore.New(isostore.LibraryOptions{
		Dirs: c.Library.Dirs, Index: d.index, Cache: cache, Verified: c.Library.Verify == config.Required, Log: d.log,
		Changed: func() {
			d.loop.post(func() {
				d.libs.changed = true
				d.touch()
			})
		},
	})
}

// runLibrary has a library watch its directories, in place of the one before.
func (d *Daemon) runLibrary(lib *isostore.Library) {
	if d.libs.end != nil {
		d.libs.end()
	}
	ctx, end := context.WithCancel(d.libs.life)
	d.libs.end = end
	d.serving.Go(func() {
		defer end()
		lib.Run(ctx)
	})
}

// followEach is how often what the library says is followed, at most.
const followEach = 500 * time.Millisecond

// followLibrary does what waits for images. It runs at the end of each turn.
func (d *Daemon) followLibrary() {
	if !d.libs.changed || d.stopping || time.Since(d.libs.looked) < followEach {
		return
	}
	d.libs.changed, d.libs.looked = false, time.Now()
	lib := d.library.Load()
	d.checkLibrary(lib)
	if notes := lib.Notes(); len(notes) > 0 {
		d.alarm("library-watch", strings.Join(notes, "\n"))
	} else {
		d.clearAlarm("library-watch")
	}
	if len(lib.Tasks()) == 0 {
		d.clearAlarm("index") // all is found out again
	}
	for _, dr := range d.drives {
		if dr.failed && dr.state.Disc != "" {
			switch good, failed := d.came(lib, dr.state.Disc, &dr.tried); {
			case good:
				d.retry(dr)
			case failed != "":
				d.alarm(dr.cfg.Name, "the drive is empty: "+failed)
			}
		}
		d.tryPending(dr)
		d.followSlots(lib, dr)
	}
	for name, said := range d.libs.waits {
		switch good, failed := d.came(lib, name, &said); {
		case good:
			d.Reload()
		case failed != "":
			d.alarm("config", "the file is not used: "+failed)
		}
		d.libs.waits[name] = said
	}
}

// checkLibrary looks at the directories, beside the loop.
func (d *Daemon) checkLibrary(lib *isostore.Library) {
	d.libs.checks++
	check := d.libs.checks
	d.work(func() {
		err := errors.Join(lib.Check()...)
		d.loop.post(func() {
			if d.libs.checks == check {
				d.noteLibrary(err)
			}
		})
	})
}

// came reports whether an image is good to insert that was not when *said was
// what the library said of it. One that must be unpacked or verified first is;
// failed says why it could not be unpacked.
func (d *Daemon) came(lib *isostore.Library, name string, said *string) (good bool, failed string) {
	e, ok := lib.Peek(name)
	now := fmt.Sprint(e.State, e.Error, e.Checks.State, e.Size, e.Modified.UnixNano())
	if !ok || now == *said {
		return false, ""
	}
	*said = now
	switch {
	case e.State == isostore.Packed:
		return false, d.unpackLater(lib, name)
	case e.State != isostore.Ready && e.State != isostore.Truncated:
		return false, ""
	case lib.Verified() && e.Checks.State == isostore.Unchecked:
		d.work(func() { lib.VerifyLater(name) })
		return false, ""
	}
	return e.Checks.State != isostore.Checking, ""
}

// Images implements api.Service.
func (s service) Images(_ context.Context, withInfo bool) ([]client.Image, error) {
	entries := s.d.library.Load().List()
	list := make([]client.Image, 0, len(entries))
	for i := range entries {
		list = append(list, imageOf(&entries[i], withInfo))
	}
	return list, nil
}

func imageOf(e *isostore.Entry, withInfo bool) client.Image {
	c := &e.Checks
	i := client.Image{
		Name: e.Name, Dir: e.Dir, Size: e.Size, Modified: e.Modified, State: string(e.State), Error: e.Error,
		Format: e.Format, Medium: e.Medium, Label: e.Label, FileSystems: e.FileSystems, Sessions: e.Sessions, Tracks: e.Tracks,
		Boot: e.Boot, Created: e.Created, Publisher: e.Publisher, Warnings: e.Warnings,
		Checks: checksOf(c),
	}
	if withInfo && e.Info != nil {
		info := &client.Info{}
		if json.Unmarshal(e.Info, info) == nil {
			info.Name, info.Path = e.Name, e.Dir+"/"+e.Name
			i.Info = info
		}
	}
	return i
}

func checksOf(c *isostore.Checks) client.Checks {
	return client.Checks{
		State: string(c.State), By: c.By, Detail: c.Detail, SHA256: c.SHA256, When: c.When, Done: c.Done, Total: c.Total,
	}
}

func tasksOf(lib *isostore.Library) []client.Task {
	list := []client.Task{}
	for _, t := range lib.Tasks() {
		list = append(list, client.Task(t))
	}
	return list
}

// Inspect implements api.Service.
func (s service) Inspect(ctx context.Context, name string) (client.Info, error) {
	info, err := s.d.inspect(ctx, name)
	if err != nil {
		return client.Info{}, imageError(err)
	}
	out, err := infoOf(info)
	if e, ok := s.d.library.Load().Entry(info.Name); ok && err == nil {
		checks := checksOf(&e.Checks)
		out.State, out.Checks = string(e.State), &checks
	}
	return out, err
}

// Verify implements api.Service.
func (s service) Verify(ctx context.Context, name string) (client.Verified, error) {
	s.d.log.Info("verify", "image", name)
	checks, err := s.d.library.Load().Verify(ctx, name, nil)
	if err != nil {
		return client.Verified{}, imageError(err)
	}
	return client.Verified{Name: name, Checks: checksOf(&checks)}, nil
}

// Verify compares the image at path with the checksums beside it and in it,
// without a daemon. tell is called now and then with the bytes that were read.
func Verify(ctx context.Context, path string, tell func(done, total int64)) (client.Verified, error) {
	checks, err := isostore.VerifyFile(ctx, path, tell)
	return client.Verified{Name: path, Checks: checksOf(&checks)}, err
}

package daemon

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"spindle/config"
	"spindle/isostore"
)

// cacheDir is where a configuration wants packed images unpacked. The state
// directory is that of the start, which a reload does not change.
func (d *Daemon) cacheDir(c *config.Config) string {
	if c.Library.Cache != "" {
		return c.Library.Cache
	}
	return filepath.Join(d.stateDir, "cache")
}

// openCache opens the cache at start. Without one all but packed images are
// served.
func (d *Daemon) openCache() {
	c, err := isostore.NewCache(d.cacheDir(d.cfg), d.cfg.Library.CacheSize)
	if err != nil {
		d.log.Error("cache", "error", err)
		d.alarm("cache", err.Error())
		return
	}
	d.cache = c
}

// cacheFor sets the cache of a change: the one there is, unless it is to be
// elsewhere.
func (d *Daemon) cacheFor(c *change, old *config.Config) (err error) {
	if c.cache != nil && d.cacheDir(old) == d.cacheDir(c.cfg) {
		return nil
	}
	// What reads from the one before keeps it until then.
	if c.cache, err = isostore.NewCache(d.cacheDir(c.cfg), c.cfg.Library.CacheSize); err != nil {
		reason, hint := splitHint(err.Error())
		return c.cfg.At(reason, hint, "library", "cache")
	}
	return nil
}

// useCache puts the cache of a change in force. It runs on the loop.
func (d *Daemon) useCache(c *change) {
	d.cache = c.cache
	if d.cache != nil {
		d.cache.SetMax(c.cfg.Library.CacheSize)
		d.clearAlarm("cache")
	}
}

// openReady is open for an insert that waits for what must be done first: a
// packed image is unpacked, and where verified images alone are wanted one that
// is not verified yet is.
func (d *Daemon) openReady(ctx context.Context, c config.Drive, name string) (opened, error) {
	lib := d.library.Load()
	o, err := d.open(c, name)
	if errors.Is(err, isostore.ErrPacked) {
		d.log.Info("unpacking before the insert", "drive", c.Name, "image", name)
		if err := lib.Unpack(ctx, name, nil); err != nil {
			return opened{}, err
		}
		o, err = d.open(c, name)
	}
	if errors.Is(err, isostore.ErrUnchecked) {
		d.log.Info("verifying before the insert", "drive", c.Name, "image", name)
		if _, err := lib.Verify(ctx, name, nil); err != nil {
			return opened{}, err
		}
		o, err = d.open(c, name)
	}
	return o, err
}

// unpackLater has a packed image unpacked in the background. Where that failed
// it returns why: it is not tried again by itself.
func (d *Daemon) unpackLater(lib *isostore.Library, name string) (failed string) {
	e, ok := lib.Peek(name)
	if !ok || e.State != isostore.Packed {
		return ""
	}
	if e.Error == "" {
		d.work(func() { lib.UnpackLater(name) })
	}
	return e.Error
}

// inspect says what an image of the library is, and unpacks it for that.
func (d *Daemon) inspect(ctx context.Context, name string) (isostore.Info, error) {
	lib := d.library.Load()
	info, err := lib.Inspect(name, isostore.Options{})
	if !errors.Is(err, isostore.ErrPacked) {
		return info, err
	}
	if err := lib.Unpack(ctx, name, nil); err != nil {
		return info, err
	}
	return lib.Inspect(name, isostore.Options{})
}

// errPackedOutside refuses a packed image that the operator named by its path.
func errPackedOutside(path string) error {
	return fmt.Errorf("%s: it is packed, and outside the library (hint: add its directory to [library] dirs, or unpack it)", path)
}

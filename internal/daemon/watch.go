package daemon

import (
	"context"
	"os"
	"path/filepath"
	"time"

	"github.com/fsnotify/fsnotify"
)

// quiet is how long the configuration must not change before it is read:
// editors write in several steps.
const quiet = 100 * time.Millisecond

// startWatch begins to watch the configuration's file. It watches the
// directory: editors put another file in the place of the old one. A change
// since it was read, at loaded or later, is not missed.
func (d *Daemon) startWatch(path string, loaded time.Time) {
	if path == "" {
		return
	}
	w, err := fsnotify.NewWatcher()
	if err == nil {
		if err = w.Add(filepath.Dir(path)); err != nil {
			w.Close()
		}
	}
	if err != nil {
		d.log.Error("the configuration is not watched: send SIGHUP after a change", "file", path, "error", err)
		d.alarm("watch", "the configuration is not watched, send SIGHUP after a change: "+err.Error())
		return
	}
	d.watcher = w
	if fi, err := os.Stat(path); err == nil && fi.ModTime().After(loaded) {
		d.Reload()
	}
}

// watch reloads when the configuration's file changes.
func (d *Daemon) watch(ctx context.Context, w *fsnotify.Watcher, path string) {
	pause := time.NewTimer(0)
	pause.Stop()
	defer pause.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case e := <-w.Events:
			if concerns(e, path) {
				pause.Reset(quiet)
			}
		case err := <-w.Errors:
			d.log.Warn("watching the configuration", "error", err)
			pause.Reset(quiet) // events may be lost
		case <-pause.C:
			d.Reload()
		}
	}
}

// concerns reports whether an event may have changed what path holds. A
// symbolic link there may be switched by a rename of another name, as
// Kubernetes does with ..data.
func concerns(e fsnotify.Event, path string) bool {
	if e.Op == fsnotify.Chmod {
		return false
	}
	return filepath.Clean(e.Name) == path || filepath.Base(e.Name) == "..data"
}

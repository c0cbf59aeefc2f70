package isostore

import "github.com/fsnotify/fsnotify"

// A notifier tells of changes in the directories that were added to it.
type notifier interface {
	Add(dir string) error
	Remove(dir string) error
	Events() <-chan fsnotify.Event
	Errors() <-chan error
	Close() error
}

// inotify is the kernel's.
type inotify struct{ w *fsnotify.Watcher }

func newInotify() (notifier, error) {
	w, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, err
	}
	return inotify{w}, nil
}

// Add implements notifier.
func (i inotify) Add(dir string) error { return i.w.Add(dir) }

// Remove implements notifier.
func (i inotify) Remove(dir string) error { return i.w.Remove(dir) }

// Events implements notifier.
func (i inotify) Events() <-chan fsnotify.Event { return i.w.Events }

// Errors implements notifier.
func (i inotify) Errors() <-chan error { return i.w.Errors }

// Close implements notifier.
func (i inotify) Close() error { return i.w.Close() }

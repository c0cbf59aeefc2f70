package isostore

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"
)

// Bounds of the index.
const (
	indexFile    = "library.index"
	indexVersion = 1        // of the file's form
	maxIndexLine = 1 << 20  // bytes of one image's line
	maxIndexSize = 64 << 20 // bytes of all lines
	keepUnused   = 90       // days that an image may be away
	saveAfter    = 2 * time.Second
	saveAgain    = 30 * time.Second // after an attempt that failed
)

// An Index is what is known of images, kept in a file: by device, inode, size
// and times, so that an image is read once, wherever it is and however often
// the daemon starts. Several libraries may use one. Losing it costs time only.
//
// The file has a line of JSON that says what it is, then one for each image.
type Index struct {
	path string // empty: it is not kept

	mu      sync.Mutex
	m       map[stamp]*known
	size    int // bytes of all Info, about what the lines need
	changed bool
	wake    chan struct{}
	err     error // why it could not be saved
}

type indexHeader struct {
	Holds   string `json:"holds"`
	Version int    `json:"version"`
}

const indexHolds = "what spindle knows of disc images"

// OpenIndex reads the index of the state directory dir; with an empty dir it is
// kept in memory alone. An error says that images were forgotten, all or some,
// and why: the index is good to use all the same.
func OpenIndex(dir string) (*Index, error) {
	x := &Index{m: map[stamp]*known{}, wake: make(chan struct{}, 1)}
	if dir == "" {
		return x, nil
	}
	x.path = filepath.Join(dir, indexFile)
	f, err := os.Open(x.path)
	if errors.Is(err, fs.ErrNotExist) {
		return x, nil
	}
	if err == nil {
		defer f.Close()
		err = x.read(f, today())
	}
	if err != nil {
		x.changed = true
		return x, fmt.Errorf("%s: %w (hint: nothing to do: what is missing is found out again)", x.path, err)
	}
	return x, nil
}

func today() int64 { return time.Now().Unix() / (24 * 60 * 60) }

// read takes what r holds, and skips what makes no sense; its error says how
// much that was.
func (x *Index) read(r io.Reader, day int64) error {
	lines := bufio.NewScanner(io.LimitReader(r, 2*maxIndexSize))
	lines.Buffer(nil, maxIndexLine)
	var h indexHeader
	if !lines.Scan() {
		return errors.Join(errors.New("the index of the library is empty"), lines.Err())
	}
	if err := json.Unmarshal(lines.Bytes(), &h); err != nil || h.Holds != indexHolds {
		return errors.New("line 1: it is not an index of a library")
	}
	if h.Version != indexVersion {
		return fmt.Errorf("line 1: the index is of version %d, not %d", h.Version, indexVersion)
	}
	n, bad, first := 1, 0, 0
	for lines.Scan() {
		n++
		k := &known{}
		if err := json.Unmarshal(lines.Bytes(), k); err != nil || !k.decode() || k.Stamp == (stamp{}) {
			if bad++; first == 0 {
				first = n
			}
			continue
		}
		if day-k.Used <= keepUnused {
			x.put(k)
		}
	}
	x.changed = false
	if err := lines.Err(); err != nil {
		return fmt.Errorf("line %d: the rest of the index cannot be read: %w", n+1, err)
	}
	if bad > 0 {
		return fmt.Errorf("line %d: %d of %d lines of the index are damaged", first, bad, n)
	}
	return nil
}

// get returns what is known of the bytes of s, nil for nothing.
func (x *Index) get(s stamp) *known {
	x.mu.Lock()
	defer x.mu.Unlock()
	k := x.m[s]
	if k == nil {
		return nil
	}
	if day := today(); k.Used != day {
		now := *k
		now.Used = day
		k = &now
		x.m[s] = k
		x.changed = true
	}
	return k
}

// put keeps k; it must not be changed any more. What is known beyond the
// index's bound is not kept.
func (x *Index) put(k *known) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if old := x.m[k.Stamp]; old != nil {
		x.size -= old.weight()
	}
	if x.size+k.weight() > maxIndexSize || len(x.m) >= maxEntries {
		delete(x.m, k.Stamp)
		return
	}
	x.size += k.weight()
	x.m[k.Stamp] = k
	x.changed = true
	select {
	case x.wake <- struct{}{}:
	default:
	}
}

// weight is about how many bytes the line of k has.
func (k *known) weight() int {
	return 512 + len(k.Info) + len(k.Error) + 256*len(k.Companions) + 200*len(k.Digests)
}

// Run saves the index after changes, and a last time when ctx is done.
func (x *Index) Run(ctx context.Context) {
	if x.path == "" {
		return
	}
	pause := time.NewTimer(saveAfter)
	pause.Stop()
	defer pause.Stop()
	waiting := false
	for {
		select {
		case <-x.wake:
			if !waiting {
				waiting = true
				pause.Reset(saveAfter)
			}
		case <-pause.C:
			waiting = false
			if x.Save() != nil {
				waiting = true
				pause.Reset(saveAgain)
			}
		case <-ctx.Done():
			_ = x.Save() // Err has it
			return
		}
	}
}

// Err returns why the index could not be saved when that was last tried.
func (x *Index) Err() error {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.err
}

// Save writes the index when it changed: whole or not at all, under another
// name, synced, renamed.
func (x *Index) Save() error {
	x.mu.Lock()
	if !x.changed || x.path == "" {
		x.mu.Unlock()
		return nil
	}
	x.changed = false
	list := slices.Collect(maps.Values(x.m))
	x.mu.Unlock()
	err := x.write(list)
	x.mu.Lock()
	defer x.mu.Unlock()
	x.err = nil
	if err != nil {
		x.err = fmt.Errorf("the index of the library is not saved: %w (hint: a restart reads the images again)", err)
		x.changed = true
	}
	return x.err
}

func (x *Index) write(list []*known) error {
	f, err := os.CreateTemp(filepath.Dir(x.path), ".spindle-*.tmp")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // fails after the rename, as it should
	defer f.Close()
	w := bufio.NewWriter(f)
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	if err := e.Encode(indexHeader{indexHolds, indexVersion}); err != nil {
		return err
	}
	for _, k := range list {
		var line bytes.Buffer
		if json.NewEncoder(&line).Encode(k) != nil || line.Len() >= maxIndexLine {
			continue // it is found out again
		}
		if _, err := w.Write(line.Bytes()); err != nil {
			return err
		}
	}
	if err := errors.Join(w.Flush(), f.Chmod(0o640), f.Sync()); err != nil {
		return err
	}
	return os.Rename(f.Name(), x.path)
}

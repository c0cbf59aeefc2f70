package image

import (
	"container/list"
	"sync"
)

// hunkBudget bounds the decoded hunks of all images together, in bytes.
const hunkBudget = 64 << 20

// A hunkKey is hunk n of one opened image.
type hunkKey struct{ image, n uint64 }

// A hunkCache holds decoded hunks, those used last. Plain LRU, not a cache that
// weighs how often an entry was used: such a one does not admit the hunks of a
// sequential reader that come into a full cache, and hosts read a hunk of
// 1 MiB in pieces, so that it would be decoded again for each.
type hunkCache struct {
	budget int64

	mu      sync.Mutex
	entries map[hunkKey]*hunkEntry
	used    list.List // of *hunkEntry, decoded ones, last used first
	held    int64     // bytes
}

// A hunkEntry is a hunk that is decoded or is being decoded.
type hunkEntry struct {
	key  hunkKey
	done chan struct{} // closed when p and err are set
	p    []byte
	err  error
	at   *list.Element // nil while it is being decoded
}

// decoded holds the hunks of all images.
var decoded = newHunkCache(hunkBudget)

func newHunkCache(budget int64) *hunkCache {
	return &hunkCache{budget: budget, entries: make(map[hunkKey]*hunkEntry)}
}

// entryBytes is what an entry takes beside its data, roughly.
const entryBytes = 256

func (e *hunkEntry) weight() int64 { return int64(cap(e.p)) + entryBytes }

// get returns hunk n of h, which nobody may write to. Of several that want a
// hunk at once, one decodes it. An error is not kept.
func (c *hunkCache) get(h *hunks, n int64) ([]byte, error) {
	key := hunkKey{h.id, uint64(n)}
	c.mu.Lock()
	e, ok := c.entries[key]
	if ok && e.at != nil {
		c.used.MoveToFront(e.at)
		c.mu.Unlock()
		return e.p, nil
	}
	if ok {
		c.mu.Unlock()
		<-e.done
		return e.p, e.err
	}
	e = &hunkEntry{key: key, done: make(chan struct{})}
	c.entries[key] = e
	c.mu.Unlock()
	defer close(e.done)
	e.p, e.err = h.load(n)
	c.settle(e)
	return e.p, e.err
}

// settle takes in an entry that was decoded, and lets go of what was not used
// for longest.
func (c *hunkCache) settle(e *hunkEntry) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.entries[e.key] != e: // forgotten meanwhile
		return
	case e.err != nil:
		delete(c.entries, e.key)
		return
	}
	e.at = c.used.PushFront(e)
	c.held += e.weight()
	for c.held > c.budget {
		c.drop(c.used.Back().Value.(*hunkEntry))
	}
}

// drop lets go of an entry. c.mu is held.
func (c *hunkCache) drop(e *hunkEntry) {
	delete(c.entries, e.key)
	if e.at != nil {
		c.used.Remove(e.at)
		c.held -= e.weight()
	}
}

// forget gives the memory of an image's hunks back.
func (c *hunkCache) forget(image uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for k, e := range c.entries {
		if k.image == image {
			c.drop(e)
		}
	}
}

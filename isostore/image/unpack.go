package image

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
)

// A flight is an image that is being unpacked.
type flight struct {
	done chan struct{}
	err  error // when done is closed
}

// Unpack unpacks the packed image name below root into the cache, unless it is
// there. Of several that ask for one image at once, one unpacks it and the
// others wait. progress, which may be nil, is told how many of the packed file's
// bytes have been read, up to total, in the one's goroutine.
//
// What fails leaves nothing behind: a damaged file (ErrDamaged, with the byte
// up to which it was read), a full disk, an image larger than the cache, ctx.
func (c *Cache) Unpack(ctx context.Context, root *os.Root, name string, progress func(done, total int64)) error {
	f, err := openBelow(root, name)
	if err != nil {
		return err
	}
	defer f.Close()
	p := packingOf(f)
	if p == nil {
		return fmt.Errorf("%s: %w: byte 0: not packed", f.path, ErrFormat)
	}
	inner, err := innerExt(name)
	if err != nil {
		return fmt.Errorf("%s: %w", f.path, err)
	}
	key, err := cacheKey(f)
	if err != nil {
		return err
	}
	for {
		own, other := c.join(key)
		if own == nil && other == nil {
			return nil
		}
		if own != nil {
			own.err = c.unpack(ctx, f, p, inner, key, progress)
			c.leave(key, own)
			if own.err != nil {
				return fmt.Errorf("%s: %w", f.path, own.err)
			}
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s: %w", f.path, context.Cause(ctx))
		case <-other.done:
		}
		if canceled := errors.Is(other.err, context.Canceled) || errors.Is(other.err, context.DeadlineExceeded); !canceled {
			if other.err != nil {
				return fmt.Errorf("%s: %w", f.path, other.err)
			}
			return nil
		}
	}
}

// join returns a new flight for key, or the one under way, or neither when the
// image is there.
func (c *Cache) join(key string) (own, other *flight) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if i, ok := c.images[key]; ok {
		if _, err := c.root.Lstat(key + cacheImage); err == nil {
			c.touch(i)
			return nil, nil
		}
		c.drop(i)
	}
	if f, ok := c.flights[key]; ok {
		return nil, f
	}
	own = &flight{done: make(chan struct{})}
	c.flights[key] = own
	return own, nil
}

// leave ends a flight.
func (c *Cache) leave(key string, f *flight) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.flights, key)
	close(f.done)
}

// unpack unpacks f to the image of that key.
func (c *Cache) unpack(ctx context.Context, f *file, p *packing, inner, key string, progress func(done, total int64)) (err error) {
	out, err := c.create(key + cacheTemp)
	if err != nil {
		return c.storageError(err)
	}
	w := &unpacker{cache: c, out: out, in: packedReader{ctx: ctx, f: f}, inner: inner, progress: progress}
	err = w.safely(p)
	if err == nil {
		err = c.storageError(out.Sync())
	}
	if cerr := out.Close(); err == nil {
		err = c.storageError(cerr)
	}
	if err == nil {
		err = c.storageError(c.admit(key, f.path, w.size))
	}
	if err != nil {
		c.root.Remove(key + cacheTemp)
		c.release(w.size)
	}
	return err
}

// storageError says where the disk is that has an error.
func (c *Cache) storageError(err error) error {
	switch {
	case err == nil:
		return nil
	case isFull(err):
		return fmt.Errorf("the disk of the cache, %s, is full: %w (hint: make room there, or unpack the image elsewhere)", c.dir(), cause(err))
	}
	return fmt.Errorf("the cache, %s: %w", c.dir(), cause(err))
}

func isFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

// A packedReader reads a packed file, until ctx is done.
type packedReader struct {
	ctx  context.Context
	f    *file
	n    int64 // bytes read
	fail error // why it could not be read
}

// Read implements io.Reader.
func (r *packedReader) Read(p []byte) (int, error) {
	if r.ctx.Err() != nil {
		r.fail = context.Cause(r.ctx)
		return 0, r.fail
	}
	n, err := r.f.ReadAt(p, r.n)
	r.n += int64(n)
	if err != nil && err != io.EOF {
		r.fail = fmt.Errorf("byte %d: %w", r.n, err)
	}
	return n, err
}

// An unpacker is one file on its way into the cache.
type unpacker struct {
	cache    *Cache
	in       packedReader
	out      io.Writer
	inner    string // what it is, as its name says
	size     int64  // written, or about to be
	progress func(done, total int64)
}

// safely unpacks, and makes a panic of a decoder an error.
func (u *unpacker) safely(p *packing) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%w: byte %d: the decoder gave up: %v", ErrDamaged, u.in.n, r)
		}
	}()
	r, err := p.open(&u.in)
	if err != nil {
		return u.damaged(p, err)
	}
	defer r.Close()
	return u.copy(p, r)
}

// unpackChunk is how much is written at once; it is more than the descriptors
// of a volume, by which it is known for an image.
const unpackChunk = 1 << 20

// copy writes all of r.
func (u *unpacker) copy(p *packing, r io.Reader) error {
	b := make([]byte, unpackChunk)
	for {
		var n int
		var err error
		for n < len(b) && err == nil {
			var k int
			k, err = r.Read(b[n:])
			n += k
		}
		if err != nil && err != io.EOF {
			return u.damaged(p, err)
		}
		if u.size == 0 {
			if err := knownImage(b[:n], u.inner); err != nil {
				return err
			}
		}
		if err := u.write(b[:n]); err != nil {
			return err
		}
		if u.progress != nil {
			u.progress(u.in.n, u.in.f.size)
		}
		if err == io.EOF {
			return nil
		}
		// The reader looks too, but a few bytes that it has may be gigabytes of zeros.
		if ctx := u.in.ctx; ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
}

// damaged is err of reading the packed file.
func (u *unpacker) damaged(p *packing, err error) error {
	switch {
	case u.in.fail != nil:
		return u.in.fail
	case u.in.n >= u.in.f.size:
		return fmt.Errorf("%w: byte %d: %s: it is cut short or damaged: %w (hint: download it again)", ErrDamaged, u.in.n, p.ext[1:], err)
	}
	return fmt.Errorf("%w: before byte %d: %s: %w (hint: download it again)", ErrDamaged, u.in.n, p.ext[1:], err)
}

// write writes p. Where the disk is full it makes room, as long as there is
// something to remove.
func (u *unpacker) write(p []byte) error {
	if err := u.cache.reserve(int64(len(p))); err != nil {
		return err
	}
	u.size += int64(len(p))
	for {
		n, err := u.out.Write(p)
		p = p[n:]
		if err == nil {
			return nil
		}
		if !isFull(err) || !u.cache.makeRoom() {
			return u.cache.storageError(err)
		}
	}
}

// makeRoom removes the image that was not used for longest.
func (c *Cache) makeRoom() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.evict()
}

// knownImage fails with ErrFormat when what an image begins with is none of a
// disc: it is not worth unpacking. What is called as sectors are may be audio,
// which has no beginning of its own.
func knownImage(b []byte, inner string) error {
	if len(b) < unpackChunk || inner == "bin" || inner == "raw" {
		return nil
	}
	s := &source{file: &file{size: int64(len(b))}, info: new(Info)}
	_, err := openBlocks(s, bytes.NewReader(b))
	if errors.Is(err, ErrFormat) {
		_, err = openSectors(s, bytes.NewReader(b))
	}
	if errors.Is(err, ErrFormat) {
		return fmt.Errorf("what is packed in it is no disc image: %w", err)
	}
	return nil
}

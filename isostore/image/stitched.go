package image

import (
	"io"
	"sort"
)

// An extent is a part of data that lies in one place.
type extent struct {
	start, end int64
	from       io.ReaderAt // nil: zeros
	off        int64       // there, of start
}

// A stitched is data put together from extents, which follow each other from 0
// on without a gap.
type stitched []extent

// Size implements data.
func (s stitched) Size() int64 {
	if len(s) == 0 {
		return 0
	}
	return s[len(s)-1].end
}

// add appends n bytes, to the last extent where they go on there.
func (s *stitched) add(n int64, from io.ReaderAt, off int64) {
	if n <= 0 {
		return
	}
	start := s.Size()
	if k := len(*s) - 1; k >= 0 {
		if last := &(*s)[k]; last.from == from && (from == nil || last.off+last.end-last.start == off) {
			last.end += n
			return
		}
	}
	*s = append(*s, extent{start, start + n, from, off})
}

// ReadAt implements io.ReaderAt.
func (s stitched) ReadAt(p []byte, off int64) (done int, err error) {
	if off < 0 || off > s.Size() {
		return 0, io.EOF
	}
	i := sort.Search(len(s), func(i int) bool { return s[i].end > off })
	for ; i < len(s) && done < len(p); i++ {
		e := &s[i]
		at := off + int64(done)
		q := p[done:min(int64(len(p)), int64(done)+e.end-at)]
		if e.from == nil {
			clear(q)
			done += len(q)
			continue
		}
		n, err := e.from.ReadAt(q, e.off+at-e.start)
		if done += n; n < len(q) {
			return done, noEOF(err)
		}
	}
	if done < len(p) {
		return done, io.EOF
	}
	return done, nil
}

package image

import (
	"io"
	"sort"
)

// A joinedData is pieces of audio, one behind the other, that need not begin
// where sectors do: samples are of 4 bytes, little-endian. What pieces do not
// fill of the last sector is silence.
type joinedData struct {
	pieces []tocPiece
	ends   []int64 // of pieces, in the whole
	size   int64
}

// joined joins pieces of size bytes altogether, filled up to a multiple of
// stride.
func joined(pieces []tocPiece, size, stride int64) *joinedData {
	d := &joinedData{pieces: pieces, size: (size + stride - 1) / stride * stride}
	end := int64(0)
	for _, p := range pieces {
		end += p.size
		d.ends = append(d.ends, end)
	}
	return d
}

// Size implements data.
func (d *joinedData) Size() int64 { return d.size }

// ReadAt implements io.ReaderAt. Readers ask for whole samples only.
func (d *joinedData) ReadAt(p []byte, off int64) (n int, err error) {
	if off < 0 {
		return 0, io.EOF
	}
	for n < len(p) {
		at := off + int64(n)
		if at >= d.size {
			return n, io.EOF
		}
		i := sort.Search(len(d.ends), func(i int) bool { return d.ends[i] > at })
		end := d.size
		if i < len(d.ends) {
			end = d.ends[i]
		}
		q := p[n:min(int64(len(p)), int64(n)+end-at)]
		got, err := len(q), error(nil)
		if i == len(d.ends) || d.pieces[i].data == nil {
			clear(q)
		} else {
			got, err = d.pieces[i].read(q, at-end+d.pieces[i].size)
		}
		if n += got; got < len(q) {
			return n, noEOF(err)
		}
	}
	return n, nil
}

// read reads samples of the piece at off, and turns them to little-endian.
func (p *tocPiece) read(q []byte, off int64) (int, error) {
	n, err := p.data.ReadAt(q, p.off+off)
	if p.form == audioBEForm {
		n &^= 1
		swapSamples(q[:n])
	}
	return n, err
}

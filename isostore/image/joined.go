package image

import (
	"io"
	"sort"
)

// A piece is a part of a file, or zeros.
type piece struct {
	data data // nil for zeros
	form form // of audio that is big-endian
	off  int64
	size int64 // in bytes
}

// A joinedData is pieces one behind the other: the parts of a split file, or of
// audio, which need not begin where sectors do, and whose samples, of 4 bytes,
// come out little-endian. What pieces do not fill of the last sector is zero.
type joinedData struct {
	pieces []piece
	ends   []int64 // of pieces, in the whole
	size   int64
}

// joined joins pieces of size bytes altogether, filled up to a multiple of
// stride.
func joined(pieces []piece, size, stride int64) *joinedData {
	d := &joinedData{pieces: pieces, size: (size + stride - 1) / stride * stride}
	end := int64(0)
	for _, p := range pieces {
		end += p.size
		d.ends = append(d.ends, end)
	}
	return d
}

// joinFiles joins whole files.
func joinFiles(parts []data) data {
	if len(parts) == 1 {
		return parts[0]
	}
	var pieces []piece
	size := int64(0)
	for _, p := range parts {
		pieces = append(pieces, piece{data: p, form: rawForm, size: p.Size()})
		size += p.Size()
	}
	return joined(pieces, size, 1)
}

// Size implements data.
func (d *joinedData) Size() int64 { return d.size }

// ReadAt implements io.ReaderAt. Of audio readers ask for whole samples only.
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
func (p *piece) read(q []byte, off int64) (int, error) {
	n, err := p.data.ReadAt(q, p.off+off)
	if p.form == audioBEForm {
		n &^= 1
		swapSamples(q[:n])
	}
	return n, err
}

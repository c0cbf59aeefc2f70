package image

import (
	"io"
	"sort"
)

// A joinedFiles is files one behind the other, as one.
type joinedFiles struct {
	parts []data
	ends  []int64
}

// joinFiles joins files.
func joinFiles(parts []data) data {
	if len(parts) == 1 {
		return parts[0]
	}
	j := &joinedFiles{parts: parts}
	end := int64(0)
	for _, p := range parts {
		end += p.Size()
		j.ends = append(j.ends, end)
	}
	return j
}

// Size implements data.
func (j *joinedFiles) Size() int64 { return j.ends[len(j.ends)-1] }

// ReadAt implements io.ReaderAt.
func (j *joinedFiles) ReadAt(p []byte, off int64) (n int, err error) {
	if off < 0 {
		return 0, io.EOF
	}
	for n < len(p) {
		at := off + int64(n)
		i := sort.Search(len(j.ends), func(i int) bool { return j.ends[i] > at })
		if i == len(j.ends) {
			return n, io.EOF
		}
		part, start := j.parts[i], j.ends[i]-j.parts[i].Size()
		want := min(int64(len(p)-n), j.ends[i]-at)
		got, err := part.ReadAt(p[n:][:want], at-start)
		if n += got; int64(got) < want {
			return n, noEOF(err)
		}
	}
	return n, nil
}

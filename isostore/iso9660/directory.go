package iso9660

import (
	"encoding/binary"
	"fmt"
	"strings"
	"time"

	"spindle/isostore/disc"
)

// The two views of the tree.
const (
	primary = iota // ISO 9660 with Rock Ridge
	joliet
)

// Bounds of the layout.
const (
	maxDirectories = 1<<16 - 1              // a path table numbers them in 16 bits
	maxMetadata    = 256 << 20              // bytes of directories in memory
	maxExtent      = 1<<32 - disc.BlockSize // bytes of one extent, whole blocks
	recordSize     = 33                     // bytes of a directory record before the identifier
)

// File flags of a directory record (ECMA-119, 9.1.6).
const (
	flagDirectory = 0x02
	flagMore      = 0x80 // the file goes on in the next record
)

// A record is a directory record before its bytes.
type record struct {
	id          string
	block, size uint32
	flags       byte
	time        time.Time
}

// append appends the record (ECMA-119, 9.1) with its system use area.
func (r *record) append(b, use []byte) []byte {
	start := len(b)
	b = append(b, 0, 0)
	b = both32(b, r.block)
	b = both32(b, r.size)
	b = appendTime7(b, r.time)
	b = append(b, r.flags, 0, 0)
	b = both16(b, 1)
	b = append(b, byte(len(r.id)))
	b = append(b, r.id...)
	if len(r.id)%2 == 0 {
		b = append(b, 0)
	}
	b = append(b, use...)
	if (len(b)-start)%2 != 0 {
		b = append(b, 0)
	}
	b[start] = byte(len(b) - start)
	return b
}

// room is how many bytes of system use area the record may have.
func (r *record) room() int {
	return 254 - (recordSize+len(r.id)+1)&^1
}

// A dirWriter writes the directories of a view. It is run twice: the first time
// the blocks are not known yet and only the sizes count.
type dirWriter struct {
	view   int
	buf    []byte
	more   *continuation
	fields []byte // scratch
}

// identifier is n's in a record of the view: a file's has a separator and, in
// the primary volume, a version (ECMA-119, 7.5.1).
func (w *dirWriter) identifier(n *node) string {
	switch {
	case w.view == joliet:
		return n.joliet
	case n.isDir():
		return n.iso
	case strings.IndexByte(n.iso, '.') < 0:
		return n.iso + ".;1"
	}
	return n.iso + ";1"
}

// dir appends the extent of a directory: its own record, its parent's, those of
// its entries, none across a block's end (ECMA-119, 6.8.1.1).
func (w *dirWriter) dir(d *node) {
	start := len(w.buf)
	for i, n := range []*node{d, d.parent} {
		at := n.dirs[w.view]
		r := record{string(rune(i)), at.block, at.size, flagDirectory, n.modified()}
		w.put(&r, n, false, i == 0 && d == d.parent)
	}
	for _, n := range d.children[w.view] {
		w.entry(n)
	}
	w.pad()
	d.dirs[w.view].size = uint32(len(w.buf) - start)
}

// entry appends the records of n, more than one for a file above 4 GiB.
func (w *dirWriter) entry(n *node) {
	r := record{id: w.identifier(n), time: n.modified()}
	if n.isDir() {
		at := n.dirs[w.view]
		r.block, r.size, r.flags = at.block, at.size, flagDirectory
		w.put(&r, n, true, false)
		return
	}
	for block, left := n.block, n.stamp.size; ; {
		size := min(left, maxExtent)
		r.block, r.size, r.flags = uint32(block), uint32(size), 0
		if left -= size; left > 0 {
			r.flags = flagMore
		}
		w.put(&r, n, true, false)
		if left == 0 {
			return
		}
		block += size / disc.BlockSize
	}
}

func (w *dirWriter) put(r *record, n *node, named, self bool) {
	w.fields = w.fields[:0]
	if w.view == primary {
		w.fields = appendFields(w.fields, n, named, self)
	}
	use := w.fields
	if k := split(use, r.room()); k < len(use) {
		use = append(use[:k:k], w.more.put(use[k:])...)
	}
	start := len(w.buf)
	w.buf = r.append(w.buf, use)
	if size := len(w.buf) - start; start%disc.BlockSize+size > disc.BlockSize {
		w.buf = w.buf[:start]
		w.pad()
		w.buf = r.append(w.buf, use)
	}
}

// pad fills the last block.
func (w *dirWriter) pad() {
	if n := len(w.buf) % disc.BlockSize; n > 0 {
		w.buf = append(w.buf, make([]byte, disc.BlockSize-n)...)
	}
}

// measure finds the sizes of all directories in a view and how many blocks they
// and the continuation areas need.
func (b *builder) measure(view int) (dirs, more int64, err error) {
	w := dirWriter{view: view, more: &continuation{}}
	for _, d := range b.dirs[view] {
		w.buf = w.buf[:0]
		w.dir(d)
		dirs += int64(len(w.buf))
		if dirs+int64(len(w.more.buf)) > maxMetadata {
			return 0, 0, fmt.Errorf("%s: the directories need more than %d MiB (hint: pack the files into an archive)", b.tree.base, maxMetadata>>20)
		}
	}
	return blocks(dirs), blocks(int64(len(w.more.buf))), nil
}

// write writes all directories, and the continuation areas, into the metadata.
func (b *builder) write(view int, m []byte, p *plan) {
	into := func(block int64) []byte { return m[block*disc.BlockSize:][:0] }
	w := dirWriter{view: view, buf: into(p.dirs[view]), more: &continuation{buf: into(p.more), block: uint32(p.more)}}
	for _, d := range b.dirs[view] {
		w.dir(d)
	}
}

// order puts the directories of a view in the order of a path table: by level,
// parent and identifier (ECMA-119, 6.9.1).
func (b *builder) order(view int) error {
	list := []*node{b.tree.root}
	for i := 0; i < len(list); i++ {
		if i == maxDirectories {
			return fmt.Errorf("%s: more than %d directories", b.tree.base, maxDirectories)
		}
		list[i].dirs[view].number = uint16(i + 1)
		for _, c := range list[i].children[view] {
			if c.isDir() {
				list = append(list, c)
			}
		}
	}
	b.dirs[view] = list
	return nil
}

// pathTable returns a path table in the given byte order (ECMA-119, 9.4).
func (b *builder) pathTable(view int, order binary.AppendByteOrder) []byte {
	var t []byte
	w := dirWriter{view: view}
	for i, d := range b.dirs[view] {
		id := "\x00"
		if i > 0 {
			id = w.identifier(d)
		}
		t = append(t, byte(len(id)), 0)
		t = order.AppendUint32(t, d.dirs[view].block)
		t = order.AppendUint16(t, d.parent.dirs[view].number)
		t = append(t, id...)
		if len(id)%2 != 0 {
			t = append(t, 0)
		}
	}
	return t
}

// blocks returns how many blocks n bytes need.
func blocks(n int64) int64 { return (n + disc.BlockSize - 1) / disc.BlockSize }

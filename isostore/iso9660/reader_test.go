package iso9660

import (
	"encoding/binary"
	"fmt"
	"strings"
	"unicode/utf16"
)

// An item is a file, directory or link as reader found it.
type item struct {
	id          string // identifier of the record, as it stands there
	name        string // of Rock Ridge, else of the identifier
	mode        uint32
	link        string
	dir         bool
	block, size int64
	extents     int
	children    []*item
}

// A reader reads metadata back, by the standards and without the writer's code.
// It is strict: whatever is not as they say is an error.
type reader struct {
	m      []byte
	joliet bool
}

// read returns the root directory of the view that a volume descriptor tells.
func read(m []byte, kind byte) (*item, error) {
	for d := m[16*2048:]; len(d) >= 2048; d = d[2048:] {
		if string(d[1:6]) != "CD001" || d[0] == 255 {
			break
		}
		if d[0] == kind {
			r := &reader{m, kind == 2}
			root := &item{dir: true, block: int64(binary.LittleEndian.Uint32(d[158:])), size: int64(binary.LittleEndian.Uint32(d[166:]))}
			return root, r.dir(root, root)
		}
	}
	return nil, fmt.Errorf("no volume descriptor of type %d", kind)
}

func (r *reader) dir(d, parent *item) error {
	if d.size%2048 != 0 || d.size == 0 || (d.block*2048)+d.size > int64(len(r.m)) {
		return fmt.Errorf("directory at %d has %d bytes", d.block, d.size)
	}
	data := r.m[d.block*2048:][:d.size]
	var last *item
	more := false
	for i, at := 0, 0; at < len(data); i++ {
		n := int(data[at])
		if n == 0 {
			at = (at/2048 + 1) * 2048
			continue
		}
		if at/2048 != (at+n-1)/2048 || n%2 != 0 || n < 34 {
			return fmt.Errorf("record of %d bytes at byte %d", n, at)
		}
		it, cont, err := r.record(data[at:at+n], i == 0 && d == parent)
		if err != nil {
			return fmt.Errorf("record at byte %d: %w", at, err)
		}
		at += n
		switch want := []*item{d, parent}; {
		case i < 2:
			if it.id != string(rune(i)) || it.block != want[i].block || it.size != want[i].size {
				return fmt.Errorf("record %d is %q at %d, %d bytes", i, it.id, it.block, it.size)
			}
			continue
		case more:
			if it.id != last.id || it.block != last.block+last.size/2048 || last.size%2048 != 0 {
				return fmt.Errorf("%q goes on with %q at %d", last.id, it.id, it.block)
			}
			last.size += it.size
			last.extents++
		default:
			if last != nil && !less(last, it, r.joliet) {
				return fmt.Errorf("%q does not come before %q", last.id, it.id)
			}
			last, it.extents = it, 1
			d.children = append(d.children, it)
		}
		more = cont
	}
	for _, c := range d.children {
		if c.dir {
			if err := r.dir(c, d); err != nil {
				return fmt.Errorf("%s/%w", c.name, err)
			}
		}
	}
	return nil
}

// less is the order of ECMA-119, 9.3: names, then extensions, as if filled
// with spaces.
func less(a, b *item, joliet bool) bool {
	if joliet {
		return a.id < b.id
	}
	cut := func(id string) (name, ext string) {
		id, _, _ = strings.Cut(id, ";")
		name, ext, _ = strings.Cut(id, ".")
		return fmt.Sprintf("%-40s", name), fmt.Sprintf("%-40s", ext)
	}
	an, ae := cut(a.id)
	bn, be := cut(b.id)
	return an < bn || an == bn && ae < be
}

// both reads a number in both byte orders, which must agree.
func both(b []byte) (int64, error) {
	l, m := binary.LittleEndian.Uint32(b), binary.BigEndian.Uint32(b[4:])
	if l != m {
		return 0, fmt.Errorf("%d little-endian is %d big-endian", l, m)
	}
	return int64(l), nil
}

func (r *reader) record(b []byte, self bool) (it *item, more bool, err error) {
	it = &item{dir: b[25]&2 != 0}
	if it.block, err = both(b[2:]); err == nil {
		it.size, err = both(b[10:])
	}
	if err != nil {
		return nil, false, err
	}
	n := int(b[32])
	it.id = string(b[33 : 33+n])
	it.name = it.id
	if special := it.id == "\x00" || it.id == "\x01"; !special {
		err = r.checkID(it)
	}
	use := b[33+n+(1-n%2):]
	if r.joliet {
		if len(use) != 0 {
			return nil, false, fmt.Errorf("%q has a system use area", it.id)
		}
		return it, b[25]&0x80 != 0, err
	}
	if self != (len(use) > 7 && string(use[:2]) == "SP") {
		return nil, false, fmt.Errorf("%q begins with SP or not", it.id)
	}
	it.name = ""
	if uerr := r.fields(it, use, 0); uerr != nil {
		return nil, false, uerr
	}
	return it, b[25]&0x80 != 0, err
}

// checkID checks the characters and the length of an identifier.
func (r *reader) checkID(it *item) error {
	if r.joliet {
		if n := len(it.id); n == 0 || n > 128 || n%2 != 0 {
			return fmt.Errorf("identifier of %d bytes", n)
		}
		var u []uint16
		for i := 0; i < len(it.id); i += 2 {
			u = append(u, binary.BigEndian.Uint16([]byte(it.id[i:])))
		}
		it.name = string(utf16.Decode(u))
		if strings.ContainsAny(it.name, "*/:;?\\\x00\n\uFFFD") {
			return fmt.Errorf("identifier %q", it.name)
		}
		return nil
	}
	id := it.id
	if !it.dir {
		var ok bool
		if id, ok = strings.CutSuffix(id, ";1"); !ok || strings.Count(id, ".") != 1 || len(id) > 31 {
			return fmt.Errorf("file identifier %q", it.id)
		}
		id = strings.Replace(id, ".", "", 1)
	}
	if id == "" || len(id) > 31 || strings.Trim(id, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") != "" {
		return fmt.Errorf("identifier %q", it.id)
	}
	return nil
}

// fields reads a system use area and those that it goes on in.
func (r *reader) fields(it *item, b []byte, depth int) error {
	var next []byte
	for len(b) >= 4 {
		n := int(b[2])
		if n < 4 || n > len(b) || b[3] != 1 {
			return fmt.Errorf("field % x", b[:4])
		}
		f := b[:n]
		b = b[n:]
		switch string(f[:2]) {
		case "NM":
			it.name += string(f[5:])
		case "PX":
			it.mode = binary.LittleEndian.Uint32(f[4:])
		case "SL":
			r.link(it, f[5:])
		case "CE":
			block, off, size := binary.LittleEndian.Uint32(f[4:]), binary.LittleEndian.Uint32(f[12:]), binary.LittleEndian.Uint32(f[20:])
			if off+size > 2048 || depth > 30 || int(block+1)*2048 > len(r.m) || next != nil {
				return fmt.Errorf("continuation in block %d from %d, %d bytes, depth %d", block, off, size, depth)
			}
			next = r.m[int(block)*2048+int(off):][:size]
		}
	}
	if len(b) > 1 || len(b) == 1 && b[0] != 0 {
		return fmt.Errorf("% x behind the fields", b)
	}
	if next != nil {
		return r.fields(it, next, depth+1)
	}
	return nil
}

// link adds the components of an SL field. A component that goes on has no
// slash behind it.
func (r *reader) link(it *item, b []byte) {
	for len(b) >= 2 {
		it.link += string(b[2 : 2+b[1]])
		switch b[0] {
		case 2:
			it.link += "."
		case 4:
			it.link += ".."
		}
		if b[0] != 1 {
			it.link += "/"
		}
		b = b[2+b[1]:]
	}
}

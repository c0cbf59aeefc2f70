package sector

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
)

// A block is the packs of one block in order of their sequence numbers; nil where one
// is missing.
type block [maxPacks][]byte

// Packs returns the CD-TEXT packs in b, which may be as programs save them: with the
// 4-byte header of READ TOC/PMA/ATIP before them and a zero byte after them.
func Packs(b []byte) ([]byte, error) {
	rest := len(b) % PackSize
	if rest == 4 || rest == 5 {
		b, rest = b[4:], rest-4
	}
	if rest == 1 && b[len(b)-1] == 0 {
		b, rest = b[:len(b)-1], 0
	}
	if rest != 0 {
		return nil, fmt.Errorf("CD-TEXT of %d bytes: it has packs of %d bytes, and at most 4 bytes before and a zero after them", len(b), PackSize)
	}
	return b, nil
}

// ParseText reads CD-TEXT packs of 18 bytes, and returns a Text for each block. The
// packs may repeat, as they do in the lead-in, and lie in any order. One whose CRC does
// not agree and is not 0, which CloneCD's have, is left out, as is one of unknown type;
// the error names them, and which are missing, while the rest is returned. Without size
// information the language is 0 and the character set ISO-8859-1. Of MS-JIS it knows
// single bytes; what takes two becomes U+FFFD.
func ParseText(packs []byte) ([]Text, error) {
	packs, err := Packs(packs)
	if err != nil {
		return nil, err
	}
	var p problems
	blocks := sortPacks(packs, &p)
	var texts []Text
	for n := range blocks {
		if b := blocks[n]; b != nil {
			t := b.text(n)
			b.gaps(n, &p)
			texts = append(texts, t)
		}
	}
	return texts, p.err()
}

// sortPacks puts packs into their places. A pack that comes again is the same one.
func sortPacks(packs []byte, p *problems) (blocks [maxBlocks]*block) {
	for at := 0; at < len(packs); at += PackSize {
		pack := packs[at : at+PackSize]
		stored, crc := binary.BigEndian.Uint16(pack[packCRCAt:]), CRC16(pack[:packCRCAt])
		switch {
		case pack[0] < PackTitle || pack[0] > PackSizeInfo:
			if !bytes.Equal(pack, make([]byte, PackSize)) { // padding
				p.addf("pack at byte %d: type %02Xh, want 80h to 8Fh", at, pack[0])
			}
			continue
		case stored != crc && stored != 0:
			p.addf("pack at byte %d, %s: CRC is %04X, its data have %04X", at, PackName(pack[0]), stored, crc)
			continue
		case pack[1]&0x80 != 0:
			continue // an extension that nothing uses
		}
		n, sequence := pack[3]>>4&7, pack[2]
		if blocks[n] == nil {
			blocks[n] = new(block)
		}
		switch have := blocks[n][sequence]; {
		case have == nil:
			blocks[n][sequence] = pack
		case !bytes.Equal(have[:packCRCAt], pack[:packCRCAt]):
			p.addf("pack at byte %d: block %d has another pack with sequence number %d", at, n, sequence)
		}
	}
	return blocks
}

// gaps reports the sequence numbers that block n lacks before its last.
func (b *block) gaps(n int, p *problems) {
	missing := 0
	for sequence, pack := range b {
		if pack == nil {
			missing++
			continue
		}
		if missing > 0 {
			p.addf("block %d lacks %d pack(s) before number %d", n, missing, sequence)
		}
		missing = 0
	}
}

// text reads block n.
func (b *block) text(n int) Text {
	var t Text
	for _, pack := range b {
		if pack != nil && pack[0] == PackSizeInfo {
			t.sizes(pack, n)
		}
	}
	readers := make(map[byte]*textReader)
	for sequence, pack := range b {
		switch {
		case pack == nil:
		case isText(pack[0]):
			r := readers[pack[0]]
			if r == nil {
				r = &textReader{t: &t, typ: pack[0], next: -1}
				readers[pack[0]] = r
			}
			r.pack(pack, sequence)
		case isBinary(pack[0]):
			if t.Raw == nil {
				t.Raw = make(map[byte][]byte)
			}
			t.Raw[pack[0]] = append(t.Raw[pack[0]], pack[0], pack[1], 0, pack[3]&0x8F)
			t.Raw[pack[0]] = append(t.Raw[pack[0]], pack[payloadAt:packCRCAt]...)
		}
	}
	for typ := PackTitle; typ <= PackCode; typ++ { // in order: the result is always the same
		if r := readers[typ]; r != nil && len(r.pending) > 0 {
			r.end() // not terminated
		}
	}
	t.span()
	return t
}

// sizes takes a pack of size information, of which block n's language is in the third.
func (t *Text) sizes(pack []byte, n int) {
	switch p := pack[payloadAt:]; pack[1] {
	case 0:
		t.Charset, t.First, t.Last, t.Copyright = p[0], p[1], p[2], p[3]
	case 2:
		t.Language = p[4+n]
	}
}

// A textReader puts together the strings of one type. They run through its packs, each
// with a terminator.
type textReader struct {
	t       *Text
	typ     byte
	next    int // sequence number that goes on with pending; -1 before the first pack
	track   int // of pending
	pending []byte
}

func (r *textReader) pack(pack []byte, sequence int) {
	track, place, p := int(pack[1]), pack[3]&0xF, pack[payloadAt:packCRCAt]
	double := pack[3]&0x80 != 0
	lost := sequence != r.next && place > 0 // the start of the first string was in another pack
	switch {
	case r.next == -1 && r.typ == PackGenre && place == 0 && track == 0:
		r.t.Genre = binary.BigEndian.Uint16(p)
		p = p[2:]
	case sequence != r.next || track != r.track:
		r.pending = r.pending[:0] // its end was lost
	}
	r.next, r.track = sequence+1, track
	for len(p) > 0 {
		width := 1
		if double {
			width = min(2, len(p))
		}
		c := p[:width]
		p = p[width:]
		switch {
		case bytes.Count(c, []byte{0}) < width:
			r.pending = append(r.pending, c...)
		case lost:
			lost = false
			r.pending = r.pending[:0]
			r.advance()
		default:
			r.end()
		}
	}
	if lost {
		r.pending, r.next = r.pending[:0], -2 // all of it belongs to what was lost
	}
}

// end gives the pending string to its track. A TAB alone says: as before.
func (r *textReader) end() {
	s := decode(r.pending, r.t.Charset)
	r.pending = r.pending[:0]
	if track := r.track; r.t.Get(r.typ, track) == "" {
		if s == "\t" || s == "\t\t" {
			s = r.t.Get(r.typ, track-1)
		}
		r.t.Set(r.typ, track, s)
	}
	r.advance()
}

// advance goes on to the next track: after the disc comes the first that it has.
func (r *textReader) advance() {
	if r.track++; r.track == 1 {
		r.track = max(1, int(r.t.First))
	}
}

// problems collects what was left out, and does not grow without bound.
type problems struct {
	list []string
	more int
}

const maxProblems = 8

func (p *problems) addf(format string, args ...any) {
	if len(p.list) == maxProblems {
		p.more++
		return
	}
	p.list = append(p.list, fmt.Sprintf(format, args...))
}

func (p *problems) err() error {
	if len(p.list) == 0 {
		return nil
	}
	text := "CD-TEXT: " + strings.Join(p.list, "; ")
	if p.more > 0 {
		text += fmt.Sprintf("; and %d more", p.more)
	}
	return errors.New(text)
}

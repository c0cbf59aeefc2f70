package sector

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// AppendText appends the packs of texts to b, a block each, with sequence numbers, size
// information and CRC. The text of a block is written in ISO-8859-1; typographic quotes,
// dashes and the like, which that lacks, become the nearest it has. It fails, and names
// the character, where text has another; where a block has more than the 253 packs that
// are left for it; and where there are more than eight blocks.
func AppendText(b []byte, texts []Text) ([]byte, error) {
	if len(texts) > maxBlocks {
		return b, fmt.Errorf("CD-TEXT of %d languages, of which a disc has at most %d", len(texts), maxBlocks)
	}
	var sizes sizeInfo
	written := make([]packWriter, len(texts))
	for n := range texts {
		t := texts[n]
		t.span()
		w := &written[n]
		w.block = byte(n)
		if err := w.text(&t); err != nil {
			return b, fmt.Errorf("CD-TEXT block %d (%s): %w", n, LanguageName(t.Language), err)
		}
		count := len(w.packs)/PackSize + sizePacks
		if count > maxPacks {
			return b, fmt.Errorf("CD-TEXT block %d (%s) needs %d packs, of which it has at most %d (hint: shorten the texts)",
				n, LanguageName(t.Language), count, maxPacks)
		}
		sizes.last[n], sizes.language[n] = byte(count-1), t.Language
	}
	for n := range written {
		w := &written[n]
		w.sizes(&texts[n], &sizes)
		b = append(b, w.packs...)
	}
	return b, nil
}

// sizeInfo is what the size information of each block says of all.
type sizeInfo struct{ last, language [maxBlocks]byte }

// A packWriter writes the packs of a block.
type packWriter struct {
	block       byte
	packs       []byte
	counts      [16]byte // packs by type, from 80h
	charset     byte
	first, last byte
}

// text writes all but the size information of t, whose First and Last are right.
func (w *packWriter) text(t *Text) error {
	if t.Charset != CharsetLatin1 && t.Charset != CharsetASCII {
		return fmt.Errorf("text in character set %02Xh cannot be written, only ISO-8859-1", t.Charset)
	}
	w.charset, w.first, w.last = t.Charset, t.First, t.Last
	for typ := range t.Values {
		if !isText(typ) {
			return fmt.Errorf("%s is not text", PackName(typ))
		}
	}
	for typ, raw := range t.Raw {
		if !isBinary(typ) || len(raw)%packCRCAt != 0 {
			return fmt.Errorf("%d bytes of %s: want packs of %d bytes of a binary type", len(raw), PackName(typ), packCRCAt)
		}
	}
	for typ := PackTitle; typ < PackSizeInfo; typ++ {
		if err := w.strings(t, typ); err != nil {
			return err
		}
		for raw := t.Raw[typ]; len(raw) > 0; raw = raw[packCRCAt:] {
			w.pack(typ, raw[1], raw[3]&0x8F, raw[payloadAt:packCRCAt])
		}
	}
	return nil
}

// strings writes what t has of a type that is text.
func (w *packWriter) strings(t *Text, typ byte) error {
	values := t.Values[typ]
	genre := typ == PackGenre && t.Genre != 0
	if len(values) == 0 && !genre {
		return nil
	}
	s := stringWriter{w: w, typ: typ}
	if typ == PackGenre { // always: a reader takes the first two bytes for it
		s.payload = binary.BigEndian.AppendUint16(s.payload, t.Genre)
	}
	last := int(t.Last)
	if len(values) <= 1 && (typ == PackDiscID || typ == PackGenre) {
		last = 0 // these are of the disc alone
	}
	for track := 0; track <= last; track++ {
		if track > 0 && track < int(t.First) {
			continue
		}
		text, err := encode(t.Get(typ, track))
		if err != nil {
			return fmt.Errorf("%s: %w", subject(typ, track), err)
		}
		for _, c := range text {
			if c >= 0x80 {
				w.charset = CharsetLatin1
			}
		}
		s.add(byte(track), append(text, 0))
	}
	s.flush()
	return nil
}

// A stringWriter packs the strings of one type.
type stringWriter struct {
	w            *packWriter
	typ          byte
	track, place byte // of the first byte of the next pack
	payload      []byte
}

func (s *stringWriter) add(track byte, text []byte) {
	for i, c := range text {
		if len(s.payload) == 0 {
			s.track, s.place = track, byte(min(i, 15))
		}
		if s.payload = append(s.payload, c); len(s.payload) == packCRCAt-payloadAt {
			s.flush()
		}
	}
}

func (s *stringWriter) flush() {
	if len(s.payload) > 0 {
		s.w.pack(s.typ, s.track, s.place, s.payload)
		s.payload = s.payload[:0]
	}
}

// pack appends a pack, its payload filled up with zeros.
func (w *packWriter) pack(typ, track, place byte, payload []byte) {
	pack := [PackSize]byte{typ, track, byte(len(w.packs) / PackSize), w.block<<4 | place}
	copy(pack[payloadAt:packCRCAt], payload)
	binary.BigEndian.PutUint16(pack[packCRCAt:], CRC16(pack[:packCRCAt]))
	w.packs = append(w.packs, pack[:]...)
	w.counts[typ-PackTitle]++
}

// sizes writes the size information.
func (w *packWriter) sizes(t *Text, all *sizeInfo) {
	w.counts[PackSizeInfo-PackTitle] = sizePacks
	counts := w.counts
	info := append([]byte{w.charset, w.first, w.last, t.Copyright}, counts[:]...)
	info = append(append(info, all.last[:]...), all.language[:]...)
	for n := range byte(sizePacks) {
		w.pack(PackSizeInfo, n, 0, info[12*int(n):][:12])
	}
}

// decode turns the bytes of a character set into UTF-8.
func decode(b []byte, charset byte) string {
	r := make([]rune, 0, len(b))
	for i := 0; i < len(b); i++ {
		c := b[i]
		switch {
		case charset != CharsetMSJIS || c < 0x80:
			if c != 0 || charset != CharsetMSJIS { // the high half of a single byte in two
				r = append(r, rune(c))
			}
		case c >= 0xA1 && c <= 0xDF: // half-width katakana
			r = append(r, 0xFF61+rune(c-0xA1))
		default:
			r = append(r, '\uFFFD')
			i++
		}
	}
	return string(r)
}

// encode turns UTF-8 into ISO-8859-1.
func encode(s string) ([]byte, error) {
	b := make([]byte, 0, len(s)+1)
	for _, r := range s {
		if near, ok := nearest[r]; ok {
			b = append(b, near...)
			continue
		}
		if n := len(b); n > 0 && r >= 0x300 && r <= 0x327 {
			if c, ok := composed[[2]rune{rune(b[n-1]), r}]; ok {
				b[n-1] = c
				continue
			}
		}
		switch {
		case r == 0:
			return nil, errors.New("a zero character ends a text")
		case r > 0xFF:
			return nil, fmt.Errorf("character %q (U+%04X) is not in ISO-8859-1 (hint: write it another way)", r, r)
		}
		b = append(b, byte(r))
	}
	return b, nil
}

package chd

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"testing"

	"pgregory.net/rapid"
)

// mapFile is a file with nothing but a map at its start.
func mapFile(m []byte, hunks int64) (*Header, *bytes.Reader) {
	h := &Header{Codecs: [4]Codec{Zlib, LZMA}, HunkBytes: 4096, UnitBytes: 512, Logical: hunks * 4096}
	return h, bytes.NewReader(m)
}

// TestMaps writes maps of any entries and reads them again.
func TestMaps(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var m, want hunkMap
		at := int64(0)
		for range rapid.IntRange(1, 20).Draw(t, "runs") {
			kind := rapid.SampledFrom([]entryType{typeCodec0, typeCodec1, typeStored, typeSelf}).Draw(t, "kind")
			same := rapid.Bool().Draw(t, "same")
			self := int64(0)
			for range rapid.SampledFrom([]int{1, 2, 3, 4, 5, 18, 19, 20, 273, 274, 275, 300}).Draw(t, "count") {
				e := entry{kind: kind, off: at}
				n := int64(len(m) / entrySize)
				switch {
				case kind == typeSelf && n == 0:
					e.kind = typeStored
					fallthrough
				case kind == typeStored:
					e.length, e.crc = 4096, uint16(n)
				case kind == typeSelf:
					if !same {
						self = rapid.Int64Range(0, n-1).Draw(t, "self")
					}
					e.off = min(self, n-1)
				default:
					e.length, e.crc = rapid.IntRange(0, 4096).Draw(t, "length"), uint16(n*77)
				}
				at += int64(e.length)
				m = append(m, make([]byte, entrySize)...)
				e.put(m[len(m)-entrySize:])
				whole := e
				if e.kind == typeSelf {
					whole = getEntry(want[e.off*entrySize:])
				}
				want = append(want, make([]byte, entrySize)...)
				whole.put(want[len(want)-entrySize:])
			}
		}
		h, r := mapFile(m.encode(0), int64(len(m)/entrySize))
		got, err := readMap(r, h, 1<<40)
		if err != nil || !bytes.Equal(got, want) {
			t.Fatalf("%v, or another map", err)
		}
	})
}

// FuzzMap reads arbitrary maps: what comes out points before itself or into the
// file.
func FuzzMap(f *testing.F) {
	var m hunkMap
	for i, e := range []entry{{typeCodec0, 100, 0, 1}, {typeStored, 4096, 100, 2}, {typeSelf, 0, 1, 0}, {typeSelf, 0, 1, 0}, {typeCodec1, 7, 4196, 4}} {
		m = append(m, make([]byte, entrySize)...)
		e.put(m[i*entrySize:])
	}
	f.Add(m.encode(0), uint32(5))
	f.Add(append(make(hunkMap, 40*entrySize), m...).encode(0), uint32(45))
	f.Fuzz(func(t *testing.T, b []byte, hunks uint32) {
		h, r := mapFile(b, int64(hunks%100000))
		// The CRC is set right, after it was found, so that what is behind it is reached.
		for range 2 {
			got, err := readMap(r, h, 1<<20)
			var have, want uint16
			if err != nil {
				if n, _ := fmt.Sscanf(err.Error(), "damaged CHD: byte 0: the map's CRC is %X, want %X", &have, &want); n == 2 && len(b) > 12 {
					b = bytes.Clone(b)
					binary.BigEndian.PutUint16(b[10:], have)
					r = bytes.NewReader(b)
					continue
				}
				return
			}
			for i := 0; i < len(got); i += entrySize {
				if e := getEntry(got[i:]); e.kind > typeStored || e.off < 0 || e.off+int64(e.length) > 1<<20 || e.length > h.HunkBytes {
					t.Fatalf("hunk %d is %+v", i/entrySize, e)
				}
			}
			return
		}
	})
}

// FuzzCodecs unpacks arbitrary bytes by every codec: none panics but by what
// ReadHunk recovers from, and none writes outside its hunk.
func FuzzCodecs(f *testing.F) {
	hunk := mixed(32 << 10)[20<<10:][:FrameSize] // it packs well: the fuzzer is slow with large seeds
	for _, c := range []Codec{Zlib, Zstd, CDZlib, CDZstd, CDFLAC} {
		e, err := encoderOf(c, len(hunk))
		if err != nil {
			f.Fatal(err)
		}
		b, err := e(nil, hunk)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(uint32(c), b)
	}
	f.Add(uint32(LZMA), lzmaPack(f, hunk[:500]))
	f.Add(uint32(Huff), bytes.Repeat([]byte{0x24, 0x92, 0x49}, 100))
	h := &Header{HunkBytes: len(hunk), UnitBytes: FrameSize, Logical: int64(len(hunk))}
	f.Fuzz(func(t *testing.T, tag uint32, packed []byte) {
		codecs := []Codec{Zlib, LZMA, Huff, FLAC, Zstd, CDZlib, CDLZMA, CDFLAC, CDZstd}
		d, err := decoderOf(Codec(tag), h)
		if err != nil || d == nil {
			d, _ = decoderOf(codecs[int(tag%uint32(len(codecs)))], h)
		}
		p := bytes.Repeat([]byte{0xEE}, len(hunk)+16)
		func() {
			defer func() { _ = recover() }()
			_ = d(p[:len(hunk):len(hunk)], packed)
		}()
		if !bytes.Equal(p[len(hunk):], bytes.Repeat([]byte{0xEE}, 16)) {
			t.Error("it writes beyond its hunk")
		}
	})
}

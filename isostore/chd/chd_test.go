package chd

import (
	"bytes"
	"crypto/sha1"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"spindle/internal/lab"
)

// A memory is a file in memory.
type memory struct{ b []byte }

func (m *memory) WriteAt(p []byte, off int64) (int, error) {
	if need := int(off) + len(p); need > len(m.b) {
		m.b = append(m.b, make([]byte, need-len(m.b))...)
	}
	return copy(m.b[off:], p), nil
}

func (m *memory) open() (*Reader, error) { return Open(bytes.NewReader(m.b), int64(len(m.b))) }

// all reads all data of a CHD.
func all(t testing.TB, c *Reader) []byte {
	t.Helper()
	var out []byte
	for n := range c.Hunks() {
		p := make([]byte, min(int64(c.HunkBytes), c.Logical-n*int64(c.HunkBytes)))
		if err := c.ReadHunk(p, n); err != nil {
			t.Fatal(err)
		}
		out = append(out, p...)
	}
	return out
}

// make1 writes a CHD of data.
func make1(t testing.TB, o CreateOptions, data []byte, metadata ...Metadata) *memory {
	t.Helper()
	m := new(memory)
	w, err := Create(m, o)
	if err == nil {
		_, err = w.Write(data)
	}
	if err == nil {
		err = w.Close(metadata)
	}
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// mixed is n bytes of which some pack well and some do not.
func mixed(n int) []byte {
	r := rand.New(rand.NewPCG(1, 2))
	p := make([]byte, n)
	for i := range p {
		switch i >> 14 & 3 {
		case 0:
			p[i] = byte(r.Uint32())
		case 1:
			p[i] = byte(i / 7)
		case 2:
			p[i] = byte(r.ExpFloat64() * 9)
		}
	}
	return p
}

// TestCodecsOfChdman reads raw data that chdman packs by each of its codecs, and
// checks both of its SHA-1s.
func TestCodecsOfChdman(t *testing.T) {
	lab.Need(t, "chdman")
	data := mixed(400 << 10)
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "raw"), data, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, codecs := range []string{"zlib", "lzma", "huff", "flac", "none", "lzma,zlib,huff,flac"} {
		t.Run(codecs, func(t *testing.T) {
			cmd := lab.ToolCmd(t.Context(), "chdman", "createraw", "-f", "-i", "raw", "-o", "a.chd", "-hs", "4096", "-us", "512", "-c", codecs)
			cmd.Dir = dir
			if text, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("chdman: %v\n%s", err, text)
			}
			b, err := os.ReadFile(filepath.Join(dir, "a.chd"))
			if err != nil {
				t.Fatal(err)
			}
			c, err := (&memory{b}).open()
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(all(t, c), data) {
				t.Error("the data is not what it was")
			}
			if !c.Compressed() {
				return
			}
			if c.RawSHA1 != sha1.Sum(data) || c.SHA1 != overallSHA1(c.RawSHA1, c.Metadata) {
				t.Errorf("SHA-1s are %x and %x", c.RawSHA1, c.SHA1)
			}
			used := map[entryType]bool{}
			for i := 0; i < len(c.hunks); i += entrySize {
				used[entryType(c.hunks[i])] = true
			}
			if !used[typeCodec0] {
				t.Errorf("no hunk is by %s", c.Codecs[0])
			}
		})
	}
}

// TestRoundTrip writes by each codec and reads again, in pieces that do not end
// with hunks, with hunks that are equal and a last one that is not whole.
func TestRoundTrip(t *testing.T) {
	data := append(mixed(300<<10), make([]byte, 100<<10)...)
	data = append(append(data, data[:96<<10]...), 1, 2, 3)
	for _, codec := range []Codec{Zlib, Zstd, CDZlib, CDZstd, CDFLAC} {
		t.Run(codec.String(), func(t *testing.T) {
			o := CreateOptions{HunkBytes: 8 * FrameSize, UnitBytes: FrameSize, Codecs: []Codec{codec}}
			if codec == CDZstd {
				o.HunkBytes = 32 * FrameSize // the length takes 3 bytes
			}
			m := new(memory)
			w, err := Create(m, o)
			if err != nil {
				t.Fatal(err)
			}
			for rest := data; len(rest) > 0; rest = rest[min(len(rest), 10007):] {
				if _, err := w.Write(rest[:min(len(rest), 10007)]); err != nil {
					t.Fatal(err)
				}
			}
			entries := []Metadata{{Tag: "AAAA", Data: []byte("one\x00"), Hashed: true}, {Tag: "BBBB", Data: []byte("two")}}
			if err := w.Close(entries); err != nil {
				t.Fatal(err)
			}
			c, err := m.open()
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(all(t, c), data) {
				t.Error("the data is not what it was")
			}
			if len(m.b) >= len(data) {
				t.Errorf("it takes %d bytes for %d", len(m.b), len(data))
			}
			if len(c.Metadata) != 2 || c.Metadata[0].Text() != "one" || c.Metadata[1].Text() != "two" || c.Metadata[1].Hashed || len(c.Find("BBBB")) != 1 {
				t.Errorf("metadata = %+v", c.Metadata)
			}
			if c.RawSHA1 != sha1.Sum(data) || c.SHA1 != overallSHA1(c.RawSHA1, entries) {
				t.Error("the SHA-1s are wrong")
			}
		})
	}
}

// TestWriterFails: an error of the file, or of options, comes out.
func TestWriterFails(t *testing.T) {
	for _, o := range []CreateOptions{{}, {HunkBytes: 4096, UnitBytes: 4096}, {HunkBytes: 4096, UnitBytes: 1000, Codecs: []Codec{Zlib}}, {HunkBytes: 4096, UnitBytes: 4096, Codecs: []Codec{CDZlib}}, {HunkBytes: 4096, UnitBytes: 4096, Codecs: []Codec{Huff}}, {HunkBytes: 2 << 20, UnitBytes: 4096, Codecs: []Codec{Zlib}}} {
		if _, err := Create(new(memory), o); err == nil {
			t.Errorf("Create takes %+v", o)
		}
	}
	w, err := Create(full{}, DVDOptions())
	if err != nil {
		t.Fatal(err)
	}
	_, werr := w.Write(mixed(1 << 20))
	if cerr := w.Close(nil); !errors.Is(cerr, io.ErrShortWrite) || werr != nil && !errors.Is(werr, io.ErrShortWrite) {
		t.Errorf("Write = %v, Close = %v", werr, cerr)
	}
	if w, _ = Create(new(memory), DVDOptions()); w.Close(nil) == nil {
		t.Error("a CHD without data is written")
	}
}

type full struct{}

func (full) WriteAt([]byte, int64) (int, error) { return 0, io.ErrShortWrite }

// TestRefusals opens what is damaged or not supported: one CHD, patched.
func TestRefusals(t *testing.T) {
	good := make1(t, CreateOptions{HunkBytes: 4096, UnitBytes: 512, Codecs: []Codec{Zlib, Zstd}}, mixed(64<<10), Metadata{Tag: "AAAA", Data: make([]byte, 10)}, Metadata{Tag: "BBBB"}).b
	be := binary.BigEndian
	mapAt, metaAt := int(be.Uint64(good[40:])), int(be.Uint64(good[48:]))
	patch := func(at int, text string) func([]byte) []byte {
		return func(b []byte) []byte { copy(b[at:], text); return b }
	}
	tests := []struct {
		name, want string
		damage     func(b []byte) []byte
	}{
		{"another file", "does not begin", patch(0, "RIFF")},
		{"short", "not a CHD", func(b []byte) []byte { return b[:12] }},
		{"version 3", "version 3 is not supported", patch(12, "\x00\x00\x00\x03")},
		{"version 4", "chdman copy", patch(12, "\x00\x00\x00\x04")},
		{"within the header", "byte 100", func(b []byte) []byte { return b[:100] }},
		{"header size", "byte 8", patch(8, "\x00\x00\x00\x7D")},
		{"parent", "parent CHD, which is not supported", patch(104, "\x01")},
		{"codec", "codec avhu is not supported", patch(16, "avhu")},
		{"no codec's name", "00010203h", patch(16, "\x00\x01\x02\x03")},
		{"CD codec", "codec cdzl for hunks of 4096 bytes", patch(16, "cdzl")},
		{"codec that is not named", "is by codec 1, which the header does not name", patch(20, "\x00\x00\x00\x00")},
		{"hunk 0", "hunks of 0 bytes", patch(56, "\x00\x00\x00\x00")},
		{"huge hunk", "hunks of", patch(56, "\x7F")},
		{"unit 0", "units of 0", patch(60, "\x00\x00\x00\x00")},
		{"huge data", "more than any disc", patch(32, "\x40")},
		{"many hunks", "too many", patch(32, "\x00\x00\x08")},
		{"more hunks than the map has", "the map", patch(38, "\xF0")},
		{"map outside", "ends where", patch(42, "\x40")},
		{"map beyond any file", "beyond any file", patch(40, "\x80")},
		{"map's length", "reaches beyond", patch(mapAt, "\x7F")},
		{"map's fields", "fields of 255", patch(mapAt+12, "\xFF")},
		{"map's CRC", "the map's CRC is", patch(mapAt+10, "\xAA\xAA")},
		{"map's tree", "Huffman code", patch(mapAt+16, "\x11\x11\x11")},
		{"metadata outside", "outside the file", patch(48, "\x01")},
		{"metadata in the header", "outside the file", patch(48, "\x00\x00\x00\x00\x00\x00\x00\x10")},
		{"metadata's length", "reach beyond", patch(metaAt+5, "\x08")},
		{"circle of metadata", "without an end", func(b []byte) []byte { be.PutUint64(b[metaAt+8:], uint64(metaAt)); return b }},
		{"truncated", "ends where", func(b []byte) []byte { return b[:len(b)-5] }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := (&memory{tt.damage(bytes.Clone(good))}).open()
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Open = %v; want one with %q", err, tt.want)
			}
		})
	}
	b := bytes.Clone(good)
	b[headerSize+40] ^= 0x10
	c, err := (&memory{b}).open()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.ReadHunk(make([]byte, 4096), 0); !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), "hunk 0") {
		t.Errorf("ReadHunk of a damaged hunk = %v", err)
	}
	for _, n := range []int64{-1, c.Hunks()} {
		if c.ReadHunk(make([]byte, 4096), n) == nil {
			t.Errorf("hunk %d is read", n)
		}
	}
}

// TestPlain: a CHD without compression has a map of places; 0 is a hunk of zeros.
func TestPlain(t *testing.T) {
	b := make([]byte, 512)
	copy(b, make1(t, DVDOptions(), make([]byte, 2048)).b[:headerSize])
	clear(b[16:32])
	be := binary.BigEndian
	be.PutUint64(b[32:], 3*512-100)
	be.PutUint64(b[40:], headerSize)
	be.PutUint64(b[48:], 0)
	be.PutUint32(b[56:], 512)
	be.PutUint32(b[60:], 4)
	be.PutUint32(b[headerSize:], 2)
	be.PutUint32(b[headerSize+8:], 1)
	b = append(b, bytes.Repeat([]byte{'1'}, 512)...)
	b = append(b, bytes.Repeat([]byte{'2'}, 512)...)
	c, err := (&memory{b}).open()
	if err != nil {
		t.Fatal(err)
	}
	want := strings.Repeat("2", 512) + strings.Repeat("\x00", 512) + strings.Repeat("1", 412)
	if got := all(t, c); string(got) != want {
		t.Errorf("the data is %q", got)
	}
	be.PutUint32(b[headerSize:], 3)
	if err := c.ReadHunk(make([]byte, 512), 0); !errors.Is(err, ErrDamaged) {
		t.Errorf("a hunk beyond the file = %v", err)
	}
	be.PutUint64(b[32:], 512*1000)
	if _, err := (&memory{b}).open(); !errors.Is(err, ErrDamaged) {
		t.Errorf("a map beyond the file = %v", err)
	}
}

func TestParseTrack(t *testing.T) {
	tests := []struct {
		text string
		want Track
		err  string
	}{
		{"TRACK:2 TYPE:AUDIO SUBTYPE:RW_RAW FRAMES:50 PREGAP:20 PGTYPE:VAUDIO PGSUB:RW POSTGAP:7", Track{2, "AUDIO", "RW_RAW", 50, 20, true, "AUDIO", "RW", 7}, ""},
		{"TRACK:1 TYPE:MODE1 SUBTYPE:NONE FRAMES:51", Track{1, "MODE1", "NONE", 51, 0, false, "", "", 0}, ""},
		{"TRACK:1 TYPE:MODE1", Track{}, "lacks"},
		{"", Track{}, "lacks"},
		{"TRACK:1 TYPE:MODE1 FRAMES:-1", Track{}, "FRAMES"},
		{"TRACK:1 TYPE:MODE1 FRAMES:99999999", Track{}, "FRAMES"},
		{"TRACK:1 TYPE:MODE1 FRAMES:1 FRAMES:2", Track{}, "twice"},
		{"TRACK:1 TYPE:MODE1 FRAMES:1 PREGAP:2 PGTYPE:VMODE1", Track{}, "more frames"},
	}
	for _, tt := range tests {
		got, err := ParseTrack(tt.text)
		if tt.err == "" && (err != nil || got != tt.want) || tt.err != "" && (err == nil || !strings.Contains(err.Error(), tt.err)) {
			t.Errorf("ParseTrack(%q) = %+v, %v; want %+v, %q", tt.text, got, err, tt.want, tt.err)
		}
		if m := got.Metadata(); err == nil && got.PregapOf != "" && m.Text() != tt.text {
			t.Errorf("it becomes %q", m.Text())
		}
	}
}

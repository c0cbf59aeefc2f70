package image

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ulikunitz/xz"

	"spindle/isostore/disc"
)

// udif is a property list as a UDIF image without data has it.
func udif(list string) []byte {
	k := make([]byte, dmgTrailer)
	copy(k, "koly\x00\x00\x00\x04\x00\x00\x02\x00")
	binary.BigEndian.PutUint64(k[224:], uint64(len(list)))
	return append([]byte(list), k...)
}

// longFLAC is a FLAC file of a frame that says it is as long as a CD.
func longFLAC() []byte {
	b := []byte(fuzzFLAC)
	binary.BigEndian.PutUint32(b[22:], 449850*588)
	return b
}

// TestHostile opens images that ask for far more memory than they have bytes:
// fuzzOpen bounds what is allocated.
func TestHostile(t *testing.T) {
	for _, tt := range []struct {
		name  string
		files map[string][]byte
	}{
		{"a sound in many parts.toc", map[string][]byte{
			"x.flac": longFLAC(),
			"x":      []byte("CD_DA\n" + strings.Repeat("TRACK AUDIO\n"+strings.Repeat("FILE \"x.flac\" 0 588\n", 40), 99)),
		}},
		{"nested lists.dmg", map[string][]byte{"x": udif(strings.Repeat("<plist>", dmgMaxList/8))}},
		{"attributes.dmg", map[string][]byte{"x": udif("<plist " + strings.Repeat("a='' ", dmgMaxList/6) + ">")}},
		{"a comment.dmg", map[string][]byte{"x": udif("<!--" + strings.Repeat("<", dmgMaxList/2) + "-->")}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			name := "x" + filepath.Ext(tt.name)
			tt.files[name] = tt.files["x"]
			fuzzOpen(t, t.TempDir(), name, tt.files)
		})
	}
}

// TestBrief opens images that quote a lot of what is in them.
func TestBrief(t *testing.T) {
	long := strings.Repeat("é", 1<<18)
	dir := t.TempDir()
	write(t, dir, "a.bin", make([]byte, 2352*300))
	write(t, dir, "a.cue", []byte(long+"\nFILE a.bin BINARY\nTRACK 01 AUDIO\nINDEX 01 00:00:00\n"))
	write(t, dir, "b.cue", []byte("FILE a.bin "+long+"\nTRACK 01 AUDIO\nINDEX 01 00:00:00\n"))
	write(t, dir, "c.cue", []byte("FILE "+long+" BINARY\nTRACK 01 AUDIO\nINDEX 01 00:00:00\n"))
	info, err := Inspect(filepath.Join(dir, "a.cue"), Options{})
	if err != nil || len(info.Warnings) != 1 || len(info.Warnings[0]) > maxBrief || !strings.HasSuffix(info.Warnings[0], "is left out") {
		t.Errorf("%d warnings, %v", len(info.Warnings), err)
	}
	for name, end := range map[string]string{"b.cue": "is no known kind of a file", "c.cue": "(hint: put it beside c.cue)"} {
		_, err := Inspect(filepath.Join(dir, name), Options{})
		if err == nil || len(err.Error()) > maxBrief || !strings.HasSuffix(err.Error(), end) || !strings.Contains(err.Error(), name+": line 1: ") {
			t.Errorf("%s: %.200v", name, err)
		}
	}
	if _, err := Inspect(filepath.Join(dir, "b.cue"), Options{}); !errors.Is(err, ErrDamaged) {
		t.Errorf("the cut error is not ErrDamaged: %.200v", err)
	}
}

// TestCompanionNotDirectory opens a sheet whose file lies, by its name, in a
// folder that is a file here: it is taken from beside the sheet.
func TestCompanionNotDirectory(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "disc", []byte("notes"))
	write(t, dir, "a.bin", make([]byte, 2352*300))
	write(t, dir, "a.cue", []byte(`FILE "disc\a.bin" BINARY`+"\nTRACK 01 AUDIO\nINDEX 01 00:00:00\n"))
	info, err := Inspect(filepath.Join(dir, "a.cue"), Options{})
	if err != nil || info.Blocks != 300 {
		t.Errorf("%d blocks, %v", info.Blocks, err)
	}
}

// TestCodesOfNone opens images whose MCN, recording codes and CD-TEXT are none,
// or more than a disc has: the disc has none, and none goes into what is made of
// it.
func TestCodesOfNone(t *testing.T) {
	dir := t.TempDir()
	sectors := isoImage(400, 400)
	write(t, dir, "a.bin", make([]byte, 2352*300))
	write(t, dir, "a.toc", []byte("CD_DA\nTRACK AUDIO\nISRC \"USABC\\012990001\"\nFILE \"a.bin\" 0\n"))
	write(t, dir, "b.toc", []byte("CD_DA\nTRACK AUDIO\nISRC \"us-abc-99-00012\"\nFILE \"a.bin\" 0\n"))
	packs := make([]uint32, 18*4096/4)
	track := nrgChunk("ETN2", 0, 0, 0, uint32(len(sectors)), 0, 0, 0, 0)
	write(t, dir, "a.nrg", nrgFile(sectors, track, nrgChunk("SINF", 1), nrgChunk("CDTX", packs...)))
	for name, isrc := range map[string]string{"a.toc": "", "b.toc": "USABC9900012", "a.nrg": ""} {
		d, info, err := OpenFile(filepath.Join(dir, name), Options{})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		l := d.Layout()
		if l.First().ISRC != isrc || l.MCN != "" || l.CDText != nil || name == "a.nrg" && len(info.Warnings) != 1 {
			t.Errorf("%s: ISRC %q, MCN %q, %d bytes of CD-TEXT, warnings %q", name, l.First().ISRC, l.MCN, len(l.CDText), info.Warnings)
		}
		d.Close()
	}
}

// TestXZSmallBlocks unpacks blocks of a byte each whose dictionaries are as large
// as any: some are unpacked, many are refused before they take hours.
func TestXZSmallBlocks(t *testing.T) {
	var b bytes.Buffer
	w, err := xz.WriterConfig{DictCap: xzMaxDict}.NewWriter(&b)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		streams int
		refused bool
	}{{xzFree, false}, {xzFree + 1, true}} {
		n, err := io.Copy(io.Discard, newXZ(bytes.NewReader(bytes.Repeat(b.Bytes(), tt.streams)), xzMaxDict))
		if refused := err != nil && strings.Contains(err.Error(), "too small"); n != xzFree || refused != tt.refused || err != nil && !refused {
			t.Errorf("%d streams: %d bytes, %v", tt.streams, n, err)
		}
	}
}

// TestTOCOddFile opens a track whose first file ends within a sample: what is
// behind it is read in the right order of bytes all the same.
func TestTOCOddFile(t *testing.T) {
	dir := t.TempDir()
	whole := bytes.Repeat([]byte("abcd"), 2352/4)
	write(t, dir, "a.bin", append(bytes.Clone(whole), "xyz"...))
	write(t, dir, "b.bin", bytes.Repeat(whole, 4))
	write(t, dir, "a.toc", []byte("CD_DA\nTRACK AUDIO\nFILE \"a.bin\" 0\nFILE \"b.bin\" 0\n"))
	d, info, err := OpenFile(filepath.Join(dir, "a.toc"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	got := make([]byte, 5*2352)
	n, err := d.(disc.RawReader).ReadSectors(got, 0)
	if n != 5 || err != nil || info.Blocks != 5 || !bytes.Equal(got, bytes.Repeat([]byte("badc"), len(got)/4)) {
		t.Errorf("%d of %d sectors, %v, or other samples: %q", n, info.Blocks, err, got[2348:2364])
	}
}

// TestWarningsPrintable opens parts of an image, one cut short, whose name would
// say something to a terminal.
func TestWarningsPrintable(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "a\x1b[2J.bin", make([]byte, 2352*300))
	write(t, dir, "a.toc", []byte("CD_DA\nTRACK AUDIO\nFILE \"a\\033[2J.bin\" 0 0:9:0\n"))
	info, err := Inspect(filepath.Join(dir, "a.toc"), Options{})
	if err != nil || len(info.Warnings) == 0 || printable(info.Warnings[0]) != info.Warnings[0] {
		t.Errorf("warnings %q, %v", info.Warnings, err)
	}
}

// TestDecodersEOF opens images whose compressed data is empty, of which decoders
// say EOF: neither the image nor the disc ends there, and the error says where
// the damage is.
func TestDecodersEOF(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "a.flac", []byte(fuzzFLAC[:42]))
	write(t, dir, "a.cue", []byte("FILE a.flac FLAC\nTRACK 01 AUDIO\nINDEX 01 00:00:00\n"))
	cso := make([]byte, csoHeader+4*17)
	copy(cso, "CISO\x18")
	cso[9], cso[17] = 32768>>8, 2048>>8
	for i := range 17 {
		cso[csoHeader+4*i] = byte(len(cso))
	}
	write(t, dir, "a.cso", append(cso, make([]byte, 512)...))
	for name, text := range map[string]string{"a.cue": "FLAC frame at byte 42", "a.cso": "block 0: byte 92: "} {
		d, _, err := OpenFile(filepath.Join(dir, name), Options{})
		if err == nil {
			p := make([]byte, disc.SectorSize)
			_, err = d.(disc.RawReader).ReadSectors(p, 0)
			d.Close()
		}
		if !errors.Is(err, ErrDamaged) || errors.Is(err, io.EOF) || !strings.Contains(err.Error(), "hunk 0: ") || !strings.Contains(err.Error(), text) {
			t.Errorf("%s: %v, want one with %q", name, err, text)
		}
	}
}

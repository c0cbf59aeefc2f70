package sector_test

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"spindle/internal/lab"
	"spindle/isostore/disc"
	"spindle/isostore/sector"
	"spindle/testdata/fixture"
)

// run runs a tool in dir.
func run(t *testing.T, dir, name string, args ...string) {
	t.Helper()
	cmd := lab.ToolCmd(t.Context(), name, args...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", name, err, out)
	}
}

func write(t *testing.T, name string, b []byte) {
	t.Helper()
	if err := os.WriteFile(name, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestVCDImager makes a Video CD, whose image has raw sectors of both forms of Mode 2
// XA, and makes each of its sectors again from sub-header and data.
func TestVCDImager(t *testing.T) {
	lab.Need(t, "vcdimager")
	dir := t.TempDir()
	write(t, filepath.Join(dir, "film.mpg"), fixture.Film(60))
	run(t, dir, "vcdimager", "-c", "film.cue", "-b", "film.bin", "film.mpg")
	image := read(t, filepath.Join(dir, "film.bin"))
	if len(image)%disc.SectorSize != 0 {
		t.Fatalf("image of %d bytes", len(image))
	}
	var forms [2]int
	for n := 0; len(image) > 0; n, image = n+1, image[disc.SectorSize:] {
		want := image[:disc.SectorSize]
		got := make([]byte, disc.SectorSize)
		if form2 := want[18] & 0x20; form2 == 0 {
			forms[0]++
			copy(got[16:2072], want[16:])
			sector.EncodeForm1(got, disc.LBA(n))
		} else {
			forms[1]++
			copy(got[16:2348], want[16:])
			sector.EncodeForm2(got, disc.LBA(n))
		}
		if !bytes.Equal(got, want) {
			t.Fatalf("sector %d: vcdimager's\n% X\nours\n% X", n, want, got)
		}
		if err := sector.Check(want); err != nil {
			t.Errorf("sector %d: %v", n, err)
		}
	}
	if forms[0] < 100 || forms[1] < 60 {
		t.Errorf("%d sectors of Form 1, %d of Form 2: too few to tell", forms[0], forms[1])
	}
}

// TestCHDMan gives chdman raw Mode 1 sectors. Its codecs for CDs compute P and Q anew,
// and leave them and the sync pattern out of the file, with a bit set, where these agree
// byte for byte; extracting makes them again. So both bits and output are chdman's word.
func TestCHDMan(t *testing.T) {
	lab.Need(t, "chdman")
	dir := t.TempDir()
	const sectors = 8 // one hunk
	rnd := rand.NewChaCha8([32]byte{3})
	image := make([]byte, sectors*disc.SectorSize)
	for n := range sectors {
		s := image[n*disc.SectorSize:][:disc.SectorSize]
		_, _ = rnd.Read(s[16:2064])
		sector.EncodeMode1(s, disc.LBA(n))
	}
	bits := func(image []byte) byte {
		t.Helper()
		write(t, filepath.Join(dir, "in.bin"), image)
		write(t, filepath.Join(dir, "in.cue"), []byte("FILE \"in.bin\" BINARY\n  TRACK 01 MODE1/2352\n    INDEX 01 00:00:00\n"))
		run(t, dir, "chdman", "createcd", "-f", "-c", "cdzl", "-i", "in.cue", "-o", "cd.chd")
		run(t, dir, "chdman", "extractcd", "-f", "-i", "cd.chd", "-o", "out.cue", "-ob", "out.bin")
		if !bytes.Equal(read(t, filepath.Join(dir, "out.bin")), image) {
			t.Error("chdman gives other sectors than it was given")
		}
		chd := read(t, filepath.Join(dir, "cd.chd"))
		compressed := binary.BigEndian.Uint64(chd[40:]) // the map; its first data offset has 48 bits
		first := binary.BigEndian.Uint64(chd[compressed+2:]) & (1<<48 - 1)
		return chd[first] // the hunk begins with a bit a sector
	}
	if got := bits(image); got != 0xFF {
		t.Errorf("chdman finds its own P and Q in the sectors of bits %08b, want all", got)
	}
	image[3*disc.SectorSize+2076] ^= 1 // P of one, Q of another
	image[6*disc.SectorSize+2351] ^= 1
	if got := bits(image); got != 0xFF&^(1<<3|1<<6) {
		t.Errorf("with two spoilt sectors the bits are %08b", got)
	}
}

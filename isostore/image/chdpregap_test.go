package image_test

import (
	"os"
	"path/filepath"
	"testing"

	"spindle/isostore/disc"
	"spindle/isostore/sector"
)

// TestCHDFirstPregap opens what chdman makes of a sheet whose file has the
// pregap that each disc has, sectors of which the first is at 00:00:00: it stays
// before LBA 0, and so do addresses in sectors.
func TestCHDFirstPregap(t *testing.T) {
	dir := t.TempDir()
	const pregap, blocks = 150, 300
	raw := make([]byte, (pregap+blocks)*disc.SectorSize)
	for i := range pregap + blocks {
		s := raw[i*disc.SectorSize:][:disc.SectorSize]
		s[16] = byte(i)
		sector.EncodeMode1(s, disc.LBA(i-pregap))
	}
	for name, b := range map[string][]byte{
		"a.bin": raw,
		"a.cue": []byte("FILE a.bin BINARY\nTRACK 01 MODE1/2352\nINDEX 00 00:00:00\nINDEX 01 00:02:00\n"),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	chdTool(t, dir, "chdman", "createcd", "-i", "a.cue", "-o", "a.chd", "-c", "cdzl", "-np", "1")
	for _, name := range []string{"a.cue", "a.chd"} {
		d, _ := chdOpen(t, filepath.Join(dir, name))
		if tr, out := d.Layout().First(), d.Layout().LeadOut(); tr.Pregap != -pregap || tr.Start != 0 || out != blocks {
			t.Fatalf("%s: track from %d, index 1 at %d, to %d", name, tr.Pregap, tr.Start, out)
		}
		got := chdSectors(t, d, -pregap, blocks)
		if string(got) != string(raw) {
			t.Errorf("%s: other sectors than the file's", name)
		}
	}
}

package image_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"spindle/isostore/chd"
	"spindle/isostore/disc"
	"spindle/isostore/image"
	"spindle/testdata/fixture"
)

// chdMade writes a CHD of units of zeros with the given metadata, as "TAG text".
func chdMade(t testing.TB, o chd.CreateOptions, units int, metadata ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "a.chd")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w, err := chd.Create(f, o)
	if err == nil {
		_, err = w.Write(make([]byte, units*o.UnitBytes))
	}
	if err != nil {
		t.Fatal(err)
	}
	var list []chd.Metadata
	for _, m := range metadata {
		list = append(list, chd.Metadata{Tag: m[:4], Data: []byte(m[4:] + "\x00"), Hashed: true})
	}
	if err := w.Close(list); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestCHDRefused opens CHDs that are no discs, or that contradict themselves.
func TestCHDRefused(t *testing.T) {
	const track1 = "CHT2TRACK:1 TYPE:MODE1 SUBTYPE:NONE FRAMES:40 PREGAP:0 PGTYPE:MODE1 PGSUB:NONE POSTGAP:0"
	const ours = "SPDLDISC:1\nSESSION:1 TYPE:00 LEADOUT:40\nTRACK:1 MODE:MODE1 CONTROL:4 PREGAP:-150 START:0 AT:0"
	cd, dvd := chd.CDOptions(), chd.DVDOptions()
	disk := chd.CreateOptions{HunkBytes: 4096, UnitBytes: 512, Codecs: dvd.Codecs}
	replace := func(old, with string) []string { return []string{track1, strings.Replace(ours, old, with, 1)} }
	tests := []struct {
		name     string
		options  chd.CreateOptions
		metadata []string
		want     string
		damaged  bool
	}{
		{"GD-ROM", cd, []string{"CHGDTRACK:1 TYPE:MODE1_RAW"}, "GD-ROM", false},
		{"hard disk", disk, []string{"GDDDCYLS:1,HEADS:1,SECS:1,BPS:512"}, "hard disk", false},
		{"laser disc", disk, []string{"AVAVFPS:29"}, "laser disc", false},
		{"old CD", cd, []string{"CHCD"}, "createcd", false},
		{"no disc", disk, nil, "without metadata of a disc", false},
		{"frames without tracks", cd, nil, "without metadata of a disc", false},
		{"units of a CD", dvd, []string{track1}, "a CD in units of 2048 bytes", true},
		{"no count", cd, []string{"CHT2TRACK:1 TYPE:MODE1"}, "lacks", true},
		{"no frames", cd, []string{strings.Replace(track1, ":40", ":0", 1)}, "its end at 0", true},
		{"huge count", cd, []string{strings.Replace(track1, ":40", ":900000", 1)}, "its end at 900000", true},
		{"number", cd, []string{strings.Replace(track1, "K:1", "K:2", 1)}, "comes as number 1", true},
		{"type", cd, []string{strings.Replace(track1, "MODE1", "MODE9", 1)}, "MODE9", true},
		{"field of ours", cd, replace("START:0", "START:x"), `line 3: START is "x"`, true},
		{"range of ours", cd, replace("START:0", "START:99999999"), "line 3: START", true},
		{"mode of ours", cd, replace("MODE:MODE1", "MODE:7"), "line 3: MODE", true},
		{"line of ours", cd, replace("\nTRACK", "\nHELLO"), "line 3", true},
		{"no session of ours", cd, replace("\nSESSION:1 TYPE:00 LEADOUT:40", ""), "line 2", true},
		{"no track of ours", cd, []string{track1, "SPDLDISC:1\nSESSION:1 TYPE:0 LEADOUT:40"}, "0 tracks, CHT2 has 1", true},
		{"session without tracks", cd, replace("\nTRACK", "\nSESSION:2 TYPE:0 LEADOUT:60\nTRACK"), "it has no track", true},
		{"index of ours", cd, replace("AT:0", "AT:0 INDEX:5,4"), "an index at 4", true},
		{"frames beyond the lead-out", cd, replace("AT:0", "AT:1"), "outside the disc", true},
		{"CD-TEXT", cd, replace("AT:0", "AT:0\nCDTEXT:8000"), "not a multiple of 18", true},
		{"CD-TEXT in hex", cd, replace("AT:0", "AT:0\nCDTEXT:zz"), "line 4", true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d, _, err := image.OpenFile(chdMade(t, tt.options, 40, tt.metadata...), image.Options{})
			if err == nil {
				d.Close()
				t.Fatal("it opens")
			}
			if !strings.Contains(err.Error(), tt.want) || errors.Is(err, image.ErrDamaged) != tt.damaged {
				t.Errorf("error is %v; want one with %q, damaged %v", err, tt.want, tt.damaged)
			}
		})
	}
	for warnings, metadata := range [][]string{{track1, ours}, {track1, "SPDLDISC:2 AND:more"}} {
		d, info := chdOpen(t, chdMade(t, cd, 40, metadata...))
		if d.Layout().LeadOut() != 40 || len(info.Warnings) != warnings {
			t.Errorf("%q: info = %+v", metadata, info)
		}
	}
}

// TestCHDVersions: what is not version 5, or has a parent, says what to do.
func TestCHDVersions(t *testing.T) {
	good, err := os.ReadFile(chdMade(t, chd.DVDOptions(), 40))
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		at         int
		with, want string
	}{
		{12, "\x00\x00\x00\x04", "version 4 is not supported, only 5 is (hint: make it anew by chdman copy"},
		{12, "\x00\x00\x00\x03", "version 3"},
		{104, "\x01", "parent"},
		{40, "\x00\x01", "damaged"},
	} {
		b := bytes.Clone(good)
		copy(b[tt.at:], tt.with)
		path := filepath.Join(t.TempDir(), "a.chd")
		if err := os.WriteFile(path, b, 0o644); err != nil {
			t.Fatal(err)
		}
		d, info, err := image.OpenFile(path, image.Options{})
		if err == nil {
			d.Close()
		}
		if err == nil || !strings.Contains(err.Error(), tt.want) || info.Format != "chd" || errors.Is(err, image.ErrFormat) {
			t.Errorf("%q at byte %d: %v; want one with %q", tt.with, tt.at, err, tt.want)
		}
	}
}

// TestCHDTruncated: a CHD that has less than its tracks says so, and fails where
// that begins.
func TestCHDTruncated(t *testing.T) {
	d, info := chdOpen(t, chdMade(t, chd.CDOptions(), 40, "CHT2TRACK:1 TYPE:MODE1 SUBTYPE:NONE FRAMES:50"))
	if !info.Truncated || len(info.Warnings) != 1 {
		t.Errorf("info = %+v", info)
	}
	p := make([]byte, 8*disc.BlockSize)
	if n, err := d.ReadBlocks(p, 35); n != 5 || err == nil || !strings.Contains(err.Error(), "sector 40") {
		t.Errorf("ReadBlocks = %d, %v", n, err)
	}
}

// TestCHDHunkDamaged: a sector of a damaged hunk fails with its hunk, and those
// before it are read.
func TestCHDHunkDamaged(t *testing.T) {
	path := chdWrite(t, t.TempDir(), newSourceDisc(fixture.MixedMode(nil)))
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b[124+70000] ^= 1
	if err := os.WriteFile(path, b, 0o644); err != nil {
		t.Fatal(err)
	}
	d, _ := chdOpen(t, path)
	p := make([]byte, 200*disc.SectorSize)
	n, err := d.(disc.RawReader).ReadSectors(p, 0)
	if n == 0 || n == 200 || n%8 != 0 || !errors.Is(err, image.ErrDamaged) || !strings.Contains(err.Error(), fmt.Sprintf("sector %d", n)) || !strings.Contains(err.Error(), fmt.Sprintf("hunk %d", n/8)) {
		t.Errorf("ReadSectors = %d, %v", n, err)
	}
	want := make([]byte, n*disc.SectorSize)
	if _, err := newSourceDisc(fixture.MixedMode(nil)).ReadSectors(want, 0); err != nil || !bytes.Equal(p[:len(want)], want) {
		t.Error("what was read before it is not the source's")
	}
}

// TestCHDMemory: a small file that claims as many hunks as are allowed takes
// bounded memory, and more are refused.
func TestCHDMemory(t *testing.T) {
	good, err := os.ReadFile(chdMade(t, chd.CreateOptions{HunkBytes: 2048, UnitBytes: 2048, Codecs: chd.DVDOptions().Codecs}, 4))
	if err != nil {
		t.Fatal(err)
	}
	for _, hunks := range []uint64{4 << 20, 4<<20 + 1, 1 << 32} {
		binary.BigEndian.PutUint64(good[32:], hunks*2048)
		path := filepath.Join(t.TempDir(), "a.chd")
		if err := os.WriteFile(path, good, 0o644); err != nil {
			t.Fatal(err)
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		d, _, err := image.OpenFile(path, image.Options{})
		runtime.ReadMemStats(&after)
		if err == nil {
			d.Close()
			t.Error("it opens")
		}
		if used := after.TotalAlloc - before.TotalAlloc; used > 64<<20 {
			t.Errorf("%d hunks take %d bytes to refuse", hunks, used)
		}
	}
}

// FuzzOpenCHD opens a CHD of arbitrary header, map and metadata, and reads some
// of what opens.
func FuzzOpenCHD(f *testing.F) {
	const track = "CHT2TRACK:1 TYPE:MODE1 SUBTYPE:RW_RAW FRAMES:40 PREGAP:2 PGTYPE:VMODE1 PGSUB:NONE POSTGAP:3"
	for _, metadata := range [][]string{{track}, {track, "SPDLDISC:1 MCN:1\nSESSION:1 TYPE:00 LEADOUT:40\nTRACK:1 MODE:MODE1 CONTROL:4 PREGAP:-150 START:0 AT:0\n"}, nil} {
		o := chd.CDOptions()
		if metadata == nil {
			o = chd.DVDOptions()
		}
		b, err := os.ReadFile(chdMade(f, o, 40, metadata...))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, b []byte) {
		path := filepath.Join(dir, "x.chd")
		os.Remove(path) // some file systems flush a file that is written anew
		if err := os.WriteFile(path, b, 0o644); err != nil {
			t.Fatal(err)
		}
		d, info, err := image.OpenFile(path, image.Options{})
		if err != nil {
			return
		}
		defer d.Close()
		if info.Format != "chd" {
			return
		}
		p := make([]byte, 16*disc.SectorSize)
		for _, lba := range []disc.LBA{0, d.Layout().LeadOut() - 16, d.Layout().LeadOut() / 2} {
			if n, _ := d.ReadBlocks(p[:16*disc.BlockSize], lba); n < 0 || n > 16 {
				t.Errorf("ReadBlocks = %d", n)
			}
			if raw, ok := d.(disc.RawReader); ok {
				_, _ = raw.ReadSectors(p, lba)
				_, _ = d.(disc.SubReader).ReadSub(p[:16*disc.SubSize], lba)
			}
		}
	})
}

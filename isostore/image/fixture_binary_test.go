package image

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"spindle/isostore/disc"
	"spindle/isostore/disc/disctest"
	"spindle/testdata/fixture"
)

// lacks is what an image does not hold of its source.
type lacks struct {
	names   bool // MCN, ISRC and CD-TEXT
	text    bool // CD-TEXT
	indexes bool // from 2 on
	kind    bool // disc type of a session
	sub     bool // sub-channel
	leadSub bool // that of the pregaps of first tracks
	gaps    bool // pregaps of later tracks, which are silence then
	form2   bool // sub-headers, so that Form 2 sectors cannot be told
}

// equalFixture checks that the image at path is the disc that src is: layout,
// every sector, its user data, and the sub-channel.
func equalFixture(t *testing.T, path string, src *fixture.Source, l lacks) {
	t.Helper()
	d, info, err := OpenFile(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	disctest.TestDisc(t, d)
	if len(info.Warnings) > 0 || info.Truncated {
		t.Errorf("warnings %q, truncated %v", info.Warnings, info.Truncated)
	}
	if got, want := layoutText(d.Layout()), layoutText(fixtureLayout(src, l)); got != want {
		t.Errorf("layout is\n%swant\n%s", got, want)
		return
	}
	for i := range src.Sessions {
		s := &src.Sessions[i]
		for lba := s.Tracks[0].Pregap; lba < s.LeadOut; lba++ {
			if !equalFixtureSector(t, d, src, lba, l, lba < s.First()) {
				return
			}
		}
	}
}

// equalFixtureSector checks one sector, and reports whether to go on.
func equalFixtureSector(t *testing.T, d disc.Disc, src *fixture.Source, lba int, l lacks, lead bool) bool {
	t.Helper()
	raw, sub, block := make([]byte, disc.SectorSize), make([]byte, disc.SubSize), make([]byte, disc.BlockSize)
	if n, err := d.(disc.RawReader).ReadSectors(raw, disc.LBA(lba)); n != 1 || err != nil {
		t.Errorf("sector %d: %v", lba, err)
		return false
	}
	want := src.Raw(lba)
	if st := src.At(lba); l.gaps && !lead && lba < st.Start && st.Number > 1 {
		want = make([]byte, disc.SectorSize)
	}
	if l.form2 && want[15] == 2 { // sub-headers are made
		if user := src.User(lba); !bytes.Equal(raw[24:24+len(user)], user) {
			t.Errorf("sector %d has other user data", lba)
			return false
		}
	} else if !bytes.Equal(raw, want) {
		at := slices.IndexFunc(seq(len(raw)), func(i int) bool { return raw[i] != want[i] })
		t.Errorf("sector %d differs from byte %d on: % x..., want % x...", lba, at, raw[at:min(at+32, len(raw))], want[at:min(at+32, len(raw))])
		return false
	}
	if !l.sub && !(lead && l.leadSub) {
		if n, err := d.(disc.SubReader).ReadSub(sub, disc.LBA(lba)); n != 1 || err != nil || !bytes.Equal(sub, src.Sub(lba)) {
			t.Errorf("sub-channel %d: %v\n% x, want\n% x", lba, err, sub, src.Sub(lba))
			return false
		}
	}
	kind := src.Kind(lba)
	if lba < 0 || kind != fixture.Mode1 && kind != fixture.Mode2Form1 {
		return true
	}
	if n, err := d.ReadBlocks(block, disc.LBA(lba)); n != 1 || err != nil || !bytes.Equal(block, src.User(lba)) {
		t.Errorf("block %d: %v, or other data", lba, err)
		return false
	}
	return true
}

func seq(n int) []int {
	s := make([]int, n)
	for i := range s {
		s[i] = i
	}
	return s
}

// fixtureLayout is the layout of a source.
func fixtureLayout(src *fixture.Source, l lacks) *disc.Layout {
	modes := map[fixture.Kind]disc.Mode{
		fixture.Audio: disc.Audio, fixture.Mode1: disc.Mode1, fixture.Mode2Form1: disc.Mode2XA,
		fixture.Mode2Form2: disc.Mode2XA, fixture.Mode2Formless: disc.Mode2,
	}
	out := &disc.Layout{Kind: disc.CD}
	if !l.names {
		out.MCN = src.MCN
		if !l.text {
			out.CDText = src.CDText()
		}
	}
	for i, s := range src.Sessions {
		session := disc.Session{Number: byte(i + 1), Type: s.DiscType, LeadOut: disc.LBA(s.LeadOut)}
		if l.kind {
			session.Type = 0
		}
		for _, st := range s.Tracks {
			tr := disc.Track{Number: byte(st.Number), Control: st.Control, Mode: modes[st.Kind], Pregap: disc.LBA(st.Pregap), Start: disc.LBA(st.Start)}
			if !l.names {
				tr.ISRC = st.ISRC
			}
			for _, x := range st.Indexes {
				if !l.indexes {
					tr.Indexes = append(tr.Indexes, disc.LBA(x))
				}
			}
			session.Tracks = append(session.Tracks, tr)
		}
		out.Sessions = append(out.Sessions, session)
	}
	return out
}

// layoutText is a layout for people to compare.
func layoutText(l *disc.Layout) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%v MCN %q CD-TEXT %x\n", l.Kind, l.MCN, l.CDText)
	for _, s := range l.Sessions {
		fmt.Fprintf(&b, "session %d type %02Xh lead-out %d\n", s.Number, s.Type, s.LeadOut)
		for _, t := range s.Tracks {
			fmt.Fprintf(&b, "  track %+v\n", t)
		}
	}
	return b.String()
}

// damage opens a copy of the image at path that edit changed, and checks that
// the error is of kind and holds text, or with no kind that there is none.
func damage(t *testing.T, path string, edit func(b []byte) []byte, kind error, text string) {
	t.Helper()
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	defer os.WriteFile(path, good, 0o644)
	os.Remove(path) // some file systems flush a file that is written anew
	if err := os.WriteFile(path, edit(bytes.Clone(good)), 0o644); err != nil {
		t.Fatal(err)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	d, _, err := OpenFile(path, Options{})
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n > 64<<20 {
		t.Errorf("opening it took %d bytes of memory", n)
	}
	if err == nil {
		defer d.Close()
		disctest.TestDisc(t, d)
	}
	checkOpenError(t, path, err, kind, text)
}

// checkOpenError checks the error of opening path.
func checkOpenError(t *testing.T, path string, err, kind error, text string) {
	t.Helper()
	if (err == nil) != (kind == nil) {
		t.Errorf("Open = %v, want %v", err, kind)
		return
	}
	is := errors.Is(err, kind)
	if kind == errAny {
		is = !errors.Is(err, ErrFormat) && !errors.Is(err, ErrDamaged)
	}
	if err != nil && (!is || !strings.Contains(err.Error(), text) || !strings.Contains(err.Error(), filepath.Base(path))) {
		t.Errorf("Open = %v; want %v, with %q and the file's name", err, kind, text)
	}
}

package image

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"spindle/internal/lab"
	"spindle/isostore/disc"
	"spindle/testdata/fixture"
)

// noisy gives what lies before a session's first sector data of its own, which
// NRG keeps when the disc was written at once.
func noisy(src *fixture.Source) *fixture.Source {
	src.LeadNoise = true
	return src
}

func TestNRG(t *testing.T) {
	tests := []struct {
		name  string
		src   *fixture.Source
		o     fixture.NRGOptions
		lacks lacks
	}{
		{"mixed, v2", noisy(fixture.MixedMode(nil)), fixture.NRGOptions{}, lacks{sub: true}},
		{"mixed, v1", noisy(fixture.MixedMode(nil)), fixture.NRGOptions{V1: true}, lacks{sub: true}},
		{"mixed, v1 in BCD", noisy(fixture.MixedMode(nil)), fixture.NRGOptions{V1: true, BCD: true}, lacks{sub: true}},
		{"mixed, sub-channel", noisy(fixture.MixedMode(nil)), fixture.NRGOptions{SubChannel: true}, lacks{}},
		{"mixed, cooked", noisy(fixture.MixedMode(nil)), fixture.NRGOptions{Cooked: true}, lacks{sub: true}},
		{"data first", noisy(fixture.DataFirst(nil)), fixture.NRGOptions{}, lacks{sub: true}},
		{"data first, cooked", noisy(fixture.DataFirst(nil)), fixture.NRGOptions{V1: true, Cooked: true}, lacks{sub: true}},
		{"data first, sub-channel", noisy(fixture.DataFirst(nil)), fixture.NRGOptions{V1: true, SubChannel: true}, lacks{}},
		{"at once, v1", fixture.TrackAtOnce(nil), fixture.NRGOptions{V1: true, TAO: true}, lacks{sub: true, gaps: true}},
		{"at once, v2", fixture.TrackAtOnce(nil), fixture.NRGOptions{TAO: true}, lacks{sub: true, gaps: true}},
		{"at once, cooked", fixture.TrackAtOnce(nil), fixture.NRGOptions{TAO: true, Cooked: true}, lacks{sub: true, gaps: true}},
		{"at once, gaps stored", fixture.TrackAtOnce(nil), fixture.NRGOptions{TAO: true, GapsStored: true}, lacks{sub: true}},
		{"mode 1", fixture.DataDisc(fixture.Mode1, nil), fixture.NRGOptions{Cooked: true}, lacks{sub: true}},
		{"form 1", fixture.DataDisc(fixture.Mode2Form1, nil), fixture.NRGOptions{Cooked: true}, lacks{sub: true}},
		{"form 1, user data", fixture.DataDisc(fixture.Mode2Form1, nil), fixture.NRGOptions{Cooked: true, User: true}, lacks{sub: true, form2: true}},
		{"formless", fixture.DataDisc(fixture.Mode2Formless, nil), fixture.NRGOptions{}, lacks{sub: true}},
		{"audio", noisy(fixture.AudioDisc()), fixture.NRGOptions{}, lacks{sub: true}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			if err := fixture.WriteNRG(dir, "a", tt.src, tt.o); err != nil {
				t.Fatal(err)
			}
			equalFixture(t, filepath.Join(dir, "a.nrg"), tt.src, tt.lacks)
		})
	}
}

// TestNRGByTool compares the data track with what nrg2iso makes of the image.
func TestNRGByTool(t *testing.T) {
	lab.Need(t, "nrg2iso")
	dir := t.TempDir()
	src := fixture.DataDisc(fixture.Mode1, isoImage(320, 320))
	if err := fixture.WriteNRG(dir, "a", src, fixture.NRGOptions{Cooked: true}); err != nil {
		t.Fatal(err)
	}
	path, out := filepath.Join(dir, "a.nrg"), filepath.Join(dir, "out.iso")
	if text, err := lab.ToolCmd(t.Context(), "nrg2iso", path, out).CombinedOutput(); err != nil {
		t.Fatalf("nrg2iso: %v\n%s", err, text)
	}
	want, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	d, info, err := OpenFile(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	got := make([]byte, info.Blocks*disc.BlockSize)
	if _, err := d.ReadBlocks(got, 0); err != nil || len(got) > len(want) || !bytes.Equal(got, want[:len(got)]) {
		t.Errorf("nrg2iso gives other blocks: %d of ours, %d of its bytes, %v", info.Blocks, len(want), err)
	}
}

// nrgFile is an image of version 2: sectors, then chunks.
func nrgFile(sectors []byte, chunks ...[]byte) []byte {
	b := append(bytes.Clone(sectors), bytes.Join(chunks, nil)...)
	b = append(b, "END!\x00\x00\x00\x00NER5"...)
	return binary.BigEndian.AppendUint64(b, uint64(len(sectors)))
}

// nrgChunk is a chunk of 32-bit integers.
func nrgChunk(id string, numbers ...uint32) []byte {
	b := binary.BigEndian.AppendUint32([]byte(id), uint32(4*len(numbers)))
	for _, n := range numbers {
		b = binary.BigEndian.AppendUint32(b, n)
	}
	return b
}

// TestNRGDVD opens images of which the medium, or the size, says DVD.
func TestNRGDVD(t *testing.T) {
	sectors := isoImage(400, 400)
	track := nrgChunk("ETN2", 0, 0, 0, uint32(len(sectors)), 0, 0, 0, 0)
	tests := []struct {
		name   string
		medium uint32
		want   disc.Kind
	}{{"CD", 1, disc.CD}, {"CD-ROM", 0x400, disc.CD}, {"DVD-R", 0x4 | 0x800, disc.DVD}, {"DVD+R", 0x8 | 0x2000, disc.DVD}, {"DVD-ROM", 0x200, disc.DVD}, {"any", 0x1 | 0x4, disc.CD}}
	for _, tt := range tests {
		dir := t.TempDir()
		write(t, dir, "a.nrg", nrgFile(sectors, track, nrgChunk("SINF", 1), nrgChunk("MTYP", tt.medium)))
		d, info, err := OpenFile(filepath.Join(dir, "a.nrg"), Options{})
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		got := make([]byte, len(sectors))
		if n, err := d.ReadBlocks(got, 0); n != 400 || err != nil || !bytes.Equal(got, sectors) || d.Layout().Kind != tt.want {
			t.Errorf("%s: %+v, %d blocks, %v", tt.name, info, n, err)
		}
		d.Close()
	}
	dir := t.TempDir()
	big := nrgFile(nil, nrgChunk("ETN2", 0, 0, 0, 450000*2048, 0, 0, 0, 0), nrgChunk("SINF", 1))
	f, err := os.Create(filepath.Join(dir, "a.nrg"))
	if err != nil {
		t.Fatal(err)
	}
	binary.BigEndian.PutUint64(big[len(big)-8:], 450000*2048)
	if _, err := f.WriteAt(big, 450000*2048); err != nil {
		t.Fatal(err)
	}
	f.Close()
	if info, err := Inspect(filepath.Join(dir, "a.nrg"), Options{}); err != nil || info.Medium != "DVD" || info.Blocks != 450000 {
		t.Errorf("450000 blocks: %+v, %v", info, err)
	}
}

// TestNRGSessions opens discs of several sessions that were written at once and
// track by track, with and without what says where they lie.
func TestNRGSessions(t *testing.T) {
	const n = 300
	sectors := make([]byte, 4*n*2048)
	for i := range 4 * n {
		binary.BigEndian.PutUint32(sectors[i*2048:], uint32(i))
	}
	track := func(i, lba uint32) []uint32 { return []uint32{0, i * n * 2048, 0, n * 2048, 0, lba, 0, 0} }
	old := func(i uint32) []uint32 { return []uint32{i * n * 2048, n * 2048, 0} }
	join := func(list ...[]uint32) (all []uint32) {
		for _, l := range list {
			all = append(all, l...)
		}
		return all
	}
	none := ^uint32(0)
	second := uint32(n + 150 + n + 11400)
	third := second + n + 6900
	tests := []struct {
		name   string
		chunks [][]byte
		starts []disc.LBA
	}{
		{"one list", [][]byte{nrgChunk("ETN2", join(track(0, 0), track(1, n+150), track(2, second), track(3, third))...), nrgChunk("SINF", 2), nrgChunk("SINF", 1), nrgChunk("SINF", 1)}, []disc.LBA{0, n + 150, disc.LBA(second), disc.LBA(third)}},
		{"a list each", [][]byte{nrgChunk("ETN2", join(track(0, none), track(1, none))...), nrgChunk("SINF", 2), nrgChunk("ETN2", track(2, none)...), nrgChunk("SINF", 1), nrgChunk("ETN2", track(3, none)...), nrgChunk("SINF", 1)}, []disc.LBA{0, n + 150, disc.LBA(second), disc.LBA(third)}},
		{"later", [][]byte{nrgChunk("ETN2", track(0, 0)...), nrgChunk("SINF", 1), nrgChunk("ETN2", track(1, 20000)...), nrgChunk("SINF", 1)}, []disc.LBA{0, 20000}},
		{"index 0", [][]byte{nrgChunk("ETN2", track(0, none-149)...), nrgChunk("SINF", 1), nrgChunk("ETN2", track(1, n+11250)...), nrgChunk("SINF", 1)}, []disc.LBA{0, n + 11400}},
		{"no gaps", [][]byte{nrgChunk("ETN2", join(track(0, 0), track(1, n), track(2, 2*n))...), nrgChunk("SINF", 3)}, []disc.LBA{0, n, 2 * n}},
		{"oldest", [][]byte{nrgChunk("TINF", join(old(0), old(1), old(2))...), nrgChunk("SINF", 3)}, []disc.LBA{0, n + 150, 2*n + 300}},
		{"no session", [][]byte{nrgChunk("TINF", join(old(0), old(1))...)}, []disc.LBA{0, n + 150}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, dir, "a.nrg", nrgFile(sectors, tt.chunks...))
			d, _, err := OpenFile(filepath.Join(dir, "a.nrg"), Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer d.Close()
			var starts []disc.LBA
			for tr := range d.Layout().Tracks() {
				starts = append(starts, tr.Start)
				p := make([]byte, disc.BlockSize)
				if _, err := d.ReadBlocks(p, tr.Start+5); err != nil || binary.BigEndian.Uint32(p) != uint32(len(starts)-1)*n+5 {
					t.Errorf("track %d: block 5 of the track holds %x, %v", tr.Number, p[:4], err)
				}
			}
			if !slices.Equal(starts, tt.starts) {
				t.Errorf("tracks start at %d, want %d", starts, tt.starts)
			}
		})
	}
}

// TestNRGAudioModes opens audio by both of its codes.
func TestNRGAudioModes(t *testing.T) {
	sectors := bytes.Repeat([]byte("abcd"), 300*2352/4)
	for _, mode := range []uint32{7, 8} {
		dir := t.TempDir()
		write(t, dir, "a.nrg", nrgFile(sectors, nrgChunk("ETN2", 0, 0, 0, uint32(len(sectors)), mode, 0, 0, 0), nrgChunk("SINF", 1)))
		d, info, err := OpenFile(filepath.Join(dir, "a.nrg"), Options{})
		if err != nil {
			t.Errorf("mode %d: %v", mode, err)
			continue
		}
		got := make([]byte, len(sectors))
		if n, err := d.(disc.RawReader).ReadSectors(got, 0); n != 300 || err != nil || !bytes.Equal(got, sectors) || info.Sessions[0].Tracks[0].Mode != "audio" {
			t.Errorf("mode %d: %+v, %d sectors, %v", mode, info.Sessions, n, err)
		}
		d.Close()
	}
}

func TestNRGDamaged(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a.nrg")
	if err := fixture.WriteNRG(dir, "a", fixture.DataFirst(nil), fixture.NRGOptions{}); err != nil {
		t.Fatal(err)
	}
	chunk := func(id string, at int, value ...byte) func([]byte) []byte {
		return func(b []byte) []byte {
			copy(b[bytes.LastIndex(b, []byte(id))+at:], value)
			return b
		}
	}
	for _, tt := range []struct {
		name string
		edit func(b []byte) []byte
		kind error
		text string
	}{
		{"no trailer", func(b []byte) []byte { return b[:len(b)-12] }, ErrDamaged, "no NERO"},
		{"short", func(b []byte) []byte { return b[len(b)-11:] }, ErrDamaged, "11 bytes"},
		{"start cut off", func(b []byte) []byte { return b[1<<20:] }, ErrDamaged, "chunks"},
		{"chunks at 0", chunk("NER5", 4, 0, 0, 0, 0, 0, 0, 0, 0), ErrDamaged, "byte 0"},
		{"chunks beyond", chunk("NER5", 4, 0x7F, 0, 0, 0, 0, 0, 0, 0), ErrDamaged, "chunks"},
		{"chunks before", chunk("NER5", 4, 0xFF, 0, 0, 0, 0, 0, 0, 0), ErrDamaged, "chunks"},
		{"huge chunk", chunk("DAOX", 4, 0xFF, 0xFF, 0xFF, 0xFF), ErrDamaged, "chunk DAOX of 4294967295 bytes"},
		{"empty chunk", chunk("DAOX", 4, 0, 0, 0, 0), ErrDamaged, "chunk DAOX: 0 bytes"},
		{"unknown mode", chunk("DAOX", 8+22+14, 0x42), ErrDamaged, "track 1 of the session: mode 42h"},
		{"wrong size", chunk("DAOX", 8+22+12, 1), ErrDamaged, "sectors of"},
		{"track beyond", chunk("DAOX", 8+22+34, 0x10), ErrDamaged, "the sectors end"},
		{"track behind itself", chunk("DAOX", 8+22+26, 0x7F), ErrDamaged, "lies from byte"},
		{"no tracks", chunk("DAOX", 0, 'X'), ErrDamaged, "a session of 3 tracks, where 0 wait"},
		{"no tracks in a session", chunk("SINF", 8, 0, 0, 0, 0), ErrDamaged, "a session of 0 tracks"},
		{"many tracks in a session", chunk("SINF", 8, 9, 0, 0, 0), ErrDamaged, "tracks, where 3 wait"},
		{"cues overlap", chunk("CUEX", 8+8*4+4, 0, 0, 0, 10), ErrDamaged, "track 2"},
		{"no cues", chunk("CUEX", 0, 'X'), nil, ""},
	} {
		t.Run(tt.name, func(t *testing.T) { damage(t, path, tt.edit, tt.kind, tt.text) })
	}
}

// FuzzOpenNRG opens images whose chunks, behind a megabyte of zeros, are
// arbitrary.
func FuzzOpenNRG(f *testing.F) {
	dir := f.TempDir()
	for i, o := range []fixture.NRGOptions{{}, {V1: true}, {V1: true, TAO: true}, {TAO: true}} {
		src := fixture.TrackAtOnce(nil)
		if err := fixture.WriteNRG(dir, "a", src, o); err != nil {
			f.Fatal(err)
		}
		b, _ := os.ReadFile(filepath.Join(dir, "a.nrg"))
		at := int(binary.BigEndian.Uint32(b[len(b)-4:]))
		f.Add(b[at:len(b)-8-4*(1-i&1)], i == 1 || i == 2)
	}
	f.Add(nrgFile(nil, nrgChunk("ETN2", 0, 0, 0, 1000*2048, 0, 0, 0, 0), nrgChunk("MTYP", 4)), false)
	const sectors = 1 << 20
	f.Fuzz(func(t *testing.T, chunks []byte, v1 bool) {
		b := append(make([]byte, sectors), chunks...)
		if v1 {
			b = append(b, "NERO"...)
		} else {
			b = append(b, "NER5\x00\x00\x00\x00"...)
		}
		fuzzOpen(t, dir, "x.nrg", map[string][]byte{"x.nrg": binary.BigEndian.AppendUint32(b, sectors)})
	})
}

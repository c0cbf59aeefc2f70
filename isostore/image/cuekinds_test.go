package image

import (
	"bytes"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf16"

	"spindle/isostore/disc"
	"spindle/isostore/sector"
)

// TestCUEKinds opens a track of each kind that sheets name: raw sectors are made
// of what the file holds, and the session is of the type that the kind says.
func TestCUEKinds(t *testing.T) {
	const n = 40
	user := func(i int) []byte { return bytes.Repeat([]byte{byte(i), 0x5A}, 1176) }
	mode1 := func(s []byte, i int) { copy(s[16:], user(i)[:2048]); sector.EncodeMode1(s, disc.LBA(i)) }
	form1 := func(s []byte, i int) {
		subHeader(s, 0x08)
		copy(s[24:], user(i)[:2048])
		sector.EncodeForm1(s, disc.LBA(i))
	}
	form2 := func(s []byte, i int) {
		subHeader(s, 0x20)
		copy(s[24:], user(i)[:2324])
		sector.EncodeForm2(s, disc.LBA(i))
	}
	for _, tt := range []struct {
		kind     string
		make     func(s []byte, i int)
		from, to int // of the sector, in the file
		behind   int // bytes of sub-channels
		mode     disc.Mode
		session  byte
	}{
		{"AUDIO", func(s []byte, i int) { copy(s, user(i)) }, 0, 2352, 0, disc.Audio, 0},
		{"CDG", func(s []byte, i int) { copy(s, user(i)) }, 0, 2352, 96, disc.Audio, 0},
		{"MODE1/2048", mode1, 16, 2064, 0, disc.Mode1, 0},
		{"MODE1/2352", mode1, 0, 2352, 0, disc.Mode1, 0},
		{"MODE1/2448", mode1, 0, 2352, 96, disc.Mode1, 0},
		{"MODE2/2048", form1, 24, 2072, 0, disc.Mode2XA, 0x20},
		{"MODE2/2324", form2, 24, 2348, 0, disc.Mode2XA, 0x20},
		{"MODE2/2336", form1, 16, 2352, 0, disc.Mode2XA, 0x20},
		{"MODE2/2352", form2, 0, 2352, 0, disc.Mode2XA, 0x20},
		{"MODE2/2448", form1, 0, 2352, 96, disc.Mode2XA, 0x20},
		{"CDI/2336", form2, 16, 2352, 0, disc.Mode2XA, 0x10},
		{"CDI/2352", form1, 0, 2352, 0, disc.Mode2XA, 0x10},
	} {
		t.Run(tt.kind, func(t *testing.T) {
			var file, want []byte
			for i := range n {
				s := make([]byte, disc.SectorSize)
				tt.make(s, i)
				want = append(want, s...)
				file = append(append(file, s[tt.from:tt.to]...), make([]byte, tt.behind)...)
			}
			dir := t.TempDir()
			write(t, dir, "a.bin", file)
			write(t, dir, "a.cue", fmt.Appendf(nil, "FILE a.bin BINARY\nTRACK 01 %s\nINDEX 01 00:00:00\n", tt.kind))
			d, _, err := OpenFile(filepath.Join(dir, "a.cue"), Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer d.Close()
			l := d.Layout()
			if l.First().Mode != tt.mode || l.Sessions[0].Type != tt.session || l.LeadOut() != n {
				t.Errorf("mode %d, session type %02X, %d sectors", l.First().Mode, l.Sessions[0].Type, l.LeadOut())
			}
			got := make([]byte, len(want))
			if k, err := d.(disc.RawReader).ReadSectors(got, 0); k != n || err != nil || !bytes.Equal(got, want) {
				t.Errorf("%d sectors, %v, or others than the file was made of", k, err)
			}
		})
	}
}

// TestCUESessionGaps opens sheets that say how long lead-out and lead-in are, or
// where they lie, which does not count.
func TestCUESessionGaps(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "a.bin", make([]byte, 2352*400))
	for rem, start := range map[string]disc.LBA{
		"": 200 + 11400,
		"REM LEAD-OUT 01:00:00\nREM LEAD-IN 00:30:00\n":                         200 + 4500 + 2250 + 150,
		"REM LEAD-OUT 01:00:00\n":                                               200 + 4500 + 4500 + 150,
		"REM LEAD-IN 00:30:00\n":                                                200 + 6750 + 2250 + 150,
		"REM PREGAP 00:04:00\n":                                                 200 + 6750 + 4500 + 300,
		"REM LEAD-OUT 01:30:01\nREM LEAD-IN 60:00:00\nREM PREGAP 05:00:01\n":    200 + 11400,
		"REM LEAD-OUT 01:30:00\nREM LEAD-IN 01:00:00\nREM PREGAP 00:02:00\nREM": 200 + 11400,
	} {
		write(t, dir, "a.cue", []byte("FILE a.bin BINARY\nREM SESSION 01\nTRACK 01 AUDIO\nINDEX 01 00:00:00\n"+rem+
			"\nREM SESSION 02\nTRACK 02 AUDIO\nINDEX 01 00:02:50\n"))
		info, err := Inspect(filepath.Join(dir, "a.cue"), Options{})
		if err != nil || len(info.Sessions) != 2 || info.Sessions[0].LeadOut != 200 || info.Sessions[1].Tracks[0].Start != int64(start) {
			t.Errorf("%q: %+v, %v; want a second session at %d", rem, info.Sessions, err, start)
		}
	}
}

// TestSheetText opens a sheet in each encoding that editors write.
func TestSheetText(t *testing.T) {
	const text = "TITLE \"Größe\"\r\nFILE \"a.bin\" BINARY\r\nTRACK 01 AUDIO\r\nINDEX 01 00:00:00\r\n\x1A"
	little, big, latin := []byte{0xFF, 0xFE}, []byte{0xFE, 0xFF}, []byte(nil)
	for _, u := range utf16.Encode([]rune(text)) {
		little, big, latin = append(little, byte(u), byte(u>>8)), append(big, byte(u>>8), byte(u)), append(latin, byte(u))
	}
	dir := t.TempDir()
	write(t, dir, "a.bin", make([]byte, 2352*300))
	for name, b := range map[string][]byte{"UTF-8": []byte(text), "BOM": []byte("\uFEFF" + text), "UTF-16 little": little, "UTF-16 big": big, "ISO 8859-1": latin} {
		write(t, dir, "a.cue", b)
		if info, err := Inspect(filepath.Join(dir, "a.cue"), Options{}); err != nil || info.Title != "Größe" || info.Blocks != 300 || len(info.Warnings) > 0 {
			t.Errorf("%s: title %q, %d blocks, warnings %q, %v", name, info.Title, info.Blocks, info.Warnings, err)
		}
	}
}

// TestCUEAIFC opens AIFF-C, whose samples are in either order of bytes, and
// refuses what is compressed.
func TestCUEAIFC(t *testing.T) {
	samples := bytes.Repeat([]byte("abcd"), 2352/4)
	for kind, want := range map[string]string{"NONE": "badc", "twos": "badc", "sowt": "abcd", "ima4": ""} {
		dir := t.TempDir()
		b := fmt.Appendf(nil, "FORM\x00\x00\x00\x00AIFCCOMM\x00\x00\x00\x18\x00\x02\x00\x00\x00\x00\x00\x10\x40\x0E\xAC\x44\x00\x00\x00\x00\x00\x00%s\x00\x00", kind)
		b = append(b, "SSND\x00\x00\x09\x38\x00\x00\x00\x00\x00\x00\x00\x00"...)
		write(t, dir, "a.aifc", append(b, samples...))
		write(t, dir, "a.cue", []byte("FILE a.aifc AIFF\nTRACK 01 AUDIO\nINDEX 01 00:00:00\n"))
		d, _, err := OpenFile(filepath.Join(dir, "a.cue"), Options{})
		if want == "" {
			if err == nil || !strings.Contains(err.Error(), `compressed, format "ima4"`) {
				t.Errorf("%s: %v", kind, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", kind, err)
			continue
		}
		got := make([]byte, disc.SectorSize)
		if n, err := d.(disc.RawReader).ReadSectors(got, 0); n != 1 || err != nil || !bytes.Equal(got, bytes.Repeat([]byte(want), 2352/4)) {
			t.Errorf("%s: %d sectors, %v, samples %q", kind, n, err, got[:8])
		}
		d.Close()
	}
}

package image

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"spindle/isostore/disc"
	"spindle/isostore/disc/disctest"
	"spindle/isostore/sector"
)

// cueWave is a WAVE file with a chunk of text before the samples.
func cueWave(samples []byte, rate, channels, bits int) []byte {
	b := []byte("RIFF\x00\x00\x00\x00WAVELIST\x03\x00\x00\x00abc\x00fmt \x10\x00\x00\x00\x01\x00")
	b = binary.LittleEndian.AppendUint16(b, uint16(channels))
	b = binary.LittleEndian.AppendUint32(b, uint32(rate))
	b = binary.LittleEndian.AppendUint32(b, uint32(rate*channels*bits/8))
	b = binary.LittleEndian.AppendUint16(b, uint16(channels*bits/8))
	b = binary.LittleEndian.AppendUint16(b, uint16(bits))
	b = binary.LittleEndian.AppendUint32(append(b, "data"...), uint32(len(samples)))
	b = append(b, samples...)
	binary.LittleEndian.PutUint32(b[4:], uint32(len(b)-8))
	return b
}

// cueAIFF is an AIFF file, whose samples are big-endian.
func cueAIFF(samples []byte) []byte {
	b := []byte("FORM\x00\x00\x00\x00AIFFCOMM\x00\x00\x00\x12\x00\x02\x00\x00\x00\x00\x00\x10\x40\x0E\xAC\x44\x00\x00\x00\x00\x00\x00SSND")
	b = binary.BigEndian.AppendUint32(b, uint32(len(samples)+8))
	b = append(b, make([]byte, 8)...)
	samples = bytes.Clone(samples)
	swapSamples(samples)
	return append(b, samples...)
}

// cueUTF16 is text in UTF-16, little-endian, with a byte order mark.
func cueUTF16(text string) string {
	b := []byte{0xFF, 0xFE}
	for _, r := range text {
		b = binary.LittleEndian.AppendUint16(b, uint16(r))
	}
	return string(b)
}

// TestCUEErrors opens sheets that are no good.
func TestCUEErrors(t *testing.T) {
	const head = "FILE a.bin BINARY\nTRACK 01 AUDIO\n"
	good := map[string][]byte{"a.bin": cueSectors(100, 2352, 0)}
	sound := func(b []byte) map[string][]byte { return map[string][]byte{"a.wav": b} }
	const wav = "FILE a.wav WAVE\nTRACK 01 AUDIO\nINDEX 01 00:00:00"
	flac := append([]byte("fLaC\x80\x00\x00\x22\x10\x00\x10\x00\x00\x00\x00\x00\x00\x00\x0A\xC4\x42\xF0\x00\x00\x00\x00"), make([]byte, 100)...)
	tests := []struct {
		name, sheet string
		files       map[string][]byte
		err         error
		text        string
	}{
		{"empty lines", "\n\n", good, ErrFormat, "no TRACK"},
		{"binary", "FILE \x01\x02", good, ErrFormat, "no text"},
		{"another text", "Hello\nworld\n", good, ErrFormat, "no TRACK"},
		{"no track", "FILE a.bin BINARY\n", good, ErrDamaged, "line 1: no TRACK follows"},
		{"track before file", "TRACK 01 AUDIO\n", good, ErrDamaged, "line 1: TRACK stands before"},
		{"no index", head, good, ErrDamaged, "line 2: track 1 has no INDEX 01"},
		{"index 0 alone", head + "INDEX 00 00:00:00", good, ErrDamaged, "line 2: track 1 has no INDEX 01"},
		{"index 2 first", head + "INDEX 02 00:00:00", good, ErrDamaged, "line 3: track 1 begins with index 2"},
		{"index twice", head + "INDEX 01 00:00:00\nINDEX 01 00:00:10", good, ErrDamaged, "line 4: index 1 comes after index 1"},
		{"time", head + "INDEX 01 00:60:00", good, ErrDamaged, `line 3: "00:60:00" is no time`},
		{"frames", head + "INDEX 01 0:0:75", good, ErrDamaged, "line 3"},
		{"huge time", head + "INDEX 01 99999999999999999999:0:0", good, ErrDamaged, "line 3"},
		{"track 100", "FILE a.bin BINARY\nTRACK 100 AUDIO", good, ErrDamaged, "line 2: track \"100\""},
		{"track twice", head + "INDEX 01 0:0:0\nTRACK 01 AUDIO", good, ErrDamaged, "line 4: track 1 comes after track 1"},
		{"mode", "FILE a.bin BINARY\nTRACK 01 MODE3/2352", good, ErrDamaged, `line 2: "MODE3/2352"`},
		{"kind", "FILE a.bin STUFF\nTRACK 01 AUDIO\nINDEX 01 0:0:0", good, ErrDamaged, `line 1`},
		{"back", head + "INDEX 01 0:1:0\nINDEX 02 0:0:10", good, ErrDamaged, "line 4: index 2 lies at sector 10"},
		{"behind the file", head + "INDEX 01 0:0:0\nTRACK 02 AUDIO\nINDEX 01 0:2:0", good, ErrDamaged, `line 5: index 1 lies at byte 352800 of "a.bin"`},
		{"no sector left", head + "INDEX 01 0:1:25", good, ErrDamaged, "track 1"},
		{"empty file", head + "INDEX 01 0:0:0", map[string][]byte{"a.bin": nil}, ErrDamaged, "track 1"},
		{"too long", head + "INDEX 01 0:0:0\nPOSTGAP 99:59:74", good, ErrDamaged, "longer than the 99:59:74"},
		{"sessions go back", "REM SESSION 02\nREM SESSION 01\n" + head, good, ErrDamaged, "line 2: session"},
		{"missing", head + "INDEX 01 0:0:0", nil, fs.ErrNotExist, `line 1: its file "a.bin" is missing`},
		{"outside", "FILE ../a.bin BINARY\nTRACK 01 AUDIO\nINDEX 01 0:0:0", nil, fs.ErrNotExist, `"../a.bin" is missing`},
		{"MP3", "FILE a.mp3 MP3\nTRACK 01 AUDIO\nINDEX 01 0:0:0", map[string][]byte{"a.mp3": []byte("ID3")}, nil, "line 1: \"a.mp3\" is MP3"},
		{"MP3 as WAVE", wav, sound([]byte("ID3\x04 and so on and on")), nil, "it is MP3"},
		{"GD-ROM", "REM SINGLE-DENSITY AREA\n" + head + "INDEX 01 0:0:0\nREM HIGH-DENSITY AREA", good, nil, "GD-ROM"},
		{"short sound", wav, sound([]byte("RIFF")), ErrDamaged, "line 1"},
		{"no samples", wav, sound(cueWave(nil, 44100, 2, 16)[:20]), ErrDamaged, "line 1"},
		{"rate", wav, sound(cueWave(make([]byte, 2352), 48000, 2, 16)), nil, "48000 Hz"},
		{"depth", wav, sound(cueWave(make([]byte, 2352), 44100, 2, 24)), nil, "24 bits"},
		{"mono", wav, sound(cueWave(make([]byte, 2352), 44100, 1, 16)), nil, "1 channels"},
		{"no sound", wav, sound(make([]byte, 4704)), ErrDamaged, "neither WAVE nor AIFF nor FLAC"},
		{"FLAC without length", wav, sound(flac), nil, "not through a pipe"},
		{"data in a WAVE", "FILE a.wav WAVE\nTRACK 01 MODE1/2352\nINDEX 01 0:0:0", sound(cueWave(make([]byte, 2352), 44100, 2, 16)), ErrDamaged, "line 2: track 1 is of data"},
		{"CDTEXTFILE", "CDTEXTFILE x.cdt\n" + head + "INDEX 01 0:0:0", good, fs.ErrNotExist, "line 1: its file \"x.cdt\""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, _, err := cueOpen(t, tt.sheet, tt.files)
			if err == nil || !strings.Contains(err.Error(), tt.text) || tt.err != nil && !errors.Is(err, tt.err) {
				t.Errorf("Open = %v; want %v and %q", err, tt.err, tt.text)
			}
		})
	}
}

// TestCUEOutside follows no link out of the library, neither of sectors nor of
// sound.
func TestCUEOutside(t *testing.T) {
	outside, dir := t.TempDir(), t.TempDir()
	write(t, outside, "secret", cueSectors(100, 2352, 0))
	for _, kind := range []string{"BINARY", "WAVE"} {
		root := write(t, dir, "x.cue", []byte("FILE a.bin "+kind+"\nTRACK 01 AUDIO\nINDEX 01 00:00:00"))
		os.Remove(filepath.Join(dir, "a.bin"))
		if err := os.Symlink(filepath.Join(outside, "secret"), filepath.Join(dir, "a.bin")); err != nil {
			t.Fatal(err)
		}
		if _, _, err := Open(root, "x.cue", Options{}); err == nil || !strings.Contains(err.Error(), "symbolic link") {
			t.Errorf("%s: Open = %v", kind, err)
		}
		abs := fmt.Sprintf("FILE %q %s\nTRACK 01 AUDIO\nINDEX 01 00:00:00", filepath.Join(outside, "secret"), kind)
		root = write(t, dir, "y.cue", []byte(abs))
		if _, _, err := Open(root, "y.cue", Options{}); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "line 1") {
			t.Errorf("%s: Open of an absolute name = %v", kind, err)
		}
	}
}

// TestCUEGraphics opens tracks with graphics: R to W are the file's; P and Q too
// where they are good, and made where they are not.
func TestCUEGraphics(t *testing.T) {
	for name, whole := range map[string]bool{"P to W": true, "R to W": false} {
		t.Run(name, func(t *testing.T) {
			l := disctest.DataDisc(20)
			l.Sessions[0].Tracks[0] = disc.Track{Number: 1, Mode: disc.Audio, Pregap: -150}
			var data, subs []byte
			for lba := range 20 {
				var sub [disc.SubSize]byte
				if whole {
					sector.Sub(sub[:], l, disc.LBA(lba))
				}
				for i := range sub {
					sub[i] |= byte(lba+i) & 0x3F
				}
				subs = append(subs, sub[:]...)
				data = append(append(data, cueSectors(1, 2352, lba)...), sub[:]...)
			}
			d, _, err := cueOpen(t, "FILE a.bin BINARY\nTRACK 01 CDG\nINDEX 01 00:00:00", map[string][]byte{"a.bin": data})
			if err != nil {
				t.Fatal(err)
			}
			got, audio := make([]byte, len(subs)), make([]byte, 20*disc.SectorSize)
			if n, err := d.(disc.SubReader).ReadSub(got, 0); n != 20 || err != nil {
				t.Fatalf("ReadSub = %d, %v", n, err)
			}
			for lba := range 20 {
				var want [disc.SubSize]byte
				sector.Sub(want[:], l, disc.LBA(lba))
				for i := range want {
					want[i] |= byte(lba+i) & 0x3F
				}
				if !bytes.Equal(got[lba*disc.SubSize:][:disc.SubSize], want[:]) {
					t.Fatalf("sub-channel %d = % X, want % X", lba, got[lba*disc.SubSize:][:16], want[:16])
				}
			}
			if n, err := d.(disc.RawReader).ReadSectors(audio, 0); n != 20 || err != nil || !bytes.Equal(audio, cueSectors(20, 2352, 0)) {
				t.Errorf("ReadSectors = %d, %v, or other samples", n, err)
			}
			disctest.TestDisc(t, d)
		})
	}
}

// TestCUEOfDVD opens a sheet that was written for a DVD.
func TestCUEOfDVD(t *testing.T) {
	dir := t.TempDir()
	root := write(t, dir, "x.cue", []byte("FILE a.iso BINARY\nTRACK 01 MODE1/2048\nINDEX 01 00:00:00"))
	write(t, dir, "a.iso", isoImage(20, 20))
	if err := os.Truncate(filepath.Join(dir, "a.iso"), 500000*disc.BlockSize); err != nil {
		t.Fatal(err)
	}
	d, info, err := Open(root, "x.cue", Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if info.Medium != "DVD" || info.Blocks != 500000 {
		t.Errorf("info = %+v", info)
	}
	disctest.TestDisc(t, d)
}

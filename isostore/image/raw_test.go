package image

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"spindle/isostore/disc"
	"spindle/isostore/disc/disctest"
	"spindle/isostore/sector"
	"spindle/testdata/fixture"
)

// rawDisc is what lies from LBA from on of a source, size bytes at at of each
// sector, and sub-channels of that kind behind it.
func rawDisc(src *fixture.Source, from, at, size int, sub func(lba int) []byte) (b []byte) {
	for lba := from; lba < src.LeadOut(); lba++ {
		b = append(b, src.Raw(lba)[at:at+size]...)
		if sub != nil {
			b = append(b, sub(lba)...)
		}
	}
	return b
}

// rawISO is a file system of n blocks as genisoimage would make it, as far as
// openers look at it.
func rawISO() []byte { return isoImage(250, 250) }

// TestRaw opens flat files of raw sectors of all sizes.
func TestRaw(t *testing.T) {
	mode1, form1 := fixture.DataDisc(fixture.Mode1, rawISO()), fixture.DataDisc(fixture.Mode2Form1, rawISO())
	formless := fixture.DataDisc(fixture.Mode2Formless, nil)
	formless.Sessions[0].DiscType = 0
	tests := []struct {
		name string
		src  *fixture.Source
		data []byte
		sub  bool // the sub-channel is the source's
	}{
		{"mode1.bin", mode1, rawDisc(mode1, 0, 0, 2352, nil), true},
		{"form1.iso", form1, rawDisc(form1, 0, 0, 2352, nil), true},
		{"formless.img", formless, rawDisc(formless, 0, 0, 2352, nil), true},
		{"with its pregap.bin", mode1, rawDisc(mode1, -150, 0, 2352, nil), true},
		{"interleaved.bin", mode1, rawDisc(mode1, 0, 0, 2352, mode1.Sub), true},
		{"planar.raw", mode1, rawDisc(mode1, 0, 0, 2352, mode1.SubPlain), true},
		{"P and Q.raw", mode1, rawDisc(mode1, 0, 0, 2352, func(int) []byte { return make([]byte, 16) }), true},
		{"empty sub-channel.raw", mode1, rawDisc(mode1, 0, 0, 2352, func(int) []byte { return make([]byte, 96) }), true},
		{"2336.iso", form1, rawDisc(form1, 0, 16, 2336, nil), true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			root := write(t, t.TempDir(), tt.name, tt.data)
			d, info, err := Open(root, tt.name, Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer d.Close()
			if info.Format != "raw" || len(info.Warnings) != 0 || info.Truncated {
				t.Errorf("info = %+v", info)
			}
			sheetSame(t, d, tt.src)
			p := make([]byte, disc.SubSize)
			for _, lba := range []int{0, 20, tt.src.LeadOut() - 1} {
				n, err := d.(disc.SubReader).ReadSub(p, disc.LBA(lba))
				if q, want := sector.QOf(p), tt.src.Q(lba); n != 1 || err != nil || !bytes.Equal(q[:], want[:]) && q[0]&0xF == want[0]&0xF {
					t.Errorf("Q of %d = % X, %v; want % X", lba, q, err, want)
				}
			}
		})
	}
}

// TestRawCut opens raw files that end early.
func TestRawCut(t *testing.T) {
	data := rawDisc(fixture.DataDisc(fixture.Mode1, rawISO()), 0, 0, 2352, nil)
	root := write(t, t.TempDir(), "x.bin", data[:200*2352+7])
	d, info, err := Open(root, "x.bin", Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if info.Blocks != 200 || !info.Truncated || !strings.Contains(strings.Join(info.Warnings, "\n"), "7 of 2352 bytes") {
		t.Errorf("info = %+v", info)
	}
}

// TestRawAudio tells audio from what is none.
func TestRawAudio(t *testing.T) {
	music := cueMusic(600)
	swapped := bytes.Clone(music)
	swapSamples(swapped)
	r := rand.New(rand.NewPCG(7, 8))
	noise := make([]byte, len(music))
	for i := 0; i < len(noise); i += 8 {
		binary.LittleEndian.PutUint64(noise[i:], r.Uint64())
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.ReadFile(exe)
	if err != nil {
		t.Fatal(err)
	}
	text := bytes.Repeat([]byte("The quick brown fox jumps over the lazy dog.\n"), len(music)/45+1)
	tests := []struct {
		name string
		data []byte
		want []byte // as sectors, nil when it is no image
	}{
		{"music.bin", music, music},
		{"music.raw", music, music},
		{"music.cdda", music[:10*2352], music[:10*2352]},
		{"swapped.bin", swapped, music},
		{"short.bin", music[:200*2352], nil},
		{"odd size.bin", music[1:], nil},
		{"music.dat", music, nil},
		{"noise.bin", noise, nil},
		{"noise.cdda", noise, noise},
		{"zeros.bin", make([]byte, 600*2352), nil},
		{"text.bin", text[:600*2352], nil},
		{"program.bin", program[:len(program)/2352*2352], nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			root := write(t, t.TempDir(), tt.name, tt.data)
			d, _, err := Open(root, tt.name, Options{})
			if err == nil {
				defer d.Close()
			}
			if tt.want == nil {
				if !errors.Is(err, ErrFormat) {
					t.Errorf("Open = %v, want ErrFormat", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			p := make([]byte, len(tt.want))
			if n, err := d.(disc.RawReader).ReadSectors(p, 0); n != len(p)/disc.SectorSize || !bytes.Equal(p[:n*disc.SectorSize], tt.want[:n*disc.SectorSize]) {
				t.Errorf("ReadSectors = %d, %v, or other samples", n, err)
			}
			disctest.TestDisc(t, d)
		})
	}
}

// TestFlatOther opens flat images without ISO 9660 and UDF.
func TestFlatOther(t *testing.T) {
	image := func(size int, at map[int]string) []byte {
		b := make([]byte, size)
		for off, text := range at {
			copy(b[off:], text)
		}
		return b
	}
	const hfs = "BD\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x03\x00\x10\x00\x00\x02\x00"
	plus := "H+\x00\x04" + strings.Repeat("\x00", 36) + "\x00\x00\x10\x00"
	tests := []struct {
		name   string
		data   []byte
		blocks int64
		err    error
	}{
		{"high sierra.iso", image(65536, map[int]string{32768 + 8: "\x01CDROM\x01"}), 32, nil},
		{"hfs.cdr", image(65536+1536, map[int]string{1024: hfs}), 33, nil},
		{"hfs plus.toast", image(65536, map[int]string{1024: plus}), 32, nil},
		{"apple partitions.toast", image(65536, map[int]string{0: "ER\x02\x00", 512: "PM"}), 32, nil},
		{"apple partitions 2048.cdr", image(65536, map[int]string{0: "ER\x08\x00", 2048: "PM"}), 32, nil},
		{"cd-i.img", image(65536, map[int]string{32768: "\x01CD-I "}), 32, nil},
		{"small.cdr", image(2048, map[int]string{1024: hfs}), 1, nil},
		{"odd.cdr", image(65536+7, map[int]string{1024: hfs}), 0, ErrDamaged},
		{"BD alone.img", image(65536, map[int]string{1024: "BD"}), 0, ErrFormat},
		{"H+ of version 9.img", image(65536, map[int]string{1024: "H+\x00\x09" + plus[4:]}), 0, ErrFormat},
		{"ER alone.img", image(65536, map[int]string{0: "ER\x02\x00"}), 0, ErrFormat},
		{"disk.img", image(65536, map[int]string{0: "\xEB\x3C\x90MSDOS5.0", 54: "FAT12   ", 510: "\x55\xAA"}), 0, ErrFormat},
		{"partitions.img", image(65536, map[int]string{446: "\x80\x01\x01\x00\x0C", 510: "\x55\xAA"}), 0, ErrFormat},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			root := write(t, t.TempDir(), tt.name, tt.data)
			d, info, err := Open(root, tt.name, Options{})
			if !errors.Is(err, tt.err) {
				t.Fatalf("Open = %v, want %v", err, tt.err)
			}
			if tt.err != nil {
				if errors.Is(err, ErrFormat) && len(tt.data) > 40000 && !strings.Contains(err.Error(), "hard disk") {
					t.Errorf("%v: no hint", err)
				}
				return
			}
			defer d.Close()
			p := make([]byte, tt.blocks*disc.BlockSize)
			if n, err := d.ReadBlocks(p, 0); info.Blocks != tt.blocks || int64(n) != tt.blocks || err != nil || !bytes.HasPrefix(p, tt.data) {
				t.Errorf("%d blocks, want %d; %d read, %v, or other data", info.Blocks, tt.blocks, n, err)
			}
			disctest.TestDisc(t, d)
		})
	}
}

// TestFlatPregap opens a flat image that begins with the pregap.
func TestFlatPregap(t *testing.T) {
	iso := isoImage(40, 40)
	root := write(t, t.TempDir(), "x.iso", append(make([]byte, 150*disc.BlockSize), iso...))
	d, info, err := Open(root, "x.iso", Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	p := make([]byte, len(iso))
	if n, err := d.ReadBlocks(p, 0); info.Blocks != 40 || n != 40 || err != nil || !bytes.Equal(p, iso) {
		t.Errorf("%d blocks; ReadBlocks = %d, %v, or other data", info.Blocks, n, err)
	}
	disctest.TestDisc(t, d)
}

// TestFlatOfTools opens what mkudffs makes of each revision and medium, and a
// hybrid of genisoimage, also without its ISO 9660 half.
func TestFlatOfTools(t *testing.T) {
	udf := [][]string{
		{"--media-type=dvd", "--udfrev=1.02"},
		{"--media-type=cdrw", "--udfrev=1.50"},
		{"--media-type=hd", "--udfrev=1.50"},
		{"--media-type=dvd", "--udfrev=2.00"},
		{"--media-type=dvdram", "--udfrev=2.01"},
		{"--media-type=dvdr", "--udfrev=2.50"},
		{"--media-type=bdr", "--udfrev=2.60"},
	}
	for _, args := range udf {
		t.Run(strings.Join(args, " "), func(t *testing.T) {
			dir := t.TempDir()
			data := make([]byte, 8<<20)
			root := write(t, dir, "x.udf", data)
			sheetTool(t, dir, "mkudffs", append(slices.Clone(args), "--blocksize=2048", "--label=A LABEL", "x.udf")...)
			d, info, err := Open(root, "x.udf", Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer d.Close()
			if info.Label != "A LABEL" || !slices.Equal(info.FileSystems, []string{"udf"}) || info.Blocks != 4096 {
				t.Errorf("info = %+v", info)
			}
			disctest.TestDisc(t, d)
		})
	}
	t.Run("hybrid", func(t *testing.T) {
		dir := t.TempDir()
		if err := os.Mkdir(filepath.Join(dir, "src"), 0o755); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, "src"), "a file", make([]byte, 10000))
		sheetTool(t, dir, "genisoimage", "-quiet", "-hfs", "-part", "-V", "HYBRID", "-o", "x.iso", "src")
		b, err := os.ReadFile(filepath.Join(dir, "x.iso"))
		if err != nil {
			t.Fatal(err)
		}
		apple := bytes.Clone(b)
		clear(apple[16*disc.BlockSize : 18*disc.BlockSize])
		root := write(t, dir, "x.toast", apple)
		for name, want := range map[string][]byte{"x.iso": b, "x.toast": apple} {
			d, _, err := Open(root, name, Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer d.Close()
			p := make([]byte, len(want))
			if n, err := d.ReadBlocks(p, 0); n*disc.BlockSize != len(want) || err != nil || !bytes.Equal(p, want) {
				t.Errorf("%s: %d blocks, %v, or other data", name, n, err)
			}
		}
	})
}

// FuzzOpenRaw opens flat files of arbitrary bytes under each name.
func FuzzOpenRaw(f *testing.F) {
	raw := rawDisc(fixture.DataDisc(fixture.Mode1, rawISO()), 0, 0, 24, nil)
	f.Add(raw[:24], uint16(5000), byte(0))
	f.Add([]byte("ER\x02\x00"), uint16(40000), byte(1))
	f.Add(cueMusic(1)[:200], uint16(2152), byte(2))
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, content []byte, more uint16, ext byte) {
		name := "x" + rawFormat.exts[int(ext)%len(rawFormat.exts)]
		fuzzOpen(t, dir, name, map[string][]byte{name: fuzzFiller(content, more)})
	})
}

package image

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"

	"spindle/isostore/disc"
)

// isoImage returns an image of n blocks whose primary volume descriptor claims
// space blocks; block k from 17 on begins with its number.
func isoImage(n, space int) []byte {
	b := make([]byte, n*disc.BlockSize)
	for k := 18; k < n; k++ {
		binary.BigEndian.PutUint32(b[k*disc.BlockSize:], uint32(k))
	}
	pvd := b[16*disc.BlockSize:]
	copy(pvd, "\x01CD001\x01")
	copy(pvd[40:72], "A LABEL                         ")
	binary.LittleEndian.PutUint32(pvd[80:], uint32(space))
	binary.BigEndian.PutUint32(pvd[84:], uint32(space))
	binary.LittleEndian.PutUint16(pvd[128:], 2048)
	copy(b[17*disc.BlockSize:], "\xffCD001\x01")
	return b
}

// udfImage returns an image of n blocks with UDF and nothing else.
func udfImage(n int, label string) []byte {
	b := make([]byte, n*disc.BlockSize)
	for i, id := range []string{"BEA01", "NSR02", "TEA01"} {
		copy(b[(16+i)*disc.BlockSize+1:], id)
	}
	tag := func(id uint16, at int) []byte {
		d := b[at*disc.BlockSize:][:disc.BlockSize]
		binary.LittleEndian.PutUint16(d, id)
		binary.LittleEndian.PutUint32(d[12:], uint32(at))
		for i, c := range d[:16] {
			if i != 4 {
				d[4] += c
			}
		}
		return d
	}
	anchor := tag(2, 256)
	binary.LittleEndian.PutUint32(anchor[16:], 3*disc.BlockSize)
	binary.LittleEndian.PutUint32(anchor[20:], 32)
	tag(1, 32)
	lvd := tag(6, 33)
	lvd[84] = 8
	copy(lvd[85:], label)
	lvd[84+127] = byte(1 + len(label))
	tag(8, 34)
	return b
}

// write puts an image into dir and returns a root there.
func write(t testing.TB, dir, name string, data []byte) *os.Root {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
		t.Fatal(err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Close() })
	return root
}

func TestOpen(t *testing.T) {
	partial := func(n, space, extra int) []byte {
		return append(isoImage(n, space), bytes.Repeat([]byte{0xAB}, extra)...)
	}
	disagree := isoImage(20, 20)
	disagree[16*2048+84] = 1
	tests := []struct {
		name   string
		data   []byte
		kind   disc.Kind
		blocks int64
		label  string
		warn   string
		err    error
		text   string
	}{
		{"iso", isoImage(20, 20), 0, 20, "A LABEL", "", nil, ""},
		{"longer than its volume", isoImage(30, 20), 0, 30, "A LABEL", "", nil, ""},
		{"shorter than its volume", isoImage(20, 40), 0, 20, "A LABEL", "40960 of 81920 bytes", nil, ""},
		{"partial block after the volume", partial(20, 20, 100), 0, 21, "A LABEL", "100 of 2048 bytes", nil, ""},
		{"partial block in the volume", partial(20, 21, 100), 0, 0, "", "", ErrDamaged, "byte 40960"},
		{"partial block, no volume size", partial(20, 0, 100), 0, 0, "", "", ErrDamaged, "100 of 2048 bytes"},
		{"partial block, udf only", append(udfImage(300, "U"), 1), 0, 0, "", "", ErrDamaged, "byte 614400"},
		{"udf", udfImage(300, "A UDF LABEL"), 0, 300, "A UDF LABEL", "", nil, ""},
		{"sizes disagree", disagree, 0, 20, "A LABEL", "little-endian", nil, ""},
		{"as a DVD", isoImage(20, 20), disc.DVD, 20, "A LABEL", "", nil, ""},
		{"empty", nil, 0, 0, "", "", ErrFormat, "empty"},
		{"short", make([]byte, 100), 0, 0, "", "", ErrFormat, "byte 100"},
		{"zeros", make([]byte, 64*1024), 0, 0, "", "", ErrFormat, "byte 32768"},
		{"gzip", append([]byte{0x1f, 0x8b, 8}, make([]byte, 100)...), 0, 0, "", "", ErrPacked, "unpack it"},
		{"zip", append([]byte("PK\x03\x04"), make([]byte, 100)...), 0, 0, "", "", ErrFormat, "unpack it first"},
		{"raw sectors", append([]byte("\x00\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x00"), make([]byte, 50000)...), 0, 0, "", "", ErrDamaged, "byte 2352"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			root := write(t, t.TempDir(), "x.iso", tt.data)
			d, info, err := Open(root, "x.iso", Options{Kind: tt.kind})
			if !errors.Is(err, tt.err) {
				t.Fatalf("Open = %v, want %v", err, tt.err)
			}
			if err != nil {
				if !strings.Contains(err.Error(), tt.text) || !strings.Contains(err.Error(), "x.iso") {
					t.Errorf("error %q does not name the file and %q", err, tt.text)
				}
				return
			}
			defer d.Close()
			if info.Blocks != tt.blocks || info.Label != tt.label || info.Format != "iso" || info.Size != int64(len(tt.data)) {
				t.Errorf("info = %+v, want %d blocks, label %q", info, tt.blocks, tt.label)
			}
			if got := strings.Join(info.Warnings, "|"); (tt.warn == "") != (got == "") || !strings.Contains(got, tt.warn) {
				t.Errorf("warnings %q, want one with %q", got, tt.warn)
			}
			want := append(bytes.Clone(tt.data), make([]byte, int(tt.blocks)*2048-len(tt.data))...)
			got := bytes.Repeat([]byte{0xEE}, len(want))
			if n, err := d.ReadBlocks(got, 0); n != int(tt.blocks) || err != nil || !bytes.Equal(got, want) {
				t.Errorf("ReadBlocks of all = %d, %v; equal %v", n, err, bytes.Equal(got, want))
			}
		})
	}
}

// TestKinds checks the limits of the media on sparse files.
func TestKinds(t *testing.T) {
	tests := []struct {
		blocks int64
		kind   disc.Kind
		medium string
		layers int
		mode   string
		ok     bool
	}{
		{449850, 0, "CD", 1, "mode1", true},
		{449851, 0, "DVD", 1, "data", true},
		{2295104, 0, "DVD", 1, "data", true},
		{2295105, 0, "DVD", 2, "data", true},
		{4173824, 0, "DVD", 2, "data", true},
		{4173825, 0, "BD", 1, "data", true},
		{1000, disc.BD, "BD", 1, "data", true},
		{449851, disc.CD, "", 0, "", false},
		{4173825, disc.DVD, "", 0, "", false},
		{1 << 31, 0, "", 0, "", false},
	}
	dir := t.TempDir()
	root := write(t, dir, "x.iso", isoImage(20, 20))
	for _, tt := range tests {
		if err := os.Truncate(filepath.Join(dir, "x.iso"), tt.blocks*disc.BlockSize); err != nil {
			t.Skipf("no sparse file of %d blocks here: %v", tt.blocks, err)
		}
		d, info, err := Open(root, "x.iso", Options{Kind: tt.kind})
		if (err == nil) != tt.ok {
			t.Errorf("%d blocks as %v: %v", tt.blocks, tt.kind, err)
		}
		if err != nil {
			continue
		}
		if info.Medium != tt.medium || info.Layers != tt.layers || info.Blocks != tt.blocks || info.Sessions[0].Tracks[0].Mode != tt.mode {
			t.Errorf("%d blocks as %v: %+v", tt.blocks, tt.kind, info)
		}
		d.Close()
	}
}

// TestNotRegular checks that names of other things fail at once.
func TestNotRegular(t *testing.T) {
	dir, outside := t.TempDir(), t.TempDir()
	root := write(t, dir, "real.iso", isoImage(20, 20))
	write(t, outside, "secret.iso", isoImage(20, 20))
	if err := syscall.Mkfifo(filepath.Join(dir, "fifo.iso"), 0o644); err != nil {
		t.Fatal(err)
	}
	os.Mkdir(filepath.Join(dir, "dir.iso"), 0o755)
	os.Symlink("real.iso", filepath.Join(dir, "link.iso"))
	os.Symlink(filepath.Join(outside, "secret.iso"), filepath.Join(dir, "out.iso"))
	os.Symlink("../"+filepath.Base(outside)+"/secret.iso", filepath.Join(dir, "up.iso"))
	os.Symlink("/dev/zero", filepath.Join(dir, "zero.iso"))
	os.Symlink("loop.iso", filepath.Join(dir, "loop.iso"))
	tests := []struct {
		name, text string
		err        error
	}{
		{"link.iso", "", nil},
		{"fifo.iso", "a FIFO", ErrNotRegular},
		{"dir.iso", "", nil}, // a disc of the files in it
		{"out.iso", "symbolic link", nil},
		{"up.iso", "symbolic link", nil},
		{"zero.iso", "symbolic link", nil},
		{"loop.iso", "loop.iso", nil},
		{"../x/secret.iso", "", nil},
		{"missing.iso", "missing.iso", fs.ErrNotExist},
	}
	for _, tt := range tests {
		d, _, err := Open(root, tt.name, Options{})
		if tt.err == nil && tt.text == "" && !strings.HasPrefix(tt.name, "..") {
			if err != nil {
				t.Errorf("%s: %v", tt.name, err)
				continue
			}
			d.Close()
			continue
		}
		if err == nil || tt.err != nil && !errors.Is(err, tt.err) || !strings.Contains(err.Error(), tt.text) {
			t.Errorf("%s: %v; want %v with %q", tt.name, err, tt.err, tt.text)
		}
	}
	if d, info, err := OpenFile(filepath.Join(dir, "out.iso"), Options{}); err != nil {
		t.Errorf("OpenFile of a link that the operator named: %v", err)
	} else {
		if info.Name != filepath.Join(dir, "out.iso") {
			t.Errorf("OpenFile: name %q", info.Name)
		}
		d.Close()
	}
	if _, err := Inspect(filepath.Join(dir, "fifo.iso"), Options{}); !errors.Is(err, ErrNotRegular) {
		t.Errorf("Inspect of a FIFO: %v", err)
	}
}

// A path that leads nowhere is told as it was given.
func TestOpenFileMissing(t *testing.T) {
	path := filepath.Join("..", "..", "none", "x.iso")
	_, _, err := OpenFile(path, Options{})
	if want := fmt.Sprintf("image %q: no such file or directory", path); !errors.Is(err, fs.ErrNotExist) || err.Error() != want {
		t.Errorf("OpenFile: %v; want %s", err, want)
	}
}

// TestOpenFIFODoesNotWait swaps the name for a FIFO between the look and the open: the second
// look, at the open file, must catch it.
func TestOpenFIFODoesNotWait(t *testing.T) {
	path := filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(path, 0o644); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := newFile(f, path); !errors.Is(err, ErrNotRegular) {
		t.Errorf("newFile of a FIFO: %v", err)
	}
}

func TestBoot(t *testing.T) {
	b := isoImage(30, 30)
	copy(b[17*2048:], "\x00CD001\x01EL TORITO SPECIFICATION")
	binary.LittleEndian.PutUint32(b[17*2048+71:], 20)
	copy(b[18*2048:], "\xffCD001\x01\x00\x00\x00\x00\x00\x00")
	c := b[20*2048 : 21*2048]
	clear(c)
	copy(c, "\x01\x00")
	copy(c[28:], "\xAA\x55\x55\xAA")
	copy(c[32:], "\x88\x00\x00\x00\x00\x00\x04\x00\x19\x00\x00\x00")
	copy(c[64:], "\x91\xEF\x01\x00")
	copy(c[96:], "\x88\x00\x00\x00\x00\x00\x01\x00\x1A\x00\x00\x00")
	want := []BootEntry{{"BIOS", true, "none", 25, 4, nil}, {"EFI", true, "none", 26, 1, nil}}
	dir := t.TempDir()
	write(t, dir, "x.iso", b)
	info, err := Inspect(filepath.Join(dir, "x.iso"), Options{})
	if err != nil || !reflect.DeepEqual(info.Boot, want) || !slices.Equal(info.BootBy, []string{"BIOS", "UEFI"}) {
		t.Errorf("boot = %+v, %v; want %+v", info.Boot, err, want)
	}
	c[28] = 0
	write(t, dir, "x.iso", b)
	info, err = Inspect(filepath.Join(dir, "x.iso"), Options{})
	if err != nil || len(info.Boot) != 0 || len(info.Warnings) != 1 {
		t.Errorf("bad checksum: %+v, %v", info, err)
	}
}

func TestHasImageName(t *testing.T) {
	for name, want := range map[string]bool{
		"a.iso": true, "a.ISO": true, "b/c d.img": true, "x.cdr": true,
		"a b.Iso.Gz": true, "a.img.xz": true, "a.bin.bz2": true, "a.cdr.zst": true, "a.cso": true, "a.ZSO": true, "a.isz": true, "a.dmg": true,
		"a.gz": false, "a.cue.gz": false, "a.tar.xz": false, "a.i01": false,
		"iso": false, "a.iso.tmp": false, "a.txt": false, "": false,
	} {
		if got := HasImageName(name); got != want {
			t.Errorf("HasImageName(%q) = %v", name, got)
		}
	}
}

// TestReadAllocates keeps the data path free of allocation.
func TestReadAllocates(t *testing.T) {
	d := openBench(t)
	p := make([]byte, 16*2048)
	if n := testing.AllocsPerRun(100, func() { d.ReadBlocks(p, 20) }); n != 0 {
		t.Errorf("ReadBlocks allocates %v times", n)
	}
}

func openBench(tb testing.TB) disc.Disc {
	root := write(tb, tb.TempDir(), "x.iso", isoImage(600, 600))
	d, _, err := Open(root, "x.iso", Options{})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { d.Close() })
	return d
}

func BenchmarkReadBlocks(b *testing.B) {
	for _, n := range []int{1, 128} {
		b.Run(map[int]string{1: "2KiB", 128: "256KiB"}[n], func(b *testing.B) {
			d := openBench(b)
			p := make([]byte, n*2048)
			b.SetBytes(int64(len(p)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := d.ReadBlocks(p, 20); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkChangeCheck is the part of ReadBlocks that looks for a change.
func BenchmarkChangeCheck(b *testing.B) {
	f := openBench(b).(*cd).source.file
	b.ReportAllocs()
	for b.Loop() {
		if _, err := stampOf(f.f, f.fd); err != nil {
			b.Fatal(err)
		}
	}
}

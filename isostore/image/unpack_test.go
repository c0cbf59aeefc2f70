package image

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"

	"spindle/internal/lab"
	"spindle/isostore/disc"
	"spindle/isostore/disc/disctest"
	"spindle/testdata/fixture"
)

// unpackTools are the programs that pack, by the name that they give.
var unpackTools = []struct {
	ext  string
	args []string // the file follows
}{
	{".gz", []string{"gzip", "-k"}},
	{".xz", []string{"xz", "-k"}},
	{".xz", []string{"xz", "-k", "-f", "--check=sha256", "--block-size=100000"}},
	{".xz", []string{"xz", "-k", "-f", "--check=crc32", "-0"}},
	{".bz2", []string{"bzip2", "-k"}},
	{".zst", []string{"zstd", "-q", "-f"}},
	{".zst", []string{"zstd", "-q", "-f", "--long=27", "-19"}},
}

// unpackCache returns a cache of at most max bytes.
func unpackCache(t testing.TB, max int64) *Cache {
	t.Helper()
	c, err := NewCache(filepath.Join(t.TempDir(), "cache"), max)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// unpackLeft lists what is in a cache's directory, but for notes.
func unpackLeft(t testing.TB, c *Cache) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(c.root.Name())
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if filepath.Ext(e.Name()) != cacheNote {
			names = append(names, e.Name())
		}
	}
	return names
}

// TestUnpackTools unpacks what the usual programs pack, and opens it.
func TestUnpackTools(t *testing.T) {
	image := packedImage(700)
	for _, tt := range unpackTools {
		t.Run(strings.Join(tt.args, " "), func(t *testing.T) {
			lab.Need(t, tt.args[0])
			dir := t.TempDir()
			root := write(t, dir, "a.iso", image)
			if text, err := lab.ToolCmd(t.Context(), tt.args[0], append(tt.args[1:], filepath.Join(dir, "a.iso"))...).CombinedOutput(); err != nil {
				t.Fatalf("%v: %v\n%s", tt.args, err, text)
			}
			unpackOpen(t, root, "a.iso"+tt.ext, image)
		})
	}
}

// unpackOpen opens a packed image before and after it is unpacked.
func unpackOpen(t *testing.T, root *os.Root, name string, want []byte) {
	t.Helper()
	c := unpackCache(t, 10<<20)
	for _, o := range []Options{{}, {Cache: c}} {
		_, info, err := Open(root, name, o)
		if !errors.Is(err, ErrPacked) || !strings.Contains(err.Error(), "hint:") || info.Format != "iso"+filepath.Ext(name) {
			t.Fatalf("Open before it is unpacked: %+v, %v", info, err)
		}
	}
	fi, err := root.Stat(name)
	if err != nil {
		t.Fatal(err)
	}
	last := int64(-1)
	err = c.Unpack(t.Context(), root, name, func(done, total int64) {
		if done < last || done > total || total != fi.Size() {
			t.Errorf("progress %d of %d after %d", done, total, last)
		}
		last = done
	})
	if err != nil || last != fi.Size() {
		t.Fatalf("Unpack = %v, progress up to %d of %d", err, last, fi.Size())
	}
	d, info, err := Open(root, name, Options{Cache: c})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if info.Format != "iso"+filepath.Ext(name) || info.Size != fi.Size() || info.Name != name || !strings.HasSuffix(info.Path, name) || info.Label != "A LABEL" {
		t.Errorf("info = %+v", info)
	}
	packedRead(t, d, want)
	if _, err := d.ReadBlocks(make([]byte, disc.BlockSize), 1<<20); err == nil || !strings.Contains(err.Error(), name) {
		t.Errorf("an error of reading is %v, and names no %s", err, name)
	}
}

// unpackBytes packs image in a way of this program.
func unpackBytes(t testing.TB, ext string, image []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	var w io.WriteCloser
	var err error
	switch ext {
	case ".gz":
		w = gzip.NewWriter(&b)
	case ".xz":
		w, err = xz.NewWriter(&b)
	case ".zst":
		w, err = zstd.NewWriter(&b)
	}
	if err == nil {
		_, err = w.Write(image)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestUnpackMembers unpacks files that are several, one behind the other.
func TestUnpackMembers(t *testing.T) {
	image := packedImage(200)
	for _, ext := range []string{".gz", ".xz", ".zst"} {
		packed := append(unpackBytes(t, ext, image[:100000]), unpackBytes(t, ext, image[100000:])...)
		unpackOpen(t, write(t, t.TempDir(), "a.iso"+ext, packed), "a.iso"+ext, image)
	}
}

// TestUnpackGivenUp gives up a file of few bytes that are many when unpacked: not one
// chunk more is written.
func TestUnpackGivenUp(t *testing.T) {
	c := unpackCache(t, 100<<20)
	root := write(t, t.TempDir(), "a.iso.gz", unpackBytes(t, ".gz", append(packedImage(200), make([]byte, 16<<20)...)))
	ctx, cancel := context.WithCancel(t.Context())
	chunks := 0
	err := c.Unpack(ctx, root, "a.iso.gz", func(int64, int64) {
		chunks++
		cancel()
	})
	if !errors.Is(err, context.Canceled) || chunks != 1 {
		t.Errorf("Unpack = %v after %d chunks, want %v after 1", err, chunks, context.Canceled)
	}
	if left := unpackLeft(t, c); len(left) != 0 || c.used != 0 {
		t.Errorf("%q are left, and %d bytes are counted", left, c.used)
	}
}

// TestUnpackDamaged cuts and changes packed files: nothing is kept of them.
func TestUnpackDamaged(t *testing.T) {
	image := packedImage(200)
	for _, ext := range []string{".gz", ".xz", ".zst"} {
		good := unpackBytes(t, ext, image)
		changed := bytes.Clone(good)
		changed[len(changed)/2] ^= 0x55
		tests := []struct {
			name, text string
			data       []byte
		}{
			{"cut", "byte", good[:len(good)/2]},
			{"without its end", "byte", good[:len(good)-1]},
			{"changed", "byte", changed},
			{"header alone", "byte", good[:12]},
			{"two thirds of another", "byte", append(bytes.Clone(good), good[:len(good)*2/3]...)},
		}
		for _, tt := range tests {
			t.Run(tt.name+ext, func(t *testing.T) {
				c := unpackCache(t, 10<<20)
				root := write(t, t.TempDir(), "a.iso"+ext, tt.data)
				err := c.Unpack(t.Context(), root, "a.iso"+ext, nil)
				if !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), tt.text) || !strings.Contains(err.Error(), "a.iso"+ext) {
					t.Errorf("Unpack = %v, want %v with %q", err, ErrDamaged, tt.text)
				}
				if left := unpackLeft(t, c); len(left) != 0 || c.used != 0 {
					t.Errorf("%q are left, and %d bytes are counted", left, c.used)
				}
			})
		}
	}
}

// TestUnpackRefused gives files that are not to be unpacked.
func TestUnpackRefused(t *testing.T) {
	stick := make([]byte, 3<<20)
	copy(stick[510:], "\x55\xaa")
	tests := []struct {
		name string
		data []byte
		text string
	}{
		{"a.iso", packedImage(20), "not packed"},
		{"a.iso.gz", packedImage(20), "not packed"},
		{"a.cue.gz", unpackBytes(t, ".gz", []byte("FILE")), "a .cue file"},
		{"a.tar.gz", unpackBytes(t, ".gz", []byte("x")), "a .tar file"},
		{"a.nrg.xz", unpackBytes(t, ".xz", []byte("x")), "a .nrg file"},
		{"a.img.zst", unpackBytes(t, ".zst", stick), "no disc image"},
	}
	for _, tt := range tests {
		c := unpackCache(t, 10<<20)
		root := write(t, t.TempDir(), tt.name, tt.data)
		err := c.Unpack(t.Context(), root, tt.name, nil)
		if !errors.Is(err, ErrFormat) || !strings.Contains(err.Error(), tt.text) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.text)
		}
		if left := unpackLeft(t, c); len(left) != 0 || c.used != 0 {
			t.Errorf("%s: %q are left", tt.name, left)
		}
	}
}

// FuzzUnpack unpacks arbitrary bytes.
func FuzzUnpack(f *testing.F) {
	for _, ext := range []string{".gz", ".xz", ".zst"} {
		f.Add(unpackBytes(f, ext, isoImage(20, 20)))
	}
	f.Add([]byte("BZh9\x31AY&SY"))
	c, dir := unpackCache(f, 4<<20), f.TempDir()
	f.Fuzz(func(t *testing.T, b []byte) {
		root := write(t, dir, "x.iso.gz", b)
		if err := c.Unpack(t.Context(), root, "x.iso.gz", nil); err == nil {
			d, _, err := Open(root, "x.iso.gz", Options{Cache: c})
			if err == nil {
				d.Close()
			}
		}
		for _, name := range unpackLeft(t, c) {
			if filepath.Ext(name) == cacheTemp {
				t.Errorf("%s is left", name)
			}
		}
		os.Remove(filepath.Join(dir, "x.iso.gz"))
	})
}

// TestPackedSectors opens packed images of raw sectors, with a file system or
// audio in them.
func TestPackedSectors(t *testing.T) {
	src := fixture.DataDisc(fixture.Mode1, packedImage(60))
	var raw []byte
	for lba := range 60 {
		raw = append(raw, src.Raw(lba)...)
	}
	dir := t.TempDir()
	root := write(t, dir, "a.bin.gz", unpackBytes(t, ".gz", raw))
	write(t, dir, "b.bin.zst", zstdBytes(t, raw, 50000))
	c := unpackCache(t, 10<<20)
	if err := c.Unpack(t.Context(), root, "a.bin.gz", nil); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"a.bin.gz", "b.bin.zst"} {
		d, info, err := Open(root, name, Options{Cache: c})
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		if info.Format != "bin"+filepath.Ext(name) || len(info.Warnings) != 0 {
			t.Errorf("%s: info = %+v", name, info)
		}
		got := make([]byte, len(raw))
		if n, err := d.(disc.RawReader).ReadSectors(got, 0); n != 60 || err != nil || !bytes.Equal(got, raw) {
			t.Errorf("%s: ReadSectors = %d, %v, or other data", name, n, err)
		}
		packedRead(t, d, packedImage(60))
		disctest.TestDisc(t, d)
	}
}

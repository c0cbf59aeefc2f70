package image

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	seekable "github.com/SaveTheRbtz/zstd-seekable-format-go/pkg"
	"github.com/klauspost/compress/zstd"

	"spindle/isostore/disc"
	"spindle/testdata/fixture"
)

func TestZstd(t *testing.T) {
	for _, o := range []fixture.ZstdOptions{{}, {Checksums: true}, {FrameSize: 2048}, {FrameSize: 3000, Checksums: true}, {FrameSize: 1 << 20}} {
		t.Run(fmt.Sprintf("%+v", o), func(t *testing.T) {
			dir := t.TempDir()
			if err := fixture.WriteZstd(dir, "a", packedSource(301), o); err != nil {
				t.Fatal(err)
			}
			packedOpen(t, dir, "a.iso.zst", "iso.zst", packedImage(301))
		})
	}
}

// zstdBytes is a seekable image by another writer, with frames of the given
// sizes in turns.
func zstdBytes(t testing.TB, image []byte, frames ...int) []byte {
	t.Helper()
	enc, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	w, err := seekable.NewWriter(&b, enc)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; len(image) > 0; i++ {
		n := min(len(image), frames[i%len(frames)])
		if _, err := w.Write(image[:n]); err != nil {
			t.Fatal(err)
		}
		image = image[n:]
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestZstdFrames opens what another library writes, with frames of different
// sizes.
func TestZstdFrames(t *testing.T) {
	dir, image := t.TempDir(), packedImage(200)
	os.WriteFile(filepath.Join(dir, "a.iso.zst"), zstdBytes(t, image, 1, 100000, 4096, 7), 0o644)
	packedOpen(t, dir, "a.iso.zst", "iso.zst", image)
}

func TestZstdDamaged(t *testing.T) {
	data := zstdBytes(t, packedImage(100), 32<<10)
	table := len(data) - 9 - 7*12
	le32 := func(at int, v uint32) func([]byte) []byte {
		return func(b []byte) []byte { binary.LittleEndian.PutUint32(b[at:], v); return b }
	}
	add := func(at int, v uint32) func([]byte) []byte {
		return func(b []byte) []byte { return le32(at, binary.LittleEndian.Uint32(b[at:])+v)(b) }
	}
	packedDamages(t, t.TempDir(), "x.iso.zst", data, []packedDamage{
		{"none", packedSame, nil, nil, ""},
		{"no frames", le32(len(data)-9, 0), ErrDamaged, nil, "0 frames"},
		{"more frames than bytes", le32(len(data)-9, 1<<20), ErrDamaged, nil, "1048576 frames"},
		{"frames without end", le32(len(data)-9, 1<<32-1), ErrDamaged, nil, "4294967295 frames"},
		{"fewer frames", le32(len(data)-9, 6), ErrDamaged, nil, "no frame with a seek table"},
		{"no checksums", func(b []byte) []byte { b[len(b)-5] = 0; return b }, ErrDamaged, nil, "no frame with a seek table"},
		{"frames that overlap the table", add(table, 1), ErrDamaged, nil, "up to byte"},
		{"frame smaller than it is", func(b []byte) []byte { return add(table+60, 1<<32-9)(add(table+48, 9)(b)) }, nil, ErrDamaged, "zstd"},
		{"more data than in the frame", add(table+4+60, 2048), nil, ErrDamaged, "zstd"},
		{"less data than in the frame", add(table+4+60, 1<<32-2048), nil, ErrDamaged, "zstd"},
		{"no data at all", func(b []byte) []byte {
			for i := range 7 {
				le32(table+4+12*i, 0)(b)
			}
			return b
		}, ErrDamaged, nil, "0 bytes"},
		{"bytes of a frame", func(b []byte) []byte { copy(b[table-3000:], make([]byte, 2000)); return b }, nil, ErrDamaged, "byte "},
	})
}

// TestZstdWindow refuses a frame that wants more memory than it may have.
func TestZstdWindow(t *testing.T) {
	z := &zstdImage{starts: []int64{0, 2048}, packed: []int64{0, 9}}
	root := write(t, t.TempDir(), "x", []byte{0x28, 0xB5, 0x2F, 0xFD, 0x00, 0xF8, 0x01, 0x00, 0x00}) // window of 2 TB
	f, err := openBelow(root, "x")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z.file = f
	if err := z.decode(make([]byte, disc.BlockSize), 0); err == nil {
		t.Error("it was decoded")
	}
}

func FuzzOpenZstd(f *testing.F) {
	f.Add(zstdBytes(f, isoImage(20, 20), 16<<10))
	f.Add(zstdBytes(f, isoImage(20, 20), 2048, 5))
	packedFuzz(f, f.TempDir(), "x.iso.zst", packedSame)
}

// TestZstdEmptyFrames opens an image with frames that hold nothing, which the
// format allows: before all others, between them and behind.
func TestZstdEmptyFrames(t *testing.T) {
	enc, err := zstd.NewWriter(nil, zstd.WithZeroFrames(true))
	if err != nil {
		t.Fatal(err)
	}
	image := packedImage(200)
	var b, table []byte
	for _, part := range [][]byte{nil, image[:100000], nil, nil, image[100000:], nil} {
		frame := enc.EncodeAll(part, nil)
		b = append(b, frame...)
		table = binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint32(table, uint32(len(frame))), uint32(len(part)))
	}
	b = binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint32(b, zstdTableMagic), uint32(len(table)+zstdFooter))
	b = binary.LittleEndian.AppendUint32(append(b, table...), uint32(len(table)/8))
	b = binary.LittleEndian.AppendUint32(append(b, 0), zstdFooterMagic)
	dir := t.TempDir()
	write(t, dir, "a.iso.zst", b)
	packedOpen(t, dir, "a.iso.zst", "iso.zst", image)
}

package chd

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ulikunitz/xz/lzma"

	"spindle/internal/lab"
	"spindle/isostore/disc"
	"spindle/isostore/sector"
)

// TestCRC16: the vector of reference section 4.3, and table against bits.
func TestCRC16(t *testing.T) {
	if got := crc16([]byte("123456789")); got != 0x29B1 {
		t.Errorf("crc16 = %04X, want 29B1", got)
	}
	for n, p := range [][]byte{nil, mixed(7), mixed(8), mixed(1001)} {
		x := uint16(0xFFFF)
		for _, c := range p {
			x ^= uint16(c) << 8
			for range 8 {
				x = x<<1 ^ -(x>>15)&0x1021
			}
		}
		if got := crc16(p); got != x {
			t.Errorf("%d: crc16 = %04X, want %04X", n, got, x)
		}
	}
}

// lzmaPack packs by the library, with CHD's parameters, and leaves the header out.
func lzmaPack(t testing.TB, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := lzma.WriterConfig{Properties: &lzma.Properties{LC: 3, LP: 0, PB: 2}, Size: int64(len(data)), SizeInHeader: true}.NewWriter(&b)
	if err == nil {
		_, err = w.Write(data)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes()[13:]
}

// TestLZMA compares with the library.
func TestLZMA(t *testing.T) {
	text := []byte(strings.Repeat("the quick brown fox jumps over the lazy dog; ", 900))
	for i, data := range [][]byte{mixed(100 << 10), text, {1}, make([]byte, 70000), mixed(40 << 10)[30<<10:]} {
		packed := lzmaPack(t, data)
		got := make([]byte, len(data))
		if err := unLZMA(got, packed); err != nil || !bytes.Equal(got, data) {
			t.Errorf("%d: %v, or other data", i, err)
		}
		if len(data) < 100 {
			continue
		}
		if err := unLZMA(got, packed[:len(packed)/2]); err == nil {
			t.Errorf("%d: half a stream unpacks", i)
		}
	}
	if unLZMA(make([]byte, 5), nil) == nil || unLZMA(make([]byte, 5), []byte{1, 0, 0, 0, 0, 0}) == nil {
		t.Error("what is no LZMA stream unpacks")
	}
}

// TestZstdOfTool unpacks what zstd packs at its highest level.
func TestZstdOfTool(t *testing.T) {
	lab.Need(t, "zstd")
	data := mixed(16 << 10)
	path := filepath.Join(t.TempDir(), "a")
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := lab.ToolCmd(t.Context(), "zstd", "-q", "--ultra", "-22", path)
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("zstd: %v\n%s", err, text)
	}
	packed, err := os.ReadFile(path + ".zst")
	if err != nil {
		t.Fatal(err)
	}
	got := make([]byte, len(data))
	if err := unZstd(got, packed); err != nil || !bytes.Equal(got, data) {
		t.Errorf("unZstd: %v, or other data", err)
	}
	for _, n := range []int{len(data) - 1, len(data) + 1} {
		if unZstd(make([]byte, n), packed) == nil {
			t.Errorf("%d bytes unpack to %d", len(data), n)
		}
	}
}

// TestStrip: sync and ECC are left out where they can be made again, of Mode 1
// and Mode 2, and only there.
func TestStrip(t *testing.T) {
	mode1, form1 := make([]byte, disc.SectorSize), make([]byte, disc.SectorSize)
	copy(mode1[16:2064], mixed(2048))
	sector.EncodeMode1(mode1, 1000)
	copy(form1[24:2072], mixed(2048))
	sector.EncodeForm1(form1, 1000)
	formless := bytes.Clone(form1)
	formless[3000%disc.SectorSize] ^= 1
	damaged := bytes.Clone(mode1)
	damaged[2100] ^= 1
	noSync := bytes.Clone(mode1)
	noSync[3] = 0
	for i, tt := range []struct {
		s    []byte
		want bool
	}{{mode1, true}, {form1, true}, {formless, false}, {damaged, false}, {noSync, false}} {
		s := bytes.Clone(tt.s)
		got := strip(s)
		if got != tt.want || !got && !bytes.Equal(s, tt.s) {
			t.Errorf("%d: strip = %v", i, got)
		}
		if got {
			if restore(s); !bytes.Equal(s, tt.s) {
				t.Errorf("%d: another sector comes back", i)
			}
		}
	}
}

// TestFLACOrder: the generic codec says the order of bytes.
func TestFLACOrder(t *testing.T) {
	samples := make([]byte, 8*FrameSize)
	for i := 0; i < len(samples); i += 2 {
		binary.BigEndian.PutUint16(samples[i:], uint16(i*i/500))
	}
	packed, err := cdFrames(8).packFLAC(nil, samples)
	if err != nil {
		t.Fatal(err)
	}
	big, little := make([]byte, 8*disc.SectorSize), make([]byte, 8*disc.SectorSize)
	for order, p := range map[string][]byte{"B": big, "L": little} {
		if err := unFLAC(p, append([]byte(order), packed...)); err != nil {
			t.Fatal(err)
		}
	}
	for i := 0; i < len(big); i += 2 {
		if big[i] != little[i+1] || big[i+1] != little[i] {
			t.Fatalf("sample %d is % X and % X", i/2, big[i:i+2], little[i:i+2])
		}
	}
	if !bytes.Equal(big[:disc.SectorSize], samples[:disc.SectorSize]) {
		t.Error("the samples are others")
	}
	for _, bad := range [][]byte{nil, {'X'}, {'L'}, append([]byte("L"), packed[:100]...), append([]byte("L"), packed[1:]...)} {
		if unFLAC(big, bad) == nil {
			t.Errorf("%.10q unpacks", bad)
		}
	}
}

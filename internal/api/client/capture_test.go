package client

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"strings"
	"testing"
)

// block is a block of pcapng.
func block(kind uint32, body []byte) []byte {
	size := uint32(len(body) + blockLeast)
	b := binary.LittleEndian.AppendUint32(nil, kind)
	b = binary.LittleEndian.AppendUint32(b, size)
	return binary.LittleEndian.AppendUint32(append(b, body...), size)
}

func TestCopyCapture(t *testing.T) {
	packet := block(blockPacket, make([]byte, 20))
	stats := make([]byte, 12)
	stats = append(stats, 4, 0, 8, 0, 9, 0, 0, 0, 0, 0, 0, 0) // isb_ifrecv
	stats = append(stats, 5, 0, 8, 0, 3, 0, 0, 0, 0, 0, 0, 0) // isb_ifdrop
	file := bytes.Join([][]byte{block(0x0A0D0D0A, make([]byte, 16)), packet, block(blockStats, append(stats, 0, 0, 0, 0)), packet}, nil)
	for cut := range len(file) + 1 { // a file that ends anywhere has whole blocks
		var out bytes.Buffer
		got, err := CopyCapture(&out, bytes.NewReader(file[:cut]))
		whole := cut == len(file)
		if whole && (err != nil || got != Captured{2, int64(len(file)), 3}) {
			t.Errorf("CopyCapture = %+v, %v", got, err)
		}
		if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("cut at %d: %v", cut, err)
		}
		if _, err := CopyCapture(io.Discard, &out); err != nil {
			t.Errorf("cut at %d: what was written is no file: %v", cut, err)
		}
	}
	for _, size := range []uint32{0, 8, 13, 1 << 24} {
		bad := binary.LittleEndian.AppendUint32([]byte{6, 0, 0, 0}, size)
		if _, err := CopyCapture(io.Discard, bytes.NewReader(bad)); err == nil || !strings.Contains(err.Error(), "(hint: ") {
			t.Errorf("a block of %d bytes: %v", size, err)
		}
	}
}

// FuzzCopyCapture has a daemon send anything.
func FuzzCopyCapture(f *testing.F) {
	f.Add(block(blockStats, []byte{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5, 0, 8, 0, 1}))
	f.Fuzz(func(t *testing.T, file []byte) {
		var out bytes.Buffer
		got, _ := CopyCapture(&out, bytes.NewReader(file))
		if int64(out.Len()) != got.Bytes || !bytes.HasPrefix(file, out.Bytes()) {
			t.Errorf("%+v of %d bytes that were written", got, out.Len())
		}
	})
}

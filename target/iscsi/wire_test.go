package iscsi

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"errors"
	"hash/crc32"
	"io"
	"net"
	"testing"
)

// CRC32C as it goes on the wire (RFC 7143, 13.1 and appendix A of RFC 3385),
// least significant byte first.
func TestCRC32C(t *testing.T) {
	up, down := make([]byte, 32), make([]byte, 32)
	for i := range up {
		up[i], down[i] = byte(i), byte(31-i)
	}
	tests := []struct {
		data []byte
		want string
	}{
		{make([]byte, 32), "aa36918a"},
		{bytes.Repeat([]byte{0xFF}, 32), "43aba862"},
		{up, "4e79dd46"},
		{down, "5cdb3f11"},
		{[]byte("123456789"), "839206e3"},
	}
	for _, tt := range tests {
		sum := crc32.Checksum(tt.data, castagnoli)
		if got := hex.EncodeToString([]byte{byte(sum), byte(sum >> 8), byte(sum >> 16), byte(sum >> 24)}); got != tt.want {
			t.Errorf("CRC32C of %x = %s, want %s", tt.data, got, tt.want)
		}
	}
}

// FuzzWire reads bytes as PDUs. What it reads it writes again, and the bytes
// are the same: the two halves of the codec agree on padding and digests.
func FuzzWire(f *testing.F) {
	var h header
	h.start(opCommand, flagFinal)
	f.Add(h[:], false, false)
	h.setDataLen(5)
	f.Add(append(h[:], "abcde\x00\x00\x00"...), false, false)
	sum := crc32.Checksum(h[:], castagnoli)
	f.Add(append(h[:], byte(sum), byte(sum>>8), byte(sum>>16), byte(sum>>24)), true, true)
	h[4] = 2
	f.Add(append(h[:], "12345678abcde\x00\x00\x00"...), false, false)
	f.Fuzz(func(t *testing.T, input []byte, headerDigest, dataDigest bool) {
		src := bytes.NewReader(input)
		in := wire{r: &reader{Reader: bufio.NewReaderSize(src, readBuffer)}, limit: ourMaxRecv, headerDigest: headerDigest, dataDigest: dataDigest}
		for at := 0; ; {
			var h header
			if err := in.next(&h); err != nil {
				checkWireError(t, err)
				return
			}
			data := make([]byte, h.dataLen())
			if err := in.data(data); err != nil {
				checkWireError(t, err)
				return
			}
			end := len(input) - src.Len() - in.r.Buffered()
			if len(in.ahs) == 0 && paddingIsZero(input[at:end], len(data), dataDigest) {
				if got := written(t, &in, &h, data); !bytes.Equal(got, input[at:end]) {
					t.Fatalf("read %x, wrote %x", input[at:end], got)
				}
			}
			at = end
		}
	})
}

func checkWireError(t *testing.T, err error) {
	t.Helper()
	for _, known := range []error{io.EOF, io.ErrUnexpectedEOF, errTooLong, errHeaderDigest, errDataDigest} {
		if errors.Is(err, known) {
			return
		}
	}
	t.Fatalf("unknown error %v", err)
}

func paddingIsZero(pdu []byte, n int, digest bool) bool {
	end := len(pdu)
	if digest && n > 0 {
		end -= digestSize
	}
	return bytes.Count(pdu[end-padding(n):end], []byte{0}) == padding(n)
}

// written returns what the writer makes of a header and its data.
func written(t *testing.T, in *wire, h *header, data []byte) []byte {
	t.Helper()
	ours, theirs := net.Pipe()
	c := &conn{nc: ours, in: *in}
	c.out.conn = c
	go func() {
		c.out.append(h, data)
		c.out.flush()
		ours.Close()
	}()
	b, err := io.ReadAll(theirs)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

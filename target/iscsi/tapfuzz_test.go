package iscsi

import (
	"bufio"
	"bytes"
	"testing"
)

// FuzzTap has an initiator send anything to a connection that is followed: what
// the tap gets is what was read, PDU by PDU, but for values that are blanked.
func FuzzTap(f *testing.F) {
	login := append([]byte{0x43, 0x87, 0, 0, 0, 0, 0, 12, 47: 0}, "CHAP_R=0x12\x00"...)
	f.Add(login, true, false)
	f.Add(append([]byte{0x01, 0x80, 0, 0, 1, 0, 0, 3, 60: 1}, 1, 2, 3, 4, 5, 6, 7), false, true)
	f.Add([]byte{0x00, 0x80, 47: 0}, true, true)
	f.Fuzz(func(t *testing.T, stream []byte, skip, digest bool) {
		var p taps
		tap := newTap(&conn{}, 0, tapQueue)
		p.live.Store(tap)
		w := wire{r: &reader{Reader: bufio.NewReaderSize(bytes.NewReader(stream), 64), taps: &p}, limit: ourMaxRecv, dataDigest: digest}
		for {
			var h header
			if w.next(&h) != nil {
				break
			}
			var err error
			if skip {
				err = w.skip(h.dataLen())
			} else if err = w.data(make([]byte, h.dataLen())); err == errDataDigest {
				err = nil // the stream is in step
			}
			if err != nil {
				break
			}
		}
		p.end(w.r)
		at := 0
		for _, pdu := range tap.queue {
			if pdu.Length != len(pdu.Data) || at+pdu.Length > len(stream) {
				t.Fatalf("a PDU of %d bytes, %d kept, at %d of %d", pdu.Length, len(pdu.Data), at, len(stream))
			}
			for i, b := range pdu.Data {
				if was := stream[at+i]; b != was && (b != 'x' || !isText(opcode(pdu.Data[0]&0x3F))) {
					t.Fatalf("byte %d is %02x; %02x was read", at+i, b, was)
				}
			}
			at += pdu.Length
		}
	})
}

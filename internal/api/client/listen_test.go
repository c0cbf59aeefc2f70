package client

import (
	"bytes"
	"errors"
	"io"
	"testing"
)

func FuzzReadAudioFrame(f *testing.F) {
	for _, frame := range []AudioFrame{{}, {Late: true}, {PCM: bytes.Repeat([]byte{1, 2, 3}, AudioFrameSize/3), Dropped: 1 << 20}} {
		var b bytes.Buffer
		if _, err := frame.WriteTo(&b); err != nil {
			f.Fatal(err)
		}
		f.Add(b.Bytes())
	}
	f.Add([]byte{0, 0, 0, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		r := bytes.NewReader(b)
		frame, err := ReadAudioFrame(r)
		switch {
		case len(b) == 0 && !errors.Is(err, io.EOF), len(b) > 0 && len(b) < audioHeadSize+AudioFrameSize && !errors.Is(err, io.ErrUnexpectedEOF):
			t.Errorf("%d bytes: %v", len(b), err)
		case err == nil:
			var again bytes.Buffer
			if n, err := frame.WriteTo(&again); err != nil || !bytes.Equal(again.Bytes(), b[:n]) {
				t.Errorf("written again it is another: %v", err)
			}
		}
	})
}

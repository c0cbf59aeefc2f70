package client

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/url"
)

// AudioFrameSize is the bytes of an [AudioFrame]: 588 samples of 44.1 kHz
// stereo, signed 16 bits little endian, left first; 1/75 s.
const AudioFrameSize = 2352

// An Audio is what a drive's audio player does.
type Audio struct {
	State string `json:"state"` // playing, paused or scanning
	Track int    `json:"track"`
	At    int64  `json:"at"`   // LBA
	Late  int64  `json:"late"` // frames that storage did not give in time, since the drive was made
}

// An AudioFrame is a frame of audio that a drive plays.
type AudioFrame struct {
	PCM     []byte // AudioFrameSize bytes; nil for silence
	Dropped int    // frames before this one that the listener was too slow for
	Late    bool   // storage did not give it in time: it is silence
}

// On the wire a frame is the count of those dropped before it and whether it is
// late, 4 bytes big endian each, then its samples.
const audioHeadSize = 8

var silence [AudioFrameSize]byte

// WriteTo writes the frame as the daemon sends it.
func (f *AudioFrame) WriteTo(w io.Writer) (int64, error) {
	var head [audioHeadSize]byte
	binary.BigEndian.PutUint32(head[:], uint32(f.Dropped))
	if f.Late {
		head[7] = 1
	}
	n, err := w.Write(head[:])
	if err != nil {
		return int64(n), err
	}
	pcm := f.PCM
	if pcm == nil {
		pcm = silence[:]
	}
	m, err := w.Write(pcm)
	return int64(n + m), err
}

// ReadAudioFrame reads a frame as the daemon sends it. The error is io.EOF at
// the end and io.ErrUnexpectedEOF within a frame.
func ReadAudioFrame(r io.Reader) (AudioFrame, error) {
	b := make([]byte, audioHeadSize+AudioFrameSize)
	if _, err := io.ReadFull(r, b); err != nil {
		return AudioFrame{}, err
	}
	late := binary.BigEndian.Uint32(b[4:])
	if late > 1 {
		return AudioFrame{}, fmt.Errorf("frame of audio with flags %08Xh (hint: client and daemon may be of different versions)", late)
	}
	return AudioFrame{PCM: b[audioHeadSize:], Dropped: int(binary.BigEndian.Uint32(b)), Late: late == 1}, nil
}

// Listen returns what a drive plays from now on, when the daemon has begun to
// listen: frame after frame in real time, and nothing while nothing plays. The
// frames end without an error when ctx is done, with one when the daemon or the
// drive goes. They are to be walked once.
func (c *Client) Listen(ctx context.Context, drive string) (iter.Seq2[AudioFrame, error], error) {
	resp, err := c.send(ctx, http.MethodGet, "/v1/drives/"+url.PathEscape(drive)+"/listen", nil)
	if err != nil {
		return nil, err
	}
	return func(yield func(AudioFrame, error) bool) {
		defer resp.Body.Close()
		r := bufio.NewReader(resp.Body)
		for ctx.Err() == nil {
			f, err := ReadAudioFrame(r)
			if err != nil && ctx.Err() != nil {
				return
			}
			if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
				err = &Error{Message: "drive " + drive + " went, or the daemon stopped"}
			}
			if !yield(f, err) || err != nil {
				return
			}
		}
	}, nil
}

package main

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"spindle/internal/api/client"
)

func (a *app) listenCommand() *cobra.Command {
	return &cobra.Command{
		Use: "listen DRIVE", Short: "Write what a drive plays to standard output, as WAV", Args: takes("DRIVE"),
		Long: "Listen writes the audio that hosts play on a drive to standard output, as WAV,\n" +
			"in real time, until it is interrupted. While nothing plays it waits and writes\n" +
			"nothing. At the end it says how much it heard.",
		Example:           "  spindle listen cd0 > out.wav\n  spindle listen cd0 | aplay",
		ValidArgsFunction: a.complete,
		RunE: func(cmd *cobra.Command, args []string) error {
			if f, ok := a.out.(*os.File); ok && isTerminal(f) {
				return &client.Error{
					Message: "sound is not for a terminal",
					Hint:    fmt.Sprintf("send it to a file, `spindle listen %[1]s > out.wav`, or to a player, `spindle listen %[1]s | aplay`", args[0]),
				}
			}
			ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGINT, syscall.SIGTERM)
			defer stop()
			context.AfterFunc(ctx, stop) // a second signal ends at once
			return a.listen(ctx, args[0])
		},
	}
}

// A listened is how much was heard, in frames of 1/75 s.
type listened struct {
	Frames  int `json:"frames"`
	Dropped int `json:"dropped"` // what we were too slow for
	Late    int `json:"late"`    // silence, where the drive's storage was too slow; in frames, too
}

// listen writes a WAV of what the drive plays until ctx is done.
func (a *app) listen(ctx context.Context, drive string) error {
	frames, err := a.client().Listen(ctx, drive)
	if err != nil {
		return err
	}
	w, err := newWAV(a.out)
	if err != nil {
		return err
	}
	if !a.json {
		fmt.Fprintf(os.Stderr, "listening to %s until an interrupt\n", drive)
	}
	var heard listened
	for f, ferr := range frames {
		if err = ferr; err != nil {
			break
		}
		if _, err = w.Write(f.PCM); err != nil {
			break
		}
		heard.Frames++
		heard.Dropped += f.Dropped
		if f.Late {
			heard.Late++
		}
	}
	a.reportHeard(drive, heard)
	if ferr := w.finish(); err == nil {
		err = ferr
	}
	return err
}

// reportHeard says on standard error how much was heard: standard output is
// sound.
func (a *app) reportHeard(drive string, h listened) {
	if a.json {
		_ = json.NewEncoder(os.Stderr).Encode(h)
		return
	}
	fmt.Fprintf(os.Stderr, "%s: %.1f s heard, %s dropped", drive, float64(h.Frames)/75, framesOf(h.Dropped))
	if h.Late > 0 {
		fmt.Fprintf(os.Stderr, ", %s silent because storage was late", framesOf(h.Late))
	}
	fmt.Fprintln(os.Stderr)
	if h.Dropped > 0 {
		fmt.Fprintln(os.Stderr, "hint: what takes the sound was more than 2 s behind; write to a file, or to a faster disk")
	}
}

func framesOf(n int) string {
	if n == 1 {
		return "1 frame"
	}
	return fmt.Sprintf("%d frames", n)
}

// A wav is a WAV file of CD audio that grows.
type wav struct {
	w    io.Writer
	file *os.File // in which the sizes can be set at the end, or nil
	size int64    // of the samples
}

const wavHeaderSize = 44

// unknownSize stands for a size that is not known yet: players then read to the
// end.
const unknownSize = math.MaxUint32

// newWAV writes the header, with sizes that are not known.
func newWAV(w io.Writer) (*wav, error) {
	f, ok := w.(*os.File)
	if !ok || !patchable(f) {
		f = nil
	}
	_, err := w.Write(wavHeader(unknownSize))
	return &wav{w: w, file: f}, err
}

// patchable reports whether what is written to f first can be changed later: f
// is a file, it is empty, and it is not written at its end always.
func patchable(f *os.File) bool {
	fi, err := f.Stat()
	if err != nil || !fi.Mode().IsRegular() || fi.Size() != 0 {
		return false
	}
	at, err := f.Seek(0, io.SeekCurrent)
	if err != nil || at != 0 {
		return false
	}
	flags, err := unix.FcntlInt(f.Fd(), unix.F_GETFL, 0)
	return err == nil && flags&unix.O_APPEND == 0
}

// wavHeader is the header of so many bytes of samples: RIFF, then a chunk that
// says PCM of two channels, 44.1 kHz, 16 bits, then that of the samples.
func wavHeader(size uint32) []byte {
	const channels, rate, bytesPerSample, pcm = 2, 44100, 2, 1
	riff := uint32(unknownSize)
	if size != unknownSize {
		riff = size + wavHeaderSize - 8
	}
	le := binary.LittleEndian
	b := le.AppendUint32([]byte("RIFF"), riff)
	b = le.AppendUint32(append(b, "WAVEfmt "...), 16)
	b = le.AppendUint16(b, pcm)
	b = le.AppendUint16(b, channels)
	b = le.AppendUint32(b, rate)
	b = le.AppendUint32(b, rate*channels*bytesPerSample)
	b = le.AppendUint16(b, channels*bytesPerSample)
	b = le.AppendUint16(b, 8*bytesPerSample)
	return le.AppendUint32(append(b, "data"...), size)
}

// Write appends samples.
func (w *wav) Write(p []byte) (int, error) {
	n, err := w.w.Write(p)
	w.size += int64(n)
	return n, err
}

// finish puts the sizes into the header where that can be done. A file of more
// than 4 GiB, some 6.7 hours, keeps those that are not known.
func (w *wav) finish() error {
	if w.file == nil || w.size > unknownSize-wavHeaderSize {
		return nil
	}
	_, err := w.file.WriteAt(wavHeader(uint32(w.size)), 0)
	return err
}

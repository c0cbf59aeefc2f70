package main

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"spindle/internal/api/client"
	"spindle/internal/initiator"
	"spindle/testdata/fixture"
)

// TestListen plays across a track boundary from an initiator, pauses and
// resumes, and compares the WAV of `spindle listen` with the samples of the
// tracks. It takes a second and a half of play, and as much again when the play was
// over before the pause.
func TestListen(t *testing.T) {
	dir := t.TempDir()
	src := fixture.AudioDisc()
	if err := fixture.WriteCUE(dir, "audio", src, fixture.CUEOptions{}); err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(dir, "s")
	serve := start(t, dir, "serve", "--listen", "127.0.0.1:0", "--state", filepath.Join(dir, "state"),
		"--library", dir, "--socket", socket, "--disc", "audio.cue", "--log-level", "error")
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	c := client.New(socket)
	defer c.Close()
	s := awaitStatus(t, c, tick)
	player := newPlayer(t, &s)

	out := filepath.Join(dir, "out.wav")
	stdout, err := os.Create(out)
	if err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	listen := exec.CommandContext(t.Context(), filepath.Join(program, "spindle"), "listen", "cd0", "--socket", socket)
	listen.Stdout, listen.Stderr = stdout, &said
	if err := listen.Start(); err != nil {
		t.Fatal(err)
	}
	await := func(what string, ok func() bool) {
		t.Helper()
		for range 3000 {
			if ok() {
				return
			}
			<-tick.C
		}
		t.Fatalf("%s did not come", what)
	}
	size := func() int64 { fi, _ := os.Stat(out); return fi.Size() }
	await("the header", func() bool { return size() == wavHeaderSize })

	const from, frames = 750, 110 // the end of track 1, the gap, the start of track 2
	plays, paused := 0, false
	played := func(n int) int64 { return wavHeaderSize + int64((plays-1)*frames+n)*fixture.RawSize }
	for !paused {
		player.do(t, "47000000"+"0c0000"+"0d230000") // PLAY AUDIO MSF 00:12:00 to 00:13:35
		plays++
		await("some sound", func() bool { return size() > played(10) })
		if paused = player.try(t, "4b0000000000000000").Status == 0; !paused { // PAUSE
			await("the sound of a play that was not paused", func() bool { return size() >= played(frames) })
		}
	}
	if b := player.do(t, "420040010000000010"); b[1] != 0x12 {
		t.Errorf("READ SUB-CHANNEL = % x; want paused", b)
	}
	if s := awaitStatus(t, c, tick); s.Drives[0].Audio == nil || s.Drives[0].Audio.State != "paused" {
		t.Errorf("status %+v; want paused", s.Drives[0].Audio)
	}
	player.do(t, "4b0000000000000001") // RESUME
	await("the end of the play", func() bool { return player.do(t, "420040010000000010")[1] == 0x13 })
	await("all sound", func() bool { return size() >= played(frames) })
	if err := listen.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	heard := fmt.Sprintf("cd0: %.1f s heard, 0 frames dropped\n", float64(plays*frames)/75)
	if err := listen.Wait(); err != nil || !strings.HasSuffix(said.String(), heard) {
		t.Errorf("it ended with %v and said %q; want %q", err, said.String(), heard)
	}

	want := wavHeader(uint32(plays) * frames * fixture.RawSize)
	for i := range plays * frames {
		want = append(want, src.Raw(from+i%frames)...)
	}
	got, err := os.ReadFile(out)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("the WAV has %d bytes, %v; want the %d of the tracks", len(got), err, len(want))
	}

	// A drive that is not there; then a daemon that goes, into a pipe.
	missing := exec.Command(filepath.Join(program, "spindle"), "listen", "cd7", "--socket", socket)
	if b, err := missing.CombinedOutput(); err == nil || !strings.Contains(string(b), `there is no drive "cd7"`) {
		t.Errorf("listening to no drive: %v, %s", err, b)
	}
	piped := exec.CommandContext(t.Context(), filepath.Join(program, "spindle"), "listen", "cd0", "--json", "--socket", socket)
	said.Reset()
	piped.Stderr = &said
	pipe, err := piped.StdoutPipe()
	if err == nil {
		err = piped.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	head := make([]byte, wavHeaderSize)
	if _, err := io.ReadFull(pipe, head); err != nil || binary.LittleEndian.Uint32(head[40:]) != unknownSize {
		t.Errorf("the header in a pipe is % x, %v; want sizes that are not known", head, err)
	}
	player.c.Close() // a stop waits for hosts
	_ = serve.Process.Signal(syscall.SIGTERM)
	rest, _ := io.ReadAll(pipe)
	if err := piped.Wait(); err == nil || len(rest) != 0 ||
		said.String() != `{"frames":0,"dropped":0,"late":0}`+"\n"+`{"error":"drive cd0 went, or the daemon stopped"}`+"\n" {
		t.Errorf("the daemon went: %v, %d bytes, %s", err, len(rest), said.String())
	}
}

// start starts the program, and kills it when the test ends.
func start(t *testing.T, dir string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(filepath.Join(program, "spindle"), args...)
	cmd.Dir, cmd.Stderr = dir, os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return cmd
}

// A cdPlayer is an initiator on the first drive.
type cdPlayer struct{ c *initiator.Conn }

func newPlayer(t *testing.T, s *client.Status) cdPlayer {
	t.Helper()
	c, err := initiator.Dial(s.Portals[0])
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if _, err = c.Login(initiator.Options{Target: s.Drives[0].Target}); err == nil {
		_, err = c.Do(make([]byte, 16), 0, nil, 0) // takes 29/00
	}
	if err != nil {
		t.Fatal(err)
	}
	return cdPlayer{c}
}

// do sends the command of a hex text that must be GOOD, and returns its data.
func (h cdPlayer) do(t *testing.T, text string) []byte {
	t.Helper()
	res := h.try(t, text)
	if res.Status != 0 {
		t.Fatalf("%s: %+v", text, res)
	}
	return res.Data
}

// try sends the command of a hex text.
func (h cdPlayer) try(t *testing.T, text string) *initiator.Result {
	t.Helper()
	cdb, err := hex.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	res, err := h.c.Do(append(cdb, make([]byte, 16-len(cdb))...), 255, nil, 0)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return res
}

// TestWAVAppended: in a file that is written at its end, or that has something
// in it, nothing is changed afterwards.
func TestWAVAppended(t *testing.T) {
	name := filepath.Join(t.TempDir(), "a.wav")
	for i, flag := range []int{os.O_APPEND, 0} {
		f, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR|flag, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		if patchable(f) {
			t.Errorf("case %d: the header would be patched", i)
		}
		if _, err := f.WriteString("text"); err != nil {
			t.Fatal(err)
		}
		f.Close()
	}
}

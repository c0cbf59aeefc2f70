package daemon

import (
	"bytes"
	"context"
	"iter"
	"testing"

	"spindle/internal/api/client"
	"spindle/testdata/fixture"
)

// TestSpeaker: a listener that is slow misses frames, which are counted, and
// holds up nobody; the others hear all.
func TestSpeaker(t *testing.T) {
	var s speaker
	s.hear([]byte{0}) // nobody listens
	slow, stopSlow := s.listen()
	quick, stopQuick := s.listen()
	defer stopQuick()
	for i := range 2 * earFrames {
		s.hear([]byte{byte(i)})
		if f := <-quick; f.PCM[0] != byte(i) || f.Dropped != 0 || f.Late {
			t.Fatalf("frame %d is %+v", i, f)
		}
	}
	for i := range earFrames {
		if f := <-slow; f.PCM[0] != byte(i) || f.Dropped != 0 {
			t.Fatalf("slow: frame %d is %+v", i, f)
		}
	}
	s.hear(nil)
	if f := <-slow; f.Dropped != earFrames || !f.Late {
		t.Errorf("slow: then %+v; want %d dropped", f, earFrames)
	}
	<-quick
	stopSlow()
	stopSlow()
	s.hear([]byte{1})
	if len(slow) != 0 {
		t.Error("who stopped hears on")
	}
	<-quick
	s.close()
	s.hear([]byte{1})
	if _, ok := <-quick; ok {
		t.Error("a frame after the close")
	}
	late, stop := s.listen()
	if _, ok := <-late; ok {
		t.Error("a drive that is closed is heard")
	}
	stop()
}

// TestListen hears what a host plays, from two listeners, over a reload that
// leaves the drive and until one that makes it anew.
func TestListen(t *testing.T) {
	r := newRig(t)
	src := fixture.AudioDisc()
	r.must(fixture.WriteCUE(r.path("images"), "audio", src, fixture.CUEOptions{}))
	cd0 := "[drive.cd0]\ndisc = \"audio.cue\"\n"
	r.start(cd0)
	h := r.newHost()
	defer h.leave()
	frames, err := r.client.Listen(t.Context(), "cd0")
	r.must(err)
	next, end := iter.Pull2(frames)
	defer end()
	other, cancel := context.WithCancel(t.Context())
	defer cancel()
	second, err := r.client.Listen(other, "cd0")
	r.must(err)

	h.must("45 00 00 00 03 00 00 03 20") // 10.7 s from 768 on
	for i := range 10 {
		f, err, _ := next()
		if err != nil || !bytes.Equal(f.PCM, src.Raw(768+i)) || f.Dropped != 0 || f.Late {
			t.Fatalf("frame %d: %d dropped, late %v, %v", i, f.Dropped, f.Late, err)
		}
	}
	for f, err := range second {
		if err != nil || !bytes.Equal(f.PCM, src.Raw(768)) {
			t.Errorf("the second listener: %v", err)
		}
		cancel()
	}
	audio := func() *client.Audio { s := r.status(); return s.Drive("cd0").Audio }
	if a := audio(); a == nil || a.State != "playing" || a.At < 778 || a.At >= 1568 || a.Track != src.At(int(a.At)).Number {
		t.Errorf("status says %+v; want playing", a)
	}
	h.must("4e")
	if a := audio(); a != nil {
		t.Errorf("status says %+v after the stop", a)
	}
	r.write(cd0 + "eject = \"remove\"\n")
	for err == nil {
		_, err, _ = next()
	}
	if want := "drive cd0 went, or the daemon stopped"; err.Error() != want {
		t.Errorf("the drive was made anew: %v; want %s", err, want)
	}
}

package daemon

import (
	"testing"
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

package mmcemu

import (
	"bytes"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"spindle/isostore/disc"
	"spindle/isostore/disc/disctest"
	"spindle/scsi"
	"spindle/scsi/scsitest"
)

// A heard is what Options.Audio was given.
type heard struct {
	mu   sync.Mutex
	pcm  []byte
	none int
	last time.Time
}

func (h *heard) hear(pcm []byte) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.last = time.Now()
	if pcm == nil {
		h.none++
	}
	h.pcm = append(h.pcm, pcm...)
}

// settled waits for what is due to have come, so that the fields may be looked at.
func (h *heard) settled() *heard {
	synctest.Wait()
	return h
}

func (h *heard) drive(t *testing.T, dd disc.Disc) (*Drive, *scsi.Nexus) {
	o := testOptions
	o.Audio, o.SwapHold = h.hear, -1
	drive := New(o)
	insert(t, drive, dd, "disc")
	return drive, join(drive, "a")
}

// samples are those of the synthetic disc.
func samples(from, end disc.LBA) []byte {
	b := make([]byte, int(end-from)*disc.SectorSize)
	for i := range int(end - from) {
		disctest.Fill(b[i*disc.SectorSize:][:disc.SectorSize], from+disc.LBA(i))
	}
	return b
}

// TestHeard: what is heard is the samples, in real time and without a gap, also
// over the boundary of tracks, over a pause, and when play goes on elsewhere.
func TestHeard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var h heard
		drive, n := h.drive(t, mixedCD())
		defer drive.Close()
		began := time.Now()
		run(t, drive, n, playCDB(4900, 300), nil)
		wait(2500 * time.Millisecond)
		if got := len(h.settled().pcm) / disc.SectorSize; got < 186 || got > 188 {
			t.Errorf("%d frames after 2.5 s; want 187", got)
		}
		run(t, drive, n, pause, nil)
		wait(time.Minute)
		run(t, drive, n, resume, nil)
		wait(2 * time.Second)
		want := samples(4900, 5200)
		if !bytes.Equal(h.settled().pcm, want) {
			t.Errorf("heard %d bytes; want the %d of the tracks", len(h.pcm), len(want))
		}
		if d := h.settled().last.Sub(began) - time.Minute; d < 3900*time.Millisecond || d > 4100*time.Millisecond {
			t.Errorf("the last frame came after %v; want 4 s", d)
		}
		h.settled().pcm = nil
		run(t, drive, n, playCDB(1000, 750), nil)
		wait(time.Second + 5*time.Millisecond)
		run(t, drive, n, playCDB(-150, 75), nil)
		wait(2 * time.Second)
		if want := append(samples(1000, 1075), samples(-150, -75)...); !bytes.Equal(h.settled().pcm, want) {
			t.Errorf("heard %d bytes; want a second of each, %d", len(h.pcm), len(want))
		}
		if h.settled().none != 0 || drive.player.sound.running {
			t.Errorf("%d frames came late, the goroutine runs %v", h.none, drive.player.sound.running)
		}
	})
}

func TestHeardScan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var h heard
		drive, n := h.drive(t, mixedCD())
		defer drive.Close()
		run(t, drive, n, "ba 10 00 00 03 e8", nil)
		wait(600 * time.Millisecond)
		run(t, drive, n, pause, nil)
		want := append(samples(1000, 1015), append(samples(880, 895), samples(760, 775)...)...)
		if !bytes.Equal(h.settled().pcm, want) {
			t.Errorf("heard %d bytes; want three bursts, %d", len(h.pcm), len(want))
		}
	})
}

// A slowDisc waits before it reads sectors.
type slowDisc struct {
	disc.Disc
	wait func(lba disc.LBA) error
}

func (d slowDisc) ReadSectors(p []byte, lba disc.LBA) (int, error) {
	if err := d.wait(lba); err != nil {
		return 0, err
	}
	return d.Disc.(disc.RawReader).ReadSectors(p, lba)
}

// TestHeardSlow: storage that pauses makes no gap, one that hangs leaves frames
// out, and the position waits for neither.
func TestHeardSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var h heard
		drive, n := h.drive(t, slowDisc{mixedCD(), func(lba disc.LBA) error {
			switch lba {
			case 1150:
				wait(2 * time.Second)
			case 1450:
				wait(20 * time.Second)
			}
			return nil
		}})
		defer drive.Close()
		run(t, drive, n, playCDB(1000, 750), nil)
		wait(4500 * time.Millisecond)
		if h.settled().none != 0 || !bytes.Equal(h.settled().pcm, samples(1000, 1337)) {
			t.Errorf("after a pause of 2 s %d frames are missing, %d bytes are there", h.none, len(h.pcm))
		}
		isAt(t, drive, n, position{0x11, 0x10, 1, 1, 1337, 337})
		wait(6 * time.Second)
		isAt(t, drive, n, position{0x13, 0x10, 1, 1, 1749, 749})
		wait(30 * time.Second)
		if h.settled().none != 300 || !bytes.Equal(h.settled().pcm, samples(1000, 1450)) {
			t.Errorf("%d frames are missing, %d bytes are there; want 300 of 750 missing", h.none, len(h.pcm))
		}
		if s := drive.Status(); s.Audio.Late != 300 {
			t.Errorf("status counts %d frames", s.Audio.Late)
		}
	})
}

// TestHeardError: a frame that cannot be read ends the play in an error, when
// its time has come.
func TestHeardError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var h heard
		drive, n := h.drive(t, slowDisc{mixedCD(), func(lba disc.LBA) error {
			if lba >= 1150 {
				return disc.ErrChanged
			}
			return nil
		}})
		defer drive.Close()
		run(t, drive, n, playCDB(1000, 750), nil)
		wait(1900 * time.Millisecond)
		isAt(t, drive, n, position{0x11, 0x10, 1, 1, 1142, 142})
		wait(time.Second)
		isAt(t, drive, n, position{0x14, 0x10, 1, 1, 1150, 150})
		if !bytes.Equal(h.settled().pcm, samples(1000, 1150)) {
			t.Errorf("heard %d bytes; want those that are good", len(h.pcm))
		}
	})
}

// TestHung: plays over storage that hangs make no heap of goroutines, and the
// disc is let go when storage comes back.
func TestHung(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var h heard
		hung, readers := make(chan struct{}), 0
		f := newRawDisc()
		f.gone = make(chan struct{})
		drive, n := h.drive(t, slowDisc{f, func(disc.LBA) error { readers++; <-hung; return nil }})
		for range 100 {
			run(t, drive, n, playCDB(0, 75), nil)
			wait(30 * time.Millisecond)
		}
		wait(10 * time.Second)
		synctest.Wait()
		if readers != 1 || len(drive.player.sound.passages) != 0 {
			t.Errorf("%d goroutines read, %d passages wait", readers, len(drive.player.sound.passages))
		}
		if err := drive.Eject(t.Context(), false); err != nil {
			t.Fatal(err)
		}
		close(hung)
		if !f.isClosed() {
			t.Error("the disc is still open")
		}
		_ = drive.Close()
	})
}

// TestVolume: volume and channels of mode page 0Eh apply to what is heard.
func TestVolume(t *testing.T) {
	pcm := []byte{0x00, 0x40, 0x00, 0xE0} // left 16384, right -8192
	for _, tt := range []struct{ ports, want string }{
		{"01ff02ff", "0040 00e0"},
		{"02ff01ff", "00e0 0040"},
		{"01ff0100", "0040 0000"},
		{"00ff02ff", "0000 00e0"},
		{"03ff02ff", "0010 00e0"},
		{"01800280", "2020 f0ef"},
	} {
		page := append(make([]byte, 8), scsitest.Hex(t, tt.ports)...)
		got := bytes.Clone(pcm)
		gainsOf(page).apply(got)
		if !bytes.Equal(got, scsitest.Hex(t, tt.want)) {
			t.Errorf("ports %s: % x; want %s", tt.ports, got, tt.want)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		var h heard
		drive, n := h.drive(t, mixedCD())
		defer drive.Close()
		run(t, drive, n, playCDB(1000, 75), nil)
		wait(500*time.Millisecond + time.Millisecond)
		list := scsitest.Hex(t, "00000000 0e0e04000000004b 01000200 01ff02ff") // mute; ports 2 and 3 are not there
		if _, err := scsitest.DoNexus(t, drive, n, "15 10 00 00 14", list); err != nil {
			t.Fatal(err)
		}
		wait(time.Second)
		want := append(samples(1000, 1037), make([]byte, 38*disc.SectorSize)...)
		if !bytes.Equal(h.settled().pcm, want) {
			t.Errorf("heard %d bytes; want half a second, then silence", len(h.pcm))
		}
		expect(t, drive, n, "1a 00 0e 00 ff", "13000000 0e0e04000000004b 01000200 00000000")
		expect(t, drive, n, "1a 00 4e 00 ff", "13000000 0e0e020000000000 03ff03ff 00000000")
	})
}

// A playModel says by itself what is heard of plays, pauses and stops: frames
// of 1/75 s, each when it has passed.
type playModel struct {
	at, end disc.LBA
	since   time.Time
	moves   bool
	paused  bool
	pcm     []byte
}

func (m *playModel) halt() {
	if !m.moves {
		return
	}
	n := disc.LBA(time.Since(m.since) * 75 / time.Second)
	n = min(n, m.end-m.at)
	m.pcm = append(m.pcm, samples(m.at, m.at+n)...)
	m.at, m.moves = m.at+n, false
}

func (m *playModel) begin(at, end disc.LBA) {
	m.halt()
	m.at, m.end, m.since, m.moves, m.paused = at, end, time.Now(), true, false
}

// ended reports whether a play has come to its end.
func (m *playModel) ended() bool {
	return m.moves && disc.LBA(time.Since(m.since)*75/time.Second) >= m.end-m.at
}

// TestHeardRandom: whatever hosts do, what is heard is what passed under the
// head, without a gap and nothing twice.
func TestHeardRandom(t *testing.T) {
	for seed := range uint64(6) {
		synctest.Test(t, func(t *testing.T) {
			var h heard
			var m playModel
			drive, n := h.drive(t, mixedCD())
			defer drive.Close()
			rng := rand.New(rand.NewPCG(seed, 0))
			for range 40 {
				if m.ended() {
					m.halt()
				}
				cdb, err := "", error(nil)
				switch rng.IntN(6) {
				case 0, 1:
					from, length := disc.LBA(rng.IntN(8000)-150), rng.IntN(300)+1
					cdb = playCDB(from, length)
					m.begin(from, from+disc.LBA(length))
				case 2:
					if cdb = pause; !m.moves && !m.paused {
						err = scsi.ErrCommandSequence
					} else {
						m.halt()
						m.paused = true
					}
				case 3:
					if cdb = resume; m.paused {
						m.begin(m.at, m.end)
					} else if !m.moves {
						err = scsi.ErrCommandSequence
					}
				case 4:
					cdb = []string{stop, readFirst, "2b 00 00 00 00 10"}[rng.IntN(3)]
					m.halt()
					m.paused = false
					if cdb == readFirst {
						err = scsi.ErrIllegalMode
					}
				case 5:
					cdb = subChannel
				}
				run(t, drive, n, cdb, err)
				wait(time.Duration(rng.IntN(1500)) * time.Millisecond)
			}
			wait(time.Minute)
			m.halt()
			if !bytes.Equal(h.settled().pcm, m.pcm) || h.none != 0 {
				t.Errorf("seed %d: %d bytes were heard, %d frames are missing; want %d bytes", seed, len(h.pcm), h.none, len(m.pcm))
			}
		})
	}
}

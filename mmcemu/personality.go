package mmcemu

import (
	"slices"

	"spindle/isostore/disc"
	"spindle/scsi"
)

// A Personality is what a drive says of its kind, beside the names in Options.
// The zero value is the plain drive.
type Personality struct {
	Mechanism Mechanism // of a drive without slots
	Speeds    Speeds    // the plain drive's for a kind of medium that has none
}

// A Mechanism is how discs come into a drive. It is what the drive says: the
// tray of every one can be opened and closed.
type Mechanism byte

// Mechanisms.
const (
	Tray Mechanism = iota
	Caddy
	PopUp
	changerMechanism // discs that can be changed one by one
)

// mechanisms are what stands in the loading mechanism field of mode page 2Ah,
// and byte 4 of feature 0003h: that field, then bit 4 LOAD, 3 EJECT, 0 LOCK. A
// caddy and a pop-up door are closed by hand. Source: MMC-6, 5.3.4; MMC-3, 6.3.11.
var mechanisms = map[Mechanism]struct{ page, feature byte }{
	Caddy:            {0 << 5, 0<<5 | 0x09},
	Tray:             {1 << 5, 1<<5 | 0x19},
	PopUp:            {2 << 5, 2<<5 | 0x09},
	changerMechanism: {4 << 5, 4<<5 | 0x19},
}

// mechanism returns what the drive says of itself.
func (d *Drive) mechanism() Mechanism {
	if d.isChanger() {
		return changerMechanism
	}
	return d.o.Personality.Mechanism
}

// removableMedium is the data of feature 0003h.
func removableMedium(d *Drive, _ scsi.Port, _ *medium) []byte {
	return []byte{mechanisms[d.mechanism()].feature, 0, 0, 0}
}

// Speeds are read speeds in kB/s, which is 1000 bytes/s, fastest first, by kind
// of medium.
type Speeds struct{ CD, DVD, BD []int }

// Speeds of 1x, in kB/s.
const (
	singleCD  = 176
	singleDVD = 1385
	singleBD  = 4495
)

// plainSpeeds are those of the plain drive.
var plainSpeeds = Speeds{
	CD:  multiples(singleCD, 48, 40, 32, 24, 16, 8, 4),
	DVD: multiples(singleDVD, 16, 12, 8, 6, 4, 2, 1),
	BD:  multiples(singleBD, 8, 6, 4, 2, 1),
}

func multiples(single int, times ...int) []int {
	speeds := make([]int, len(times))
	for i, n := range times {
		speeds[i] = n * single
	}
	return speeds
}

// SpeedsUpTo returns the speeds of the plain drive up to so many times 1x, which
// is among them for CDs unless the plain drive is slower.
func SpeedsUpTo(times int) Speeds {
	upTo := func(speeds []int, single int) []int {
		i := slices.IndexFunc(speeds, func(s int) bool { return s <= times*single })
		if i < 0 {
			return []int{times * single}
		}
		return speeds[i:]
	}
	return Speeds{upTo(plainSpeeds.CD, singleCD), upTo(plainSpeeds.DVD, singleDVD), upTo(plainSpeeds.BD, singleBD)}
}

// orPlain returns s with the plain drive's speeds where it has none.
func (s Speeds) orPlain() Speeds {
	for _, kind := range []struct {
		have  *[]int
		plain []int
	}{{&s.CD, plainSpeeds.CD}, {&s.DVD, plainSpeeds.DVD}, {&s.BD, plainSpeeds.BD}} {
		if len(*kind.have) == 0 {
			*kind.have = kind.plain
		}
	}
	return s
}

// speedsOf returns the speeds for a medium, for none those of a CD.
func (d *Drive) speedsOf(m *medium) []int {
	switch kindOf(m) {
	case disc.DVD:
		return d.o.Personality.Speeds.DVD
	case disc.BD:
		return d.o.Personality.Speeds.BD
	}
	return d.o.Personality.Speeds.CD
}

// clampSpeed returns the fastest speed for a medium that is not above the one
// asked for, the slowest when all are, and the fastest for 0.
func (d *Drive) clampSpeed(m *medium, speed int) int {
	speeds := d.speedsOf(m)
	if speed == 0 {
		return speeds[0]
	}
	for _, s := range speeds {
		if s <= speed {
			return s
		}
	}
	return speeds[len(speeds)-1]
}

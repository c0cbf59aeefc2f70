package disc

import "fmt"

// An LBA is a logical block address. Those below 0 lie in the pregap of track
// 1 and, below -150, in the lead-in.
type LBA int32

// An MSF is a CD address in minutes, seconds and frames, binary, not BCD.
type MSF struct{ M, S, F byte }

// pregap is the distance of LBA 0 from 00:00:00, in frames; leadIn that of the
// lead-in, which counts up to 99:59:74 before it (MMC-6, 4.2.6).
const (
	pregap = 150
	leadIn = 450150
)

// MSF returns the address as MMC-6 table 612 does, and FF:3B:4A for one beyond
// 255 minutes, which only DVD and BD reach.
func (l LBA) MSF() MSF {
	f := int64(l) + pregap
	if l < -pregap {
		f = int64(l) + leadIn
	}
	if f < 0 {
		return MSF{}
	}
	if f >= 256*60*75 {
		return MSF{0xFF, 0x3B, 0x4A}
	}
	return MSF{byte(f / (60 * 75)), byte(f / 75 % 60), byte(f % 75)}
}

// LBA returns the logical block address of m.
func (m MSF) LBA() LBA {
	f := (int32(m.M)*60+int32(m.S))*75 + int32(m.F)
	if m.M >= 90 {
		return LBA(f - leadIn)
	}
	return LBA(f - pregap)
}

func (m MSF) String() string { return fmt.Sprintf("%02d:%02d:%02d", m.M, m.S, m.F) }

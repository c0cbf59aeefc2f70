package mmcemu

import "spindle/isostore/disc"

// Read speeds in kB/s, which is 1000 bytes/s, fastest first: of CDs in
// multiples of 176, of DVDs of 1385, of BDs of 4495.
var (
	speedsCD  = []int{48 * 176, 40 * 176, 32 * 176, 24 * 176, 16 * 176, 8 * 176, 4 * 176}
	speedsDVD = []int{16 * 1385, 12 * 1385, 8 * 1385, 6 * 1385, 4 * 1385, 2 * 1385, 1385}
	speedsBD  = []int{8 * 4495, 6 * 4495, 4 * 4495, 2 * 4495, 4495}
)

// speedsOf returns the speeds for a medium, for none those of a CD.
func speedsOf(m *medium) []int {
	switch kindOf(m) {
	case disc.DVD:
		return speedsDVD
	case disc.BD:
		return speedsBD
	}
	return speedsCD
}

// clampSpeed returns the fastest speed for a medium that is not above the one
// asked for, the slowest when all are, and the fastest for 0.
func clampSpeed(m *medium, speed int) int {
	speeds := speedsOf(m)
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

package mmcemu

import "encoding/binary"

// audioControlPage is the code of the mode page of CD audio control.
const audioControlPage = 0x0E

// stopsOnCrossing reports whether the SOTC bit of mode page 0Eh is set: a play
// that begins now ends with its track. The mutex is held.
func (d *Drive) stopsOnCrossing() bool {
	const sotc = 0x02
	return d.pages[pageIndex(audioControlPage)][2]&sotc != 0
}

// A gain is how an output port is fed: from which channels, bit 0 the left one
// and bit 1 the right one, and how loud, 0 to 255.
type gain struct{ channels, volume byte }

// gains are those of ports 0 and 1, which are left and right of what is heard.
type gains [2]gain

// gainsOf returns the gains that mode page 0Eh says.
func gainsOf(page []byte) gains {
	return gains{{page[8], page[9]}, {page[10], page[11]}}
}

// unchanged are the gains that change nothing.
var unchanged = gains{{1, 0xFF}, {2, 0xFF}}

// apply changes samples of 16 bits, little endian, left and right in turn.
func (g gains) apply(pcm []byte) {
	if g == unchanged {
		return
	}
	for ; len(pcm) >= 4; pcm = pcm[4:] {
		left, right := sample(pcm), sample(pcm[2:])
		for port := range g {
			binary.LittleEndian.PutUint16(pcm[2*port:], uint16(g[port].of(left, right)))
		}
	}
}

func sample(p []byte) int32 { return int32(int16(binary.LittleEndian.Uint16(p))) }

// of returns what a port gives out: of both channels their mean, of none silence.
func (g gain) of(left, right int32) int16 {
	var v int32
	switch g.channels & 3 {
	case 1:
		v = left
	case 2:
		v = right
	case 3:
		v = (left + right) / 2
	}
	return int16(v * int32(g.volume) / 0xFF)
}

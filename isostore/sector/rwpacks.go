package sector

import "spindle/isostore/disc"

// R to W hold packs of 24 symbols, four a sector. On the disc a pack's symbols
// lie in other places, and each place is later by so many packs as its number
// has over a multiple of eight, so that a burst of errors hits many packs.
const (
	packSymbols = 24
	packDelays  = 8
	sectorPacks = disc.SubSize / packSymbols
)

// RWAhead is how many sectors after its own the symbols of a sector's packs
// reach at most.
const RWAhead = (sectorPacks - 1 + packDelays - 1) / sectorPacks

// packPlaces are where a pack's symbols lie among 24 on the disc: three pairs
// change places.
var packPlaces = func() (places [packSymbols]int) {
	for i := range places {
		places[i] = i
	}
	for _, pair := range [][2]int{{1, 18}, {2, 5}, {3, 23}} {
		places[pair[0]], places[pair[1]] = pair[1], pair[0]
	}
	return places
}()

// RWPacks writes at dst[:96] the four packs of R to W of one sector, without their
// interleaving: 6 bits a byte, R in bit 5. src are P to W of the sector and of
// the RWAhead sectors after it, interleaved as READ CD sends them. Parity is
// not used: what an image holds was corrected when it was read, if it could be.
//
// Source: IEC 60908, 14.4 and 14.5; MMC-6, READ CD, corrected and de-interleaved
// R-W data.
func RWPacks(dst, src []byte) {
	src = src[:(1+RWAhead)*disc.SubSize]
	for pack := range sectorPacks {
		for i, place := range packPlaces {
			at := (pack+place%packDelays)*packSymbols + place
			dst[pack*packSymbols+i] = src[at] & 0x3F
		}
	}
}

// RWSymbols is the inverse of [RWPacks]: it writes at dst[:96] the symbols of R to W
// that a disc has in one sector. src are the packs of the RWAhead sectors before it
// and of the sector, in bits 5 to 0 of 96 bytes a sector.
func RWSymbols(dst, src []byte) {
	src, dst = src[:(RWAhead+1)*disc.SubSize], dst[:disc.SubSize]
	for i := range dst {
		place := i % packSymbols
		pack := RWAhead*sectorPacks + i/packSymbols - place%packDelays
		dst[i] = src[pack*packSymbols+packPlaces[place]] & 0x3F // who changes places does so both ways
	}
}

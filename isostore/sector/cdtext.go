package sector

import (
	"fmt"
	"strings"
)

// PackSize is the size of a CD-TEXT pack: type, track, sequence number, block and
// place, 12 bytes of payload, CRC (MMC-3, annex J).
const PackSize = 18

// Where the 12 bytes of payload of a pack are, and its CRC.
const (
	payloadAt = 4
	packCRCAt = 16
)

// Types of CD-TEXT packs.
const (
	PackTitle      byte = 0x80
	PackPerformer  byte = 0x81
	PackSongwriter byte = 0x82
	PackComposer   byte = 0x83
	PackArranger   byte = 0x84
	PackMessage    byte = 0x85
	PackDiscID     byte = 0x86 // of the disc only
	PackGenre      byte = 0x87 // a code of 16 bits, then text; of the disc only
	PackTOC        byte = 0x88 // binary
	PackTOC2       byte = 0x89 // binary
	PackClosed     byte = 0x8D // for the maker of the disc only
	PackCode       byte = 0x8E // UPC/EAN of the disc, ISRC of a track
	PackSizeInfo   byte = 0x8F // size information of the block
)

// Character sets of a block.
const (
	CharsetLatin1 byte = 0x00 // ISO-8859-1
	CharsetASCII  byte = 0x01 // ISO 646
	CharsetMSJIS  byte = 0x80 // Japanese, double byte
)

// Bounds of CD-TEXT.
const (
	maxBlocks = 8
	maxPacks  = 256 // of a block
	maxTrack  = 99
	sizePacks = 3 // of type 8Fh, at the end of a block
)

// A Text is one block of CD-TEXT: what is said of disc and tracks in one language.
type Text struct {
	Language byte // 09h English, see [LanguageName]; 0 is unknown
	Charset  byte
	// First and Last are the tracks of the disc. [AppendText] takes 0 for 1 and for the
	// last track that Values has something of.
	First, Last byte
	Copyright   byte   // flags of the size information
	Genre       uint16 // code of pack type 87h, 0 unused
	// Values has, by the pack types that are text, the text of the disc at 0 and of
	// track n at n, in UTF-8. It ends with the last that is not empty.
	Values map[byte][]string
	// Raw has, by the other pack types, packs of 16 bytes: all but the CRC. Their
	// sequence numbers and blocks do not count, and are 0 when read.
	Raw map[byte][]byte
}

// Get returns the text of a pack type for a track, or for the disc when track is 0; ""
// when there is none.
func (t *Text) Get(typ byte, track int) string {
	if v := t.Values[typ]; track >= 0 && track < len(v) {
		return v[track]
	}
	return ""
}

// Set sets the text of a pack type for a track, or for the disc when track is 0.
// An empty s takes it away; a track above 99 is not kept.
func (t *Text) Set(typ byte, track int, s string) {
	v := t.Values[typ]
	switch {
	case track < 0 || track > maxTrack || s == "" && track >= len(v):
		return
	case track >= len(v):
		v = append(v, make([]string, track+1-len(v))...)
	}
	v[track] = s
	for len(v) > 0 && v[len(v)-1] == "" {
		v = v[:len(v)-1]
	}
	if t.Values == nil {
		t.Values = make(map[byte][]string)
	}
	if t.Values[typ] = v; len(v) == 0 {
		delete(t.Values, typ)
	}
}

// SetRaw sets the packs of a binary type from what they hold, 12 bytes a pack, the last
// filled up with zeros; all are of the disc, not of a track.
func (t *Text) SetRaw(typ byte, payload []byte) {
	var packs []byte
	for len(payload) > 0 {
		pack := [packCRCAt]byte{typ}
		n := copy(pack[payloadAt:], payload)
		packs, payload = append(packs, pack[:]...), payload[n:]
	}
	if t.Raw == nil {
		t.Raw = make(map[byte][]byte)
	}
	if t.Raw[typ] = packs; len(packs) == 0 {
		delete(t.Raw, typ)
	}
}

// span widens First and Last to the tracks that Values has something of.
func (t *Text) span() {
	if t.First == 0 || t.First > maxTrack {
		t.First = 1
	}
	if t.Last > maxTrack {
		t.Last = 0
	}
	for _, v := range t.Values {
		for n := 1; n < len(v); n++ {
			if v[n] != "" {
				t.First, t.Last = min(t.First, byte(n)), max(t.Last, byte(n))
			}
		}
	}
	t.Last = max(t.Last, t.First)
}

// isText reports whether packs of the type hold text, all or in part.
func isText(typ byte) bool { return typ >= PackTitle && typ <= PackGenre || typ == PackCode }

// isBinary reports whether packs of the type go to [Text.Raw].
func isBinary(typ byte) bool { return typ > PackGenre && typ < PackCode }

// packNames are what CUE sheets and cdrdao's table of contents call the types.
var packNames = []struct {
	name string
	typ  byte
}{
	{"TITLE", PackTitle},
	{"PERFORMER", PackPerformer},
	{"SONGWRITER", PackSongwriter},
	{"COMPOSER", PackComposer},
	{"ARRANGER", PackArranger},
	{"MESSAGE", PackMessage},
	{"DISC_ID", PackDiscID},
	{"GENRE", PackGenre},
	{"TOC_INFO1", PackTOC},
	{"TOC_INFO2", PackTOC2},
	{"CLOSED", PackClosed},
	{"UPC_EAN", PackCode},
	{"ISRC", PackCode}, // of a track
	{"SIZE_INFO", PackSizeInfo},
}

// PackType returns the pack type that CUE sheets and cdrdao call name, in any case.
func PackType(name string) (typ byte, ok bool) {
	for _, n := range packNames {
		if strings.EqualFold(n.name, name) {
			return n.typ, true
		}
	}
	return 0, false
}

// PackName returns the name of a pack type as [PackType] takes it, or its number where
// it has none.
func PackName(typ byte) string {
	for _, n := range packNames {
		if n.typ == typ {
			return n.name
		}
	}
	return fmt.Sprintf("type %02Xh", typ)
}

// subject names what a text is about in errors.
func subject(typ byte, track int) string {
	if track == 0 {
		return PackName(typ) + " of the disc"
	}
	return fmt.Sprintf("%s of track %d", PackName(typ), track)
}

package disc

import (
	"iter"
	"strings"
)

// A Kind is a kind of medium.
type Kind byte

// Kinds of media.
const (
	CD Kind = iota + 1
	DVD
	BD
)

// Blocks that a medium holds at most: a flat image above the one is the next.
const (
	MaxCDBlocks       = 449850  // 99:59:74
	MaxDVDLayerBlocks = 2295104 // one layer of a DVD; above it the disc has two
	MaxDVDBlocks      = 4173824 // two layers
)

// KindFor returns the smallest kind of medium that holds n blocks.
func KindFor(n int64) Kind {
	switch {
	case n <= MaxCDBlocks:
		return CD
	case n <= MaxDVDBlocks:
		return DVD
	}
	return BD
}

// MaxBlocks returns how many blocks a medium of kind k holds, 0 when no limit is
// kept.
func (k Kind) MaxBlocks() int64 {
	switch k {
	case CD:
		return MaxCDBlocks
	case DVD:
		return MaxDVDBlocks
	}
	return 0
}

// ParseKind returns the kind of medium that text names, "cd", "dvd" or "bd" in
// any case, and whether it names one.
func ParseKind(text string) (Kind, bool) {
	for _, k := range []Kind{CD, DVD, BD} {
		if strings.EqualFold(text, k.String()) {
			return k, true
		}
	}
	return 0, false
}

func (k Kind) String() string {
	switch k {
	case CD:
		return "CD"
	case DVD:
		return "DVD"
	case BD:
		return "BD"
	}
	return "unknown medium"
}

// A Layout says everything about a disc that is not in its sectors. It is
// immutable and complete.
type Layout struct {
	Kind     Kind
	Sessions []Session // in order, at least one, each with at least one track
	MCN      string    // media catalogue number, 13 digits, or empty
	CDText   []byte    // packs of 18 bytes, or none

	LayerBreak LBA // first block of layer 1, 0 where it is not known
}

// A Session is a lead-in, tracks and a lead-out.
type Session struct {
	Number  byte // from 1
	Type    byte // disc type of point A0h: 00h CD-DA or CD-ROM, 10h CD-I, 20h XA
	Tracks  []Track
	LeadOut LBA // start of the lead-out
}

// A Track is a track of a session. On DVD and BD there is one, fabricated.
type Track struct {
	Number  byte  // 1 to 99
	Control byte  // Q sub-channel control nibble: bit 2 data, bit 1 copy permitted
	Mode    Mode  // of its sectors
	Pregap  LBA   // start of index 0: below Start where there is a pregap, else Start
	Start   LBA   // start of index 1
	Indexes []LBA // starts of index 2 and up; none is usual
	ISRC    string
}

// A Mode says what the sectors of a track hold (ECMA-130, 14).
type Mode byte

// Modes of tracks.
const (
	Audio    Mode = iota // CD-DA, 2352 bytes
	Mode1                // 2048 bytes of user data
	Mode2                // formless, 2336 bytes
	Mode2XA              // XA: Form 1 with 2048 bytes, Form 2 with 2324, by sector
	UserData             // DVD and BD: 2048 bytes, no sector around them
)

// IsData reports whether the control nibble says data.
func (t *Track) IsData() bool { return t.Control&4 != 0 }

// Tracks walks the tracks of all sessions, in order.
func (l *Layout) Tracks() iter.Seq[*Track] { return l.From(0) }

// From walks the tracks whose number is at least first, in order.
func (l *Layout) From(first byte) iter.Seq[*Track] {
	return func(yield func(*Track) bool) {
		for s := range l.Sessions {
			for t := range l.Sessions[s].Tracks {
				track := &l.Sessions[s].Tracks[t]
				if track.Number >= first && !yield(track) {
					return
				}
			}
		}
	}
}

// First returns the first track of the disc.
func (l *Layout) First() *Track { return &l.Sessions[0].Tracks[0] }

// Last returns the last track of the disc.
func (l *Layout) Last() *Track {
	tracks := l.LastSession().Tracks
	return &tracks[len(tracks)-1]
}

// LastSession returns the last session.
func (l *Layout) LastSession() *Session { return &l.Sessions[len(l.Sessions)-1] }

// LeadOut returns where the last session's lead-out starts: the count of
// addressable blocks.
func (l *Layout) LeadOut() LBA { return l.LastSession().LeadOut }

// Layers returns the count of recorded layers: one on a CD, and on a DVD two
// where a layer break is known or one does not hold the blocks.
func (l *Layout) Layers() int {
	if l.Kind == DVD && (l.LayerBreak > 0 || l.LeadOut() > MaxDVDLayerBlocks) {
		return 2
	}
	return 1
}

// TrackAt returns the track that lba belongs to, its pregap included, with its
// session, or nil when lba lies in no track.
func (l *Layout) TrackAt(lba LBA) (*Session, *Track) {
	for i := len(l.Sessions) - 1; i >= 0; i-- {
		s := &l.Sessions[i]
		if lba >= s.LeadOut {
			return nil, nil
		}
		for j := len(s.Tracks) - 1; j >= 0; j-- {
			if lba >= s.Tracks[j].Pregap {
				return s, &s.Tracks[j]
			}
		}
	}
	return nil, nil
}

// End returns where track t of the layout ends: the next track's pregap or the
// lead-out of its session.
func (l *Layout) End(t *Track) LBA {
	for i := range l.Sessions {
		s := &l.Sessions[i]
		for j := range s.Tracks {
			if &s.Tracks[j] != t && s.Tracks[j].Number != t.Number {
				continue
			}
			if j+1 < len(s.Tracks) {
				return s.Tracks[j+1].Pregap
			}
			return s.LeadOut
		}
	}
	return t.Start
}

package image

import (
	"encoding/binary"
	"fmt"
	"slices"

	"spindle/isostore/disc"
)

// An nrgCue is an entry of CUES or CUEX: where an index of a track begins.
type nrgCue struct {
	control, track, index byte
	lba                   disc.LBA
}

// nrgLeadOut is the track number of the lead-out in cues.
const nrgLeadOut = 0xAA

// readNRGCues reads the entries of CUES or, wide, of CUEX. CUES has addresses
// as minutes, seconds and frames, which writers differ about: BCD or binary.
// That is taken which agrees better with the offsets of the tracks.
func readNRGCues(b []byte, wide bool, tracks []nrgTrack) []nrgCue {
	if wide {
		return decodeCues(b, func(b []byte) disc.LBA { return disc.LBA(binary.BigEndian.Uint32(b)) })
	}
	plain := decodeCues(b, func(b []byte) disc.LBA { return disc.MSF{M: b[1], S: b[2], F: b[3]}.LBA() })
	for i := 0; i+8 <= len(b); i += 8 {
		if slices.ContainsFunc(b[i+5:i+8], func(c byte) bool { return c&0xF > 9 || c > 0x99 }) {
			return plain
		}
	}
	bcd := decodeCues(b, func(b []byte) disc.LBA {
		return disc.MSF{M: fromBCD(b[1]), S: fromBCD(b[2]), F: fromBCD(b[3])}.LBA()
	})
	if agreement(bcd, tracks) > agreement(plain, tracks) {
		return bcd
	}
	return plain
}

func decodeCues(b []byte, address func(b []byte) disc.LBA) (cues []nrgCue) {
	for ; len(b) >= 8; b = b[8:] {
		c := nrgCue{b[0] >> 4, b[1], fromBCD(b[2]), address(b[4:])}
		if c.track != nrgLeadOut {
			c.track = fromBCD(c.track)
		}
		if c.track != 0 {
			cues = append(cues, c)
		}
	}
	return cues
}

// agreement counts the distances between cues that are those of the tracks in
// the file.
func agreement(cues []nrgCue, tracks []nrgTrack) (n int) {
	places := placesOf(cues)
	for i := range tracks {
		t := &tracks[i]
		if i+1 >= len(places) {
			break
		}
		p, next := &places[i], &places[i+1]
		stored := disc.LBA(0)
		if i+1 < len(tracks) {
			stored = tracks[i+1].storedPregap()
		}
		if p.has0 && p.index1-p.index0 == t.storedPregap() {
			n++
		}
		if next.index1-p.index1 == t.length()+stored {
			n++
		}
	}
	return n
}

// storedPregap is how many sectors of the pregap are stored.
func (t *nrgTrack) storedPregap() disc.LBA { return disc.LBA((t.start - t.pregap) / t.mode.size()) }

// length is the sectors from index 1 on.
func (t *nrgTrack) length() disc.LBA { return disc.LBA((t.end - t.start) / t.mode.size()) }

// A place is where a track begins; the last one of a session is its lead-out.
type place struct {
	number, control byte
	has0            bool
	index0, index1  disc.LBA
	more            []disc.LBA
}

// placesOf puts the cues of a session together, track by track.
func placesOf(cues []nrgCue) (places []place) {
	for _, c := range cues {
		if len(places) == 0 || places[len(places)-1].number != c.track {
			places = append(places, place{number: c.track, control: c.control})
		}
		p := &places[len(places)-1]
		switch c.index {
		case 0:
			p.has0, p.index0 = true, c.lba
		case 1:
			p.index1 = c.lba
		default:
			p.more = append(p.more, c.lba)
		}
	}
	return places
}

// maxNRGSectors is more than a CD has; longer tracks are not counted in LBAs.
const maxNRGSectors = disc.MaxCDBlocks + leadInPregap

// session places a session behind those that the layout has.
func (n *nrg) session(l *disc.Layout, s *nrgSession) (disc.Session, []run, error) {
	for i := range s.tracks {
		t := &s.tracks[i]
		if sectors := (t.end - t.pregap) / t.mode.size(); sectors > maxNRGSectors {
			return disc.Session{}, nil, fmt.Errorf("track %d of it has %d sectors, which no CD holds", i+1, sectors)
		}
	}
	places := placesOf(s.cues)
	if len(places) != len(s.tracks)+1 || places[len(places)-1].number != nrgLeadOut {
		places = n.guess(l, s)
	}
	move := disc.LBA(0)
	if start := nextSession(l); len(l.Sessions) > 0 && places[0].index1 < l.LeadOut() {
		move = start - places[0].index1 // written as if it were alone
	}
	out := disc.Session{Type: s.kind, LeadOut: places[len(places)-1].index1 + move}
	var runs []run
	for i := range s.tracks {
		t, p := &s.tracks[i], places[i]
		track := disc.Track{Number: p.number, Control: p.control, Mode: t.mode.mode, ISRC: t.isrc, Start: p.index1 + move}
		stored := t.storedPregap()
		switch {
		case p.has0:
			track.Pregap = p.index0 + move
		case i == 0:
			track.Pregap = track.Start - leadInPregap
		default:
			track.Pregap = track.Start - stored
		}
		for _, index := range p.more {
			track.Indexes = append(track.Indexes, index+move)
		}
		floor := track.Pregap
		if i == 0 && len(l.Sessions) == 0 {
			floor = -leadInPregap
		}
		skip := max(0, floor-(track.Start-stored))
		first := track.Start - stored + skip
		count := min(stored+t.length()-skip, out.LeadOut-first)
		runs = append(runs, t.mode.run(n.source, first, count, t.pregap+int64(skip)*t.mode.size()))
		out.Tracks = append(out.Tracks, track)
	}
	return out, runs, nil
}

// guess places tracks for which there are no cues: one behind the other.
func (n *nrg) guess(l *disc.Layout, s *nrgSession) (places []place) {
	number := byte(1)
	if len(l.Sessions) > 0 {
		number = l.Last().Number + 1
	}
	at := nextSession(l) - leadInPregap // index 0 of the next track
	if t := &s.tracks[0]; len(l.Sessions) > 0 && t.isLocated && t.lba > at {
		at = t.lba - leadInPregap
	}
	for i := range s.tracks {
		t := &s.tracks[i]
		p := place{number: number + byte(i), has0: true, index0: at}
		switch {
		case s.atOnce:
			p.index1 = at + n.gapAtOnce(l, s.tracks, i)
		case i == 0:
			p.index1 = at + max(leadInPregap, t.storedPregap())
		default:
			p.index1 = at + t.storedPregap()
		}
		at = p.index1 + t.length()
		places = append(places, p)
	}
	return append(places, place{number: nrgLeadOut, index1: at})
}

// gapAtOnce is the pregap of track i of those that were written one by one: 150
// sectors that no file holds, unless LBAs say otherwise. Where the file has room
// for it before the track it is stored after all (reference 13.2).
func (n *nrg) gapAtOnce(l *disc.Layout, tracks []nrgTrack, i int) disc.LBA {
	t, gap, behind := &tracks[i], disc.LBA(leadInPregap), int64(0)
	if i > 0 {
		before := &tracks[i-1]
		behind = before.end
		if d := t.lba - before.lba - before.length(); t.isLocated && before.isLocated && d >= 0 && d <= 3*leadInPregap {
			gap = d
		}
	} else if k := len(l.Sessions); k > 0 {
		previous := n.sessions[k-1].tracks
		behind = previous[len(previous)-1].end
	}
	if t.start-behind == int64(gap)*t.mode.size() {
		t.pregap = behind
	}
	return gap
}

package image

import "spindle/isostore/disc"

// sessionGap is what lies between a session and the pregap of the next: its
// lead-out, of 90 s after the first one, of 30 s else, and a lead-in of 60 s.
// said has what a sheet says of the two, zeros where it says nothing.
func sessionGap(session int, said [3]disc.LBA) disc.LBA {
	leadOut, leadIn := disc.LBA(2250), disc.LBA(4500)
	if session == 1 {
		leadOut = 6750
	}
	if said[0] != 0 {
		leadOut = said[0]
	}
	if said[1] != 0 {
		leadIn = said[1]
	}
	return leadOut + leadIn
}

// nextSession is index 1 of the first track of the session that follows those
// of l.
func nextSession(l *disc.Layout) disc.LBA {
	if len(l.Sessions) == 0 {
		return 0
	}
	return l.LeadOut() + sessionGap(len(l.Sessions), [3]disc.LBA{}) + leadInPregap
}

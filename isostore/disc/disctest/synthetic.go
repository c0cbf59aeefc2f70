package disctest

import (
	"encoding/binary"
	"fmt"

	"spindle/isostore/disc"
	"spindle/isostore/sector"
)

// EnhancedCD is the layout of the worked example of two sessions: audio tracks
// 1 and 2, then XA data track 3.
func EnhancedCD() *disc.Layout {
	return &disc.Layout{
		Kind: disc.CD,
		Sessions: []disc.Session{
			{Number: 1, Tracks: []disc.Track{
				{Number: 1, Mode: disc.Audio},
				{Number: 2, Mode: disc.Audio, Pregap: 20000, Start: 20000},
			}, LeadOut: 40000},
			{Number: 2, Type: 0x20, Tracks: []disc.Track{
				{Number: 3, Control: 4, Mode: disc.Mode2XA, Pregap: 51250, Start: 51400},
			}, LeadOut: 81400},
		},
	}
}

// HiddenTrack is the layout of a CD with a hidden track before index 1 of audio
// track 1, an audio track with a pregap and indexes, and a data track.
func HiddenTrack() *disc.Layout {
	return &disc.Layout{
		Kind: disc.CD,
		MCN:  "1234567890123",
		Sessions: []disc.Session{{Number: 1, Tracks: []disc.Track{
			{Number: 1, Mode: disc.Audio, Pregap: -150, Start: 1000, ISRC: "DEABC2600001"},
			{Number: 2, Mode: disc.Audio, Control: 2, Pregap: 5000, Start: 5150, Indexes: []disc.LBA{6000, 7000}},
			{Number: 3, Mode: disc.Mode1, Control: 4, Pregap: 9000, Start: 9150},
		}, LeadOut: 12000}},
	}
}

// Pregapped is the layout of a CD whose image holds the pregap of data track 1,
// with a formless track after it.
func Pregapped() *disc.Layout {
	return &disc.Layout{
		Kind: disc.CD,
		Sessions: []disc.Session{{Number: 1, Tracks: []disc.Track{
			{Number: 1, Mode: disc.Mode1, Control: 4, Pregap: -150},
			{Number: 2, Mode: disc.Mode2, Control: 4, Pregap: 500, Start: 650},
		}, LeadOut: 1000}},
	}
}

// DataDisc is the layout of a disc of n blocks with one data track, on the
// smallest medium that holds it.
func DataDisc(n disc.LBA) *disc.Layout {
	t := disc.Track{Number: 1, Control: 4, Mode: disc.UserData}
	if disc.KindFor(int64(n)) == disc.CD {
		t.Mode = disc.Mode1
	}
	return &disc.Layout{
		Kind:     disc.KindFor(int64(n)),
		Sessions: []disc.Session{{Number: 1, Tracks: []disc.Track{t}, LeadOut: n}},
	}
}

// Synthetic returns a disc of layout l whose content follows from the address,
// so that it needs no storage: see [Fill]. For a CD it implements
// [disc.RawReader] and [disc.SubReader]. It never fails but with ErrMode and
// ErrRange, and need not be closed.
func Synthetic(l *disc.Layout) disc.Disc {
	if l.Kind == disc.CD {
		return &syntheticCD{synthetic{l}}
	}
	return &synthetic{l}
}

// Fill writes into p what a synthetic disc holds at lba: user data, or the
// samples of an audio sector.
func Fill(p []byte, lba disc.LBA) {
	x := uint32(lba)*2654435761 + 1
	for i := 0; i+4 <= len(p); i += 4 {
		x ^= x << 13
		x ^= x >> 17
		x ^= x << 5
		binary.LittleEndian.PutUint32(p[i:], x)
	}
}

type synthetic struct{ l *disc.Layout }

func (d *synthetic) Layout() *disc.Layout { return d.l }

func (d *synthetic) Close() error { return nil }

// each calls fill for each unit of size bytes of p that lies in a track, from
// lba on and not below floor, and returns the count.
func (d *synthetic) each(p []byte, size int, lba, floor disc.LBA, fill func(p []byte, lba disc.LBA, t *disc.Track) error) (n int, err error) {
	for ; len(p) >= size; p = p[size:] {
		_, t := d.l.TrackAt(lba)
		if t == nil || lba < floor {
			return n, fmt.Errorf("synthetic disc: sector %d: %w", lba, disc.ErrRange)
		}
		if err := fill(p[:size], lba, t); err != nil {
			return n, fmt.Errorf("synthetic disc: sector %d: %w", lba, err)
		}
		n, lba = n+1, lba+1
	}
	return n, nil
}

func (d *synthetic) ReadBlocks(p []byte, lba disc.LBA) (int, error) {
	return d.each(p, disc.BlockSize, lba, 0, func(p []byte, lba disc.LBA, t *disc.Track) error {
		if t.Mode == disc.Audio || t.Mode == disc.Mode2 {
			return disc.ErrMode
		}
		Fill(p, lba)
		return nil
	})
}

type syntheticCD struct{ synthetic }

func (d *syntheticCD) ReadSectors(p []byte, lba disc.LBA) (int, error) {
	return d.each(p, disc.SectorSize, lba, -150, func(p []byte, lba disc.LBA, t *disc.Track) error {
		if t.Mode == disc.Audio {
			Fill(p, lba)
			return nil
		}
		switch clear(p); t.Mode {
		case disc.Mode1:
			Fill(p[16:16+disc.BlockSize], lba)
			sector.EncodeMode1(p, lba)
		case disc.Mode2:
			Fill(p[16:], lba)
			sector.EncodeMode2(p, lba)
		case disc.Mode2XA:
			p[18], p[22] = 8, 8 // submode: data, Form 1
			Fill(p[24:24+disc.BlockSize], lba)
			sector.EncodeForm1(p, lba)
		}
		return nil
	})
}

func (d *syntheticCD) ReadSub(p []byte, lba disc.LBA) (int, error) {
	return d.each(p, disc.SubSize, lba, -150, func(p []byte, lba disc.LBA, _ *disc.Track) error {
		sector.Sub(p, d.l, lba)
		return nil
	})
}

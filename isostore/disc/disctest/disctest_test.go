package disctest

import (
	"encoding/hex"
	"fmt"
	"strings"
	"testing"

	"spindle/isostore/disc"
	"spindle/isostore/sector"
)

func TestSynthetic(t *testing.T) {
	for name, l := range map[string]*disc.Layout{
		"enhanced CD":  EnhancedCD(),
		"hidden track": HiddenTrack(),
		"pregap held":  Pregapped(),
		"data CD":      DataDisc(100000),
		"DVD":          DataDisc(2295105),
		"BD":           DataDisc(12219392),
	} {
		t.Run(name, func(t *testing.T) { TestDisc(t, Synthetic(l)) })
	}
}

// TestSubChannel checks the synthetic sub-channel against computed vectors.
func TestSubChannel(t *testing.T) {
	cd := Synthetic(DataDisc(100)).(disc.SubReader)
	p := make([]byte, disc.SubSize)
	if _, err := cd.ReadSub(p, 0); err != nil {
		t.Fatal(err)
	}
	q := sector.QOf(p)
	if got, want := hex.EncodeToString(q[:]), "410101000000000002002832"; got != want {
		t.Errorf("Q at 0 = %s, want %s", got, want)
	}
	if got, want := hex.EncodeToString(p[:8]), "0040000000000040"; got != want {
		t.Errorf("P to W at 0 begin %s, want %s", got, want)
	}
	hidden := Synthetic(HiddenTrack()).(disc.SubReader)
	if _, err := hidden.ReadSub(p, -150); err != nil {
		t.Fatal(err)
	}
	q = sector.QOf(p)
	if got, want := hex.EncodeToString(q[:10]), "01010000152400000000"; got != want || p[0]&0x80 == 0 {
		t.Errorf("Q at -150 = %s, P %v; want %s and P set", got, p[0]&0x80 != 0, want)
	}
}

// broken is a disc with one fault.
type broken struct {
	disc.Disc
	l       *disc.Layout
	blocks  func(p []byte, lba disc.LBA) (int, error)
	sectors func(p []byte, lba disc.LBA) (int, error)
	subs    func(p []byte, lba disc.LBA) (int, error)
}

func (b *broken) Layout() *disc.Layout                            { return b.l }
func (b *broken) ReadBlocks(p []byte, lba disc.LBA) (int, error)  { return b.blocks(p, lba) }
func (b *broken) ReadSectors(p []byte, lba disc.LBA) (int, error) { return b.sectors(p, lba) }
func (b *broken) ReadSub(p []byte, lba disc.LBA) (int, error)     { return b.subs(p, lba) }

// breakable returns a disc of layout l that has no fault yet.
func breakable(l *disc.Layout) *broken {
	d := Synthetic(l)
	return &broken{
		Disc: d, l: l, blocks: d.ReadBlocks,
		sectors: d.(disc.RawReader).ReadSectors, subs: d.(disc.SubReader).ReadSub,
	}
}

// spoil changes a byte of every data sector.
func (b *broken) spoil(at int) {
	good := b.sectors
	b.sectors = func(p []byte, lba disc.LBA) (int, error) {
		n, err := good(p, lba)
		for i := range n {
			if s := p[i*disc.SectorSize:]; sector.IsRaw(s) {
				s[at] ^= 1
			}
		}
		return n, err
	}
}

// expect checks that Check says want, or nothing when that is empty.
func (b *broken) expect(t *testing.T, want string) {
	t.Helper()
	var text []string
	for _, err := range Check(b) {
		text = append(text, err.Error())
	}
	got := strings.Join(text, "\n")
	if (want == "") != (got == "") || !strings.Contains(got, want) {
		t.Errorf("Check says %q; want %q", got, want)
	}
}

// TestCheckOfPregap has a disc whose data track begins at -150.
func TestCheckOfPregap(t *testing.T) {
	// at makes a reader that calls f below 0, and good else.
	at := func(good, f func(p []byte, lba disc.LBA) (int, error)) func(p []byte, lba disc.LBA) (int, error) {
		return func(p []byte, lba disc.LBA) (int, error) {
			if lba < 0 {
				return f(p, lba)
			}
			return good(p, lba)
		}
	}
	fail := func(err error) func(p []byte, lba disc.LBA) (int, error) {
		return func([]byte, disc.LBA) (int, error) { return 0, err }
	}
	tests := []struct {
		name  string
		spoil func(b *broken)
		want  string
	}{
		{"nothing", func(*broken) {}, ""},
		{"not held", func(b *broken) {
			b.sectors, b.subs = at(b.sectors, fail(disc.ErrRange)), at(b.subs, fail(disc.ErrRange))
		}, ""},
		{"raw fails otherwise", func(b *broken) { b.sectors = at(b.sectors, fail(disc.ErrChanged)) }, "ReadSectors at -150, pregap"},
		{"sub fails otherwise", func(b *broken) { b.subs = at(b.subs, fail(disc.ErrMode)) }, "ReadSub at -150, pregap"},
		{"no sync", func(b *broken) {
			b.sectors = at(b.sectors, func(p []byte, _ disc.LBA) (int, error) {
				clear(p)
				return len(p) / disc.SectorSize, nil
			})
		}, "sector -150, pregap of track 1"},
		{"other address", func(b *broken) {
			good := b.sectors
			b.sectors = at(good, func(p []byte, lba disc.LBA) (int, error) { return good(p, lba^1) })
		}, "sector -150 begins"},
		{"bad ECC", func(b *broken) {
			good := b.sectors
			b.spoil(2200)
			b.sectors = at(good, b.sectors)
		}, "sector -150: ECC"},
		{"other sub-channel", func(b *broken) {
			good := b.subs
			b.subs = at(good, func(p []byte, lba disc.LBA) (int, error) { return good(p, lba^1) })
		}, "sub-channel Q at -150"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := breakable(Pregapped())
			tt.spoil(b)
			b.expect(t, tt.want)
		})
	}
}

// TestCheckCanFail breaks a good disc in many ways: each must be seen.
func TestCheckCanFail(t *testing.T) {
	track := func(l *disc.Layout, n int) *disc.Track { return &l.Sessions[0].Tracks[n] }
	tests := []struct {
		name  string
		spoil func(b *broken)
		want  string
	}{
		{"nothing", func(*broken) {}, ""},
		{"no session", func(b *broken) { b.l.Sessions = nil }, "no session"},
		{"track numbers", func(b *broken) { track(b.l, 1).Number = 5 }, "comes where"},
		{"overlap", func(b *broken) { track(b.l, 1).Pregap = 500 }, "track 1"},
		{"control", func(b *broken) { track(b.l, 2).Control = 0 }, "control"},
		{"index", func(b *broken) { track(b.l, 1).Indexes[0] = 9000 }, "index at"},
		{"lead-out", func(b *broken) { b.l.Sessions[0].LeadOut = 9000 }, "track 3"},
		{"DVD mode", func(b *broken) { b.l.Kind = disc.DVD }, "mode"},
		{"past the end", func(b *broken) {
			good := b.blocks
			b.blocks = func(p []byte, lba disc.LBA) (int, error) {
				if lba >= 12000 {
					return len(p) / disc.BlockSize, nil
				}
				return good(p, lba)
			}
		}, "outside the disc"},
		{"audio as data", func(b *broken) {
			b.blocks = func(p []byte, lba disc.LBA) (int, error) {
				n, err := b.Disc.ReadBlocks(p, lba)
				if err != nil && lba >= 0 && lba < 8000 {
					return len(p) / disc.BlockSize, nil
				}
				return n, err
			}
		}, "want ErrMode"},
		{"all or nothing", func(b *broken) {
			b.blocks = func(p []byte, lba disc.LBA) (int, error) {
				n, err := b.Disc.ReadBlocks(p, lba)
				if err != nil {
					n = 0
				}
				return n, err
			}
		}, "one by one"},
		{"other error", func(b *broken) {
			b.blocks = func(p []byte, lba disc.LBA) (int, error) {
				n, err := b.Disc.ReadBlocks(p, lba)
				if err != nil {
					err = fmt.Errorf("something: %v", err)
				}
				return n, err
			}
		}, "want ErrMode"},
		{"same data everywhere", func(b *broken) {
			b.blocks = func(p []byte, lba disc.LBA) (int, error) {
				n, err := b.Disc.ReadBlocks(p, lba)
				for i := range n {
					Fill(p[i*disc.BlockSize:][:disc.BlockSize], disc.LBA(i))
				}
				return n, err
			}
		}, "other data"},
		{"raw of another sector", func(b *broken) {
			b.sectors = func(p []byte, lba disc.LBA) (int, error) {
				return b.Disc.(disc.RawReader).ReadSectors(p, lba^1)
			}
		}, "begins"},
		{"bad EDC", func(b *broken) { b.spoil(2064) }, "sector 9150: EDC"},
		{"bad P", func(b *broken) { b.spoil(2076) }, "ECC: P"},
		{"bad Q", func(b *broken) { b.spoil(2351) }, "ECC: Q"},
		{"raw fails", func(b *broken) {
			b.sectors = func([]byte, disc.LBA) (int, error) { return 0, disc.ErrRange }
		}, "ReadSectors at 1000"},
		{"data in the pregap of audio", func(b *broken) {
			good := b.sectors
			b.sectors = func(p []byte, lba disc.LBA) (int, error) {
				n, err := good(p, lba)
				for i := range n {
					if lba+disc.LBA(i) < 0 {
						sector.EncodeMode0(p[i*disc.SectorSize:][:disc.SectorSize], lba+disc.LBA(i))
					}
				}
				return n, err
			}
		}, "sector -150, pregap"},
		{"bad CRC", func(b *broken) {
			b.subs = func(p []byte, lba disc.LBA) (int, error) {
				n, err := b.Disc.(disc.SubReader).ReadSub(p, lba)
				if n > 0 {
					p[95] ^= 0x40
				}
				return n, err
			}
		}, "CRC"},
		{"Q of another track", func(b *broken) {
			b.subs = func(p []byte, lba disc.LBA) (int, error) {
				return b.Disc.(disc.SubReader).ReadSub(p, lba+2)
			}
		}, "want track"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := breakable(HiddenTrack())
			tt.spoil(b)
			b.expect(t, tt.want)
		})
	}
}

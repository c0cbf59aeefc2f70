//go:build linux

package e2e

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"spindle/testdata/fixture"
)

// A badDisc is a disc on which not all can be read.
type badDisc struct {
	name string
	bad  int  // the first sector that is not there
	good int  // one behind it that is; 0 for none
	raw  bool // it is audio: read by READ CD
	make func(m *maker) (string, *content)
}

var badDiscs = []badDisc{
	{"toc: data ends within a sector", 123, 0, false, spoilt(
		source("disc.toc", dataDisc, func(dir string, s *fixture.Source) error {
			text := fmt.Sprintf("CD_ROM\nTRACK MODE1_RAW\nDATAFILE \"disc.bin\" 0:%02d:%02d\n", s.LeadOut()/75, s.LeadOut()%75)
			return errors.Join(fixture.WriteCUE(dir, "disc", s, fixture.CUEOptions{}), os.WriteFile(filepath.Join(dir, "disc.toc"), []byte(text), 0o644))
		}),
		func(m *maker) { m.cut("disc.bin", 123*fixture.RawSize+100) },
	)},
	{"mds: audio ends", 1500, 0, true, spoilt(
		source("disc.mds", mixedMode, func(dir string, s *fixture.Source) error {
			return fixture.WriteMDS(dir, "disc", s, fixture.MDSOptions{SubChannel: true})
		}),
		func(m *maker) { m.cut("disc.mdf", 1500*(fixture.RawSize+fixture.SubSize)) },
	)},
	{"ccd: session 2 ends", fixture.MixedModeStart + 10, 0, false, spoilt(
		source("disc.ccd", mixedMode, func(dir string, s *fixture.Source) error {
			return fixture.WriteCCD(dir, "disc", s, fixture.CCDOptions{})
		}),
		func(m *maker) { m.cut("disc.img", 1610*fixture.RawSize) },
	)},
	{"mds: DVD ends", 444, 0, false, spoilt(
		source("disc.mds", smallDVD, func(dir string, s *fixture.Source) error {
			return fixture.WriteMDS(dir, "disc", s, fixture.MDSOptions{})
		}),
		func(m *maker) { m.cut("disc.mdf", 444*fixture.UserSize) },
	)},
	{"zst: a frame is damaged", 4 * zstdFrame, 5 * zstdFrame, false, spoilt(
		source("disc.iso.zst", dataDisc, func(dir string, s *fixture.Source) error {
			return fixture.WriteZstd(dir, "disc", s, fixture.ZstdOptions{})
		}),
		func(m *maker) {
			b, magic, at := m.read("disc.iso.zst"), []byte("\x28\xB5\x2F\xFD"), 0
			for range 4 {
				at += len(magic) + bytes.Index(b[at+len(magic):], magic)
			}
			copy(b[at:], "nothing of a frame")
			m.write("disc.iso.zst", b)
		},
	)},
	{"cso: a block is damaged", 131 / csoBlocks * csoBlocks, 144, false, spoilt(
		source("disc.cso", dataDisc, func(dir string, s *fixture.Source) error {
			return fixture.WriteCSO(dir, "disc", s, fixture.CSOOptions{})
		}),
		func(m *maker) {
			const index, reserved = 24, 0xFF // of types of blocks of Deflate
			b := m.read("disc.cso")
			b[binary.LittleEndian.Uint32(b[index+4*131:])] = reserved
			m.write("disc.cso", b)
		},
	)},
}

// zstdFrame is how many blocks the fixture has in a frame. csoBlocks is how many
// are unpacked at once, and lost at once, as those of an ECC block on a DVD.
const (
	zstdFrame = 32
	csoBlocks = 16
)

// spoilt makes a disc and then spoils its files.
func spoilt(disc func(m *maker) (string, *content), spoil func(m *maker)) func(m *maker) (string, *content) {
	return func(m *maker) (string, *content) {
		name, c := disc(m)
		spoil(m)
		return name, c
	}
}

func (m *maker) cut(name string, size int) {
	m.t.Helper()
	m.must(os.Truncate(m.path(name), int64(size)))
}

// TestReadErrors reads images that are cut short, or damaged inside. What is
// there is read; what is not is MEDIUM ERROR with its LBA, never zeros or other
// bytes.
func TestReadErrors(t *testing.T) {
	t.Parallel()
	lib := &shelf{t: t, dir: t.TempDir()}
	for _, tt := range badDiscs {
		lib.add(tt.make)
	}
	whole := lib.add(source("disc.cue", dataDisc, func(dir string, s *fixture.Source) error {
		return fixture.WriteCUE(dir, "disc", s, fixture.CUEOptions{})
	}))
	d := formatsDaemon(t, lib.dir)
	d.fails = true
	r := newReader(t, d)
	for i, tt := range badDiscs {
		t.Run(tt.name, func(t *testing.T) {
			r.t = t
			c := lib.insert(d, r, i)
			r.stops(c, tt.raw, tt.bad-4, tt.bad)
			r.stops(c, tt.raw, tt.bad, tt.bad)
			if tt.good > 0 {
				r.blocks(c, tt.good, tt.good+5)
			} else {
				last := c.LeadOut() - 1
				r.stops(c, tt.raw, last, last)
			}
		})
	}
	t.Run("cut while it is in the drive", func(t *testing.T) {
		r.t = t
		c := lib.insert(d, r, whole)
		r.blocks(c, 0, c.LeadOut())
		lib.makers[whole].cut("disc.bin", 200*fixture.RawSize)
		r.stops(c, false, 0, 0) // not a mixture of two images
		until(t, func() error {
			if alarms := d.status().Alarms; len(alarms) != 1 || alarms[0].About != "cd0" {
				return fmt.Errorf("status has alarms %+v; want one of cd0", alarms)
			}
			return nil
		})
	})
}

// stops reads eight sectors from lba on, or as many as there are, of which bad
// is the first that cannot be read.
func (r *reader) stops(c *content, raw bool, lba, bad int) {
	r.t.Helper()
	n := min(8, c.LeadOut()-lba)
	read, size, want := cdb(0x28, 10, 2, uint32(lba), 7, uint16(n)), fixture.UserSize, c.block
	if raw {
		read, size, want = cdb(0xBE, 12, 2, int32(lba), 7, uint16(n), 9, byte(0xF8)), fixture.RawSize, c.raw
	}
	res := r.do(read, n*size)
	const valid, medium, unrecovered = 0x80, 3, 0x1100
	key, code := senseOf(res)
	if res.Status != checkCondition || key != medium || code != unrecovered {
		r.t.Fatalf("%x: status %02x, sense %x; want 3/11/00", read, res.Status, res.Sense)
	}
	if info := binary.BigEndian.Uint32(res.Sense[3:]); res.Sense[0]&valid == 0 || info != uint32(bad) {
		r.t.Errorf("%x: INFORMATION is %d in sense %x; want %d", read, info, res.Sense, bad)
	}
	r.compare("sector", res.Data, lba, bad-lba, size, want)
}

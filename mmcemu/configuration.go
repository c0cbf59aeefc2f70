package mmcemu

import (
	"context"
	"encoding/binary"

	"spindle/isostore/disc"
	"spindle/scsi"
)

var configurationCommands = []command{
	{0x46, "GET CONFIGURATION", skipsUA | concurrent, alloc16(7), checkConfiguration, (*Drive).configuration},
}

// Profiles.
const (
	profileCDROM  = 0x0008
	profileDVDROM = 0x0010
	profileBDROM  = 0x0040
)

// profiles are those of the drive, the most capable first, and their media.
var profiles = []struct {
	code uint16
	kind disc.Kind
}{{profileBDROM, disc.BD}, {profileDVDROM, disc.DVD}, {profileCDROM, disc.CD}}

// profileOf returns the current profile, 0 without a medium.
func profileOf(m *medium) uint16 {
	for _, p := range profiles {
		if p.kind == kindOf(m) {
			return p.code
		}
	}
	return 0
}

// A feature is a set of commands and behaviour that the drive has while it is
// current.
type feature struct {
	code     uint16
	version  byte
	kinds    []disc.Kind // of media with which it is current; nil for always: persistent
	data     func(d *Drive, port scsi.Port, m *medium) []byte
	commands []byte // operation codes that it promises
}

// cdReadFlags say what feature 001Eh has: DAP, C2 and CD-TEXT.
const cdReadFlags = 0x80 | 0x02 | 0x01

// features are those of the drive, ascending. Those that say that something
// can be written are absent: Linux makes the device writable for 20h, 24h and
// 28h. 0106h and 010Dh are absent: they promise keys of protected discs.
// Source: MMC-6, 5.3.
var features = []feature{
	{0x0000, 0, nil, profileList, []byte{0x46}},
	{0x0001, 2, nil, coreFeature, []byte{0x46, 0x4A, 0x12, 0x1A, 0x5A, 0x15, 0x55, 0x03, 0x00}},
	{0x0002, 1, nil, fixed(0, 0, 0, 0), []byte{0x46, 0x4A}},
	{0x0003, 2, nil, removableMedium, []byte{0x1B, 0x1E, 0xBD}},
	{0x0010, 0, []disc.Kind{disc.CD, disc.DVD, disc.BD}, randomReadable, []byte{0x25, 0x28}},
	{0x001D, 0, []disc.Kind{disc.CD}, fixed(), []byte{0x28, 0xBE, 0x51, 0x52}},
	{0x001E, 2, []disc.Kind{disc.CD}, fixed(cdReadFlags, 0, 0, 0), []byte{0xBE, 0xB9, 0x43}},
	{0x001F, 1, []disc.Kind{disc.DVD}, fixed(1, 0, 1, 0), []byte{0x28, 0xA8, 0xAD, 0x43}},
	{0x0040, 0, []disc.Kind{disc.BD}, blurayRead, []byte{0x28, 0xA8, 0xAD, 0x43, 0x51, 0x52}},
	{0x0100, 0, nil, fixed(), []byte{0x1B, 0x1A, 0x5A, 0x15, 0x55}},
	{0x0103, 0, []disc.Kind{disc.CD}, fixed(0x07, 0, 1, 0), []byte{0x42, 0x43, 0x45, 0x47, 0x4B, 0x4E, 0xA5, 0xBA, 0xBD}},
	{0x0105, 1, nil, fixed(0, 0, 0, 0), []byte{0x5A, 0x55}},
	{0x0107, 4, []disc.Kind{disc.CD, disc.DVD, disc.BD}, fixed(0, 0, 0, 0), []byte{0xAC, 0xB6, 0xA7, 0xBB, 0x5C, 0xA8}},
	{0x0108, 0, nil, serialNumber, []byte{0x12}},
}

func fixed(b ...byte) func(*Drive, scsi.Port, *medium) []byte {
	return func(*Drive, scsi.Port, *medium) []byte { return b }
}

func profileList(_ *Drive, _ scsi.Port, m *medium) (b []byte) {
	current := profileOf(m)
	for _, p := range profiles {
		b = binary.BigEndian.AppendUint16(b, p.code)
		if p.code == current {
			b = append(b, 1, 0)
		} else {
			b = append(b, 0, 0)
		}
	}
	return b
}

// coreFeature names the physical interface: 1 the SCSI family, 8 USB.
func coreFeature(_ *Drive, port scsi.Port, _ *medium) []byte {
	if port.Protocol == scsi.USB {
		return []byte{0, 0, 0, 8, 1, 0, 0, 0}
	}
	return []byte{0, 0, 0, 1, 1, 0, 0, 0}
}

// randomReadable gives block length and blocks of an ECC block.
func randomReadable(_ *Drive, _ scsi.Port, m *medium) []byte {
	blocking := byte(1)
	switch kindOf(m) {
	case disc.DVD:
		blocking = 16
	case disc.BD:
		blocking = 32
	}
	return []byte{0, 0, disc.BlockSize >> 8, 0, 0, blocking, 1, 0}
}

// blurayRead says that every version of BD-ROM of class 0 is read.
func blurayRead(*Drive, scsi.Port, *medium) []byte {
	b := make([]byte, 28)
	b[20], b[21] = 0xFF, 0xFF
	return b
}

func serialNumber(d *Drive, _ scsi.Port, _ *medium) []byte {
	return []byte(padded(d.o.Serial, (len(d.o.Serial)+3)/4*4))
}

// Values of the RT field of GET CONFIGURATION.
const (
	allFeatures = iota
	currentFeatures
	oneFeature
)

func checkConfiguration(cdb *scsi.CDB) error {
	if cdb[1]&3 > oneFeature {
		return scsi.FieldInCDB(1, 1)
	}
	return nil
}

// configuration answers GET CONFIGURATION. It never fails for want of a
// medium: Windows would take the drive for one of before MMC, for ever.
//
//	CDB  byte 1 bits 1-0 RT: 0 all features, 1 current ones, 2 the one named;
//	     bytes 2-3 first feature; bytes 7-8 allocation length
//	data length (4), 2 zeros, profile (2); then features: code (2), version and
//	     flags, additional length, data
//
// Source: MMC-6, GET CONFIGURATION.
func (d *Drive) configuration(_ context.Context, cmd *scsi.Command, m *medium) error {
	rt, start := cmd.CDB[1]&3, binary.BigEndian.Uint16(cmd.CDB[2:])
	b := make([]byte, 8, 256)
	binary.BigEndian.PutUint16(b[6:], profileOf(m))
	for i := range d.features {
		f := &d.features[i]
		current := f.current(m)
		if f.code < start || rt == oneFeature && f.code != start || rt == currentFeatures && !current {
			continue
		}
		data := f.data(d, cmd.Nexus.Port, m)
		b = binary.BigEndian.AppendUint16(b, f.code)
		b = append(b, f.flags(current), byte(len(data)))
		b = append(b, data...)
	}
	binary.BigEndian.PutUint32(b, uint32(len(b)-4))
	return cmd.In.Reply(b)
}

// current reports whether the feature is current with medium m.
func (f *feature) current(m *medium) bool {
	if f.kinds == nil {
		return true
	}
	for _, k := range f.kinds {
		if k == kindOf(m) {
			return true
		}
	}
	return false
}

func (f *feature) flags(current bool) byte {
	b := f.version << 2
	if f.kinds == nil {
		b |= 2 // persistent
	}
	if current {
		b |= 1
	}
	return b
}

package image

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"

	"spindle/isostore/disc"
	"spindle/isostore/sector"
)

// A ccdSheet is what CloneCD's description of a disc says: the entries of the
// full TOC, and what it adds to tracks.
type ccdSheet struct {
	entries   []ccdEntry
	tracks    map[byte]*ccdTrack
	mcn       string
	scrambled bool   // data tracks are
	packs     []byte // of CD-TEXT, whole
}

// A ccdEntry is an entry of the full TOC (MMC-6, READ TOC format 0010b).
type ccdEntry struct {
	session, point, adr, control, psec int64
	lba                                int64 // of the address that it points at
	line                               int
}

// A ccdTrack is what is said of a track beside its entry: addresses count from
// somewhere that index 1 tells.
type ccdTrack struct {
	mode  int64
	isrc  string
	index map[int]disc.LBA
}

// A ccdSection is a section of such a text: a line with a name and a number, and
// the lines below it.
type ccdSection struct {
	name   string // in capitals
	number int64
	line   int
	values map[string]string // keys in capitals, inner blanks single
}

// Bounds of a description: sections, and values in all of them. CD-TEXT has
// 2048 values at most, each entry of the TOC a dozen.
const (
	maxSections = 4096
	maxValues   = 1 << 16
)

// ccdSections splits a text into sections. Keys that stand above the first one
// do not count.
func ccdSections(text string) (list []ccdSection, err error) {
	values := 0
	for i, line := range textLines(text) {
		line = strings.TrimSpace(line)
		if len(list) > maxSections || values > maxValues {
			return nil, fmt.Errorf("%w: line %d: too long for a description of a disc", ErrDamaged, i+1)
		}
		name, ok := strings.CutPrefix(line, "[")
		switch {
		case line == "" || line[0] == ';':
		case ok:
			name, _, ok = strings.Cut(name, "]")
			words := strings.Fields(name)
			if !ok || len(words) == 0 {
				return nil, fmt.Errorf("%w: line %d: a section without a name", ErrDamaged, i+1)
			}
			s := ccdSection{name: strings.ToUpper(words[0]), line: i + 1, values: map[string]string{}}
			if len(words) > 1 {
				if s.number, err = ccdNumber(words[1]); err != nil {
					return nil, fmt.Errorf("%w: line %d: %w", ErrDamaged, i+1, err)
				}
			}
			list = append(list, s)
		case len(list) > 0:
			key, value, ok := strings.Cut(line, "=")
			if !ok {
				return nil, fmt.Errorf("%w: line %d: neither a section nor a value", ErrDamaged, i+1)
			}
			values++
			list[len(list)-1].values[strings.Join(strings.Fields(strings.ToUpper(key)), " ")] = strings.TrimSpace(value)
		}
	}
	return list, nil
}

// ccdNumber reads a number, decimal or after 0x.
func ccdNumber(text string) (int64, error) {
	n, err := strconv.ParseInt(text, 0, 32)
	if digits := strings.TrimLeft(text, "0"); err != nil || len(digits) < len(text) && digits != "" && digits[0] >= '0' && digits[0] <= '9' {
		n, err = strconv.ParseInt(text, 10, 32) // a leading zero makes it no octal
	}
	if err != nil {
		return 0, fmt.Errorf("%q is no number", text)
	}
	return n, nil
}

// value returns the number of a key, 0 where there is none.
func (s *ccdSection) value(key string) (int64, error) {
	v, ok := s.values[key]
	if !ok {
		return 0, nil
	}
	n, err := ccdNumber(v)
	if err != nil {
		return 0, fmt.Errorf("%w: section at line %d: %s: %w", ErrDamaged, s.line, key, err)
	}
	return n, nil
}

// parseCCD reads a description of CloneCD, of version 2 or 3. Its error wraps
// ErrFormat when the text is none.
func parseCCD(text string) (*ccdSheet, error) {
	if !strings.Contains(strings.ToUpper(text), "[CLONECD]") {
		return nil, fmt.Errorf("%w: no [CloneCD] section", ErrFormat)
	}
	sections, err := ccdSections(text)
	if err != nil {
		return nil, err
	}
	sheet := &ccdSheet{tracks: make(map[byte]*ccdTrack)}
	read := map[string]func(*ccdSection) error{
		"DISC": sheet.disc, "ENTRY": sheet.entry, "TRACK": sheet.track, "CDTEXT": sheet.cdText,
	}
	for i := range sections {
		if f := read[sections[i].name]; f != nil {
			if err := f(&sections[i]); err != nil {
				return nil, err
			}
		}
	}
	return sheet, nil
}

func (c *ccdSheet) disc(s *ccdSection) error {
	n, err := s.value("DATATRACKSSCRAMBLED")
	c.scrambled = n != 0
	if mcn := s.values["CATALOG"]; isMCN(mcn) {
		c.mcn = mcn
	}
	return err
}

// maxEntries bounds the full TOC: tracks, and what else each session has.
const maxEntries = 1024

func (c *ccdSheet) entry(s *ccdSection) (err error) {
	e := ccdEntry{line: s.line}
	var m, f int64
	for key, to := range map[string]*int64{
		"SESSION": &e.session, "POINT": &e.point, "ADR": &e.adr, "CONTROL": &e.control,
		"PMIN": &m, "PSEC": &e.psec, "PFRAME": &f, "PLBA": &e.lba,
	} {
		if *to, err = s.value(key); err != nil {
			return err
		}
	}
	if _, ok := s.values["PLBA"]; !ok {
		e.lba = (m*60+e.psec)*75 + f - leadInPregap
	}
	if len(c.entries) >= maxEntries {
		return fmt.Errorf("%w: line %d: more than %d entries", ErrDamaged, s.line, maxEntries)
	}
	c.entries = append(c.entries, e)
	return nil
}

func (c *ccdSheet) track(s *ccdSection) error {
	if s.number < 1 || s.number > 99 {
		return fmt.Errorf("%w: line %d: track %d is not from 1 to 99", ErrDamaged, s.line, s.number)
	}
	t := &ccdTrack{isrc: s.values["ISRC"], index: make(map[int]disc.LBA)}
	var err error
	if t.mode, err = s.value("MODE"); err != nil {
		return err
	}
	for n := range 100 {
		key := "INDEX " + strconv.Itoa(n)
		if _, ok := s.values[key]; !ok {
			continue
		}
		lba, err := s.value(key)
		if err != nil {
			return err
		}
		t.index[n] = disc.LBA(lba)
	}
	c.tracks[byte(s.number)] = t
	return nil
}

// cdText reads packs, which lack their CRC.
func (c *ccdSheet) cdText(s *ccdSection) error {
	n, err := s.value("ENTRIES")
	if err != nil {
		return err
	}
	for i := range min(n, maxCDText/sector.PackSize) {
		text, ok := s.values["ENTRY "+strconv.FormatInt(i, 10)]
		if !ok {
			break
		}
		pack, err := hex.DecodeString(strings.Join(strings.Fields(text), ""))
		if err != nil || len(pack) < sector.PackSize-2 {
			return fmt.Errorf("%w: section at line %d: entry %d of CD-TEXT is not 16 hexadecimal bytes", ErrDamaged, s.line, i)
		}
		pack = pack[:sector.PackSize-2]
		c.packs = append(c.packs, binary.BigEndian.AppendUint16(pack, sector.CRC16(pack))...)
	}
	return nil
}

package image

import (
	"fmt"
	"strings"

	"spindle/isostore/sector"
)

// tocStatements are the statements of a table of contents.
var tocStatements = map[string]func(p *tocParser, word string) error{
	"CD_DA": (*tocParser).sessionType, "CD_ROM": (*tocParser).sessionType,
	"CD_ROM_XA": (*tocParser).sessionType, "CD_I": (*tocParser).sessionType,
	"CATALOG": (*tocParser).catalog,
	"CD_TEXT": (*tocParser).cdText,
	"TRACK":   (*tocParser).newTrack,
	"NO":      (*tocParser).flag, "COPY": (*tocParser).flag, "PRE_EMPHASIS": (*tocParser).flag,
	"TWO_CHANNEL_AUDIO": (*tocParser).flag, "FOUR_CHANNEL_AUDIO": (*tocParser).flag,
	"ISRC":    (*tocParser).trackISRC,
	"SILENCE": (*tocParser).zero, "ZERO": (*tocParser).zero,
	"FILE": (*tocParser).file, "AUDIOFILE": (*tocParser).file, "DATAFILE": (*tocParser).file,
	"FIFO":   (*tocParser).fifo,
	"START":  (*tocParser).startAt,
	"END":    (*tocParser).end,
	"PREGAP": (*tocParser).pregap,
	"INDEX":  (*tocParser).index,
}

func (p *tocParser) sessionType(word string) error {
	p.session = tocSessions[word]
	return nil
}

func (p *tocParser) catalog(string) error {
	mcn, err := p.quoted()
	if err == nil && !isMCN(mcn) {
		err = fmt.Errorf("the catalogue number %q has not 13 digits", mcn)
	}
	p.mcn = mcn
	return err
}

func (p *tocParser) newTrack(string) error {
	if len(p.tracks) >= 99 {
		return fmt.Errorf("more than 99 tracks")
	}
	word := p.next().text
	mode, ok := tocModes[word]
	if !ok || word == "MODE0" {
		return fmt.Errorf("%q is no known mode of a track", word)
	}
	t := tocTrack{mode: mode, line: p.line}
	for _, sub := range []string{"RW", "RW_RAW"} {
		if p.accept(sub) {
			t.sub = sub
		}
	}
	p.tracks = append(p.tracks, t)
	return nil
}

// tocFlags are bits of the control nibble.
var tocFlags = map[string]byte{"PRE_EMPHASIS": 1, "COPY": 2, "FOUR_CHANNEL_AUDIO": 8, "TWO_CHANNEL_AUDIO": 8}

// flag reads a flag, with NO before it or not.
func (p *tocParser) flag(word string) error {
	t, err := p.track()
	if err != nil {
		return err
	}
	set := word != "NO"
	if !set {
		word = p.next().text
	}
	bit, ok := tocFlags[word]
	if !ok {
		return fmt.Errorf("NO %s is no flag", word)
	}
	if t.control &^= bit; set && word != "TWO_CHANNEL_AUDIO" {
		t.control |= bit
	}
	return nil
}

func (p *tocParser) trackISRC(string) error {
	t, err := p.track()
	if err != nil {
		return err
	}
	isrc, err := p.quoted()
	t.isrc = strings.ToUpper(strings.ReplaceAll(isrc, "-", ""))
	return err
}

// maxParts bounds what one track is made of.
const maxParts = 1000

func (p *tocParser) add(t *tocTrack, part tocPart) error {
	if len(t.parts) >= maxParts {
		return fmt.Errorf("a track of more than %d parts", maxParts)
	}
	t.parts = append(t.parts, part)
	return nil
}

// zero reads SILENCE length, or ZERO with a mode and a sub-channel mode or not:
// what is added is of the track's mode in any case.
func (p *tocParser) zero(string) error {
	t, err := p.track()
	if err != nil {
		return err
	}
	line := p.line
	for !p.isLength() && len(p.tokens) > 0 {
		word := p.next().text
		if _, ok := tocModes[word]; !ok && word != "RW" && word != "RW_RAW" {
			return fmt.Errorf("%q stands where a length should", word)
		}
	}
	n, err := p.length()
	if err != nil {
		return err
	}
	return p.add(t, tocPart{length: n, line: line})
}

// file reads a part of a file:
//
//	FILE or AUDIOFILE "name" [SWAP] [#offset] start [length]
//	DATAFILE "name" [SWAP] [#offset] [length]
func (p *tocParser) file(word string) error {
	t, err := p.track()
	if err != nil {
		return err
	}
	part := tocPart{line: p.line}
	if part.name, err = p.quoted(); err != nil {
		return err
	}
	if part.name == "" {
		return fmt.Errorf("%s has no name", word)
	}
	part.swap = p.accept("SWAP")
	if p.accept("#") {
		if part.offset, err = p.integer(maxLength); err != nil {
			return err
		}
	}
	if word != "DATAFILE" {
		if part.start, err = p.length(); err != nil {
			return err
		}
	}
	if p.isLength() {
		if part.length, err = p.length(); err != nil {
			return err
		}
	}
	return p.add(t, part)
}

func (p *tocParser) fifo(string) error {
	name := p.next().text
	return fmt.Errorf("FIFO %q has no data that stay: not supported (hint: write it to a file and name that)", name)
}

// startAt reads START, with a time or without.
func (p *tocParser) startAt(string) error {
	t, err := p.track()
	if err != nil {
		return err
	}
	if !p.isLength() {
		t.before = len(t.parts)
		return nil
	}
	n, err := p.time()
	t.start = &tocLength{int64(n), true}
	return err
}

// end reads END, with a time or without, where a gap behind the track begins:
// sectors do not tell.
func (p *tocParser) end(string) error {
	if _, err := p.track(); err != nil || !p.isLength() {
		return err
	}
	_, err := p.time()
	return err
}

// pregap reads PREGAP time: zeros, and START behind them.
func (p *tocParser) pregap(string) error {
	t, err := p.track()
	if err != nil {
		return err
	}
	if len(t.parts) > 0 {
		return fmt.Errorf("PREGAP stands behind what the track is made of")
	}
	n, err := p.time()
	if err != nil {
		return err
	}
	t.before = 1
	return p.add(t, tocPart{length: tocLength{int64(n), true}, line: p.line})
}

func (p *tocParser) index(string) error {
	t, err := p.track()
	if err != nil {
		return err
	}
	n, err := p.time()
	if len(t.indexes) >= 98 {
		return fmt.Errorf("more than 99 indexes")
	}
	t.indexes = append(t.indexes, n)
	return err
}

// cdText reads a CD_TEXT block: of the disc, with a map of languages, or of the
// track that it stands in.
//
//	CD_TEXT { LANGUAGE_MAP { 0 : EN } LANGUAGE 0 { TITLE "text" SIZE_INFO { 0, 1 } } }
func (p *tocParser) cdText(string) error {
	if err := p.expect("{"); err != nil {
		return err
	}
	for !p.accept("}") {
		var err error
		switch t := p.next(); {
		case t.text == "LANGUAGE_MAP":
			err = p.languageMap()
		case t.text == "LANGUAGE":
			err = p.language()
		default:
			err = fmt.Errorf("%q stands in CD_TEXT where LANGUAGE should", t.text)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (p *tocParser) languageMap() error {
	if err := p.expect("{"); err != nil {
		return err
	}
	for !p.accept("}") {
		n, err := p.integer(7)
		if err != nil {
			return err
		}
		if err := p.expect(":"); err != nil {
			return err
		}
		if p.isLength() {
			code, err := p.integer(255)
			if err != nil {
				return err
			}
			p.languages[n] = int(code)
			continue
		}
		code, ok := sector.LanguageCode(p.next().text)
		if !ok {
			return fmt.Errorf("a language that has no code (hint: write the number of the language)")
		}
		p.languages[n] = int(code)
	}
	return nil
}

// language reads what is said in one language.
func (p *tocParser) language() error {
	n, err := p.integer(7)
	if err != nil {
		return err
	}
	if err := p.expect("{"); err != nil {
		return err
	}
	text := &p.texts[n]
	for !p.accept("}") {
		word := p.next().text
		pack, ok := sector.PackType(word)
		if !ok {
			return fmt.Errorf("%q is no kind of CD-TEXT", word)
		}
		if !p.accept("{") {
			s, err := p.quoted()
			if err != nil {
				return err
			}
			text.Set(pack, len(p.tracks), s)
			continue
		}
		b, err := p.binary()
		if err != nil {
			return err
		}
		p.setBinary(text, pack, b)
	}
	return nil
}

// maxBinary bounds the bytes of one item of CD-TEXT.
const maxBinary = 4096

// binary reads numbers up to a closing brace.
func (p *tocParser) binary() (b []byte, err error) {
	for !p.accept("}") {
		n, err := p.integer(255)
		if err != nil {
			return nil, err
		}
		if b = append(b, byte(n)); len(b) > maxBinary {
			return nil, fmt.Errorf("more than %d bytes", maxBinary)
		}
		p.accept(",")
	}
	return b, nil
}

// setBinary sets an item that is not a string: a genre begins with a code, sizes
// are made anew.
func (p *tocParser) setBinary(text *sector.Text, pack byte, b []byte) {
	switch {
	case pack == sector.PackGenre && len(b) >= 2:
		text.Genre = uint16(b[0])<<8 | uint16(b[1])
		text.Set(pack, len(p.tracks), fromUTF8(b[2:max(2, len(b)-trailing(b))]))
	case pack > sector.PackGenre && pack < sector.PackCode && len(p.tracks) == 0:
		text.SetRaw(pack, b)
	}
}

// trailing counts the zeros at the end of b.
func trailing(b []byte) int {
	return len(b) - len(strings.TrimRight(string(b), "\x00"))
}

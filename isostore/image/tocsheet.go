package image

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"spindle/isostore/disc"
	"spindle/isostore/sector"
)

// A tocSheet is what a table of contents of cdrdao says.
type tocSheet struct {
	session   byte // type of the session
	mcn       string
	languages [8]int // codes of language numbers, -1 unset
	texts     [8]sector.Text
	tracks    []tocTrack
}

// A tocTrack is a TRACK statement with those behind it.
type tocTrack struct {
	mode    tocMode
	sub     string // RW, RW_RAW or nothing
	control byte
	isrc    string
	parts   []tocPart
	start   *tocLength // of a START with a time; nil for none
	before  int        // parts that lie in the pregap, by a START without a time
	indexes []disc.LBA // from the track's start
	line    int
}

// A tocPart is what a track is made of: a part of a file, or zeros where name is
// empty.
type tocPart struct {
	name          string
	offset        int64 // in the file, in bytes
	swap          bool
	start, length tocLength
	line          int
}

// A tocLength is a length or a position: sectors, or else samples of an audio
// track and bytes of another.
type tocLength struct {
	n       int64
	sectors bool
}

// A tocMode is what files hold of each sector of a track.
type tocMode struct {
	mode disc.Mode
	form form
}

// tocModes are the modes of tracks and of ZERO.
var tocModes = map[string]tocMode{
	"AUDIO":          {disc.Audio, audioForm},
	"MODE0":          {disc.Mode1, mode1Form},
	"MODE1":          {disc.Mode1, mode1Form},
	"MODE1_RAW":      {disc.Mode1, rawForm},
	"MODE2":          {disc.Mode2, mode2Form},
	"MODE2_FORM1":    {disc.Mode2XA, xa1Form},
	"MODE2_FORM2":    {disc.Mode2XA, xa2Form},
	"MODE2_FORM_MIX": {disc.Mode2XA, mode2Form},
	"MODE2_RAW":      {disc.Mode2, rawForm},
}

// tocSessions are the types of sessions.
var tocSessions = map[string]byte{"CD_DA": 0, "CD_ROM": 0, "CD_ROM_XA": 0x20, "CD_I": 0x10}

// A tocToken is a word, a string or one of the characters that stand alone.
type tocToken struct {
	text   string
	string bool // it stood in quotes
	line   int
}

// maxTokens bounds the tokens of a text: a disc of 99 tracks with CD-TEXT in
// eight languages has some ten thousand.
const maxTokens = 1 << 17

// tocTokens splits a text into tokens, at most one more than maxTokens.
func tocTokens(text string) (list []tocToken) {
	text = strings.Join(textLines(text), "\n")
	for line := 1; text != "" && len(list) <= maxTokens; {
		n := 1 // bytes of text
		switch c := text[0]; {
		case c == ' ' || c == '\t' || c == '\n' || c == '\f':
		case strings.HasPrefix(text, "//"):
			n = before(text, "\n")
		case strings.HasPrefix(text, "/*"):
			n = min(before(text[2:], "*/")+4, len(text))
		case c == '"':
			end := closing(text)
			list = append(list, tocToken{unescape(text[1:end]), true, line})
			n = min(end+1, len(text))
		default:
			if n = wordEnd(text); n == 0 {
				_, n = utf8.DecodeRuneInString(text)
			}
			list = append(list, tocToken{text[:n], false, line})
		}
		line += strings.Count(text[:n], "\n")
		text = text[n:]
	}
	return list
}

// before returns how much of text stands before end, all where that is missing.
func before(text, end string) int {
	if i := strings.Index(text, end); i >= 0 {
		return i
	}
	return len(text)
}

// closing returns where the quote is that ends the string at the start of text.
func closing(text string) int {
	for i := 1; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
		case '"':
			return i
		}
	}
	return len(text)
}

// wordEnd returns where the word or the time at the start of text ends.
func wordEnd(text string) int {
	if n := timeEnd(text); n > 0 {
		return n
	}
	return len(text) - len(strings.TrimLeft(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.+-"))
}

// timeEnd returns where the time at the start of text ends, 0 where there is
// none: three numbers with colons between them.
func timeEnd(text string) (n int) {
	for i := range 3 {
		if i > 0 {
			if n == len(text) || text[n] != ':' {
				return 0
			}
			n++
		}
		start := n
		for n < len(text) && isDigit(text[n]) {
			n++
		}
		if n == start {
			return 0
		}
	}
	return n
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// unescape takes escapes out of a string: up to three octal digits are a
// character of ISO 8859-1, any other character stands for itself.
func unescape(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' || i+1 == len(s) {
			b.WriteByte(s[i])
			continue
		}
		i++
		v, digits := rune(0), 0
		for digits < 3 && i+digits < len(s) && s[i+digits] >= '0' && s[i+digits] <= '7' {
			v = v<<3 | rune(s[i+digits]-'0')
			digits++
		}
		if digits == 0 {
			b.WriteByte(s[i])
			continue
		}
		b.WriteRune(v & 0xFF)
		i += digits - 1
	}
	return b.String()
}

// A tocParser reads tokens one by one.
type tocParser struct {
	tocSheet
	tokens []tocToken
	line   int // of the token read last
}

// parseTOC reads a table of contents. Its error names the line and wraps
// ErrDamaged, or ErrFormat when this is none.
func parseTOC(text string) (*tocSheet, error) {
	p := &tocParser{tokens: tocTokens(text)}
	for i := range p.languages {
		p.languages[i] = -1
	}
	if len(p.tokens) == 0 || tocStatements[p.tokens[0].text] == nil || p.tokens[0].string {
		return nil, fmt.Errorf("%w: no statement of cdrdao's tables of contents", ErrFormat)
	}
	if len(p.tokens) > maxTokens {
		return nil, fmt.Errorf("%w: line %d: too long for a table of contents", ErrDamaged, p.tokens[maxTokens].line)
	}
	for len(p.tokens) > 0 {
		t := p.next()
		f := tocStatements[t.text]
		if f == nil || t.string {
			return nil, fmt.Errorf("%w: line %d: %q is no statement of a table of contents", ErrDamaged, t.line, t.text)
		}
		if err := f(p, t.text); err != nil {
			return nil, fmt.Errorf("%w: line %d: %w", ErrDamaged, p.line, err)
		}
	}
	if len(p.tracks) == 0 {
		return nil, fmt.Errorf("%w: line %d: no TRACK", ErrDamaged, p.line)
	}
	return &p.tocSheet, nil
}

// next takes the next token; at the end it is an empty one.
func (p *tocParser) next() (t tocToken) {
	if len(p.tokens) == 0 {
		return tocToken{line: p.line}
	}
	t, p.tokens = p.tokens[0], p.tokens[1:]
	p.line = t.line
	return t
}

// accept takes the next token when it is that word or character.
func (p *tocParser) accept(text string) bool {
	if len(p.tokens) == 0 || p.tokens[0].string || p.tokens[0].text != text {
		return false
	}
	p.next()
	return true
}

// expect takes the next token, which must be that one.
func (p *tocParser) expect(text string) error {
	if !p.accept(text) {
		return fmt.Errorf("%q stands where %q should", p.next().text, text)
	}
	return nil
}

// quoted takes the next token, which must be a string.
func (p *tocParser) quoted() (string, error) {
	t := p.next()
	if !t.string {
		return "", fmt.Errorf("%q stands where a string in quotes should", t.text)
	}
	return t.text, nil
}

// integer takes the next token, which must be a number of at most limit.
func (p *tocParser) integer(limit int64) (int64, error) {
	t := p.next()
	n, err := strconv.ParseInt(t.text, 10, 64)
	if err != nil || n < 0 || n > limit || t.string {
		return 0, fmt.Errorf("%q is no number from 0 to %d", t.text, limit)
	}
	return n, nil
}

// isLength reports whether the next token begins a length.
func (p *tocParser) isLength() bool {
	return len(p.tokens) > 0 && !p.tokens[0].string && p.tokens[0].text[0] >= '0' && p.tokens[0].text[0] <= '9'
}

// maxLength bounds lengths and offsets, in bytes.
const maxLength = 1 << 40

// length takes a length: a time or a number.
func (p *tocParser) length() (tocLength, error) {
	if len(p.tokens) > 0 && strings.Contains(p.tokens[0].text, ":") {
		n, err := frames(p.next().text)
		return tocLength{int64(n), true}, err
	}
	n, err := p.integer(maxLength)
	return tocLength{n: n}, err
}

// time takes a time, in sectors.
func (p *tocParser) time() (disc.LBA, error) { return frames(p.next().text) }

// track is the track that statements are about.
func (p *tocParser) track() (*tocTrack, error) {
	if len(p.tracks) == 0 {
		return nil, fmt.Errorf("it stands before any TRACK")
	}
	return &p.tracks[len(p.tracks)-1], nil
}

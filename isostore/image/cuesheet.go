package image

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"spindle/isostore/disc"
	"spindle/isostore/sector"
)

// A cueSheet is what a CUE sheet says. Nothing in it is compared with files yet.
type cueSheet struct {
	files    []cueFile
	tracks   []cueTrack
	mcn      string
	text     sector.Text
	textFile string // with packs of CD-TEXT
	textLine int
	gdrom    bool
	session  int         // of the next track, from 1
	gap      [3]disc.LBA // lead-out, lead-in and pregap before it, 0 where not said
	warnings []string
}

// A cueFile is a FILE line.
type cueFile struct {
	name, kind string
	line       int
}

// A cueTrack is a TRACK line with those below it.
type cueTrack struct {
	number          byte
	kind            cueKind
	control         byte
	isrc            string
	pregap, postgap disc.LBA
	marks           []cueMark // INDEX lines, in order
	session         int
	gap             [3]disc.LBA // as in cueSheet, before the session that begins here
	line            int
}

// mark returns the INDEX line of that number.
func (t *cueTrack) mark(index int) (cueMark, bool) {
	i := slices.IndexFunc(t.marks, func(m cueMark) bool { return m.index == index })
	if i < 0 {
		return cueMark{}, false
	}
	return t.marks[i], true
}

// A cueMark is an INDEX line: at counts sectors from the start of file.
type cueMark struct {
	index, file, line int
	at                disc.LBA
}

// A cueKind is what a track's files hold of each sector.
type cueKind struct {
	mode    disc.Mode
	form    form
	stride  int64 // bytes of a sector with what lies behind it
	session byte  // type of a session with such a track, where the name says it
}

// cueKinds are the kinds of tracks that TRACK lines name.
var cueKinds = map[string]cueKind{
	"AUDIO":      {disc.Audio, audioForm, 2352, 0},
	"CDG":        {disc.Audio, audioForm, 2448, 0},
	"MODE1/2048": {disc.Mode1, mode1Form, 2048, 0},
	"MODE1/2352": {disc.Mode1, rawForm, 2352, 0},
	"MODE1/2448": {disc.Mode1, rawForm, 2448, 0},
	"MODE2/2048": {disc.Mode2XA, xa1Form, 2048, 0},
	"MODE2/2324": {disc.Mode2XA, xa2Form, 2324, 0},
	"MODE2/2336": {disc.Mode2, mode2Form, 2336, 0},
	"MODE2/2352": {disc.Mode2, rawForm, 2352, 0},
	"MODE2/2448": {disc.Mode2, rawForm, 2448, 0},
	"CDI/2336":   {disc.Mode2, mode2Form, 2336, 0x10},
	"CDI/2352":   {disc.Mode2, rawForm, 2352, 0x10},
}

// A cueLine is a line being parsed.
type cueLine struct {
	*cueSheet
	line  int
	words []string // behind the keyword
	rest  string   // the same as it stands
}

// track is the track that the line is about, nil above the first TRACK line.
func (l *cueLine) track() *cueTrack {
	if len(l.tracks) == 0 {
		return nil
	}
	return &l.tracks[len(l.tracks)-1]
}

// cueKeywords are the keywords of CUE sheets, in capitals.
var cueKeywords = map[string]func(l *cueLine) error{
	"FILE":       (*cueLine).file,
	"TRACK":      (*cueLine).newTrack,
	"INDEX":      (*cueLine).index,
	"PREGAP":     (*cueLine).pregap,
	"POSTGAP":    (*cueLine).postgap,
	"FLAGS":      (*cueLine).flags,
	"ISRC":       (*cueLine).isrc,
	"CATALOG":    (*cueLine).catalog,
	"CDTEXTFILE": (*cueLine).packs,
	"REM":        (*cueLine).remark,
}

// parseCUE reads a CUE sheet. Lines that it does not know become warnings,
// because every program adds its own; an error names its line and wraps
// ErrDamaged, or ErrFormat when this is no CUE sheet at all.
func parseCUE(text string) (*cueSheet, error) {
	sheet := &cueSheet{session: 1}
	for i, line := range textLines(text) {
		words := splitWords(line)
		if len(words) == 0 {
			continue
		}
		_, rest, _ := strings.Cut(line, words[0])
		l := &cueLine{sheet, i + 1, words[1:], strings.Trim(rest, blanks)}
		if err := l.parse(strings.ToUpper(words[0])); err != nil {
			return nil, fmt.Errorf("%w: line %d: %w", ErrDamaged, i+1, err)
		}
	}
	switch {
	case sheet.gdrom:
		return nil, errGDROM
	case len(sheet.tracks) == 0 && len(sheet.files) == 0:
		return nil, fmt.Errorf("%w: no TRACK line, as CUE sheets have", ErrFormat)
	case len(sheet.tracks) == 0:
		return nil, fmt.Errorf("%w: line %d: no TRACK follows", ErrDamaged, sheet.files[len(sheet.files)-1].line)
	}
	return sheet, nil
}

// errGDROM is for sheets of discs that no CD drive reads as a whole.
var errGDROM = fmt.Errorf("it describes a GD-ROM, which holds more than CD drives read: not supported")

// maxWarnings bounds the warnings about lines.
const maxWarnings = 16

func (l *cueLine) parse(keyword string) error {
	if f := cueKeywords[keyword]; f != nil {
		return f(l)
	}
	if pack, ok := sector.PackType(keyword); ok {
		return l.title(pack)
	}
	l.warn("%s is no keyword of CUE sheets and is left out", printable(keyword))
	return nil
}

// warn notes what is odd in the line.
func (l *cueLine) warn(format string, args ...any) {
	if len(l.warnings) < maxWarnings {
		l.warnings = append(l.warnings, fmt.Sprintf("line %d: ", l.line)+fmt.Sprintf(format, args...))
	}
}

// blanks part words.
const blanks = " \t\f"

// splitWords splits a line at blanks that stand outside double quotes. A quote
// that nobody closes reaches to the line's end.
func splitWords(line string) (words []string) {
	for line = strings.TrimLeft(line, blanks); line != ""; line = strings.TrimLeft(line, blanks) {
		word := ""
		if line[0] == '"' {
			word, line, _ = strings.Cut(line[1:], `"`)
		} else if i := strings.IndexAny(line, blanks); i >= 0 {
			word, line = line[:i], line[i:]
		} else {
			word, line = line, ""
		}
		words = append(words, word)
	}
	return words
}

// file reads FILE name kind. A name without quotes may hold blanks: the kind
// is the last word.
func (l *cueLine) file() error {
	if len(l.words) == 0 {
		return fmt.Errorf("FILE has no name")
	}
	f := cueFile{name: l.words[0], kind: "BINARY", line: l.line}
	if n := len(l.words); n > 1 {
		f.kind = strings.ToUpper(l.words[n-1])
		if !strings.HasPrefix(l.rest, `"`) {
			f.name = strings.TrimSpace(strings.TrimSuffix(l.rest, l.words[n-1]))
		}
	}
	if f.name == "" {
		return fmt.Errorf("FILE has no name")
	}
	if len(l.files) >= maxCompanions {
		return fmt.Errorf("more than %d FILE lines", maxCompanions)
	}
	l.files = append(l.files, f)
	return nil
}

// newTrack reads TRACK number kind.
func (l *cueLine) newTrack() error {
	if len(l.words) < 2 {
		return fmt.Errorf("TRACK needs a number and a mode")
	}
	n, err := strconv.ParseUint(l.words[0], 10, 8)
	if err != nil || n < 1 || n > 99 {
		return fmt.Errorf("track %q is not from 1 to 99", l.words[0])
	}
	if t := l.track(); t != nil && byte(n) != t.number+1 {
		return fmt.Errorf("track %d comes after track %d", n, t.number)
	}
	kind, ok := cueKinds[strings.ToUpper(l.words[1])]
	if !ok {
		return fmt.Errorf("%q is no known mode of a track", l.words[1])
	}
	if len(l.files) == 0 {
		return fmt.Errorf("TRACK stands before any FILE")
	}
	t := cueTrack{number: byte(n), kind: kind, session: l.session, line: l.line, gap: l.gap}
	l.gap = [3]disc.LBA{}
	l.tracks = append(l.tracks, t)
	return nil
}

// needTrack returns the track that the line is about.
func (l *cueLine) needTrack(keyword string) (*cueTrack, error) {
	if t := l.track(); t != nil {
		return t, nil
	}
	return nil, fmt.Errorf("%s stands before any TRACK", keyword)
}

// index reads INDEX number mm:ss:ff.
func (l *cueLine) index() error {
	t, err := l.needTrack("INDEX")
	if err != nil {
		return err
	}
	if len(l.words) < 2 {
		return fmt.Errorf("INDEX needs a number and a time")
	}
	n, err := strconv.ParseUint(l.words[0], 10, 8)
	if err != nil || n > 99 {
		return fmt.Errorf("index %q is not from 0 to 99", l.words[0])
	}
	at, err := frames(l.words[1])
	if err != nil {
		return err
	}
	m := cueMark{index: int(n), file: len(l.files) - 1, line: l.line, at: at}
	switch k := len(t.marks); {
	case k == 0 && n > 1:
		return fmt.Errorf("track %d begins with index %d", t.number, n)
	case k > 0 && m.index != t.marks[k-1].index+1:
		return fmt.Errorf("index %d comes after index %d", n, t.marks[k-1].index)
	}
	t.marks = append(t.marks, m)
	return nil
}

// frames reads a time of minutes, seconds and frames and returns it in sectors.
func frames(text string) (disc.LBA, error) {
	parts := strings.Split(text, ":")
	var v [3]uint64
	for i, p := range parts {
		var err error
		if i >= 3 {
			return 0, fmt.Errorf("%q is no time of minutes:seconds:frames", text)
		}
		if v[i], err = strconv.ParseUint(p, 10, 16); err != nil {
			return 0, fmt.Errorf("%q is no time of minutes:seconds:frames", text)
		}
	}
	if len(parts) != 3 || v[0] > 999 || v[1] > 59 || v[2] > 74 {
		return 0, fmt.Errorf("%q is no time of minutes:seconds:frames", text)
	}
	return disc.LBA((v[0]*60+v[1])*75 + v[2]), nil
}

// gapTime reads the one time behind PREGAP or POSTGAP.
func (l *cueLine) gapTime(keyword string) (*cueTrack, disc.LBA, error) {
	t, err := l.needTrack(keyword)
	if err != nil {
		return nil, 0, err
	}
	if len(l.words) == 0 {
		return nil, 0, fmt.Errorf("%s needs a time", keyword)
	}
	n, err := frames(l.words[0])
	return t, n, err
}

func (l *cueLine) pregap() error {
	t, n, err := l.gapTime("PREGAP")
	if err == nil {
		t.pregap = n
	}
	return err
}

func (l *cueLine) postgap() error {
	t, n, err := l.gapTime("POSTGAP")
	if err == nil {
		t.postgap = n
	}
	return err
}

// cueFlags are bits of the control nibble.
var cueFlags = map[string]byte{"PRE": 1, "DCP": 2, "4CH": 8}

func (l *cueLine) flags() error {
	t, err := l.needTrack("FLAGS")
	for _, w := range l.words {
		if t != nil {
			t.control |= cueFlags[strings.ToUpper(w)]
		}
	}
	return err
}

func (l *cueLine) isrc() error {
	t, err := l.needTrack("ISRC")
	if err == nil && len(l.words) > 0 {
		t.isrc = strings.ToUpper(strings.ReplaceAll(l.words[0], "-", ""))
	}
	return err
}

func (l *cueLine) catalog() error {
	if len(l.words) > 0 && isMCN(l.words[0]) {
		l.mcn = l.words[0]
	} else {
		l.warn("the catalogue number has not 13 digits and is left out")
	}
	return nil
}

func (l *cueLine) packs() error {
	if len(l.words) == 0 {
		return fmt.Errorf("CDTEXTFILE has no name")
	}
	l.textFile, l.textLine = strings.Join(l.words, " "), l.line
	return nil
}

// title reads a line of CD-TEXT, of the disc or of a track.
func (l *cueLine) title(pack byte) error {
	n := 0
	if t := l.track(); t != nil {
		n = int(t.number)
	}
	if pack <= sector.PackGenre || pack == sector.PackCode {
		l.text.Set(pack, n, strings.Join(l.words, " "))
	}
	return nil
}

// remark reads what programs write behind REM that says where sessions begin.
func (l *cueLine) remark() error {
	if len(l.words) < 2 {
		return nil
	}
	switch key := strings.ToUpper(l.words[0]); key {
	case "SESSION":
		n, err := strconv.ParseUint(l.words[1], 10, 8)
		if err != nil || n < 1 || n > 99 || int(n) < l.session {
			return fmt.Errorf("session %q comes after session %d", l.words[1], l.session)
		}
		l.session = int(n)
	case "LEAD-OUT", "LEAD-IN", "PREGAP":
		// Some programs write where it lies and not how long it is: only
		// what may be a length is taken for one.
		limit := map[string]disc.LBA{"LEAD-OUT": 6750, "LEAD-IN": 4500, "PREGAP": 375}
		i := slices.Index([]string{"LEAD-OUT", "LEAD-IN", "PREGAP"}, key)
		if n, err := frames(l.words[1]); err == nil && n <= limit[key] {
			l.gap[i] = n
		}
	case "SINGLE-DENSITY", "HIGH-DENSITY":
		l.gdrom = l.gdrom || strings.EqualFold(l.words[1], "AREA")
	}
	return nil
}

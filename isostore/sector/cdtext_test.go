package sector

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"reflect"
	"strings"
	"testing"
)

// album has strings that take several packs, and some that share one.
func album() Text {
	return Text{
		Language: 9, First: 1, Last: 3, Genre: 0x0D, Copyright: 3,
		Values: map[byte][]string{
			PackTitle:     {"A title that needs more than two packs", "One", "", "Größe"},
			PackPerformer: {"Ensemble", "Someone with a rather long name of 43 bytes"},
			PackDiscID:    {"XY12345"},
			PackGenre:     {"Chamber music"},
			PackCode:      {"1234567890123", "DEABC2600001", "DEABC2600002"},
		},
		Raw: map[byte][]byte{PackTOC: append([]byte{PackTOC, 0, 0, 0}, "binary pack!"...)},
	}
}

// rawPack returns a pack with a CRC.
func rawPack(typ, track, sequence, block byte, payload string) []byte {
	p := make([]byte, 16, PackSize)
	p[0], p[1], p[2], p[3] = typ, track, sequence, block
	copy(p[4:], payload)
	return binary.BigEndian.AppendUint16(p, CRC16(p))
}

func join(packs ...[]byte) []byte { return bytes.Join(packs, nil) }

func TestTextRoundTrip(t *testing.T) {
	second := Text{Language: 8, First: 1, Last: 3, Values: map[byte][]string{PackTitle: {"", "Eins", "Zwei", "Drei"}}}
	late := Text{Language: 0x0F, First: 5, Last: 7, Values: map[byte][]string{PackTitle: {"Disque", "", "", "", "", "cinq", "", "sept"}}}
	bare := Text{First: 1, Last: 1}
	for _, want := range [][]Text{{album()}, {album(), second}, {second, late, album()}, {bare}, nil} {
		packs, err := AppendText(nil, want)
		if err != nil {
			t.Fatal(err)
		}
		got, err := ParseText(packs)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%+v, %v\ncame from %+v", got, err, want)
		}
	}
}

// TestAppendTextBytes has packs worked out by hand from MMC-3, annex J.
func TestAppendTextBytes(t *testing.T) {
	text := Text{Language: 9, Values: map[byte][]string{
		PackTitle: {"ABCDEFGHIJKLMNOP", "Q"}, // 16 characters: the second pack begins at the 12th
		PackGenre: {""},
	}, Genre: 0x0102}
	got, err := AppendText([]byte("x"), []Text{text})
	if err != nil {
		t.Fatal(err)
	}
	want := append([]byte("x"), join(
		rawPack(0x80, 0, 0, 0, "ABCDEFGHIJKL"),
		rawPack(0x80, 0, 1, 12, "MNOP\x00Q\x00"),
		rawPack(0x87, 0, 2, 0, "\x01\x02"),
		rawPack(0x8F, 0, 3, 0, "\x00\x01\x01\x00\x02\x00\x00\x00\x00\x00\x00\x01"),
		rawPack(0x8F, 1, 4, 0, "\x00\x00\x00\x00\x00\x00\x00\x03\x05\x00\x00\x00"),
		rawPack(0x8F, 2, 5, 0, "\x00\x00\x00\x00\x09"),
	)...)
	if !bytes.Equal(got, want) {
		t.Errorf("packs\n%swant\n%s", hex.Dump(got[1:]), hex.Dump(want[1:]))
	}
	long := Text{Values: map[byte][]string{PackTitle: {strings.Repeat("n", 40)}}}
	got, err = AppendText(nil, []Text{{}, long})
	if err != nil {
		t.Fatal(err)
	}
	for i, place := range []byte{0, 12, 15, 15} { // after the empty block's three
		if p := got[(3+i)*PackSize:]; p[2] != byte(i) || p[3] != 0x10|place {
			t.Errorf("pack %d of block 1 has number %d and block byte %02X, want place %d", i, p[2], p[3], place)
		}
	}
}

func TestParseText(t *testing.T) {
	good, err := AppendText(nil, []Text{album()})
	if err != nil {
		t.Fatal(err)
	}
	last := len(good) - PackSize
	bad := bytes.Clone(good)
	bad[5] ^= 1
	noCRC := bytes.Clone(good)
	for at := 16; at < len(noCRC); at += PackSize {
		noCRC[at], noCRC[at+1] = 0, 0
	}
	other := rawPack(PackTitle, 0, 0, 0, "another")
	tests := []struct {
		name  string
		packs []byte
		title []string
		err   string
	}{
		{"good", good, album().Values[PackTitle], ""},
		{"no CRC", noCRC, album().Values[PackTitle], ""},
		{"twice", join(good, good), album().Values[PackTitle], ""},
		{"turned round", join(good[last:], good[:last]), album().Values[PackTitle], ""},
		{"with header and zero", join([]byte{1, 2, 0, 0}, good, []byte{0}), album().Values[PackTitle], ""},
		{"padding", join(good, make([]byte, PackSize)), album().Values[PackTitle], ""},
		{"cut", good[:len(good)-7], nil, "bytes"},
		{"same number twice", join(good, other), album().Values[PackTitle], "another pack with sequence number 0"},
		{"bad CRC: the rest of its string goes too", bad, []string{"", "One", "", "Größe"}, "pack at byte 0, TITLE: CRC"},
		{"missing pack", join(good[:PackSize], good[2*PackSize:]), []string{"", "One", "", "Größe"}, "block 0 lacks 1 pack(s) before number 2"},
		{"other type", join(good, rawPack(0x42, 0, 0, 0, "x")), album().Values[PackTitle], "type 42h"},
		{"TAB", join(rawPack(0x80, 0, 0, 0, "A\x00B\x00\t\x00\t\x00C\x00")), []string{"A", "B", "B", "B", "C"}, ""},
		{"TAB first", join(rawPack(0x80, 0, 0, 0, "\t\x00B\x00")), []string{"", "B"}, ""},
		{"not terminated", join(rawPack(0x80, 1, 0, 0, "ABCDEFGHIJKL")), []string{"", "ABCDEFGHIJKL"}, ""},
		{"track 99 and on", join(rawPack(0x80, 99, 0, 0, "A\x00B\x00C\x00")), append(make([]string, 99), "A"), ""},
		{"track goes back", join(rawPack(0x80, 2, 0, 0, "B\x00CCCCCCCCCC"), rawPack(0x80, 1, 1, 0, "A\x00")), []string{"", "A", "B"}, ""},
		{"extension", join(good, rawPack(0x80, 0x81, 90, 0, "x")), album().Values[PackTitle], ""},
		{"Japanese", join(
			rawPack(0x80, 0, 0, 0x80, "\x82\xA0\x82\xA2\x00\x00\xB1\xB2\x00\x00\x00\x00"),
			rawPack(0x8F, 0, 1, 0, "\x80\x01\x01"), rawPack(0x8F, 2, 2, 0, "\x00\x00\x00\x00\x69"),
		), []string{"\uFFFD\uFFFD", "ｱｲ"}, ""},
	}
	for _, tt := range tests {
		texts, err := ParseText(tt.packs)
		if (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
			t.Errorf("%s: error %v, want %q", tt.name, err, tt.err)
		}
		if tt.title == nil {
			continue
		}
		if len(texts) != 1 || !reflect.DeepEqual(texts[0].Values[PackTitle], tt.title) {
			t.Errorf("%s: %+v, want titles %q", tt.name, texts, tt.title)
		}
	}
}

// Errors name what is wrong, and stay short.
func TestParseTextManyProblems(t *testing.T) {
	var packs []byte
	for range 1000 {
		packs = append(packs, rawPack(0x42, 0, 0, 0, "")...)
	}
	if _, err := ParseText(packs); err == nil || len(err.Error()) > 1000 || !strings.HasSuffix(err.Error(), "and 992 more") {
		t.Errorf("error %v", err)
	}
}

func TestAppendTextRefuses(t *testing.T) {
	title := func(s string) []Text { return []Text{{Language: 9, Values: map[byte][]string{PackTitle: {"", "", s}}}} }
	tests := []struct {
		name, want string
		texts      []Text
	}{
		{"kana", `CD-TEXT block 0 (English): TITLE of track 2: character 'あ' (U+3042)`, title("aあ")},
		{"zero", "TITLE of track 2: a zero character", title("a\x00b")},
		{"nine", "at most 8", make([]Text, 9)},
		{"much", "at most 256 (hint: shorten", title(strings.Repeat("x", 253*12-2))},
		{"MS-JIS", "character set 80h", []Text{{Charset: CharsetMSJIS}}},
		{"binary as text", "TOC_INFO1 is not text", []Text{{Values: map[byte][]string{PackTOC: {"x"}}}}},
		{"text as binary", "16 bytes of TITLE", []Text{{Raw: map[byte][]byte{PackTitle: make([]byte, 16)}}}},
		{"half a pack", "15 bytes of CLOSED", []Text{{Raw: map[byte][]byte{PackClosed: make([]byte, 15)}}}},
	}
	for _, tt := range tests {
		b, err := AppendText([]byte("x"), tt.texts)
		if err == nil || !strings.Contains(err.Error(), tt.want) || string(b) != "x" {
			t.Errorf("%s: %d bytes, %v; want %q", tt.name, len(b), err, tt.want)
		}
	}
	full := title(strings.Repeat("x", 253*12-3)) // with three zeros: 253 packs
	if b, err := AppendText(nil, full); err != nil || len(b) != 256*PackSize {
		t.Errorf("253 packs of text: %d bytes, %v", len(b), err)
	}
}

func TestLatin1(t *testing.T) {
	tests := []struct{ in, want string }{
		{"Größe ÿ", "Gr\xF6\xDFe \xFF"},
		{"“Don’t” – wait…", `"Don't" - wait...`},
		{"Cafe\u0301 a\u0300 la cre\u0300me, garc\u0327on", "Caf\xE9 \xE0 la cr\xE8me, gar\xE7on"},
		{"Œuvre •", "OEuvre \xB7"},
	}
	for _, tt := range tests {
		if got, err := encode(tt.in); err != nil || string(got) != tt.want {
			t.Errorf("%q becomes %q, %v; want %q", tt.in, got, err, tt.want)
		}
	}
	for _, in := range []string{"Ł", "q\u0301", "\u0301", "\xFF"} {
		if got, err := encode(in); err == nil {
			t.Errorf("%q becomes %q", in, got)
		}
	}
	ascii := Text{Charset: CharsetASCII, Values: map[byte][]string{PackTitle: {"plain"}}}
	for title, want := range map[string]byte{"plain": CharsetASCII, "schön": CharsetLatin1} {
		ascii.Set(PackTitle, 0, title)
		b, err := AppendText(nil, []Text{ascii})
		if err != nil || b[len(b)-3*PackSize+4] != want {
			t.Errorf("%s: % X, %v; want character set %02X", title, b, err, want)
		}
	}
}

func TestSetAndGet(t *testing.T) {
	var text Text
	text.Set(PackTitle, 2, "two")
	text.Set(PackTitle, 0, "disc")
	text.Set(PackTitle, 100, "beyond")
	text.Set(PackTitle, -1, "before")
	text.Set(PackTitle, 50, "")
	if got, want := text.Values[PackTitle], []string{"disc", "", "two"}; !reflect.DeepEqual(got, want) {
		t.Errorf("Values = %q, want %q", got, want)
	}
	if text.Get(PackTitle, 2) != "two" || text.Get(PackTitle, 3) != "" || text.Get(PackArranger, 0) != "" || text.Get(PackTitle, -1) != "" {
		t.Error("Get")
	}
	text.Set(PackTitle, 2, "")
	text.Set(PackTitle, 0, "")
	if len(text.Values) != 0 {
		t.Errorf("Values = %q, want none", text.Values)
	}
	text.SetRaw(PackTOC, []byte("thirteen byte"))
	if got := text.Raw[PackTOC]; len(got) != 32 || string(got[4:16]) != "thirteen byt" || got[16] != PackTOC || got[20] != 'e' {
		t.Errorf("Raw = %q", got)
	}
	if text.SetRaw(PackTOC, nil); len(text.Raw) != 0 {
		t.Errorf("Raw = %q, want none", text.Raw)
	}
}

func TestNames(t *testing.T) {
	for _, n := range packNames {
		if got, ok := PackType(strings.ToLower(n.name)); !ok || got != n.typ {
			t.Errorf("PackType(%s) = %02X, %v", n.name, got, ok)
		}
	}
	if _, ok := PackType("COLOUR"); ok || PackName(0x8A) != "type 8Ah" || PackName(PackCode) != "UPC_EAN" {
		t.Error("names of pack types")
	}
	seen := map[string]bool{}
	for _, l := range languages {
		for _, name := range []string{l.tag, strings.ToLower(l.name)} {
			if got, ok := LanguageCode(name); name != "" && (!ok || got != l.code) || seen[name] && name != "" {
				t.Errorf("LanguageCode(%s) = %02X, %v", name, got, ok)
			}
			seen[name] = true
		}
		if LanguageName(l.code) != l.name || LanguageTag(l.code) != l.tag {
			t.Errorf("%02X is %s, %s", l.code, LanguageName(l.code), LanguageTag(l.code))
		}
	}
	if code, ok := LanguageCode("en"); !ok || code != 9 {
		t.Errorf("EN is %02X", code)
	}
	if _, ok := LanguageCode(""); ok || LanguageName(0) != "unknown language" || LanguageName(0x30) != "language 30h" || LanguageTag(0x30) != "" {
		t.Error("unknown languages")
	}
}

// FuzzText: what was read can be written, and is read again the same.
func FuzzText(f *testing.F) {
	packs, err := AppendText(nil, []Text{album(), {Language: 8, First: 5, Values: map[byte][]string{PackTitle: {"a", 6: "b"}}}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(packs)
	f.Add(packs[PackSize:])
	f.Add(rawPack(0x80, 98, 0, 0x80, "A\x00\x00\x00\t\t\x00\x00\t\x00"))
	f.Add(rawPack(0x87, 3, 7, 0x15, "A\x00\x00\x00\t\t\x00\x00\t\x00"))
	f.Fuzz(func(t *testing.T, data []byte) {
		data = bytes.Clone(data)
		for at := 0; at+PackSize <= len(data); at += PackSize { // let the fuzzer past the CRC
			if data[at+16] < 0xF0 {
				data[at+16], data[at+17] = 0, 0
			}
		}
		texts, _ := ParseText(data)
		packs, err := AppendText(nil, texts)
		if err != nil {
			return // too long once TAB is spelt out, or a character set that is not written
		}
		again, err := ParseText(packs)
		if err != nil || len(again) != len(texts) {
			t.Fatalf("%d blocks, %v; wrote %d", len(again), err, len(texts))
		}
		for n := range texts {
			a, b := &again[n], &texts[n]
			if !reflect.DeepEqual(a.Values, b.Values) || a.Genre != b.Genre || a.First != b.First || a.Last != b.Last || a.Language != b.Language {
				t.Errorf("block %d: read %+v, wrote %+v", n, a, b)
			}
		}
	})
}

package image

import (
	"bytes"
	"fmt"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// sheet reads the image's own file, which should be the text that what says.
func (s *source) sheet(what string) (string, error) {
	b, err := s.text()
	if err != nil {
		return "", err
	}
	text, ok := sheetText(b)
	if !ok {
		return "", fmt.Errorf("%w: no text, as %s is", ErrFormat, what)
	}
	return text, nil
}

// sheetText makes text of a file that should be text: UTF-16 or UTF-8 where its
// byte order mark says so, else UTF-8 where it is valid, else ISO 8859-1. It
// reports whether that gave text: a control character that no editor writes
// says that it is none.
func sheetText(b []byte) (string, bool) {
	var text string
	switch {
	case bytes.HasPrefix(b, []byte{0xFF, 0xFE}):
		text = fromUTF16(b[2:], 1)
	case bytes.HasPrefix(b, []byte{0xFE, 0xFF}):
		text = fromUTF16(b[2:], 0)
	default:
		b = bytes.TrimPrefix(b, []byte("\uFEFF"))
		text = fromUTF8(b)
	}
	text = strings.TrimRight(text, "\x00\x1A") // DOS ends text with the one, C with the other
	return text, !strings.ContainsFunc(text, func(r rune) bool {
		return r < ' ' && r != '\t' && r != '\n' && r != '\r' && r != '\f'
	})
}

// fromUTF16 decodes 16-bit units whose high byte is the one at high.
func fromUTF16(b []byte, high int) string {
	u := make([]uint16, len(b)/2)
	for i := range u {
		u[i] = uint16(b[2*i+high])<<8 | uint16(b[2*i+1-high])
	}
	return string(utf16.Decode(u))
}

// fromUTF8 decodes UTF-8, and takes what is none for ISO 8859-1.
func fromUTF8(b []byte) string {
	if utf8.Valid(b) {
		return string(b)
	}
	r := make([]rune, len(b))
	for i, c := range b {
		r[i] = rune(c)
	}
	return string(r)
}

// textLines splits text into lines, whose ends may be those of any system.
func textLines(text string) []string {
	text = strings.ReplaceAll(text, "\r\n", "\n")
	return strings.Split(strings.ReplaceAll(text, "\r", "\n"), "\n")
}

package image

import "unicode/utf8"

// What is said of an image quotes its file, which may hold a megabyte where a
// word should be: texts are cut to maxBrief bytes. Of the end that much stays
// that a hint in it does.
const (
	maxBrief = 1024
	briefEnd = maxBrief / 2
)

// brief cuts a text in the middle.
func brief(text string) string {
	if len(text) <= maxBrief {
		return text
	}
	const gap = "…"
	begin, end := maxBrief-briefEnd-len(gap), len(text)-briefEnd
	for !utf8.RuneStart(text[begin]) {
		begin--
	}
	for !utf8.RuneStart(text[end]) && end+1 < len(text) {
		end++
	}
	return text[:begin] + gap + text[end:]
}

// A briefError is an error whose text is cut.
type briefError struct{ error }

// Error implements error.
func (e briefError) Error() string { return brief(e.error.Error()) }

// Unwrap returns the whole error.
func (e briefError) Unwrap() error { return e.error }

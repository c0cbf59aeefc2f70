package iscsi

import (
	"bytes"
	"strings"
	"testing"
)

func TestBlank(t *testing.T) {
	for _, tt := range []struct{ text, want string }{
		{"", ""},
		{"InitiatorName=iqn.a\x00AuthMethod=CHAP\x00", "InitiatorName=iqn.a\x00AuthMethod=CHAP\x00"},
		{"CHAP_N=joe\x00CHAP_R=0x1234\x00CHAP_I=7\x00CHAP_C=0bQUJD\x00CHAP_A=5\x00", "CHAP_N=joe\x00CHAP_R=xxxxxx\x00CHAP_I=x\x00CHAP_C=xxxxxx\x00CHAP_A=5\x00"},
		{"CHAP_R=a=b", "CHAP_R=xxx"},
		{"\x00chap_r=ab\x00CHAP_RR=ab\x00XCHAP_R=ab\x00CHAP_=ab", "\x00chap_r=xx\x00CHAP_RR=ab\x00XCHAP_R=ab\x00CHAP_=ab"},
		{"CHAP_R\x00=ab\x00CHAP_C", "CHAP_R\x00=ab\x00CHAP_C"},
	} {
		for cut := range len(tt.text) + 1 { // parted over two PDUs anywhere
			var b blanker
			first, second := []byte(tt.text[:cut]), []byte(tt.text[cut:])
			b.blank(first, true)
			b.blank(second, false)
			if got := string(first) + string(second); got != tt.want {
				t.Errorf("%q cut at %d: %q; want %q", tt.text, cut, got, tt.want)
			}
			if b != (blanker{}) {
				t.Errorf("%q: the end of the text leaves %+v", tt.text, b)
			}
		}
	}
}

// FuzzBlank holds the blanker against the parser of negotiations: no value that
// the parser gives a secret key is left, and nothing else changes.
func FuzzBlank(f *testing.F) {
	f.Add([]byte("CHAP_N=joe\x00CHAP_R=0x1234\x00"), uint16(9))
	f.Add([]byte("CHAP_I=1\x00CHAP_C=0b=\x00CHAP_A=5"), uint16(0))
	f.Add([]byte("\x00CHAP_RCHAP_R=\x00=\x00CHAP_R==x"), uint16(4))
	f.Fuzz(func(t *testing.T, text []byte, at uint16) {
		got := bytes.Clone(text)
		cut := min(int(at), len(got))
		var b blanker
		b.blank(got[:cut], true)
		b.blank(got[cut:], false)
		items, blanked := bytes.Split(text, []byte{0}), bytes.Split(got, []byte{0})
		if len(got) != len(text) || len(items) != len(blanked) {
			t.Fatalf("%q became %q", text, got)
		}
		for i := range items {
			name, value, ok := strings.Cut(string(items[i]), "=")
			want := string(items[i])
			if ok && (strings.EqualFold(name, "CHAP_I") || strings.EqualFold(name, "CHAP_C") || strings.EqualFold(name, "CHAP_R")) {
				want = name + "=" + strings.Repeat("x", len(value))
			}
			if string(blanked[i]) != want {
				t.Fatalf("%q became %q; want %q", items[i], blanked[i], want)
			}
		}
	})
}

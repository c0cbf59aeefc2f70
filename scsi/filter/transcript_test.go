package filter

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
)

// line is v as a line of a transcript.
func line(t testing.TB, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

const header = `{"spindle_transcript":1,"program":"v1","taken":"2026-11-26T00:00:00Z","drive":"cd0","options":null}`

func TestReadTranscript(t *testing.T) {
	const text = header + "\n\n" + `{"n":7,"cdb":"000000000000","status":"GOOD"}` + "\n"
	got, err := ReadTranscript(strings.NewReader(text))
	if err != nil || got.Header.Drive != "cd0" || len(got.Entries) != 1 || got.Entries[0].N != 7 || len(got.Entries[0].CDB) != 6 {
		t.Errorf("ReadTranscript = %+v, %v", got, err)
	}
}

func TestReadTranscriptErrors(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"empty", "\n\n", "it is empty (hint: "},
		{"no header", `{"n":1,"cdb":"00"}`, `line 1: the first line has no "spindle_transcript" (hint: `},
		{"version", `{"spindle_transcript":9,"program":"v7"}`, `line 1: it is of version 9, and this program knows version 1 (hint: use the spindle that wrote it, "v7")`},
		{"no JSON", header + "\nx", "line 2: invalid character"},
		{"nothing", header + "\n{}", "line 2: there is neither an event nor a CDB"},
		{"long CDB", header + "\n" + `{"cdb":"` + strings.Repeat("00", 17) + `"}`, "but 17"},
		{"hex", header + "\n" + `{"cdb":"0g"}`, "line 2: encoding/hex"},
		{"data", header + "\n" + `{"cdb":"00","in":2,"data":"00"}`, "1 bytes of data of an answer of 2"},
		{"data-out", header + "\n" + `{"cdb":"00","out":2}`, "0 bytes of data-out of 2"},
		{"length", header + "\n" + `{"cdb":"00","length":-1}`, "-1 is no length"},
		{"hash", header + "\n" + `{"cdb":"00","sha256":"00"}`, "a SHA-256 of 1 bytes"},
		{"sense", header + "\n" + `{"cdb":"00","sense":"00"}`, "sense of 1 bytes"},
		{"attention", header + "\n" + `{"cdb":"00","pending":["6/29"]}`, "want KEY/CODE/QUALIFIER"},
		{"attentions", header + "\n" + `{"cdb":"00","pending":["6/29/00"` + strings.Repeat(`,"6/29/00"`, 8) + `]}`, "9 unit attentions"},
		{"host", header + "\n" + `{"event":"nexus-joined"}`, "has no host"},
		{"long line", header + "\n" + strings.Repeat(" ", maxLine+1), "line 2 is longer"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := ReadTranscript(strings.NewReader(tt.text))
			if !errors.Is(err, ErrTranscript) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("ReadTranscript = %v; want %s", err, tt.want)
			}
		})
	}
}

// FuzzReadTranscript checks that what is read keeps the bounds, and reads the
// same again after it was written.
func FuzzReadTranscript(f *testing.F) {
	f.Add([]byte(header + "\n" + `{"n":7,"cdb":"000000000000","status":"GOOD","in":1,"data":"05"}`))
	f.Add([]byte(header + "\n" + `{"event":"nexus-joined","nexus":1,"host":{"initiator":"a","protocol":"usb"},"pending":["6/28/00"]}`))
	f.Add([]byte(header + "\n" + `{"event":"insert","medium":{"name":"a","kind":"CD","blocks":3,"tracks":[{"number":1}]}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		got, err := ReadTranscript(strings.NewReader(string(text)))
		if err != nil {
			return
		}
		var b strings.Builder
		b.WriteString(line(t, got.Header) + "\n")
		for _, e := range got.Entries {
			if len(e.Data) > MaxData || len(e.OutData) > MaxOut || len(e.CDB) > 16 {
				t.Errorf("entry %+v is beyond the bounds", e)
			}
			b.WriteString(line(t, e) + "\n")
		}
		again, err := ReadTranscript(strings.NewReader(b.String()))
		if err != nil || line(t, again) != line(t, got) {
			t.Errorf("read again: %v\n%s\nwant %s", err, line(t, again), line(t, got))
		}
	})
}

package main

import (
	"strings"
	"testing"
	"time"
)

// TestPrintTrace checks what people see of lines of each kind.
func TestPrintTrace(t *testing.T) {
	local := time.Local
	time.Local = time.UTC
	t.Cleanup(func() { time.Local = local })
	const at = `"time":"2026-11-26T10:00:00.5Z"`
	for _, tt := range []struct{ name, line, want string }{
		{"lost", `{"event":"lost","lost":5}`, "                 5 entries are lost here"},
		{"base", `{"n":1,"event":"insert","medium":{"name":"a.iso"},"base":true}`, "before           -- insert a.iso"},
		{
			"read", `{` + at + `,"nexus":9,"cdb":"28000000001000000200","name":"READ(10)","status":"GOOD","in":4096,"took_ns":1500}`,
			"10:00:00.500000  nexus 9  READ(10)  lba 16 +2  GOOD  in 4096  2µs",
		},
		{"read 6", `{` + at + `,"nexus":1,"cdb":"08e000100100","name":"READ(6)","status":"GOOD"}`, "10:00:00.500000  host  READ(6)  lba 16 +1  GOOD  0s"},
		{"seek", `{` + at + `,"nexus":1,"cdb":"2b000000001000000000","name":"SEEK(10)","status":"GOOD"}`, "10:00:00.500000  host  SEEK(10)  lba 16  GOOD  0s"},
		{"short", `{` + at + `,"nexus":1,"cdb":"2800","status":"GOOD"}`, "10:00:00.500000  host  unknown command  [28 00]  GOOD  0s"},
		{
			"sense", `{` + at + `,"nexus":1,"cdb":"ee","status":"CHECK CONDITION","error":"5/20/00 INVALID","out":3}`,
			"10:00:00.500000  host  unknown command  [ee]  5/20/00 INVALID  out 3  0s",
		},
		{
			"aborted", `{` + at + `,"nexus":1,"cdb":"00","name":"TEST UNIT READY","status":"GOOD","aborted":true}`,
			"10:00:00.500000  host  TEST UNIT READY  [00]  aborted  0s",
		},
		{
			"running", `{` + at + `,"nexus":1,"cdb":"00","name":"TEST UNIT READY","running":true,"took_ns":5000000000}`,
			"10:00:00.500000  host  TEST UNIT READY  [00]  has not ended  5s",
		},
		{
			"hostile", `{` + at + `,"event":"insert","by":"\u001b[2J","medium":{"name":"a\nb"},"force":true,"error":"held"}`,
			"10:00:00.500000  -- insert a?b by ?[2J by force failed: held",
		},
		{"left", `{` + at + `,"event":"nexus-lost","nexus":1}`, "10:00:00.500000  -- nexus-lost host"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var b strings.Builder
			err := printTrace(&b, strings.NewReader("{}\n"+`{`+at+`,"event":"nexus-joined","nexus":1,"host":{"initiator":"host","address":"::1"}}`+"\n"+tt.line+"\n"))
			want := "10:00:00.500000  -- nexus-joined host from ::1\n" + tt.want + "\n"
			if err != nil || b.String() != want {
				t.Errorf("printTrace = %v\n%s\nwant\n%s", err, b.String(), want)
			}
		})
	}
	for text, want := range map[string]string{"{}\n{": "broke off", "{}\nx\n": "a line that is none"} {
		if err := printTrace(new(strings.Builder), strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("printTrace of %q = %v; want %s", text, err, want)
		}
	}
}

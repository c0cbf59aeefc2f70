package transcripttest

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const kept = "../../testdata/transcripts"

// TestTranscripts replays what hosts did, without a difference. A file of a bug
// report that is put beside the others is replayed, too.
func TestTranscripts(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(kept, "*.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	for _, host := range []string{"linux-iscsi", "linux-usb", "edk2", "edk2-usb", "seabios", "seabios-usb", "ipxe", "qemu"} {
		if !slices.Contains(files, filepath.Join(kept, host+".jsonl")) {
			t.Errorf("there is no transcript of %s", host)
		}
	}
	for _, name := range files {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".jsonl"), func(t *testing.T) {
			f, err := os.Open(name)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			for _, err := range Replay(t, f) {
				t.Error(err)
			}
		})
	}
}

// TestReplayErrors checks what is said of files that cannot be replayed, and
// that one whose answers differ fails.
func TestReplayErrors(t *testing.T) {
	const header = `{"spindle_transcript":1,"options":{}}` + "\n"
	for _, tt := range []struct{ name, text, want string }{
		{"no transcript", "x", "not a transcript: line 1"},
		{"no options", `{"spindle_transcript":1}`, "options of the header"},
		{"disc", header + `{"n":1,"event":"insert","medium":{"name":"x/y.iso"}}`, `disc "x/y.iso" is not known (hint: the discs are boot.iso, second.iso`},
		{"no disc", header + `{"n":1,"event":"insert"}`, "an insert without a medium"},
		{"event", header + `{"n":1,"event":"host-eject","by":"a"}`, `the drive tells event "host-eject" by "a" 1 times too few`},
		{"another event", header + `{"n":1,"event":"insert","medium":{"name":"boot.iso"}}`, `the drive tells event "ready" by "" 1 times too often`},
		{"answer", header + `{"n":1,"cdb":"000000000000","status":"GOOD"}`, "status CHECK CONDITION"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if err := errors.Join(Replay(t, strings.NewReader(tt.text))...); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Replay = %v; want %s", err, tt.want)
			}
		})
	}
}

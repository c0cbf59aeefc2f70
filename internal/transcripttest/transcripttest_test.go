package transcripttest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const kept = "../../testdata/transcripts"

// TestTranscripts replays what hosts did, without a difference. A file of a bug
// report that is put beside the others is replayed, too.
func TestTranscripts(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(kept, "*.jsonl"))
	if err != nil || len(files) < 5 {
		t.Fatalf("%d transcripts, %v; Linux, EDK2, SeaBIOS, iPXE and QEMU have one at least", len(files), err)
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

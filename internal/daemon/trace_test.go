package daemon

import (
	"bytes"
	"encoding/json"
	"io"
	"slices"
	"testing"

	"spindle/internal/api/client"
	"spindle/mmcemu"
	"spindle/scsi/filter"
)

// traced returns the trace of a drive, as a client gets it.
func (r *rig) traced(name string) *filter.Transcript {
	r.t.Helper()
	body, err := r.client.Trace(r.t.Context(), name, false)
	if err != nil {
		r.t.Fatal(err)
	}
	defer body.Close()
	text, err := io.ReadAll(body)
	if err != nil {
		r.t.Fatal(err)
	}
	tr, err := filter.ReadTranscript(bytes.NewReader(text))
	if err != nil {
		r.t.Fatalf("%v in\n%s", err, text)
	}
	return tr
}

// TestTrace checks what the daemon tells a drive's recorder, also across a
// restart with the tray open, and that a drive can be made of the header.
func TestTrace(t *testing.T) {
	r := newRig(t)
	r.start("[drive.cd0]\ndisc = \"a.iso\"\n")
	if _, err := r.client.Insert(t.Context(), "cd0", client.InsertRequest{Image: "b.iso"}); err != nil {
		t.Fatal(err)
	}
	events := func() (list []string) {
		entries := r.traced("cd0").Entries
		slices.SortStableFunc(entries, func(a, b filter.Entry) int { return int(int64(a.N - b.N)) })
		for _, e := range entries {
			name := e.Event
			if e.Medium != nil {
				name += " " + e.Medium.Name
			}
			list = append(list, name)
		}
		return list
	}
	if got, want := events(), []string{"insert a.iso", "ready a.iso", "insert b.iso", "ready b.iso"}; !slices.Equal(got, want) {
		t.Errorf("events %q; want %q", got, want)
	}
	h := r.traced("cd0").Header
	var o mmcemu.Options
	if err := json.Unmarshal(h.Options, &o); err != nil || o.Serial == "" || o.NAA == 0 || o.Vendor == "" || h.Drive != "cd0" {
		t.Errorf("header %+v: options %+v, %v", h, o, err)
	}

	dr := r.d.drive("cd0")
	if err := dr.reopen(t.Context()); err != nil { // as a host's eject does
		t.Fatal(err)
	}
	r.await("open", func(s *client.Status) bool { return s.Drive("cd0").State == "open" })
	r.restart("[drive.cd0]\ndisc = \"a.iso\"\n")
	if got, want := events(), []string{"insert b.iso", "ready b.iso", "reopen", "host-eject b.iso"}; !slices.Equal(got, want) {
		t.Errorf("events after a restart with an open tray %q; want %q", got, want)
	}

	// Who follows a drive that is made anew gets to the end.
	body, err := r.client.Trace(t.Context(), "cd0", true)
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	r.write("[drive.cd0]\ndisc = \"a.iso\"\neject = \"remove\"\n")
	if _, err := io.Copy(io.Discard, body); err != nil {
		t.Errorf("following a drive that is made anew: %v", err)
	}
}

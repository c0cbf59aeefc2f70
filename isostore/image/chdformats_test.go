package image_test

import (
	"bytes"
	"path/filepath"
	"reflect"
	"testing"

	"spindle/isostore/disc"
	"spindle/testdata/fixture"
)

// TestCHDOfFormats writes CHDs of one disc with two sessions, hidden audio and
// all codes, as it comes from other formats: each CHD opens to the layout,
// sectors and sub-channels of what it was made of, and sectors are the source's.
func TestCHDOfFormats(t *testing.T) {
	src := fixture.MixedMode(nil)
	tests := []struct {
		file  string
		write func(dir string) error
	}{
		{"a.cue", func(dir string) error {
			return fixture.WriteCUE(dir, "a", src, fixture.CUEOptions{Layout: fixture.FilePerSession})
		}},
		{"a.nrg", func(dir string) error {
			return fixture.WriteNRG(dir, "a", src, fixture.NRGOptions{SubChannel: true})
		}},
		{"a.mds", func(dir string) error {
			return fixture.WriteMDS(dir, "a", src, fixture.MDSOptions{SubChannel: true})
		}},
		{"a.ccd", func(dir string) error { return fixture.WriteCCD(dir, "a", src, fixture.CCDOptions{}) }},
	}
	for _, tt := range tests {
		t.Run(tt.file, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			if err := tt.write(dir); err != nil {
				t.Fatal(err)
			}
			from, _ := chdOpen(t, filepath.Join(dir, tt.file))
			to, info := chdOpen(t, chdWrite(t, dir, from))
			if len(info.Warnings) > 0 || !reflect.DeepEqual(to.Layout(), from.Layout()) {
				t.Errorf("layout = %+v, warnings %q\nwant %+v", to.Layout(), info.Warnings, from.Layout())
			}
			chdCompare(t, to, src)
			for track := range from.Layout().Tracks() {
				first, end := max(0, track.Pregap), from.Layout().End(track)
				want, got := make([]byte, int(end-first)*disc.SubSize), make([]byte, int(end-first)*disc.SubSize)
				n, err := from.(disc.SubReader).ReadSub(want, first)
				m, err2 := to.(disc.SubReader).ReadSub(got, first)
				if n != m || err != nil || err2 != nil || !bytes.Equal(got, want) {
					t.Errorf("track %d: sub-channels of %d, %v and %d, %v differ", track.Number, n, err, m, err2)
				}
			}
		})
	}
}

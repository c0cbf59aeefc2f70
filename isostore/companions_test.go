package isostore

import (
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fsnotify/fsnotify"

	"spindle/testdata/fixture"
)

// sheetsIn writes an image of each format of several files into dir.
func sheetsIn(t *testing.T, dir string) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	data, audio := fixture.DataDisc(fixture.Mode1, tinyISO("DATA")), fixture.AudioDisc()
	for _, err := range []error{
		fixture.WriteCUE(dir, "one", data, fixture.CUEOptions{}),
		fixture.WriteCUE(dir, "many", fixture.MixedMode(nil), fixture.CUEOptions{Layout: fixture.FilePerTrack}),
		fixture.WriteCUE(dir, "waves", audio, fixture.CUEOptions{Layout: fixture.FilePerTrack, Audio: "WAVE"}),
		fixture.WriteMDS(dir, "split", data, fixture.MDSOptions{Split: true}),
		fixture.WriteCCD(dir, "clone", audio, fixture.CCDOptions{}),
		fixture.WriteISZ(dir, "parts", data, fixture.ISZOptions{PartSize: 8192, Stored: true}),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
}

// The files that an image consists of are no images of their own, and belong to
// it wherever its directory lies.
func TestCompanionsOfFormats(t *testing.T) {
	dir := t.TempDir()
	sheetsIn(t, dir+"/sub/deep")
	files := map[string]int{"clone.ccd": 2, "many.cue": 0, "one.cue": 1, "parts.isz": 0, "split.mds": 2, "waves.cue": 0}
	l := mustOpen(t, dir)
	list := l.List()
	if len(list) != len(files) {
		t.Errorf("List = %+v; want %d images", list, len(files))
	}
	for _, e := range list {
		name := strings.TrimPrefix(e.Name, "sub/deep/")
		n, ok := files[name]
		info, err := l.Inspect(e.Name, Options{})
		if !ok || e.State != Ready || err != nil || n > 0 && len(info.Files) != n || len(info.Files) == 0 {
			t.Errorf("%s: %s %s, files %q, %v; want %d files", e.Name, e.State, e.Error, info.Files, err, n)
		}
		fi, err := os.Stat(dir + "/" + e.Name)
		if err != nil {
			t.Fatal(err)
		}
		size := fi.Size()
		for _, f := range info.Files {
			fi, err := os.Stat(dir + "/sub/deep/" + f)
			if err != nil {
				t.Errorf("%s: its file is not beside it: %v", name, err)
				continue
			}
			size += fi.Size()
		}
		if e.Size != size || info.Size != size {
			t.Errorf("%s is listed with %d bytes, inspected with %d, its files have %d", name, e.Size, info.Size, size)
		}
	}
	// Another directory above it: nothing is found out anew.
	before := len(l.index.m)
	if err := os.Rename(dir+"/sub/deep", dir+"/moved"); err != nil {
		t.Fatal(err)
	}
	for _, e := range l.List() {
		if e.State != Ready || !strings.HasPrefix(e.Name, "moved/") {
			t.Errorf("after a rename: %s is %s %s", e.Name, e.State, e.Error)
		}
	}
	if len(l.index.m) != before {
		t.Errorf("%d images are known, %d before the rename", len(l.index.m), before)
	}
}

// A change of any file of an image makes it incomplete, and a missing one is
// named.
func TestCompanionChanges(t *testing.T) {
	inBubble(t, func(r *watchRig) {
		sheetsIn(t, r.path("s"))
	}, func(r *watchRig) {
		const all = "s/clone.ccd=ready s/many.cue=ready s/one.cue=ready s/parts.isz=ready s/split.mds=ready s/waves.cue=ready"
		r.after(time.Second, all)
		info, err := r.l.Inspect("s/waves.cue", Options{})
		if err != nil {
			t.Fatal(err)
		}
		for image, file := range map[string]string{"s/one.cue": "one.bin", "s/waves.cue": info.Files[0], "s/split.mds": "split.md1", "s/parts.isz": "parts.i01", "s/clone.ccd": "clone.sub"} {
			now := time.Now()
			if err := os.Chtimes(r.path("s/"+file), now, now); err != nil {
				t.Fatal(err)
			}
			r.tell(fsnotify.Write, "s/"+file)
			r.after(lookAfter+moment, strings.Replace(all, image+"=ready", image+"=incomplete", 1))
			r.after(3*time.Second, all)
		}
		r.remove("s/one.bin")
		r.after(time.Second, strings.Replace(all, "s/one.cue=ready", "s/one.cue=error", 1))
		if e, _ := r.l.Entry("s/one.cue"); !strings.Contains(e.Error, `its file "one.bin" is missing`) {
			t.Errorf("listed as %q", e.Error)
		}
	})
}

// An image of several files is verified when each is.
func TestVerifyCueBin(t *testing.T) {
	dir := t.TempDir()
	if err := fixture.WriteCUE(dir, "a", fixture.DataDisc(fixture.Mode1, tinyISO("DATA")), fixture.CUEOptions{}); err != nil {
		t.Fatal(err)
	}
	lines := strings.SplitAfter(string(tool(t, dir, "sha256sum", "a.cue", "a.bin")), "\n")
	for _, tt := range []struct {
		name, sums, detail string
		want               CheckState
	}{
		{"a line for each", lines[0] + lines[1], "", Passed},
		{"the sheet alone", lines[0], "no checksum for a.bin", NoSum},
		{"the data alone", lines[1], "no checksum for a.cue", NoSum},
		{"the data is another", lines[0] + strings.Repeat("0", 64) + lines[1][64:], "a.bin is not what SHA256SUMS says", Failed},
	} {
		put(t, dir+"/SHA256SUMS", []byte(tt.sums))
		c, err := mustOpen(t, dir).Verify(t.Context(), "a.cue", nil)
		if err != nil || c.State != tt.want || c.Detail != tt.detail || !slices.Equal(c.By, []string{"SHA256SUMS"}) {
			t.Errorf("%s: %+v, %v; want %s, %q", tt.name, c, err, tt.want, tt.detail)
		}
	}
}

// A folder is a disc when it is named: one that ends in .disc is listed, too. It
// has no checksum.
func TestFolders(t *testing.T) {
	dir := t.TempDir()
	put(t, dir+"/my.disc/a.iso", tinyISO("INNER"))
	put(t, dir+"/plain/sub/b.txt", []byte("text"))
	l := mustOpen(t, dir)
	list := l.List()
	if len(list) != 1 || list[0].Name != "my.disc" || list[0].State != Ready || list[0].Format != "folder" || list[0].Label != "my" {
		t.Errorf("List = %+v; want my.disc alone", list)
	}
	for name, label := range map[string]string{"my.disc": "my", "plain": "plain", "plain/sub": "sub"} {
		d, info, err := l.OpenDisc(name, Options{})
		if err != nil || !strings.EqualFold(info.Label, label) || info.Format != "folder" {
			t.Errorf("OpenDisc(%q) = %+v, %v; want label %s", name, info, err, label)
			continue
		}
		d.Close()
		if _, err := l.Verify(t.Context(), name, nil); err == nil || !strings.Contains(err.Error(), name+": it is a folder, which has no checksum (hint: ") {
			t.Errorf("Verify(%q) = %v; want a refusal", name, err)
		}
	}
}

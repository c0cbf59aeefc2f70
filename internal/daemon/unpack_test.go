package daemon

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"spindle/internal/api/client"
	"spindle/scsi"
	"spindle/scsi/scsitest"
)

func zip(t *testing.T, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write(data); err != nil || w.Close() != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// pack puts a packed copy of an image into the library.
func (r *rig) pack(from, to string) []byte {
	r.t.Helper()
	b := zip(r.t, []byte(readFile(r.t, r.path("images/"+from))))
	r.must(os.WriteFile(r.path("images/"+to), b, 0o644))
	return b
}

func imageNamed(list []client.Image, name string) client.Image {
	for _, i := range list {
		if i.Name == name {
			return i
		}
	}
	return client.Image{}
}

// A packed image is unpacked by the insert, and by nothing after that.
func TestInsertPacked(t *testing.T) {
	r := newRig(t)
	packed := r.pack("a.iso", "p.iso.gz")
	r.start(cd0)
	list := r.awaitImages("the packed image", func(list []client.Image) bool { return imageNamed(list, "p.iso.gz").State == "packed" })
	if i := imageNamed(list, "p.iso.gz"); i.Format != "iso.gz" || i.Size != int64(len(packed)) || i.Error != "" {
		t.Errorf("listed as %+v", i)
	}
	r.must(r.insert("p.iso.gz", false))
	r.wants("ready p.iso.gz")
	list = r.awaitImages("the unpacked image", func(list []client.Image) bool { return imageNamed(list, "p.iso.gz").State == "ready" })
	if i := imageNamed(list, "p.iso.gz"); i.Label == "" || i.Label != imageNamed(list, "a.iso").Label {
		t.Errorf("listed as %+v", i)
	}
	h := r.newHost()
	got := h.ask("28 00 00 00 00 10 00 00 04 00")
	if want := readFile(t, r.path("images/a.iso"))[16*2048 : 20*2048]; string(got) != want {
		t.Error("the drive reads something else than what is packed")
	}
	h.leave()
	r.end()
	r.write(cd0)
	r.must(r.tryStart())
	r.wants("ready p.iso.gz") // from the cache
	if s := r.status(); len(s.Alarms) != 0 {
		t.Errorf("alarms %v", s.Alarms)
	}
	info, err := r.client.Inspect(t.Context(), "p.iso.gz")
	if err != nil || info.Format != "iso.gz" || info.Label == "" {
		t.Errorf("Inspect = %+v, %v", info, err)
	}
}

// What the configuration names is unpacked in the background, at start and at a
// reload, and verified then where that is wanted.
func TestConfiguredPacked(t *testing.T) {
	for _, library := range []string{"", "verify = \"required\"\n"} {
		t.Run(library, func(t *testing.T) {
			t.Parallel()
			configuredPacked(t, library)
		})
	}
}

func configuredPacked(t *testing.T, library string) {
	r := newRig(t)
	images := r.path("images")
	r.pack("a.iso", "p.iso.gz")
	r.pack("b.iso", "q.iso.gz")
	r.sums("p.iso.gz", "q.iso.gz")
	r.writeLibrary(library, cd0+"disc = \"p.iso.gz\"\n", images)
	r.must(r.tryStart())
	r.awaitDisc("ready p.iso.gz")
	r.writeLibrary(library, cd0+"disc = \"q.iso.gz\"\n", images)
	r.awaitDisc("ready q.iso.gz")
	r.await("no alarm", func(s *client.Status) bool { return len(s.Alarms) == 0 })
	// The library and the disc change at once.
	other := r.path("other")
	r.must(os.Mkdir(other, 0o755))
	r.must(os.WriteFile(other+"/new.iso.gz", r.pack("c.iso", "new.iso.gz"), 0o644))
	r.must(os.Remove(r.path("images/new.iso.gz")))
	if library == "" {
		r.writeLibrary("cache = \"elsewhere\"\n", cd0+"disc = \"new.iso.gz\"\n", other, images)
		r.awaitDisc("ready new.iso.gz")
		if found, _ := filepath.Glob(r.path("elsewhere/*.img")); len(found) != 1 {
			t.Errorf("the new cache holds %q", found)
		}
	}
	r.end()
}

// What cannot be unpacked is said, with what to do, and goes in when it can be.
func TestCannotUnpack(t *testing.T) {
	r := newRig(t)
	images := r.path("images")
	good := r.pack("a.iso", "p.iso.gz")
	r.must(os.WriteFile(r.path("images/p.iso.gz"), good[:len(good)-9], 0o644))
	r.pack("b.iso", "q.iso.gz")
	hasP, hasQ := cd0+"disc = \"p.iso.gz\"\n", cd0+"disc = \"q.iso.gz\"\n"
	r.writeLibrary("cache_size = \"1KiB\"\n", hasQ, images)
	r.must(r.tryStart())
	refused := func(image, reason string) {
		t.Helper()
		e, ok := errors.AsType[*client.Error](r.insert(image, false))
		if !ok || e.Status != http.StatusUnprocessableEntity || !strings.Contains(e.Message, reason) || e.Hint == "" {
			t.Errorf("insert of %s: %+v; want %q and a hint", image, e, reason)
		}
	}
	alarmed := func(reason string) {
		t.Helper()
		r.await("alarm: "+reason, func(s *client.Status) bool {
			text := alarmAbout(s, "cd0")
			return strings.HasPrefix(text, "the drive is empty: ") && strings.Contains(text, reason) && strings.Contains(text, "(hint: ")
		})
	}
	alarmed("the cache may hold 1024 bytes")
	refused("q.iso.gz", "the cache may hold 1024 bytes")
	r.writeLibrary("cache_size = \"1GB\"\n", hasQ, images)
	r.awaitDisc("ready q.iso.gz") // a reload tries again
	refused("p.iso.gz", "p.iso.gz: damaged image: byte ")
	r.end()
	r.writeLibrary("cache_size = \"1GB\"\n", hasP, images)
	r.must(r.tryStart())
	alarmed("p.iso.gz: damaged image: byte ")
	r.must(r.insert("q.iso.gz", false))
	r.must(r.eject(false))
	r.writeLibrary("cache_size = \"1GB\"\n", cd0, images)
	r.must(r.reload())
	r.writeLibrary("cache_size = \"1GB\"\n", hasP, images)
	r.await("alarm of the configuration", func(s *client.Status) bool {
		text := alarmAbout(s, "config")
		return strings.HasPrefix(text, "the file is not used: ") && strings.Contains(text, "damaged image")
	})
	r.must(os.WriteFile(r.path("images/p.iso.gz"), good, 0o644))
	r.awaitDisc("ready p.iso.gz")
	r.await("no alarm", func(s *client.Status) bool { return len(s.Alarms) == 0 })
}

// Without a place for the cache all else is served.
func TestNoCache(t *testing.T) {
	r := newRig(t)
	r.pack("a.iso", "p.iso.gz")
	r.must(os.Mkdir(r.path("state"), 0o755))
	r.must(os.WriteFile(r.path("state/cache"), nil, 0o644))
	r.start(cd0HasA)
	r.wants("ready a.iso")
	s := r.status()
	if text := alarmAbout(&s, "cache"); !strings.Contains(text, "the cache of unpacked images: ") {
		t.Errorf("alarm %q", text)
	}
	if err := r.insert("p.iso.gz", false); err == nil || !strings.Contains(err.Error(), "there is no cache") {
		t.Errorf("insert of a packed image: %v", err)
	}
	r.writeLibrary("cache = \"ok\"\n", cd0HasA, r.path("images"))
	r.await("no alarm", func(s *client.Status) bool { return len(s.Alarms) == 0 })
	r.must(r.insert("p.iso.gz", false))
}

// An insert that is given up ends the unpacking, of which status told.
func TestUnpackingEnds(t *testing.T) {
	r := newRig(t)
	head := []byte(readFile(t, r.path("images/a.iso")))
	zeros := zip(t, make([]byte, 64<<20))
	f, err := os.Create(r.path("images/huge.iso.gz"))
	r.must(err)
	_, err = f.Write(append(zip(t, head), bytes.Repeat(zeros, 256)...)) // 16 GiB
	r.must(errors.Join(err, f.Close()))
	r.start(cd0)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		_, err := r.client.Insert(ctx, "cd0", client.InsertRequest{Image: "huge.iso.gz"})
		ended <- err
	}()
	r.await("the task", func(s *client.Status) bool {
		for _, k := range s.Tasks {
			if k.Kind == "unpack" && k.Image == "huge.iso.gz" && k.Done > 0 && k.Total > k.Done {
				return true
			}
		}
		return false
	})
	cancel()
	if err := <-ended; err == nil {
		t.Error("the insert succeeded")
	}
	r.await("no task", func(s *client.Status) bool { return len(s.Tasks) == 0 })
	r.wants("empty")
	r.end()
	if left, _ := filepath.Glob(r.path("state/cache/*")); len(left) != 0 {
		t.Errorf("left in the cache: %q", left)
	}
}

// A folder in the drive that changes is an alarm, and another medium when it is
// inserted again.
func TestFolderChanges(t *testing.T) {
	r := newRig(t)
	folder := r.path("images/my.disc")
	r.must(os.Mkdir(folder, 0o755))
	file := bytes.Repeat([]byte("old "), 10000)
	r.must(os.WriteFile(folder+"/file.bin", file, 0o644))
	r.start(cd0)
	r.must(r.insert("my.disc", false))
	h := r.newHost()
	whole := func() ([]byte, error) {
		for {
			last, err := scsitest.DoNexus(t, h.drive, h.nexus, "25 00 00 00 00 00 00 00 00 00", nil)
			if err == nil {
				read := fmt.Sprintf("28 00 00 00 00 00 00 00 %02x 00", last[3]+1)
				last, err = scsitest.DoNexus(t, h.drive, h.nexus, read, nil)
			}
			if err == nil || scsi.SenseOf(err).Key != 6 {
				return last, err
			}
		}
	}
	got, err := whole()
	if err != nil || !bytes.Contains(got, file) {
		t.Fatalf("the disc does not hold the file: %v", err)
	}
	before := r.mediumID()
	var size int64
	r.awaitImages("the folder as it was", func(list []client.Image) bool {
		size = imageNamed(list, "my.disc").Size
		return size > int64(len(file))
	})
	file = bytes.Repeat([]byte("new! "), 10000)
	r.must(os.WriteFile(folder+"/file.bin", file, 0o644))
	if got, err = whole(); scsi.SenseOf(err).Key != 3 {
		t.Errorf("a read of a changed file gives %d bytes, %v; want MEDIUM ERROR", len(got), err)
	}
	r.await("alarm", func(s *client.Status) bool {
		return strings.Contains(alarmAbout(s, "cd0"), "my.disc cannot be read: ")
	})
	r.awaitImages("the folder as it is now", func(list []client.Image) bool {
		i := imageNamed(list, "my.disc")
		return i.State == "ready" && i.Size > size
	})
	r.must(r.insert("my.disc", false))
	r.await("no alarm", func(s *client.Status) bool { return len(s.Alarms) == 0 })
	if r.mediumID() == before {
		t.Error("the changed folder is the same medium")
	}
	if _, err := scsitest.DoNexus(t, h.drive, h.nexus, "00 00 00 00 00 00", nil); scsi.SenseOf(err).Key == 0 {
		t.Error("the host is not told of the new medium")
	}
	if got, err = whole(); err != nil || !bytes.Contains(got, file) {
		t.Errorf("the new disc does not hold the new file: %v", err)
	}
	h.leave()
}

func (r *rig) mediumID() (id string) {
	r.t.Helper()
	r.must(r.d.loop.call(r.t.Context(), func() { id = r.d.drive("cd0").emu.Status().MediumID }))
	return id
}

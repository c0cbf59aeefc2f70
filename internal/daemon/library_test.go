package daemon

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"spindle/internal/api"
	"spindle/internal/api/client"
	"spindle/isostore"
)

// awaitImages waits until ok takes the library's list.
func (r *rig) awaitImages(what string, ok func([]client.Image) bool) []client.Image {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), limit)
	defer cancel()
	var list []client.Image
	for _, err := range r.client.Events(ctx) {
		r.must(err)
		list, err = r.client.Images(ctx)
		r.must(err)
		if ok(list) {
			return list
		}
	}
	r.t.Fatalf("waiting for %s: it did not come; the last list has %d, first %+v", what, len(list), list[:min(len(list), 5)])
	return nil
}

func allReady(n int) func([]client.Image) bool {
	return func(list []client.Image) bool {
		for _, i := range list {
			if i.State != "ready" {
				return false
			}
		}
		return len(list) == n
	}
}

func (r *rig) sums(names ...string) {
	r.t.Helper()
	var text []byte
	for _, n := range names {
		b, err := os.ReadFile(r.path("images/" + n))
		r.must(err)
		text = fmt.Appendf(text, "%x  %s\n", sha256.Sum256(b), n)
	}
	r.must(os.WriteFile(r.path("images/SHA256SUMS"), text, 0o644))
}

// A reload that does not change the directories keeps the library that runs;
// another one takes its place otherwise, and knows what that one knew.
func TestReloadAndLibrary(t *testing.T) {
	r := newRig(t)
	r.sums("a.iso")
	r.start(cd0HasA)
	r.awaitImages("all images", allReady(5))
	_, err := r.client.Verify(t.Context(), client.VerifyRequest{Image: "a.iso"})
	r.must(err)
	before := r.d.library.Load()
	r.must(r.reload())
	if r.d.library.Load() != before {
		t.Error("a reload without a change has another library")
	}
	other := r.path("other")
	r.must(os.Mkdir(other, 0o755))
	r.must(os.Rename(r.path("images/b.iso"), other+"/b.iso"))
	r.write(cd0HasA + "[daemonx]\n")
	if r.reload() == nil || r.d.library.Load() != before {
		t.Error("a bad file replaces the library")
	}
	text := readFile(t, r.path("spindle.toml"))
	text = strings.Replace(text, "[daemonx]\n", "", 1)
	text = strings.Replace(text, "dirs = [", fmt.Sprintf("dirs = [%q, ", other), 1)
	r.save(text)
	r.must(r.reload())
	list := r.awaitImages("images of both directories", allReady(5))
	for _, i := range list {
		if i.Name == "b.iso" && i.Dir != other || i.Name == "a.iso" && i.Checks.State != "ok" {
			t.Errorf("%+v", i)
		}
	}
	r.wants("ready a.iso")
}

// Where verified images alone are wanted the configured disc is verified at
// start, and is in the drive then; what was verified needs no reading again.
func TestVerifyRequired(t *testing.T) {
	r := newRig(t)
	r.sums("a.iso", "b.iso")
	const required = "[drive.cd0]\nswap_hold = \"0s\"\n"
	write := func(drives string) {
		r.write(drives)
		text := strings.Replace(readFile(t, r.path("spindle.toml")), "[library]\n", "[library]\nverify = \"required\"\n", 1)
		r.save(text)
	}
	write(required + "disc = \"a.iso\"\n")
	r.must(r.tryStart())
	r.awaitDisc("ready a.iso")
	if s := r.status(); len(s.Alarms) != 0 {
		t.Errorf("alarms %v", s.Alarms)
	}
	r.must(r.insert("b.iso", false))
	if err := r.insert("c.iso", false); err == nil || !strings.Contains(err.Error(), "there is no checksum for it") {
		t.Errorf("insert of an image without a checksum: %v", err)
	}
	r.end()
	write(required + "disc = \"a.iso\"\n")
	r.must(r.tryStart())
	r.wants("ready b.iso")
	r.end()
	// A reload to an image that is not verified yet acts when it is.
	r.copyImage("b.iso", "d.iso")
	r.sums("a.iso", "d.iso")
	write(required + "disc = \"a.iso\"\n")
	r.must(r.tryStart())
	write(required + "disc = \"d.iso\"\n")
	r.awaitDisc("ready d.iso")
	r.await("no alarm", func(s *client.Status) bool { return len(s.Alarms) == 0 })
}

func TestDamagedIndex(t *testing.T) {
	r := newRig(t)
	r.start(cd0)
	r.awaitImages("all images", allReady(5))
	r.end()
	r.must(os.WriteFile(filepath.Join(r.path("state"), "library.index"), []byte("{garbage"), 0o644))
	r.must(func() error { r.write(cd0); return r.tryStart() }())
	r.awaitImages("all images", allReady(5))
	r.await("no alarm", func(s *client.Status) bool { return len(s.Alarms) == 0 })
	r.end()
	if b := readFile(t, filepath.Join(r.path("state"), "library.index")); strings.Count(b, "\n") != 6 {
		t.Errorf("the index after it was rebuilt: %s", b)
	}
}

// A library of 2,000 images is identified while hosts read.
func TestManyImages(t *testing.T) {
	const images = 2000
	r := newRig(t)
	manyImages(t, r.path("images"), images)
	r.start(cd0HasA)
	c := r.login("cd0")
	ready(c)
	stop := make(chan struct{})
	var reading sync.WaitGroup
	reads := 0
	reading.Go(func() {
		cdb := make([]byte, 16)
		cdb[0], cdb[8] = 0x28, 16 // READ(10) of 16 blocks
		binary.BigEndian.PutUint32(cdb[2:], 4)
		var first []byte
		for {
			res, err := c.Do(cdb, 16*2048, nil, 0)
			if err != nil || res.Status != 0 || first != nil && !bytes.Equal(first, res.Data) {
				t.Errorf("READ(10): %v, %+v", err, res.Status)
				return
			}
			first = res.Data
			reads++
			select {
			case <-stop:
				return
			default:
			}
		}
	})
	list := r.awaitImages("all images", allReady(images+5))
	close(stop)
	reading.Wait()
	if reads < 2 || list[len(list)-1].Label == "" {
		t.Errorf("%d reads, the last image is %+v", reads, list[len(list)-1])
	}
	list = nil
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	t.Logf("%d MB live heap, %d reads", m.HeapAlloc>>20, reads)
	if m.HeapAlloc > 200<<20 {
		t.Errorf("%d MB live heap with %d images, more than 200", m.HeapAlloc>>20, images)
	}
}

// manyImages makes n images in directories of a hundred.
func manyImages(tb testing.TB, dir string, n int) {
	if _, err := isostore.MakeSample(dir); err != nil {
		tb.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(dir, isostore.SampleName))
	if err != nil {
		tb.Fatal(err)
	}
	const blocks = 20
	b = b[:blocks*2048]
	b[16*2048+80], b[16*2048+87] = blocks, blocks // the volume space size: it is not truncated
	for i := range n {
		sub := fmt.Sprintf("%s/dir %02d", dir, i/100)
		if i%100 == 0 {
			err = os.Mkdir(sub, 0o755)
		}
		if err == nil {
			err = os.WriteFile(fmt.Sprintf("%s/image %d.iso", sub, i), b, 0o644)
		}
		if err != nil {
			tb.Fatal(err)
		}
	}
}

// BenchmarkImages lists 2,000 images through the API; the aim is 100 ms.
func BenchmarkImages(b *testing.B) {
	const images = 2000
	dir := b.TempDir()
	manyImages(b, dir, images)
	changed := make(chan struct{}, 1)
	lib, err := isostore.New(isostore.LibraryOptions{Dirs: []string{dir}, Changed: func() {
		select {
		case changed <- struct{}{}:
		default:
		}
	}})
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(b.Context())
	var running sync.WaitGroup
	running.Go(func() { lib.Run(ctx) })
	for <-changed; len(lib.Tasks()) > 0; <-changed {
	}
	d := &Daemon{log: slog.New(slog.DiscardHandler)}
	d.library.Store(lib)
	server := httptest.NewServer(api.New(service{d}, d.log))
	for _, path := range []string{"/v1/images", "/v1/images?info=1"} {
		b.Run(path, func(b *testing.B) {
			for b.Loop() {
				var list []client.Image
				resp, err := http.Get(server.URL + path)
				if err == nil {
					err = json.NewDecoder(resp.Body).Decode(&list)
					resp.Body.Close()
				}
				if err != nil || len(list) != images+2 {
					b.Fatal(len(list), err)
				}
			}
		})
	}
	http.DefaultClient.CloseIdleConnections()
	server.Close()
	cancel()
	running.Wait()
}

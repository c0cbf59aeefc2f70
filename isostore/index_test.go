package isostore

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// counted counts how many images a library opened to find out what they are:
// the index has a new record for each.
func openedImages(x *Index, before map[stamp]*known) (n int) {
	for s, k := range x.m {
		if old := before[s]; old == nil || &old.Info[0] != &k.Info[0] {
			n++
		}
	}
	return n
}

// What is known survives a restart: nothing is read again but what changed.
func TestIndexAcrossRestart(t *testing.T) {
	state, images := t.TempDir(), t.TempDir()
	for i := range 20 {
		put(t, fmt.Sprintf("%s/%d.iso", images, i), tinyISO(fmt.Sprint("V", i)))
	}
	put(t, images+"/broken.iso", []byte("nothing"))
	put(t, images+"/0.iso.sha256", []byte(strings.Repeat("0", 64)))
	list := func(want int, change func(l *Library)) []Entry {
		t.Helper()
		x, err := OpenIndex(state)
		if err != nil {
			t.Fatal(err)
		}
		before := map[stamp]*known{}
		maps.Copy(before, x.m)
		l, err := New(LibraryOptions{Dirs: []string{images}, Index: x})
		if err != nil {
			t.Fatal(err)
		}
		got := l.List()
		if n := openedImages(x, before); n != want {
			t.Errorf("%d images were opened, want %d", n, want)
		}
		if change != nil {
			change(l)
		}
		if err := x.Save(); err != nil {
			t.Fatal(err)
		}
		return got
	}
	first := list(21, func(l *Library) { checkIs(t, l, "0.iso", Failed, "0.iso.sha256") })
	second := list(0, nil)
	if second[0].Checks.State != Failed || second[0].Checks.SHA256 == "" {
		t.Errorf("the result of Verify is lost: %+v", second[0].Checks)
	}
	if a, b := first[1:], second[1:]; fmt.Sprint(a) != fmt.Sprint(b) {
		t.Errorf("after a restart:\n%v\nbefore:\n%v", b, a)
	}
	put(t, images+"/5.iso", append(tinyISO("NEW"), make([]byte, 2048)...))
	list(1, nil)
	if err := os.Chmod(images+"/6.iso", 0o600); err != nil { // a new change time
		t.Fatal(err)
	}
	list(1, nil)
	if err := os.Chtimes(images+"/7.iso", time.Unix(1, 0), time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	list(1, nil)
	list(0, nil)
}

func TestIndexDamaged(t *testing.T) {
	state, images := t.TempDir(), t.TempDir()
	for i := range 4 {
		put(t, fmt.Sprintf("%s/%d.iso", images, i), tinyISO(fmt.Sprint("V", i)))
	}
	x, err := OpenIndex(state)
	if err != nil {
		t.Fatal(err)
	}
	l, err := New(LibraryOptions{Dirs: []string{images}, Index: x})
	if err != nil {
		t.Fatal(err)
	}
	l.List()
	if err := x.Save(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(state, indexFile)
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	lines := bytes.SplitAfter(good, []byte("\n"))
	for _, tt := range []struct {
		name, want string
		data       []byte
		left       int
	}{
		{"whole", "", good, 4},
		{"empty", "is empty", nil, 0},
		{"garbage", "line 1: it is not an index", []byte("\x00\x01\x02"), 0},
		{"another version", "line 1: the index is of version 99", bytes.Replace(good, []byte(`"version":1}`), []byte(`"version":99}`), 1), 0},
		{"a line cut", "line 5: 1 of 5 lines of the index are damaged", good[:len(good)-20], 3},
		{"a line lost", "line 2: 1 of 5 lines", slices.Concat(lines[0], []byte("{}\n"), lines[2], lines[3], lines[4]), 3},
		{"a line too long", "the rest of the index cannot be read", slices.Concat(lines[0], lines[1], bytes.Repeat([]byte("x"), 2*maxIndexLine), lines[2]), 1},
	} {
		put(t, path, tt.data)
		x, err := OpenIndex(state)
		if (err == nil) != (tt.want == "") || !strings.Contains(fmt.Sprint(err), tt.want) || len(x.m) != tt.left {
			t.Errorf("%s: %d images, %v; want %d, %q", tt.name, len(x.m), err, tt.left, tt.want)
		}
		l, err := New(LibraryOptions{Dirs: []string{images}, Index: x})
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range l.List() {
			if e.State != Ready {
				t.Errorf("%s: %s is %s", tt.name, e.Name, e.State)
			}
		}
		if err := x.Save(); err != nil {
			t.Fatal(err)
		}
		if x, err = OpenIndex(state); err != nil || len(x.m) != 4 {
			t.Errorf("%s: after it was rebuilt: %d images, %v", tt.name, len(x.m), err)
		}
	}
}

// Images that are long gone are forgotten, and what a new version of the code
// has to find out again keeps its checksums.
func TestIndexForgets(t *testing.T) {
	dir := t.TempDir()
	put(t, dir+"/x.iso", tinyISO("X"))
	l := mustOpen(t, dir)
	if _, err := l.Verify(t.Context(), "x.iso", nil); err != nil {
		t.Fatal(err)
	}
	for s, k := range l.index.m {
		old := *k
		old.Version = identifyVersion - 1
		l.index.m[s] = &old
	}
	e, _ := l.Entry("x.iso")
	if e.State != Ready || e.Checks.SHA256 == "" {
		t.Errorf("after a new version: %+v", e)
	}
	for _, k := range l.index.m {
		line, err := json.Marshal(k)
		if err != nil {
			t.Fatal(err)
		}
		for _, tt := range []struct{ day, want int64 }{{k.Used, 1}, {k.Used + keepUnused, 1}, {k.Used + keepUnused + 1, 0}} {
			x := &Index{m: map[stamp]*known{}, wake: make(chan struct{}, 1)}
			head := fmt.Sprintf("{\"holds\":%q,\"version\":%d}\n", indexHolds, indexVersion)
			if err := x.read(strings.NewReader(head+string(line)), tt.day); err != nil || int64(len(x.m)) != tt.want {
				t.Errorf("day %d: %d images, %v; want %d", tt.day-k.Used, len(x.m), err, tt.want)
			}
		}
	}
}

func TestIndexIsBounded(t *testing.T) {
	x, _ := OpenIndex("")
	info := json.RawMessage(`"` + strings.Repeat("x", 1<<20) + `"`)
	for i := range 100 {
		x.put(&known{Stamp: stamp{Inode: uint64(i)}, Info: info})
	}
	if x.size > maxIndexSize || len(x.m) < 60 {
		t.Errorf("%d images of %d bytes, want at most %d", len(x.m), x.size, maxIndexSize)
	}
}

// The index is saved a while after a change, tried again when that fails, and
// saved at the end.
func TestIndexRun(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	synctest.Test(t, func(t *testing.T) {
		x, err := OpenIndex(dir)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { x.Run(ctx) })
		x.put(&known{Stamp: stamp{Inode: 1}, Used: today()})
		pause(saveAfter + moment)
		synctest.Wait()
		if err := x.Err(); err == nil || !strings.Contains(err.Error(), "is not saved") {
			t.Errorf("without the directory: %v", err)
		}
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		pause(saveAgain)
		synctest.Wait()
		if _, err := os.Stat(x.path); err != nil || x.Err() != nil {
			t.Errorf("with the directory: %v, %v", err, x.Err())
		}
		x.put(&known{Stamp: stamp{Inode: 2}, Used: today()})
		cancel()
		running.Wait()
		if y, err := OpenIndex(dir); err != nil || len(y.m) != 2 {
			t.Errorf("after the end: %d images, %v", len(y.m), err)
		}
		if left, _ := filepath.Glob(dir + "/.spindle-*"); len(left) != 0 {
			t.Errorf("left behind: %v", left)
		}
	})
}

func FuzzIndex(f *testing.F) {
	head := fmt.Sprintf("{\"holds\":%q,\"version\":%d}\n", indexHolds, indexVersion)
	f.Add([]byte(head + `{"stamp":{"dev":1,"ino":2,"size":3,"mtime":4,"ctime":5},"version":1,"info":{"format":"iso","sessions":[{"tracks":[{}]}]},"used":9}` + "\n"))
	f.Add([]byte(head + "{}\n[]\nnull\n{\"stamp\":{\"dev\":1},\"info\":null,\"digests\":[{}]}\n"))
	f.Add([]byte("x"))
	f.Fuzz(func(t *testing.T, data []byte) {
		x := &Index{m: map[stamp]*known{}, wake: make(chan struct{}, 1)}
		err := x.read(bytes.NewReader(data), 9)
		if len(x.m) > bytes.Count(data, []byte("\n"))+1 || len(data) == 0 && err == nil {
			t.Errorf("%d images of %d bytes, %v", len(x.m), len(data), err)
		}
		for s, k := range x.m {
			if s != k.Stamp {
				t.Errorf("%+v stands at %+v", k, s)
			}
			e := Entry{}
			e.fill(k)
			compare(k, "x.iso", func(string) []sum { return nil })
		}
	})
}

// manyImages makes n images in directories of a hundred.
func manyImages(tb testing.TB, n int) string {
	dir := tb.TempDir()
	for i := range n {
		sub := fmt.Sprintf("%s/dir %02d", dir, i/100)
		if i%100 == 0 {
			if err := os.Mkdir(sub, 0o755); err != nil {
				tb.Fatal(err)
			}
		}
		if err := os.WriteFile(fmt.Sprintf("%s/image %d.iso", sub, i), tinyISO(fmt.Sprint("LABEL", i)), 0o644); err != nil {
			tb.Fatal(err)
		}
	}
	return dir
}

func BenchmarkList(b *testing.B) {
	l := mustRun(b, manyImages(b, 2000))
	for b.Loop() {
		if len(l.List()) != 2000 {
			b.Fatal("images are missing")
		}
	}
}

// BenchmarkListAnew has the list made anew each time, as after a change.
func BenchmarkListAnew(b *testing.B) {
	l := mustRun(b, manyImages(b, 2000))
	for b.Loop() {
		l.mu.Lock()
		l.stale = true
		l.mu.Unlock()
		if len(l.List()) != 2000 {
			b.Fatal("images are missing")
		}
	}
}

// mustRun returns a library that runs and has identified all.
func mustRun(b *testing.B, dir string) *Library {
	b.Helper()
	changed := make(chan struct{}, 1)
	l, err := New(LibraryOptions{Dirs: []string{dir}, Changed: func() {
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
	running.Go(func() { l.Run(ctx) })
	b.Cleanup(func() {
		cancel()
		running.Wait()
	})
	<-changed
	for len(l.Tasks()) > 0 {
		<-changed
	}
	return l
}

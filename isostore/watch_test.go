package isostore

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fsnotify/fsnotify"
)

const moment = 10 * time.Millisecond

func TestNewFile(t *testing.T) {
	inBubble(t, nil, func(r *watchRig) {
		r.put("new.iso", tinyISO("NEW"))
		r.after(time.Second, "new.iso=incomplete")
		r.refuses("new.iso", growingReason)
		r.after(time.Second, "new.iso=incomplete") // it was seen 100 ms after the event
		r.after(lookAfter+moment, "new.iso=ready")
		r.opens("new.iso")
	})
}

func TestFileThatGrows(t *testing.T) {
	inBubble(t, nil, func(r *watchRig) {
		data := tinyISO("GROWS")
		for n := range 10 {
			put(r.t, r.path("x.iso"), data[:(n+9)*2048])
			r.tell(fsnotify.Write, "x.iso")
			r.after(1500*time.Millisecond, "x.iso=incomplete")
			r.refuses("x.iso", growingReason)
		}
		r.after(time.Second, "x.iso=ready")
		// Without an event, too, when it is opened or is about to be complete.
		put(r.t, r.path("x.iso"), append(data, data...))
		r.refuses("x.iso", growingReason)
		r.after(lookAfter+moment, "x.iso=incomplete")
		put(r.t, r.path("x.iso"), data)
		r.after(2*time.Second, "x.iso=incomplete")
		r.after(2*time.Second, "x.iso=ready")
	})
}

// What was there when the library began is complete, unless it changes.
func TestFilesThatWereThere(t *testing.T) {
	inBubble(t, func(r *watchRig) {
		put(r.t, r.path("old.iso"), tinyISO("OLD"))
		put(r.t, r.path("sub/dir [1]/größe.iso"), tinyISO("DEEP"))
	}, func(r *watchRig) {
		r.after(0, "old.iso=ready sub/dir [1]/größe.iso=ready")
		r.opens("old.iso")
		put(r.t, r.path("old.iso"), []byte("no image any more"))
		r.tell(fsnotify.Write, "old.iso")
		r.after(lookAfter+moment, "old.iso=incomplete sub/dir [1]/größe.iso=ready")
		put(r.t, r.path("sub/more/x.iso"), tinyISO("X"))
		r.tell(fsnotify.Create, "sub/more")
		r.after(3*time.Second, "old.iso=error sub/dir [1]/größe.iso=ready sub/more/x.iso=ready")
		if !slices.Contains(r.added, r.path("sub/more")) {
			t.Errorf("the new directory is not watched: %v", r.added)
		}
	})
}

func TestPartialDownloads(t *testing.T) {
	for _, suffix := range partialSuffixes {
		for _, base := range []string{"a b [1].iso", "a b [1]"} {
			t.Run(base+suffix, func(t *testing.T) {
				inBubble(t, func(r *watchRig) {
					put(r.t, r.path("a b [1].iso"), tinyISO("A"))
					put(r.t, r.path(base+suffix), []byte("half"))
					put(r.t, r.path("b.iso"), tinyISO("B"))
				}, func(r *watchRig) {
					r.after(time.Minute, "a b [1].iso=incomplete b.iso=ready")
					r.refuses("a b [1].iso", base+suffix+" lies beside it")
					r.opens("b.iso")
					r.remove(base + suffix)
					r.after(lookAfter+moment, "a b [1].iso=ready b.iso=ready")
					r.opens("a b [1].iso")
				})
			})
		}
	}
}

func TestRenameIntoPlace(t *testing.T) {
	inBubble(t, nil, func(r *watchRig) {
		r.put("x.iso.part", tinyISO("X"))
		r.put("notes.part", nil)
		r.after(time.Minute, "x.iso.part=incomplete")
		r.refuses("x.iso.part", "its name says")
		r.rename("x.iso.part", "x.iso")
		r.after(time.Second, "x.iso=incomplete")
		r.after(time.Second+lookAfter+moment, "x.iso=ready")
		r.put(".y.tmp", append(tinyISO("Y"), tinyISO("Y")...))
		r.after(time.Second, "x.iso=ready")
		r.rename(".y.tmp", "x.iso") // over it: another medium
		r.refuses("x.iso", growingReason)
		r.after(time.Second, "x.iso=incomplete")
		r.after(2*time.Second, "x.iso=ready")
		r.remove("x.iso")
		r.after(lookAfter+moment, "")
	})
}

func TestDirectoriesMove(t *testing.T) {
	inBubble(t, func(r *watchRig) {
		put(r.t, r.path("one/two/x.iso"), tinyISO("X"))
		put(r.t, r.path("one/y.iso"), tinyISO("Y"))
		put(r.t, r.path("Case.iso"), tinyISO("A"))
		put(r.t, r.path("case.iso"), tinyISO("B"))
	}, func(r *watchRig) {
		r.after(0, "Case.iso=ready case.iso=ready one/two/x.iso=ready one/y.iso=ready")
		r.rename("one", "uno")
		r.after(3*time.Second, "Case.iso=ready case.iso=ready uno/two/x.iso=ready uno/y.iso=ready")
		if err := os.RemoveAll(r.path("uno")); err != nil {
			t.Fatal(err)
		}
		r.tell(fsnotify.Remove, "uno") // what was in it may not be told of
		r.after(lookAfter+moment, "Case.iso=ready case.iso=ready")
		if want := []string{r.dir}; !slices.Equal(r.added, want) {
			t.Errorf("watched: %v, want %v", r.added, want)
		}
	})
}

// A file system that does not tell is looked at every 30 s.
func TestRemote(t *testing.T) {
	inBubble(t, func(r *watchRig) {
		r.l.remoteType = func(string) string { return "NFS" }
		put(r.t, r.path("a.iso"), tinyISO("A"))
	}, func(r *watchRig) {
		put(r.t, r.path("b.iso"), tinyISO("B"))
		r.after(29*time.Second, "a.iso=ready")
		r.after(time.Second+moment, "a.iso=ready b.iso=incomplete")
		put(r.t, r.path("b.iso"), append(tinyISO("B"), make([]byte, 2048)...)) // it grows, untold
		r.after(2*time.Second, "a.iso=ready b.iso=incomplete")
		r.after(2*time.Second, "a.iso=ready b.iso=ready")
		os.Remove(r.path("a.iso"))
		r.after(30*time.Second, "b.iso=ready")
	})
}

// Where inotify has no more watches the directory is looked at, and a note says so.
func TestWatchesRunOut(t *testing.T) {
	inBubble(t, func(r *watchRig) {
		r.limit = 1
		put(r.t, r.path("sub/a.iso"), tinyISO("A"))
	}, func(r *watchRig) {
		if n := r.l.Notes(); len(n) != 1 || !strings.Contains(n[0], r.dir) || !strings.Contains(n[0], "max_user_watches") {
			t.Errorf("Notes = %q", n)
		}
		put(r.t, r.path("sub/b.iso"), tinyISO("B"))
		r.after(30*time.Second+moment, "sub/a.iso=ready sub/b.iso=incomplete")
		r.mu.Lock()
		r.limit = 10
		r.mu.Unlock()
		r.after(30*time.Second, "sub/a.iso=ready sub/b.iso=ready")
		if n := r.l.Notes(); len(n) != 0 {
			t.Errorf("Notes with enough watches = %q", n)
		}
	})
}

// When events were lost everything is looked at again.
func TestEventsLost(t *testing.T) {
	inBubble(t, nil, func(r *watchRig) {
		put(r.t, r.path("sub/a.iso"), tinyISO("A"))
		r.n.errors <- fsnotify.ErrEventOverflow
		r.after(lookAfter+moment, "sub/a.iso=incomplete")
		r.after(settleTime, "sub/a.iso=ready")
	})
}

// A directory that comes, goes or is replaced is seen.
func TestDirectoryComesAndGoes(t *testing.T) {
	inBubble(t, func(r *watchRig) { os.Remove(r.dir) }, func(r *watchRig) {
		r.after(time.Minute, "")
		put(r.t, r.path("a.iso"), tinyISO("A"))
		r.after(seekEvery+moment, "a.iso=incomplete")
		r.after(settleTime, "a.iso=ready")
		if err := os.Rename(r.dir, r.dir+".old"); err != nil {
			t.Fatal(err)
		}
		put(r.t, r.path("b.iso"), tinyISO("B")) // another directory in its place: a mount
		r.after(rescanEvery+settleTime, "b.iso=ready")
		os.RemoveAll(r.dir)
		r.tell(fsnotify.Remove, "")
		r.after(lookAfter+moment, "")
	})
}

// A directory named as a disc is one image, and changes with what is in it.
func TestDiscDirectory(t *testing.T) {
	inBubble(t, func(r *watchRig) {
		put(r.t, r.path("my.disc/sub/x.iso"), tinyISO("X"))
	}, func(r *watchRig) {
		list := r.l.List()
		if len(list) != 1 || list[0].Name != "my.disc" || list[0].Size <= 18*2048 || list[0].Size%2048 != 0 {
			t.Fatalf("List = %+v; want my.disc, with what describes a disc", list)
		}
		before := list[0].Size
		if !slices.Contains(r.added, r.path("my.disc/sub")) {
			t.Errorf("watched: %v", r.added)
		}
		put(r.t, r.path("my.disc/sub/y.txt"), []byte("more"))
		r.tell(fsnotify.Create, "my.disc/sub/y.txt")
		r.after(lookAfter+moment, "my.disc=incomplete")
		pause(settleTime)
		synctest.Wait()
		if list = r.l.List(); len(list) != 1 || list[0].State == Incomplete || list[0].Size != before+2048 {
			t.Errorf("List = %+v", list)
		}
	})
}

func TestEntriesAreBounded(t *testing.T) {
	l, err := Open([]string{t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	for i := range maxEntries + 10 {
		l.note(0, finding{name: fmt.Sprintf("%d.iso", i), kind: picture, stamp: stamp{Inode: uint64(i), Size: 1}}, true, time.Now())
	}
	if len(l.records) != maxEntries || len(l.Notes()) != 1 || !strings.Contains(l.Notes()[0], "more than 100000 files") {
		t.Errorf("%d records, notes %q", len(l.records), l.Notes())
	}
}

// TestInotify has the kernel tell, once: it waits for what Changed says.
func TestInotify(t *testing.T) {
	dir := t.TempDir()
	changed := make(chan struct{}, 1)
	l, err := New(LibraryOptions{Dirs: []string{dir}, Changed: func() {
		select {
		case changed <- struct{}{}:
		default:
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	l.remoteType = func(string) string { return "" }
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	var running sync.WaitGroup
	running.Go(func() { l.Run(ctx) })
	await := func(want string) {
		t.Helper()
		for {
			var got []string
			for _, e := range l.List() {
				got = append(got, e.Name+"="+string(e.State))
			}
			is := strings.Join(got, " ")
			// It may be complete by the time that we look.
			if is == want || strings.ReplaceAll(is, "x.iso=ready", "x.iso=incomplete") == want {
				return
			}
			select {
			case <-changed:
			case <-ctx.Done():
				t.Fatalf("the library has %q, want %q", got, want)
			}
		}
	}
	<-changed // the directory is watched
	put(t, dir+"/made/later/x.iso", tinyISO("X"))
	await("made/later/x.iso=incomplete")
	await("made/later/x.iso=ready")
	if err := os.Rename(dir+"/made", dir+"/moved"); err != nil {
		t.Fatal(err)
	}
	await("moved/later/x.iso=incomplete")
	put(t, dir+"/moved/later/y.iso.part", nil)
	await("moved/later/x.iso=incomplete moved/later/y.iso.part=incomplete")
	os.RemoveAll(dir + "/moved")
	await("")
	cancel()
	running.Wait()
}

// A list that is asked for before the first look has ended has what is there.
func TestListAtOnce(t *testing.T) {
	dir := t.TempDir()
	put(t, dir+"/a/x.iso", tinyISO("X"))
	for range 50 {
		l := mustOpen(t, dir)
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { l.Run(ctx) })
		if list := l.List(); len(list) != 1 || list[0].Name != "a/x.iso" {
			t.Errorf("List = %+v", list)
		}
		cancel()
		running.Wait()
	}
}

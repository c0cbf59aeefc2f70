package daemon

import (
	"context"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"spindle/mmcemu"
)

// A host that makes events faster than the loop follows makes no queue.
func TestInboxIsBounded(t *testing.T) {
	var b inbox
	first := 0
	for range 1000 {
		for _, kind := range []mmcemu.EventKind{mmcemu.EventHostOut, mmcemu.EventHostIn} {
			if b.add(mmcemu.Event{Kind: kind}) {
				first++
			}
		}
	}
	list := b.take()
	if first != 1 || len(list) != 2 || list[1].Kind != mmcemu.EventHostIn {
		t.Errorf("posted %d times, kept %v; want once, and the last of each kind in order", first, list)
	}
	if !b.add(mmcemu.Event{}) {
		t.Error("after take the next event is not posted")
	}
}

func TestLoopAfterItsEnd(t *testing.T) {
	l := newLoop()
	ctx, cancel := context.WithCancel(t.Context())
	ran := false
	l.post(func() { ran = true })
	cancel()
	l.run(ctx, time.Hour, func() {})
	if !ran {
		t.Error("what was posted before the end did not run")
	}
	if err := l.call(t.Context(), func() { t.Error("it ran") }); !errors.Is(err, errStopped) {
		t.Errorf("call after the end: %v, want %v", err, errStopped)
	}
}

// Of states that wait the last is written, and who waits for an earlier one is
// not kept.
func TestSaverWritesLast(t *testing.T) {
	var results []error
	s := newSaver(t.TempDir(), func(err error) { results = append(results, err) })
	s.save([]byte("one"))
	s.save([]byte("two"))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s.run(ctx)
	s.wait(t.Context(), 1)
	s.wait(t.Context(), s.latest())
	if len(results) != 1 || results[0] != nil {
		t.Errorf("results %v; want one that is good", results)
	}
	if got := readFile(t, filepath.Join(filepath.Dir(s.path), stateFile)); got != "two" {
		t.Errorf("written %q", got)
	}
}

package mmcemu

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"spindle/isostore/disc"
	"spindle/scsi"
	"spindle/scsi/scsitest/host"
)

// A markedDisc is a fakeDisc or, with sound, one of two audio tracks: each
// sector says which disc it is of, and where.
type markedDisc struct {
	*fakeDisc
	kind host.Kind
}

// marked returns a disc of the kind, told from others by its seed.
func marked(kind host.Kind, seed uint32) markedDisc {
	switch kind {
	case host.DVD:
		return markedDisc{newDisc(seed, 2_000_000+seed), kind}
	case host.BD:
		return markedDisc{newDisc(seed, 10_000_000+seed), kind}
	case host.Audio:
		d := newDisc(seed, 3000+seed)
		d.layout.Sessions[0].Tracks = []disc.Track{
			{Number: 1, Mode: disc.Audio, Pregap: -150}, {Number: 2, Mode: disc.Audio, Pregap: 1000, Start: 1000},
		}
		return markedDisc{d, kind}
	}
	return markedDisc{newDisc(seed, 100_000+seed), kind}
}

func (d markedDisc) ReadBlocks(p []byte, lba disc.LBA) (int, error) {
	if d.kind == host.Audio {
		return 0, disc.ErrMode
	}
	return d.fakeDisc.ReadBlocks(p, lba)
}

func (d markedDisc) ReadSectors(p []byte, lba disc.LBA) (int, error) {
	if d.kind != host.Audio {
		return 0, disc.ErrMode
	}
	for n := range len(p) / disc.SectorSize {
		if at := lba + disc.LBA(n); at < 0 || at >= d.layout.LeadOut() {
			return n, disc.ErrRange
		}
		fillBlock(p[n*disc.SectorSize:][:disc.SectorSize], d.seed, uint32(lba)+uint32(n))
	}
	return len(p) / disc.SectorSize, nil
}

// mediumKinds are what hosts meet; the empty one is no medium.
var mediumKinds = []host.Kind{host.CD, host.Audio, host.DVD, host.BD, ""}

// A bench is a drive with hosts on it, and an operator.
type bench struct {
	t     *testing.T
	drive *Drive
	lu    scsi.LogicalUnit // of the drive, as a front end runs it

	moves  atomic.Int64 // counts what may move the tray, before and after
	acting atomic.Int64 // acts of the operator's that are under way
	came   atomic.Int64 // media that became ready or went
	mu     sync.Mutex
	discs  map[string]markedDisc // by name
}

func newBench(t *testing.T) *bench { return newBenchFor(t, "") }

// newBenchFor returns a bench whose drive shows changes to a kind of host, one of
// Hosts or none.
func newBenchFor(t *testing.T, kind string) *bench {
	b := &bench{t: t, discs: map[string]markedDisc{}}
	o := testOptions
	o.Host = kind
	o.OnEvent = func(e Event) {
		b.moves.Add(1)
		switch e.Kind {
		case EventReady, EventEjected, EventHostOut:
			b.came.Add(1)
		}
	}
	b.drive = New(o)
	t.Cleanup(func() { _ = b.drive.Close() })
	b.lu = &taskSet{Drive: b.drive, moves: &b.moves}
	return b
}

// A taskSet runs commands alone or together, as the drive allows.
type taskSet struct {
	*Drive
	mu    sync.RWMutex
	moves *atomic.Int64
}

func (s *taskSet) Execute(ctx context.Context, cmd *scsi.Command) error {
	if s.Concurrent(cmd.CDB) {
		s.mu.RLock()
		defer s.mu.RUnlock()
		return s.Drive.Execute(ctx, cmd)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if cmd.CDB[0] == 0x1B { // START STOP UNIT
		s.moves.Add(1)
		defer s.moves.Add(1)
	}
	return s.Drive.Execute(ctx, cmd)
}

// put inserts a disc of the kind, or takes the disc out for none.
func (b *bench) put(kind host.Kind, force bool) error {
	b.acting.Add(1)
	defer b.acting.Add(-1)
	b.moves.Add(1)
	defer b.moves.Add(1)
	if kind == "" {
		return b.drive.Eject(b.t.Context(), force)
	}
	d, name := b.make(kind)
	return b.drive.Insert(b.t.Context(), Medium{Disc: d, Name: name}, force)
}

// make returns a disc that was never there, and its name.
func (b *bench) make(kind host.Kind) (markedDisc, string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	seed := uint32(len(b.discs) + 1)
	name := fmt.Sprint("disc ", seed)
	b.discs[name] = marked(kind, seed)
	return b.discs[name], name
}

// putHeld is put by an operator who waits for hosts to let go, and forces in
// the end; it reports whether that was needed.
func (b *bench) putHeld(kind host.Kind) (forced bool) {
	for range 8 {
		err := b.put(kind, false)
		if err == nil || errors.Is(err, ErrSuperseded) {
			return false
		}
		if _, held := errors.AsType[*HeldError](err); !held {
			b.t.Errorf("insert of %q: %v", kind, err)
			return false
		}
		wait(time.Second)
	}
	if err := b.put(kind, true); err != nil && !errors.Is(err, ErrSuperseded) {
		b.t.Errorf("forced insert of %q: %v", kind, err)
	}
	return true
}

// driver reports whether the model is of an operating system's driver, which
// knows what kind of medium there is and locks one that a program keeps.
func driver(m host.Model) bool {
	os, _, _ := strings.Cut(m.Name, ",")
	return slices.Contains([]string{"Linux", "Windows", "macOS", "FreeBSD"}, os)
}

// wants is what a host of the model should believe now.
func (b *bench) wants(m host.Model) host.Seen {
	b.mu.Lock()
	defer b.mu.Unlock()
	var s host.Seen
	status := b.drive.Status()
	if status.State != "ready" {
		return s
	}
	in := b.discs[status.Medium]
	s.Present, s.Blocks = true, uint32(in.layout.LeadOut())
	if m.Name == "SeaBIOS, USB" {
		s.Blocks = 0
	}
	at := uint32(16)
	if driver(m) {
		s.Kind = in.kind
	}
	if m.Name == "FreeBSD, iSCSI" && s.Kind != host.Audio {
		s.Kind = host.CD // it asks for a TOC, and no more
	}
	if in.kind == host.Audio {
		at = 0
		if !driver(m) {
			return s // it reads no sound
		}
	}
	binary.BigEndian.PutUint32(s.Label[:], in.seed)
	binary.BigEndian.PutUint32(s.Label[4:], at)
	return s
}

// check compares what a host believes with what is.
func (b *bench) check(m host.Model, h host.Host, when string) {
	b.t.Helper()
	got := h.Seen()
	want := b.wants(m)
	if got.Present != want.Present || got.Kind != want.Kind || got.Blocks != want.Blocks || got.Label != want.Label || got.Broken != nil {
		b.t.Errorf("%s, %s: it believes %+v; want %+v", m.Name, when, got, want)
	}
}

// readSome reads n blocks by the host and checks that they are of the disc that
// it believes in.
func readSome(t *testing.T, h host.Host, lba uint32, n int) error {
	t.Helper()
	seen := h.Seen()
	got, err := h.Read(t.Context(), lba, n)
	if err != nil || seen.Label == [8]byte{} {
		return err
	}
	size := disc.BlockSize
	if seen.Kind == host.Audio {
		size = disc.SectorSize
	}
	if len(got) != n*size {
		t.Fatalf("%d bytes of %d blocks", len(got), n)
	}
	want := make([]byte, size)
	for i := range uint32(n) {
		fillBlock(want, binary.BigEndian.Uint32(seen.Label[:]), lba+i)
		if block := got[int(i)*size:][:size]; !bytes.Equal(block, want) {
			t.Errorf("block %d begins % x; want % x: stale", lba+i, block[:8], want[:8])
		}
	}
	return nil
}

// TestHosts lets every host attach to every medium, read it, and live through
// swaps and ejects of all kinds.
func TestHosts(t *testing.T) {
	for _, m := range host.All() {
		for _, kind := range mediumKinds {
			name := m.Name + "/" + string(kind)
			if kind == "" {
				name = m.Name + "/empty"
			}
			t.Run(name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { testHost(t, newBench(t), m, kind) })
			})
		}
	}
}

func testHost(t *testing.T, b *bench, m host.Model, kind host.Kind) {
	if err := b.put(kind, false); err != nil {
		t.Fatal(err)
	}
	h := m.Connect(b.lu, "host")
	b.attach(m, h)
	b.use(m, h, kind)
	for _, next := range mediumKinds {
		b.whileHostLives(m, h, func() { b.putHeld(next) })
		b.use(m, h, next)
	}
	if err := h.Mount(t.Context()); !errors.Is(err, host.ErrNoMedium) && !noMediumSense(err) {
		t.Errorf("mount of an empty drive: %v", err)
	}
	b.ejects(m, h)
	h.Detach()
	if s := b.drive.Status(); len(s.Nexuses) != 0 || len(s.Holders) != 0 {
		t.Errorf("after the host went: %+v", s)
	}
}

func noMediumSense(err error) bool {
	s, ok := errors.AsType[scsi.Sense](err)
	return ok && s.Code>>8 == 0x3A
}

// attach attaches; hosts that only boot do not find an empty drive.
func (b *bench) attach(m host.Model, h host.Host) {
	b.t.Helper()
	err := h.Attach(b.t.Context())
	if err != nil && !(b.drive.Status().State != "ready" && errors.Is(err, host.ErrNoMedium)) {
		b.t.Errorf("%s: attach: %v", m.Name, err)
	}
}

// use checks what the host believes, reads, and mounts.
func (b *bench) use(m host.Model, h host.Host, kind host.Kind) {
	t := b.t
	t.Helper()
	b.check(m, h, "with "+string(kind))
	for _, lba := range []uint32{0, 16, 990} {
		err := readSome(t, h, lba, 3)
		switch sound := kind == host.Audio && h.Seen().Kind == ""; {
		case sound && errors.Is(err, scsi.ErrIllegalMode):
		case kind == "" && errors.Is(err, host.ErrNoMedium):
		case sound || kind == "" || err != nil:
			t.Errorf("%s: read of %q: %v", m.Name, kind, err)
		}
	}
	if kind == host.Audio || kind == "" {
		return
	}
	if err := errors.Join(h.Mount(t.Context()), h.Unmount(t.Context())); err != nil {
		t.Errorf("%s: mount of %q: %v", m.Name, kind, err)
	}
}

// whileHostLives runs an act of the operator's while the host polls and reads,
// and until it has had the time to notice. Hosts that know no change begin anew.
func (b *bench) whileHostLives(m host.Model, h host.Host, act func()) {
	done := make(chan struct{})
	go func() { act(); close(done) }()
	every := max(m.Interval, time.Second)
	for over := 0; over < 4; {
		wait(every)
		select {
		case <-done:
			over++
		default:
		}
		if err := h.Poll(b.t.Context()); err != nil {
			b.t.Errorf("%s: poll: %v", m.Name, err)
		}
		if h.Seen().Present && !knowsNoChange(m) {
			_, _ = h.Read(b.t.Context(), 0, 1)
		}
	}
	switch {
	case knowsNoChange(m):
		b.attach(m, h)
	case m.Interval == 0 && !h.Seen().Present:
		b.attach(m, h) // by hand: "refresh" of the firmware
	}
}

func knowsNoChange(m host.Model) bool {
	return m.Name == "SeaBIOS, USB" || m.Name == "iPXE, iSCSI" || m.Name == "QEMU, iSCSI"
}

// ejects ejects by the host, by the operator who asks, and by force while a
// program keeps the medium.
func (b *bench) ejects(m host.Model, h host.Host) {
	t := b.t
	fresh := func() {
		b.whileHostLives(m, h, func() { b.putHeld(host.CD) })
		b.use(m, h, host.CD)
	}
	gone := func(how, state string) {
		t.Helper()
		if s := b.drive.Status(); s.State != state {
			t.Errorf("%s, %s: state %s; want %s", m.Name, how, s.State, state)
		}
		b.whileHostLives(m, h, func() {})
		b.check(m, h, how)
	}
	fresh()
	if err := h.Eject(t.Context()); err != nil {
		t.Errorf("%s: eject: %v", m.Name, err)
	}
	gone("ejected by the host", "open")

	fresh()
	if err := h.Mount(t.Context()); err != nil {
		t.Errorf("%s: mount: %v", m.Name, err)
	}
	forced := false
	b.whileHostLives(m, h, func() { forced = b.putHeld("") })
	if stubborn := m.Name == "macOS, USB" || m.Name == "FreeBSD, iSCSI"; forced != stubborn {
		t.Errorf("%s, asked to let go: forced %v; want %v", m.Name, forced, stubborn)
	}
	gone("ejected by the operator", "open")

	fresh()
	h.Hold(true)
	if err := h.Mount(t.Context()); err != nil {
		t.Errorf("%s: mount: %v", m.Name, err)
	}
	holds := h.Seen().Locked
	err := b.put("", false)
	if _, held := errors.AsType[*HeldError](err); held != holds || holds != driver(m) {
		t.Errorf("%s: locked %v, eject %v", m.Name, holds, err)
	}
	if err := b.put("", true); err != nil {
		t.Errorf("%s: forced eject: %v", m.Name, err)
	}
	if holders := b.drive.Holders(); len(holders) != 0 {
		t.Errorf("%s: after a forced eject it is held by %v", m.Name, holders)
	}
	gone("ejected by force", "open")
	h.Hold(false)
}

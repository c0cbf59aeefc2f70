package mmcemu

import (
	"context"
	"errors"
	"math/rand/v2"
	"testing"

	"spindle/scsi"
	"spindle/scsi/scsitest"
)

// TestCommandTable: no two rows share an operation code, and each has a name.
func TestCommandTable(t *testing.T) {
	names := map[string]bool{}
	ops := map[byte]bool{}
	for _, family := range families() {
		for _, c := range family {
			if ops[c.op] || names[c.name] || c.name == "" || c.run == nil {
				t.Errorf("row %02x %q: twice, or not whole", c.op, c.name)
			}
			ops[c.op], names[c.name] = true, true
		}
	}
}

// TestFeaturesAreTrue: every command that a feature promises has a row, and a
// feature that is current has commands that run.
func TestFeaturesAreTrue(t *testing.T) {
	table := newCommandTable()
	last := -1
	for _, f := range features {
		if int(f.code) <= last {
			t.Errorf("feature %04x after %04x", f.code, last)
		}
		last = int(f.code)
		for _, op := range f.commands {
			if table[op] == nil {
				t.Errorf("feature %04x promises command %02x, which has no row", f.code, op)
			}
		}
		switch f.code {
		case 0x0020, 0x0024, 0x0028, 0x0106, 0x010D:
			t.Errorf("feature %04x on a read-only drive without keys", f.code)
		}
	}
}

// TestUnitAttentionFirst: it comes before the operation code is looked at, and
// stays for what does not report it.
func TestUnitAttentionFirst(t *testing.T) {
	drive := newDrive(t, newDisc(1, 1000))
	for _, tt := range []struct {
		name, cdb string
		reports   bool
	}{
		{"INQUIRY", "12 00 00 00 24", false},
		{"GET CONFIGURATION", "46 00 00 00 00 00 00 00 08", false},
		{"GESN", gesn, false},
		{"unknown", "ff", true},
		{"bad field", "43 00 05 00 00 00 00 00 ff", true},
		{"TEST UNIT READY", tur, true},
		{"PREVENT", allow, true},
		{"READ", readFirst, true},
	} {
		n := join(drive, "a")
		n.Raise(scsi.ErrPowerOn)
		n.Raise(scsi.ErrReportedLUNsChanged)
		_, err := scsitest.DoNexus(t, drive, n, tt.cdb, nil)
		if errors.Is(err, scsi.ErrPowerOn) != tt.reports || !tt.reports && err != nil {
			t.Errorf("%s: %v", tt.name, err)
		}
		if s, ok := n.Take(); !ok || errors.Is(s, scsi.ErrPowerOn) == tt.reports {
			t.Errorf("%s leaves %v", tt.name, s)
		}
		drive.NexusLost(n)
	}
	n := join(drive, "a")
	n.Raise(scsi.ErrPowerOn)
	walk(
		t, drive, n,
		step{"03 00 00 00 12", "70 00 06 00 00 00 00 0a 00 00 00 00 29 00 00 00 00 00", nil},
		step{"03 01 00 00 fc", "72 00 00 00 00 00 00 00", nil}, step{tur, "", nil},
	)
}

// TestAllocationLength: a longer answer is cut, says its whole length, and is
// no error; of no bytes neither.
func TestAllocationLength(t *testing.T) {
	drive := newDrive(t, newDisc(1, 1000))
	for _, c := range newCommandTable() {
		if c == nil || c.alloc.size == 0 {
			continue
		}
		cdb := scsi.CDB{0: c.op}
		if c.op == 0x9E {
			cdb[1] = readCapacityAction
		}
		if c.op == 0x4A {
			cdb[1], cdb[4] = 1, mediaClassMask
		}
		if c.op == 0x1A || c.op == 0x5A {
			cdb[2] = 0x3F
		}
		if c.op == 0xAD {
			cdb[7] = structureList
		}
		if c.op == 0xA4 {
			cdb[10] = rpcState
		}
		low := c.alloc.at + c.alloc.size - 1
		cdb[low] = 0xFF
		whole, err := scsitest.Execute(t.Context(), drive, usb(), cdb, 1<<20, nil)
		if err != nil || len(whole.Data) < 4 {
			t.Errorf("%s = % x, %v", c.name, whole.Data, err)
			continue
		}
		for _, al := range []int{0, 1, 4} {
			cdb[low] = byte(al)
			cut, err := scsitest.Execute(t.Context(), drive, usb(), cdb, 1<<20, nil)
			if err != nil || string(cut.Data) != string(whole.Data[:al]) {
				t.Errorf("%s, allocation length %d = % x, %v; want the start of % x", c.name, al, cut.Data, err, whole.Data)
			}
		}
	}
}

func TestConcurrent(t *testing.T) {
	drive := newDrive(t, nil)
	for op, want := range map[byte]bool{0x28: true, 0xA8: true, 0x12: true, 0x43: true, 0x1B: false, 0x1E: false, 0x15: false, 0xFF: false} {
		if got := drive.Concurrent(scsi.CDB{op}); got != want {
			t.Errorf("Concurrent(%02x) = %v; want %v", op, got, want)
		}
	}
}

// FuzzExecute sends commands with data-out to a drive, of a host that takes
// little: no panic, and data-in is used as its contract says.
func FuzzExecute(f *testing.F) {
	for _, c := range newCommandTable() {
		if c != nil {
			f.Add([]byte{c.op}, []byte{}, uint16(64))
			f.Add([]byte{c.op, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF}, []byte{0, 0, 0, 8}, uint16(4096))
		}
	}
	f.Add([]byte{0x15, 0, 0, 0, 16}, []byte{0, 0, 0, 0, 1, 10, 0, 7, 0, 0, 0, 0, 0, 0, 0, 0}, uint16(0))
	f.Add([]byte{0xBE, 0, 0, 0, 0, 0, 0, 0, 3, 0xF8}, []byte{}, uint16(5000))
	f.Fuzz(func(t *testing.T, cdbs, out []byte, limit uint16) {
		drives := []*Drive{newDrive(t, nil), newDrive(t, newDisc(1, 1000)), newDrive(t, newDisc(1, 3000000)), newDrive(t, newRawDisc())}
		for _, drive := range drives {
			n := join(drive, "a")
			for rest := cdbs; len(rest) > 0; rest = rest[min(len(rest), 16):] {
				var cdb scsi.CDB
				copy(cdb[:], rest)
				in, _ := scsitest.Execute(context.Background(), drive, n, cdb, int64(limit), out)
				if in.Misuse != nil {
					t.Fatalf("% x: %v", cdb, in.Misuse)
				}
				if int64(len(in.Data)) > int64(limit) {
					t.Fatalf("% x: %d bytes to a host that takes %d", cdb, len(in.Data), limit)
				}
			}
			drive.NexusLost(n)
		}
	})
}

// TestRandomCommands is a short walk of every operation code in all states.
func TestRandomCommands(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	drive := newDrive(t, newRawDisc())
	n := join(drive, "a")
	for range 20000 {
		var cdb scsi.CDB
		for i := range cdb {
			if rng.IntN(3) == 0 {
				cdb[i] = byte(rng.UintN(256))
			}
		}
		cdb[0] = byte(rng.UintN(256))
		in, err := scsitest.Execute(t.Context(), drive, n, cdb, int64(rng.IntN(6000)), make([]byte, rng.IntN(64)))
		if in.Misuse != nil {
			t.Fatalf("% x: %v", cdb, in.Misuse)
		}
		if key := scsi.SenseOf(err).Key; err != nil && key == scsi.HardwareError {
			t.Fatalf("% x: %v", cdb, err)
		}
	}
}

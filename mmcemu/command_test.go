package mmcemu

import (
	"context"
	"errors"
	"math/rand/v2"
	"testing"

	"spindle/isostore/disc"
	"spindle/isostore/disc/disctest"
	"spindle/scsi"
	"spindle/scsi/filter"
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

// contractDrives are a drive in each state that the contract is checked in.
var contractDrives = []struct {
	name string
	disc func() disc.Disc
}{
	{"empty", nil},
	{"CD", func() disc.Disc { return newDisc(1, 1000) }},
	{"DVD", func() disc.Disc { return newDisc(1, 2000000) }},
	{"DVD of two layers", func() disc.Disc { return newDisc(1, 4000000) }},
	{"BD", func() disc.Disc { return newDisc(1, 20000000) }},
	{"raw CD", func() disc.Disc { return newRawDisc() }},
	{"Enhanced CD", func() disc.Disc { return disctest.Synthetic(disctest.EnhancedCD()) }},
	{"hidden track", func() disc.Disc { return disctest.Synthetic(disctest.HiddenTrack()) }},
}

func TestContract(t *testing.T) {
	for _, tt := range contractDrives {
		t.Run(tt.name, func(t *testing.T) {
			scsitest.TestLogicalUnit(t, func() scsi.LogicalUnit {
				if tt.disc == nil {
					return newDrive(t, nil)
				}
				return newDrive(t, tt.disc())
			}, func(lu scsi.LogicalUnit) scsi.LogicalUnit {
				_, recorded := filter.Record(lu)
				return recorded
			})
		})
	}
}

// FuzzExecute sends commands with data-out to a drive with a disc of every
// kind of sector.
func FuzzExecute(f *testing.F) {
	scsitest.FuzzExecute(f, func() scsi.LogicalUnit {
		drive := New(testOptions)
		_ = drive.Insert(context.Background(), Medium{Disc: newRawDisc(), Name: "raw"}, false)
		return drive
	})
}

// TestRandomCommands walks every operation code, in states that the commands
// before it left.
func TestRandomCommands(t *testing.T) {
	for _, tt := range contractDrives {
		rng := rand.New(rand.NewPCG(1, 2))
		drive := newDrive(t, nil)
		if tt.disc != nil {
			drive = newDrive(t, tt.disc())
		}
		n := join(drive, "a")
		for range 1000 {
			var cdb scsi.CDB
			for i := range cdb {
				if rng.IntN(3) == 0 {
					cdb[i] = byte(rng.UintN(256))
				}
			}
			cdb[0] = byte(rng.UintN(256))
			if cdb[0] == 0x2F {
				cdb[7] = 0 // no VERIFY of megabytes
			}
			in, err := scsitest.Execute(t.Context(), drive, n, cdb, int64(rng.IntN(6000)), make([]byte, rng.IntN(64)))
			if in.Misuse != nil {
				t.Fatalf("%s: % x: %v", tt.name, cdb, in.Misuse)
			}
			if err != nil && scsi.SenseOf(err).Key == scsi.HardwareError {
				t.Fatalf("%s: % x: %v", tt.name, cdb, err)
			}
		}
	}
}

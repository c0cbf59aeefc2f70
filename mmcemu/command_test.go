package mmcemu

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
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
		if c.op == 0x3C {
			cdb[1] = bufferDescriptor
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
	{"BD of four layers", func() disc.Disc { return newDisc(1, 62500864) }},
	{"audio with CD-TEXT", func() disc.Disc { return disctest.Synthetic(audioCD()) }},
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

// seedReadCD adds READ CD with every selection of fields, C2 and sub-channel, from
// the pregap to the last track, and commands whose data-out means something.
func seedReadCD(f *testing.F) {
	var cdbs []byte
	for byte10 := range byte(6) {
		for byte9 := 0; byte9 < 256; byte9 += 2 {
			lba := uint32(int32(byte9*2 - 100)) // over audio, Mode 1, formless and XA
			cdb := [16]byte{0xBE, byte10 << 2, 8: 3, 9: byte(byte9), 10: byte10}
			binary.BigEndian.PutUint32(cdb[2:], lba)
			if cdbs = append(cdbs, cdb[:]...); len(cdbs) == 16*16 { // one run takes 16
				f.Add(cdbs, []byte(nil), uint16(0xFFFF))
				cdbs = nil
			}
		}
	}
	for byte9 := 0; byte9 < 256; byte9 += 8 {
		for byte10 := range byte(5) {
			cdb := [16]byte{0xB9, 0, 0, 0, 0, 0, 0, 7, 0, byte(byte9), byte10}
			f.Add(cdb[:], []byte(nil), uint16(byte9*17))
		}
	}
	f.Add([]byte{0xA3, 0, 0, 0, 0, 0, 0, 0, 0, 8, 6, 0, 0, 0, 0, 0}, []byte{0, 6, 0, 0, 0xFD, 0, 0, 0}, uint16(0))
	f.Add([]byte{0xB6, 0, 0, 0, 0, 0, 0, 0, 0, 0, 28, 0, 0, 0, 0, 0}, make([]byte, 28), uint16(0))
}

// FuzzExecute sends commands with data-out to a drive with a disc of every
// kind of sector.
func FuzzExecute(f *testing.F) {
	seedReadCD(f)
	f.Add(audioSeed(f), []byte(nil), uint16(0xFFFF))
	scsitest.FuzzExecute(f, func() scsi.LogicalUnit {
		o := testOptions
		o.Slots = []Slot{slotAt(0), slotAt(1), {}}
		drive := New(o)
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

// TestDocumentedCommands: docs/commands.md has a row for each command, and for
// no other.
func TestDocumentedCommands(t *testing.T) {
	page, err := os.ReadFile("../docs/commands.md")
	if err != nil {
		t.Fatal(err)
	}
	table := newCommandTable()
	said := map[string]bool{}
	for line := range strings.Lines(string(page)) {
		if cells := strings.Split(line, " | "); len(cells) == 3 && strings.HasSuffix(cells[0], "h") {
			said[strings.TrimPrefix(cells[0], "| ")+" "+cells[1]] = true
		}
	}
	for _, c := range table {
		if c == nil {
			continue
		}
		key := fmt.Sprintf("%02Xh %s", c.op, c.name)
		if !said[key] {
			t.Errorf("docs/commands.md has no row for %s", key)
		}
		delete(said, key)
	}
	for key := range said {
		t.Errorf("docs/commands.md has a row for %s, which the drive does not have", key)
	}
}

//go:build linux

package bench

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"testing"
	"time"

	"spindle/internal/lab"
)

// bootTrace is what a host read of a disc while it booted: a line is
// microseconds since the first command, LBA and blocks of 2048 bytes.
const bootTrace = "testdata/boot.trace"

// A read is a line of a bootTrace.
type read struct {
	at          time.Duration
	lba, blocks int
}

func loadBoot() (list []read, err error) {
	f, err := os.Open(bootTrace)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var r read
		var us int64
		if _, err := fmt.Sscan(lines.Text(), &us, &r.lba, &r.blocks); err != nil {
			return nil, fmt.Errorf("%s, line %d: %w", bootTrace, len(list)+1, err)
		}
		r.at = time.Duration(us) * time.Microsecond
		list = append(list, r)
	}
	return list, nil
}

// TestBootTrace holds the recorded boot against what it should be: some megabytes
// in many reads.
func TestBootTrace(t *testing.T) {
	list, err := loadBoot()
	if err != nil {
		t.Fatal(err)
	}
	blocks, last := 0, time.Duration(0)
	for i, r := range list {
		if r.lba < 0 || r.blocks <= 0 || r.lba+r.blocks > bootSize/2048 || r.at < last {
			t.Errorf("line %d: %+v", i+1, r)
		}
		blocks, last = blocks+r.blocks, r.at
	}
	if len(list) < 500 || blocks < 10<<20/2048 || last > 5*time.Minute {
		t.Errorf("%d reads of %d blocks in %v; want 500 of 10 MiB at least", len(list), blocks, last)
	}
}

// recordBoot boots a live disc and keeps what the drive's flight recorder saw.
func recordBoot(b *testing.B) {
	b.Helper()
	d := startDaemon(b, lab.LiveISO(b))
	ctx, cancel := context.WithCancel(b.Context())
	cmd := exec.CommandContext(ctx, d.bin, "trace", "cd0", "--json", "--follow", "--socket", d.socket)
	lines, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		b.Fatal(err)
	}
	defer cmd.Wait()
	defer cancel()
	var list []read
	recorded := make(chan error, 1)
	go func() {
		var err error
		list, err = recordedReads(json.NewDecoder(lines))
		recorded <- err
	}()
	fw := lab.Firmware{Args: lab.SCSI("iscsi://"+d.addr+"/"+d.iqn+"/0", "scsi-generic")}
	if r := lab.BootFirmware(b, fw); r.Status != 0 {
		b.Fatalf("status %d", r.Status)
	}
	if err := <-recorded; err != nil {
		b.Fatal(err)
	}
	var text bytes.Buffer
	for _, r := range list {
		fmt.Fprintln(&text, (r.at - list[0].at).Microseconds(), r.lba, r.blocks)
	}
	if err := os.WriteFile(bootTrace, text.Bytes(), 0o644); err != nil {
		b.Fatal(err)
	}
}

// recordedReads takes the reads from a transcript until their host has left, in
// the order in which they began.
func recordedReads(lines *json.Decoder) (list []read, err error) {
	for {
		var e struct {
			Time               time.Time
			Event, CDB, Status string
			Lost               int
		}
		if err := lines.Decode(&e); err != nil {
			return nil, err
		}
		switch cdb, err := hex.DecodeString(e.CDB); {
		case err != nil || e.Lost > 0:
			return nil, fmt.Errorf("%d entries are lost: %w", e.Lost, err)
		case e.Event == "nexus-lost" && len(list) > 0:
			slices.SortStableFunc(list, func(a, b read) int { return cmp.Compare(a.at, b.at) })
			return list, nil
		case len(cdb) == 10 && cdb[0] == 0x28 && e.Status == "GOOD":
			r := read{time.Duration(e.Time.UnixNano()), int(binary.BigEndian.Uint32(cdb[2:])), int(binary.BigEndian.Uint16(cdb[7:]))}
			if r.blocks > 0 {
				list = append(list, r)
			}
		}
	}
}

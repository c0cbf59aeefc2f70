package lab

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// A machine with nothing to boot never ends by itself: the context ends it, and what
// it leaves is not a status.
func TestMachineWithoutStatus(t *testing.T) {
	Need(t, "qemu-system-x86_64")
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	console, err := os.Create(filepath.Join(t.TempDir(), "console"))
	if err != nil {
		t.Fatal(err)
	}
	defer console.Close()
	m, err := start(ctx, console, emulated...)
	if err != nil {
		t.Fatal(err)
	}
	if status, err := m.wait(); !errors.Is(err, errNoStatus) {
		t.Errorf("status %d, %v; want %v", status, err, errNoStatus)
	}
}

func TestResolve(t *testing.T) {
	Need(t, "kernel")
	order, err := resolve([]string{"usb-storage delay_use=0", "sr_mod"})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, m := range order {
		names = append(names, strings.TrimSpace(m.name+" "+m.params))
	}
	want := []string{"usb_common", "usbcore", "scsi_common", "scsi_mod", "usb_storage delay_use=0", "cdrom", "sr_mod"}
	if !slices.Equal(names, want) {
		t.Errorf("order %q; want %q", names, want)
	}
	if _, err := resolve([]string{"no-such-module"}); err == nil {
		t.Error("a module that does not exist was resolved")
	}
}

func TestArchive(t *testing.T) {
	a := make(archive)
	a.data("/a/b", []byte("hello"))
	a.link("/c", "a/b")
	var got bytes.Buffer
	if err := a.write(&got); err != nil {
		t.Fatal(err)
	}
	const zero = "00000000"
	header := func(inode, mode, size, name string) string {
		return "070701" + inode + mode + zero + zero + "00000001" + zero + size + zero + zero + zero + zero + name + zero
	}
	want := header("00000001", "000041ED", zero, "00000002") + "a\x00" +
		header("00000002", "000081ED", "00000005", "00000004") + "a/b\x00\x00\x00" + "hello\x00\x00\x00" +
		header("00000003", "0000A1FF", "00000003", "00000002") + "c\x00" + "a/b\x00" +
		header(zero, zero, zero, "0000000B") + "TRAILER!!!\x00\x00\x00\x00"
	if got.String() != want {
		t.Errorf("archive\n%q; want\n%q", got.String(), want)
	}
}

// Same values, same content; and a list of hashes that fits it is in the image.
func TestISOSeeds(t *testing.T) {
	Need(t, "xorriso")
	t.Parallel()
	data := func(img Image) string {
		out := filepath.Join(t.TempDir(), "data")
		run(t, "xorriso", "-osirrox", "on", "-indev", ISO(t, img), "-extract", "/DATA.BIN", out)
		return SHA256(t, out)
	}
	one, again, other := data(Image{Size: 5000, Seed: 1}), data(Image{Size: 5000, Seed: 1}), data(Image{Size: 5000, Seed: 2})
	if one != again || one == other {
		t.Errorf("hashes %s %s %s; want the first two equal and the third not", one, again, other)
	}
	padded := ISO(t, Image{Size: 5000, Pad: 5 << 30})
	if info, err := os.Stat(padded); err != nil || info.Size() != 5<<30 {
		t.Errorf("a padded image is %v, %v; want 5 GiB", info, err)
	}
}

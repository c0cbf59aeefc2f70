package iso9660

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"spindle/internal/lab"
	"spindle/isostore/disc"
)

// TestLarge maps a file above 4 GiB, a hole but for its ends: xorriso finds it
// whole, and hard links to it take no more space.
func TestLarge(t *testing.T) {
	lab.Need(t, "xorriso")
	t.Parallel()
	dir := plant(t, map[string]string{"after": "after", "large": "begins"})
	const size = 9<<30 + 5
	f, err := os.OpenFile(filepath.Join(dir, "large"), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err = f.WriteAt([]byte("ends"), size-4); err == nil {
		err = os.Link(f.Name(), filepath.Join(dir, "a link"))
	}
	if err != nil {
		t.Fatal(err)
	}
	img := volume(t, dir, Options{})
	if img.Size() > size+1<<20 {
		t.Errorf("the volume has %d bytes: the link's data is there twice", img.Size())
	}
	meta := make([]byte, img.segments[1].off)
	if _, err := img.ReadAt(meta, 0); err != nil {
		t.Fatal(err)
	}
	for kind := range byte(2) {
		tree, err := read(meta, kind+1)
		if err != nil {
			t.Fatal(err)
		}
		for _, it := range tree.children {
			if strings.HasPrefix(it.name, "a") && it.name != "a link" {
				continue
			}
			if it.size != size || it.extents != 3 {
				t.Errorf("%s has %d bytes in %d extents; want %d in 3", it.name, it.size, it.extents, size)
			}
			p := make([]byte, 4)
			if _, err := img.ReadAt(p, it.block*2048+size-4); err != nil || string(p) != "ends" {
				t.Errorf("%s ends with %q, %v", it.name, p, err)
			}
		}
	}
	iso := filepath.Join(t.TempDir(), "large.iso")
	if err := os.WriteFile(iso, meta, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(iso, img.Size()); err != nil {
		t.Fatal(err)
	}
	list := tool(t, "xorriso", "-indev", iso, "-find", "/", "-exec", "lsdl")
	for _, name := range []string{"large", "a link", "after"} {
		want := fmt.Sprintf("%d", size)
		if name == "after" {
			want = " 5 "
		}
		found := false
		for line := range strings.Lines(list) {
			found = found || strings.Contains(line, "'/"+name+"'") && strings.Contains(line, want)
		}
		if !found {
			t.Errorf("xorriso does not list %s with %s bytes:\n%s", name, want, list)
		}
	}
}

// TestBounds gives New what is too much.
func TestBounds(t *testing.T) {
	t.Parallel()
	deep := plant(t, map[string]string{strings.Repeat("d/", maxLevels-1) + "x": "x"})
	volume(t, deep, Options{})
	deeper := plant(t, map[string]string{strings.Repeat("d/", maxLevels) + "x": "x"})
	if _, err := New(openRoot(t, deeper), ".", Options{}); err == nil || !strings.Contains(err.Error(), "nested deeper") {
		t.Errorf("New of %d levels = %v", maxLevels+1, err)
	}
	tr := forest("")
	for i := range maxDirectories {
		tr.root.children[primary] = append(tr.root.children[primary], &node{parent: tr.root, name: fmt.Sprint(i), mode: os.ModeDir})
	}
	tr.giveNames()
	if err := (&builder{tree: tr}).layout(); err == nil || !strings.Contains(err.Error(), "directories") {
		t.Errorf("layout of %d directories = %v", maxDirectories+1, err)
	}
	tr = forest("x")
	tr.root.children[primary] = []*node{{parent: tr.root, name: "x", stamp: stamp{size: 5 << 40}}}
	tr.giveNames()
	if err := (&builder{tree: tr}).layout(); err == nil || !strings.Contains(err.Error(), "at most 2147483647") {
		t.Errorf("layout of 5 TiB = %v", err)
	}
}

// TestBootImages says how each kind of boot image is entered.
func TestBootImages(t *testing.T) {
	t.Parallel()
	isolinux := strings.Repeat("\x90", 64) + "\xFB\xC0\x78\x70" + strings.Repeat("loader!", 3000)
	floppy := strings.Repeat("\x00", 510) + "\x55\xAA" + strings.Repeat("\xF6", 1474560-512)
	fat := "\xEB\x3C\x90 spindle\x00\x02\x01\x01\x00\x02\x00\x00\x01\x00" + strings.Repeat("\x00", 489) + "\x55\xAA"
	disk := "\xEB\x63\x90" + strings.Repeat("\x00", 507) + "\x55\xAA" // as GRUB begins a disk
	for _, tt := range []struct {
		name    string
		content map[string]string
		o       Options
		want    []Boot
		err     string
	}{
		{"none", map[string]string{"a": "a"}, Options{Hybrid: true}, nil, ""},
		{"isolinux", map[string]string{"ISOLINUX/isolinux.BIN": isolinux}, Options{}, []Boot{{Platform: "BIOS", Path: "ISOLINUX/isolinux.BIN", Media: "none", Sectors: 4, InfoTable: true}}, ""},
		{"etfsboot", map[string]string{"boot/etfsboot.com": isolinux[2048 : 2048+4096]}, Options{}, []Boot{{Platform: "BIOS", Path: "boot/etfsboot.com", Media: "none", Sectors: 8}}, ""},
		{"floppy", map[string]string{"dos.img": floppy}, Options{BootBIOS: "dos.img"}, []Boot{{Platform: "BIOS", Path: "dos.img", Media: "1.44M", Sectors: 1}}, ""},
		{"too large for a BIOS", map[string]string{"x": floppy[1:]}, Options{BootBIOS: "x"}, []Boot{{Platform: "BIOS", Path: "x", Media: "none", Sectors: 4}}, ""},
		{"UEFI alone", map[string]string{"efi/microsoft/boot/efisys.bin": fat}, Options{}, []Boot{{Platform: "EFI", Path: "efi/microsoft/boot/efisys.bin", Media: "none", Sectors: 1}}, ""},
		{"large UEFI", map[string]string{"efi.img": fat + strings.Repeat("\x00", 32<<20)}, Options{}, []Boot{{Platform: "EFI", Path: "efi.img", Media: "none", Sectors: 0}}, ""},
		{"no boot", map[string]string{"efi.img": fat, "isolinux/isolinux.bin": isolinux}, Options{NoBoot: true}, nil, ""},
		{"no FAT", map[string]string{"efi.img": "text"}, Options{}, nil, ""},
		{"named, no FAT", map[string]string{"e": "text"}, Options{BootEFI: "e"}, nil, "boot image e: byte 0: no boot sector"},
		{"named, a disk", map[string]string{"e": disk}, Options{BootEFI: "e"}, nil, "boot image e: byte 11: no FAT file system"},
		{"named, cut short", map[string]string{"e": strings.Replace(fat, "\x01\x00\x00", "\x02\x00\x00", 1)}, Options{BootEFI: "e"}, nil, "has 1024 bytes, and the file 512"},
		{"a program", map[string]string{"e": "MZ"}, Options{BootEFI: "e"}, nil, "not a FAT image (hint: put it at EFI/BOOT"},
		{"missing", map[string]string{"a": "a"}, Options{BootBIOS: "b"}, nil, "boot image b: file does not exist"},
		{"outside", map[string]string{"a": "a"}, Options{BootBIOS: "../a"}, nil, "not below"},
		{"a directory", map[string]string{"a/b": "a"}, Options{BootBIOS: "a"}, nil, "not a regular file"},
		{"empty", map[string]string{"a": ""}, Options{BootEFI: "a"}, nil, "is empty"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := plant(t, tt.content)
			img, err := New(openRoot(t, dir), ".", tt.o)
			if err != nil {
				if tt.err == "" || !strings.Contains(err.Error(), tt.err) {
					t.Errorf("New = %v; want %q", err, tt.err)
				}
				return
			}
			defer img.Close()
			got := img.Boot()
			if w := img.Warnings(); tt.name == "none" && len(w) > 0 {
				t.Errorf("a folder without boot files has warnings: %q", w)
			}
			if tt.err != "" || len(got) != len(tt.want) {
				t.Fatalf("Boot = %+v; want %+v, error %q", got, tt.want, tt.err)
			}
			for i, b := range got {
				checkBoot(t, img, b, tt.want[i], tt.content[b.Path])
			}
		})
	}
}

// checkBoot compares a boot image with what is wanted, and its bytes with the file.
func checkBoot(t *testing.T, img *Image, got, want Boot, content string) {
	t.Helper()
	want.Block, want.Size = got.Block, int64(len(content))
	if got != want {
		t.Errorf("Boot = %+v; want %+v", got, want)
	}
	p := make([]byte, got.Size)
	if _, err := img.ReadAt(p, got.Block*disc.BlockSize); err != nil && err != io.EOF {
		t.Fatal(err)
	}
	if equal := string(p) == content; equal == want.InfoTable {
		t.Errorf("the image is the file unchanged: %v", equal)
	}
	if want.InfoTable && (string(p[:8]) != content[:8] || string(p[64:]) != content[64:]) {
		t.Error("more than bytes 8 to 63 of the boot image changed")
	}
}

// The boot information table is the one that genisoimage writes.
func TestInfoTable(t *testing.T) {
	lab.Need(t, "genisoimage")
	t.Parallel()
	content := strings.Repeat("\x00", 64) + "\xFB\xC0\x78\x70" + strings.Repeat("loader!", 3001)
	dir := plant(t, map[string]string{"isolinux/isolinux.bin": content})
	img := volume(t, dir, Options{})
	got := make([]byte, 64)
	if _, err := img.ReadAt(got, img.Boot()[0].Block*disc.BlockSize); err != nil {
		t.Fatal(err)
	}
	iso := filepath.Join(t.TempDir(), "genisoimage.iso")
	tool(t, "genisoimage", "-quiet", "-b", "isolinux/isolinux.bin", "-c", "boot.cat", "-no-emul-boot", "-boot-info-table", "-o", iso, dir) // patches the file, too
	want := mustRead(t, filepath.Join(dir, "isolinux/isolinux.bin"))[:64]
	if string(got[:12]) != want[:12] || string(got[16:]) != want[16:] { // the image's block differs
		t.Errorf("boot information table\n% x; want\n% x", got, want)
	}
}

// Reading an open file does not allocate: the drive's READ must not.
func TestReadAtAllocates(t *testing.T) {
	img := volume(t, plant(t, map[string]string{"a": strings.Repeat("a", 100_000)}), Options{})
	p := make([]byte, 65536)
	if n := testing.AllocsPerRun(20, func() {
		if _, err := img.ReadAt(p, img.segments[1].off-disc.BlockSize); err != nil {
			t.Error(err)
		}
	}); n != 0 {
		t.Errorf("ReadAt allocates %v times", n)
	}
}

// BenchmarkNew lays out a directory of 10,000 files.
func BenchmarkNew(b *testing.B) {
	content := map[string]string{}
	for i := range 10_000 {
		content[fmt.Sprintf("a picture taken in a holiday %d.jpeg", i)] = ""
	}
	root := openRoot(b, plant(b, content))
	b.ReportAllocs()
	for b.Loop() {
		img, err := New(root, ".", Options{})
		if err != nil {
			b.Fatal(err)
		}
		img.Close()
	}
}

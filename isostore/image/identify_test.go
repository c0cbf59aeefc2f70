package image_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"spindle/internal/lab"
	"spindle/isostore/image"
)

// tool runs a program to its end.
func tool(t *testing.T, dir, name string, args ...string) {
	t.Helper()
	cmd := lab.ToolCmd(t.Context(), name, args...)
	cmd.Dir = dir
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s %q: %v\n%s", name, args, err, text)
	}
}

// efiImage makes a FAT image of that many KiB with EFI/BOOT/NAME.
func efiImage(t *testing.T, path string, kib int, bits string, names ...string) {
	t.Helper()
	dir := filepath.Dir(path)
	if err := os.WriteFile(path, make([]byte, kib<<10), 0o644); err != nil {
		t.Fatal(err)
	}
	args := []string{"-i", path}
	if bits == "32" {
		args = append(args, "-F")
	}
	tool(t, dir, "mformat", append(args, "::")...)
	tool(t, dir, "mmd", "-i", path, "::/EFI", "::/efi/boot")
	for i := range 40 { // the directory takes more than one cluster
		names = append(names, strings.Repeat("x", 20+i)+".txt")
	}
	copies := []string{"-i", path}
	for _, name := range names {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte("MZ"), 0o644); err != nil {
			t.Fatal(err)
		}
		copies = append(copies, file)
	}
	tool(t, dir, "mcopy", append(copies, "::/EFI/BOOT")...)
}

// TestIdentify tells who boots what tools make, and what they wrote into it.
func TestIdentify(t *testing.T) {
	lab.Need(t, "mformat", "mcopy", "mmd", "xorriso", "genisoimage")
	src := t.TempDir()
	fats := t.TempDir()
	efiImage(t, filepath.Join(fats, "12.img"), 1440, "12", "bootx64.efi", "grubx64.efi")
	efiImage(t, filepath.Join(fats, "16.img"), 16<<10, "16", "BOOTAA64.EFI", "BOOTX64.EFI")
	efiImage(t, filepath.Join(fats, "32.img"), 40<<10, "32", "BOOTRISCV64.EFI", "BOOTIA32.EFI")
	if err := os.MkdirAll(filepath.Join(src, "EFI/BOOT"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{"bios.img": make([]byte, 8192), "odd.img": make([]byte, 4096), "EFI/BOOT/BOOTARM.EFI": []byte("MZ")} {
		if err := os.WriteFile(filepath.Join(src, name), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	efi := func(name string) []string {
		return []string{"-eltorito-alt-boot", "-e", name, "-no-emul-boot"}
	}
	bios := []string{"-b", "bios.img", "-no-emul-boot", "-boot-load-size", "4"}
	tests := []struct {
		name   string
		args   []string // of xorriso -as mkisofs
		by     []string
		hybrid []string
	}{
		{"plain", nil, nil, nil},
		{"bios", bios, []string{"BIOS"}, nil},
		{"FAT12", slices.Concat(bios, efi("12.img")), []string{"BIOS", "UEFI x64"}, nil},
		{"FAT16", efi("16.img")[1:], []string{"UEFI x64", "UEFI aa64"}, nil},
		{"FAT32", slices.Concat(bios, efi("32.img")), []string{"BIOS", "UEFI ia32", "UEFI riscv64"}, nil},
		{"no FAT", efi("odd.img")[1:], []string{"UEFI arm"}, nil},
		{"GPT", slices.Concat(efi("12.img")[1:], []string{"-isohybrid-gpt-basdat", "-part_like_isohybrid"}), []string{"UEFI x64"}, []string{"gpt"}},
		{"MBR", slices.Concat(efi("12.img")[1:], []string{"-append_partition", "2", "0xef", filepath.Join(fats, "12.img")}), []string{"UEFI x64"}, []string{"mbr"}},
		{"APM", slices.Concat(efi("12.img")[1:], []string{"-append_partition", "2", "0xef", filepath.Join(fats, "12.img"), "-part_like_isohybrid", "-isohybrid-apm-hfsplus", "-hfsplus"}), []string{"UEFI x64"}, []string{"mbr", "apm"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			out := filepath.Join(t.TempDir(), "x.iso")
			args := []string{"-as", "mkisofs", "-quiet", "-r", "-V", "LABEL", "-publisher", "A PUBLISHER", "--modification-date=2026010203040500", "-o", out}
			args = append(append(args, tt.args...), src)
			for _, name := range []string{"12.img", "16.img", "32.img"} {
				if slices.Contains(tt.args, name) {
					args = append(args, filepath.Join(fats, name))
				}
			}
			tool(t, src, "xorriso", args...)
			info, err := image.Inspect(out, image.Options{})
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(info.BootBy, tt.by) || !slices.Equal(info.Hybrid, tt.hybrid) {
				t.Errorf("boot by %q, hybrid %q; want %q, %q (%+v)", info.BootBy, info.Hybrid, tt.by, tt.hybrid, info.Boot)
			}
			want := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
			if info.Publisher != "A PUBLISHER" || info.Created == nil || !info.Created.Equal(want) || !slices.Equal(info.FileSystems[:2], []string{"iso9660", "rockridge"}) {
				t.Errorf("publisher %q, created %v, %q", info.Publisher, info.Created, info.FileSystems)
			}
		})
	}
}

// TestIdentifyHFS finds the second file system of discs for the Macintosh.
func TestIdentifyHFS(t *testing.T) {
	lab.Need(t, "genisoimage", "xorriso")
	src := t.TempDir()
	if err := os.WriteFile(filepath.Join(src, "a"), make([]byte, 1<<20), 0o644); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name string
		make []string
		want []string
	}{
		{"hfs", []string{"genisoimage", "-quiet", "-hfs", "-part", "-o", "OUT", src}, []string{"iso9660", "hfs"}},
		{"hfsplus", []string{"xorriso", "-as", "mkisofs", "-quiet", "-hfsplus", "-o", "OUT", src}, []string{"iso9660", "rockridge", "hfsplus"}},
	}
	for _, tt := range tests {
		out := filepath.Join(t.TempDir(), "x.iso")
		args := slices.Clone(tt.make[1:])
		args[slices.Index(args, "OUT")] = out
		tool(t, src, tt.make[0], args...)
		info, err := image.Inspect(out, image.Options{})
		if err != nil || !slices.Equal(info.FileSystems, tt.want) {
			t.Errorf("%s: %q, %v; want %q", tt.name, info.FileSystems, err, tt.want)
		}
	}
}

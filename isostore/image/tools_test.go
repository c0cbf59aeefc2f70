package image_test

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"spindle/internal/lab"
	"spindle/isostore/disc"
	"spindle/isostore/disc/disctest"
	"spindle/isostore/image"
)

// TestImagesOfTools opens what the usual tools make.
func TestImagesOfTools(t *testing.T) {
	tests := []struct {
		name, label string
		systems     []string
		boot        []string
		make        []string // command; OUT and SRC are replaced
	}{
		{"bridge.iso", "GENISO LABEL", []string{"iso9660", "rockridge", "joliet", "udf"}, nil, []string{
			"genisoimage", "-quiet", "-V", "GENISO LABEL", "-J", "-R", "-udf", "-o", "OUT", "SRC",
		}},
		{"boot.iso", "XORRISO", []string{"iso9660", "rockridge"}, []string{"BIOS", "EFI"}, []string{
			"xorriso", "-as", "mkisofs", "-quiet", "-V", "XORRISO", "-R", "-b", "boot.img", "-no-emul-boot", "-boot-load-size", "4",
			"-eltorito-alt-boot", "-e", "efi.img", "-no-emul-boot", "-o", "OUT", "SRC",
		}},
		{"latin.img", "Größe UDF", []string{"udf"}, nil, []string{
			"mkudffs", "--utf8", "--media-type=dvd", "--blocksize=2048", "--label=Größe UDF", "OUT",
		}},
		{"wide.img", "日本", []string{"udf"}, nil, []string{
			"mkudffs", "--utf8", "--media-type=hd", "--udfrev=2.01", "--blocksize=2048", "--label=日本", "OUT",
		}},
	}
	dir, src := t.TempDir(), t.TempDir()
	for name, size := range map[string]int{"a file.txt": 100, "boot.img": 8192, "efi.img": 16384} {
		if err := os.WriteFile(filepath.Join(src, name), make([]byte, size), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			lab.Need(t, tt.make[0])
			out := filepath.Join(dir, tt.name)
			if tt.make[0] == "mkudffs" {
				if err := os.WriteFile(out, make([]byte, 4<<20), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			args := slices.Clone(tt.make)
			for i, a := range args {
				args[i] = map[string]string{"OUT": out, "SRC": src}[a]
				if args[i] == "" {
					args[i] = a
				}
			}
			cmd := lab.ToolCmd(t.Context(), args[0], args[1:]...)
			if text, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("%v: %v\n%s", args, err, text)
			}
			d, info, err := image.OpenFile(out, image.Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer d.Close()
			var boot []string
			for _, b := range info.Boot {
				boot = append(boot, b.Platform)
			}
			if info.Label != tt.label || !slices.Equal(info.FileSystems, tt.systems) || !slices.Equal(boot, tt.boot) || len(info.Warnings) != 0 {
				t.Errorf("info = %+v; want label %q, %v, boot %v", info, tt.label, tt.systems, tt.boot)
			}
			if disctest.TestDisc(t, d); info.Truncated {
				t.Error("the whole image passes for a truncated one")
			}
			// A download that stopped, at the end of a block.
			cut := info.Size * 3 / 4 / disc.BlockSize * disc.BlockSize
			if err := os.Truncate(out, cut); err != nil {
				t.Fatal(err)
			}
			short, info, err := image.OpenFile(out, image.Options{})
			if err != nil {
				t.Fatal(err)
			}
			if short.Close(); !info.Truncated || len(info.Warnings) != 1 {
				t.Errorf("cut to %d bytes: truncated %v, warnings %q", cut, info.Truncated, info.Warnings)
			}
		})
	}
}

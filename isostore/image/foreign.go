package image

import (
	"fmt"
	"path/filepath"
	"strings"
)

// foreignMarks are further formats that are not read, by bytes at a place of
// the file, from its end when that is negative.
var foreignMarks = []struct {
	at                int64
	magic, what, hint string
}{
	{0, "BWT5 STREAM SIGN", "a BlindWrite image (B5T or B6T), which is not supported", hintResave},
	{0, "BWT4 STREAM SIGN", "a BlindWrite image (BWT), which is not supported", hintResave},
	{8, "imag", "an Easy CD Creator image (CIF), which is not supported", hintResave},
	{0, "DAA\x00", "a PowerISO image (DAA), which is not supported", "convert it to ISO with PowerISO"},
	{0, "GBI\x00", "a gBurner image (GBI), which is not supported", "convert it to ISO with gBurner"},
	{-64, "bbis", "a MagicISO image (UIF), which is not supported", "convert it to ISO with MagicISO"},
	{0, "AARUFRMT", "an Aaru image, which is not supported", "convert it with aaru image convert"},
	{0, "DICMFRMT", "an Aaru image, which is not supported", "convert it with aaru image convert"},
	{0, "MSWIM\x00\x00\x00", "a Windows image (WIM), which is files and no disc", "take the ISO that it came on"},
	{0, "WIA\x01", "a GameCube or Wii disc (WIA), which no computer's drive reads", "use it with an emulator"},
	{0, "RVZ\x01", "a GameCube or Wii disc (RVZ), which no computer's drive reads", "use it with an emulator"},
	{0, "WBFS", "Wii discs (WBFS), which no computer's drive reads", "use it with an emulator"},
	{0, "vhdxfile", "a VHDX image of a hard disk", hintDisk},
	{0, "conectix", "a VHD image of a hard disk", hintDisk},
	{-512, "conectix", "a VHD image of a hard disk", hintDisk},
	{0, "KDMV", "a VMDK image of a hard disk", hintDisk},
	{0, "COWD", "a VMDK image of a hard disk", hintDisk},
	{0, "# Disk DescriptorFile", "the description of a VMDK image of a hard disk", hintDisk},
	{64, "\x7f\x10\xda\xbe", "a VDI image of a hard disk", hintDisk},
	{0, "QED\x00", "a QED image of a hard disk", hintDisk},
	{0, "Rar!\x1a\x07", "a RAR archive", hintUnpack},
	{0, "MSCF\x00\x00\x00\x00", "a cabinet archive", hintUnpack},
	{257, "ustar", "a tar archive", hintUnpack},
	{0, "\x04\x22\x4d\x18", "lz4 data", hintUnpack},
	{0, "LZIP\x01", "lzip data", hintUnpack},
	{8, "WAVE", "audio (WAVE)", hintAudio},
	{0, "fLaC", "audio (FLAC)", hintAudio},
	{0, "ID3", "audio (MP3)", hintAudio},
	{0, "d8:announce", "a torrent", "download what it is for"},
	{0, "d13:announce-list", "a torrent", "download what it is for"},
}

// foreignNames are formats that are not read, by the extension alone.
var foreignNames = []struct{ ext, what, hint string }{
	{".b5t", "BlindWrite image (B5T)", hintResave},
	{".b6t", "BlindWrite image (B6T)", hintResave},
	{".bwt", "BlindWrite image (BWT)", hintResave},
	{".cif", "Easy CD Creator image (CIF)", hintResave},
	{".daa", "PowerISO image (DAA)", "convert it to ISO with PowerISO"},
	{".gi", "PrimoDVD image (GI)", hintResave},
	{".mdx", "DAEMON Tools image (MDX)", hintResave},
	{".p01", "Gear image (P01)", hintResave},
	{".pdi", "InstantCopy image (PDI)", hintResave},
	{".uif", "MagicISO image (UIF)", "convert it to ISO with MagicISO"},
	{".wim", "Windows image (WIM)", "take the ISO that it came on"},
}

const (
	hintResave = "save it as ISO or CUE/BIN with the program that made it"
	hintDisk   = "an image of an optical disc is wanted; if one is in it, qemu-img convert -O raw gets it out"
	hintUnpack = "unpack it first"
	hintAudio  = "name it in a CUE sheet and insert that"
)

// foreignImage returns what a file is that none of the formats takes, nil when
// that is not known.
func foreignImage(f *file) error {
	for _, m := range foreignMarks {
		at := m.at
		if at < 0 {
			at += f.size
		}
		b := make([]byte, len(m.magic))
		if n, _ := f.ReadAt(b, max(0, at)); at >= 0 && string(b[:n]) == m.magic {
			return fmt.Errorf("%w: it holds %s (hint: %s)", ErrFormat, m.what, m.hint)
		}
	}
	ext := strings.ToLower(filepath.Ext(f.path))
	for _, n := range foreignNames {
		if n.ext == ext {
			return fmt.Errorf("%w: by its name it is a %s, which is not supported (hint: %s)", ErrFormat, n.what, n.hint)
		}
	}
	return nil
}

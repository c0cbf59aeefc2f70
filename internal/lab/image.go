package lab

import (
	"bufio"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
)

// A Kind is a file system of an [Image].
type Kind string

// The kinds of file system that ISO can make.
const (
	ISO9660 Kind = "iso9660"  // with Rock Ridge and Joliet
	UDF     Kind = "udf"      // the bridge format: UDF and ISO 9660 side by side
	BareUDF Kind = "bare-udf" // UDF alone, without files
)

// An Image says what disc image ISO makes. The same values make the same content.
type Image struct {
	Kind  Kind   // ISO9660 when empty
	Size  int64  // bytes of /DATA.BIN; of the file system for BareUDF
	Seed  uint64 // of the data: images with other seeds have other bytes
	Label string // volume label; "LAB" when empty
	Pad   int64  // the file's size in the end, with a hole behind the file system
}

// ISO makes a disc image in the test's temporary directory and returns its path. But
// for BareUDF it holds /DATA.BIN, of seeded bytes, and /SUMS, a list for sha256sum -c.
func ISO(t testing.TB, img Image) string {
	t.Helper()
	img.Kind = cmp.Or(img.Kind, ISO9660)
	Need(t, map[Kind]string{ISO9660: "xorriso", UDF: "genisoimage", BareUDF: "mkudffs"}[img.Kind])
	dir := t.TempDir()
	out := filepath.Join(dir, "disc.iso")
	label := cmp.Or(img.Label, "LAB")
	switch img.Kind {
	case BareUDF:
		truncate(t, out, max(img.Size, 2<<20))
		run(t, "mkudffs", "--media-type=hd", "--blocksize=2048", "--label="+label, out)
	case UDF:
		run(t, "genisoimage", "-quiet", "-udf", "-J", "-r", "-V", label, "-o", out, tree(t, dir, img))
	default:
		run(t, "xorriso", "-as", "mkisofs", "-quiet", "-J", "-r", "-V", label, "-o", out, tree(t, dir, img))
	}
	if img.Pad > 0 {
		truncate(t, out, img.Pad)
	}
	return out
}

// tree writes the files of an image and returns their directory.
func tree(t testing.TB, dir string, img Image) string {
	t.Helper()
	root := filepath.Join(dir, "root")
	if err := os.Mkdir(root, 0o755); err != nil {
		t.Fatal(err)
	}
	sum, err := writeData(filepath.Join(root, "DATA.BIN"), img.Size, img.Seed)
	if err != nil {
		t.Fatal(err)
	}
	sums := fmt.Sprintf("%s  DATA.BIN\n", sum)
	if err := os.WriteFile(filepath.Join(root, "SUMS"), []byte(sums), 0o644); err != nil {
		t.Fatal(err)
	}
	return root
}

// writeData writes size seeded bytes and returns their SHA-256.
func writeData(path string, size int64, seed uint64) (string, error) {
	f, err := os.Create(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	hash := sha256.New()
	w := bufio.NewWriterSize(io.MultiWriter(f, hash), 1<<20)
	if _, err := io.CopyN(w, seeded(seed), size); err != nil {
		return "", err
	}
	if err := w.Flush(); err != nil {
		return "", err
	}
	return hex.EncodeToString(hash.Sum(nil)), f.Close()
}

// seeded is an endless stream of bytes that depend on the seed alone.
func seeded(seed uint64) io.Reader {
	var key [32]byte
	binary.LittleEndian.PutUint64(key[:], seed)
	return rand.NewChaCha8(key)
}

func truncate(t testing.TB, path string, size int64) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Truncate(size); err != nil {
		t.Fatal(err)
	}
}

// SHA256 returns the hash of a whole file, in hex.
func SHA256(t testing.TB, path string) string {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	hash := sha256.New()
	if _, err := io.Copy(hash, f); err != nil {
		t.Fatal(err)
	}
	return hex.EncodeToString(hash.Sum(nil))
}

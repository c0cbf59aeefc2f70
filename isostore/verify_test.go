package isostore

import (
	"context"
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"spindle/internal/lab"
)

// tool runs a program in dir and returns what it prints.
func tool(t *testing.T, dir, name string, args ...string) []byte {
	t.Helper()
	cmd := lab.ToolCmd(t.Context(), name, args...)
	cmd.Dir = dir
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
	return out
}

// oddNames are names that checksum files have to escape, or that look odd.
var oddNames = []string{"a.iso", "with space.iso", "brackets [x] (1) = y.iso", "größe 日本.iso", "back\\slash.iso", "new\nline.iso", "  *lead.iso"}

// Checksums as coreutils write them, of all names and in all their forms.
func TestSumsOfCoreutils(t *testing.T) {
	lab.Need(t, "sha256sum", "sha512sum", "md5sum")
	for _, tt := range []struct {
		file, program string
		args          []string
	}{
		{"SHA256SUMS", "sha256sum", nil},
		{"SHA256SUMS", "sha256sum", []string{"--binary"}},
		{"SHA256SUMS", "sha256sum", []string{"--tag"}},
		{"sha256sum.txt", "sha256sum", []string{"--text"}},
		{"SHA512SUMS", "sha512sum", nil},
		{"SHA512SUMS", "sha512sum", []string{"--tag"}},
		{"MD5SUMS", "md5sum", []string{"--binary"}},
		{"MD5SUMS", "md5sum", []string{"--tag"}},
	} {
		t.Run(fmt.Sprint(tt.program, tt.args), func(t *testing.T) {
			dir := t.TempDir()
			for i, name := range oddNames {
				put(t, filepath.Join(dir, name), tinyISO(fmt.Sprint("V", i)))
			}
			put(t, filepath.Join(dir, tt.file), tool(t, dir, tt.program, slices.Concat(tt.args, []string{"--"}, oddNames)...))
			l := mustOpen(t, dir)
			for _, name := range oddNames {
				if e, _ := l.Entry(name); e.Checks.State != Unchecked {
					t.Errorf("%q before: %+v", name, e.Checks)
				}
				checkIs(t, l, name, Passed, tt.file)
				if e, _ := l.Entry(name); e.Checks.State != Passed {
					t.Errorf("%q is listed as %+v", name, e.Checks)
				}
			}
			data := tinyISO("V0")
			data[100] ^= 1
			put(t, filepath.Join(dir, "a.iso"), data)
			checkIs(t, l, "a.iso", Failed, tt.file)
		})
	}
}

func mustOpen(t *testing.T, dir string) *Library {
	t.Helper()
	l, err := Open([]string{dir})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// checkIs verifies an image.
func checkIs(t *testing.T, l *Library, name string, want CheckState, by ...string) Checks {
	t.Helper()
	c, err := l.Verify(t.Context(), name, nil)
	if err != nil || c.State != want || !slices.Equal(c.By, by) {
		t.Errorf("Verify(%q) = %+v, %v; want %s by %v", name, c, err, want, by)
	}
	return c
}

func TestSumsBeside(t *testing.T) {
	data := tinyISO("X")
	s256, m5 := sha256.Sum256(data), md5.Sum(data)
	good, goodMD5 := hex.EncodeToString(s256[:]), hex.EncodeToString(m5[:])
	bad := strings.Repeat("0", 64)
	for _, tt := range []struct {
		name  string
		files map[string]string
		want  CheckState
		by    []string
	}{
		{"nothing", nil, NoSum, nil},
		{"digest alone", map[string]string{"d/x.iso.sha256": good + "\n"}, Passed, []string{"d/x.iso.sha256"}},
		{"digest alone, wrong", map[string]string{"d/x.iso.sha256": bad}, Failed, []string{"d/x.iso.sha256"}},
		{"digest alone of the stem is of nobody knows what", map[string]string{"d/x.sha256": bad}, NoSum, nil},
		{"stem", map[string]string{"d/x.md5": goodMD5 + "  x.iso\r\n"}, Passed, []string{"d/x.md5"}},
		{"capitals and CRLF", map[string]string{"d/x.iso.md5": strings.ToUpper(goodMD5) + " *x.iso\r\n"}, Passed, []string{"d/x.iso.md5"}},
		{"BOM", map[string]string{"d/MD5SUMS": "\ufeff" + goodMD5 + "  ./x.iso\n"}, Passed, []string{"d/MD5SUMS"}},
		{"above", map[string]string{"SHA256SUMS": good + "  d/x.iso\n"}, Passed, []string{"SHA256SUMS"}},
		{"not of this one", map[string]string{"SHA256SUMS": bad + "  x.iso\n", "d/SHA256SUMS": bad + "  y.iso\n"}, NoSum, nil},
		{"both right", map[string]string{"d/SHA256SUMS": good + "  x.iso\n", "d/MD5SUMS": goodMD5 + "  x.iso\n"}, Passed, []string{"d/MD5SUMS", "d/SHA256SUMS"}},
		{"one wrong", map[string]string{"d/SHA256SUMS": good + "  x.iso\n", "d/x.iso.md5": bad[:32]}, Failed, []string{"d/SHA256SUMS", "d/x.iso.md5"}},
		{"signed", map[string]string{"d/SHA256SUMS": "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n\nSHA256 (x.iso) = " + good + "\n-----BEGIN PGP SIGNATURE-----\n"}, Passed, []string{"d/SHA256SUMS"}},
		{"wrong algorithm for the name", map[string]string{"d/SHA256SUMS": goodMD5 + "  x.iso\n"}, NoSum, nil},
		{"cut short", map[string]string{"d/SHA256SUMS": good[:63] + "  x.iso\n"}, NoSum, nil},
		{"leads outside", map[string]string{"d/SHA256SUMS": good + "  ../d/x.iso\n"}, NoSum, nil},
		{"too large", map[string]string{"d/SHA256SUMS": good + "  x.iso\n" + strings.Repeat("#", maxSumsSize)}, NoSum, nil},
		{"long line", map[string]string{"d/SHA256SUMS": strings.Repeat("x", 5*maxSumsLine) + "\n" + good + "  x.iso\n"}, Passed, []string{"d/SHA256SUMS"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			put(t, dir+"/d/x.iso", data)
			for name, text := range tt.files {
				put(t, dir+"/"+name, []byte(text))
			}
			l := mustOpen(t, dir)
			c := checkIs(t, l, "d/x.iso", tt.want, tt.by...)
			if c.SHA256 != good {
				t.Errorf("SHA-256 %s, want %s", c.SHA256, good)
			}
			if e, _ := l.Entry("d/x.iso"); e.Checks.State != tt.want || !slices.Equal(e.Checks.By, tt.by) {
				t.Errorf("listed as %+v, want %s", e.Checks, tt.want)
			}
		})
	}
}

// The checksum that implantisomd5 writes, by the tools themselves.
func TestImplant(t *testing.T) {
	lab.Need(t, "genisoimage", "implantisomd5", "checkisomd5")
	dir := t.TempDir()
	put(t, dir+"/tree/file", []byte(strings.Repeat("some text that is in the image\n", 40_000)))
	tool(t, dir, "genisoimage", "-quiet", "-o", "x.iso", "-V", "IMPLANT", "tree")
	l := mustOpen(t, dir)
	checkIs(t, l, "x.iso", NoSum)
	tool(t, dir, "implantisomd5", "x.iso")
	data, err := os.ReadFile(dir + "/x.iso")
	if err != nil {
		t.Fatal(err)
	}
	if e, _ := l.Entry("x.iso"); e.Checks.State != Unchecked || !slices.Equal(e.Checks.By, []string{implantName}) {
		t.Errorf("listed as %+v", e.Checks)
	}
	for _, tt := range []struct {
		name string
		at   int
		want CheckState
	}{
		{"as it was", -1, Passed},
		{"data", 700_000, Failed},
		{"descriptor", 16*2048 + 100, Failed},
		{"a block that is left out", len(data) - 5*2048, Passed},
		{"first byte behind the field", 16*2048 + appUse + appUseSize, Failed},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := slices.Clone(data)
			if tt.at >= 0 {
				b[tt.at] ^= 0x40
			}
			put(t, dir+"/x.iso", b)
			checkIs(t, l, "x.iso", tt.want, implantName)
			err := lab.ToolCmd(t.Context(), "checkisomd5", dir+"/x.iso").Run()
			if (err == nil) != (tt.want == Passed) {
				t.Errorf("checkisomd5 says %v, we say %s", err, tt.want)
			}
		})
	}
}

func TestVerifyTells(t *testing.T) {
	dir := t.TempDir()
	put(t, dir+"/x.iso", append(tinyISO("X"), make([]byte, 3<<20)...))
	var done, total int64
	if _, err := VerifyFile(t.Context(), dir+"/x.iso", func(d, n int64) { done, total = d, n }); err != nil {
		t.Fatal(err)
	}
	if done > total {
		t.Errorf("%d of %d bytes were read", done, total)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("enough"))
	l := mustOpen(t, dir)
	if _, err := l.Verify(ctx, "x.iso", nil); err == nil || err.Error() != "enough" {
		t.Errorf("Verify with an ended context: %v", err)
	}
	if len(l.jobs) != 0 {
		t.Error("the verification that nobody waits for goes on")
	}
	if _, err := l.Verify(t.Context(), "nothing.iso", nil); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Verify of nothing: %v", err)
	}
	if _, err := VerifyFile(t.Context(), dir, nil); err == nil {
		t.Error("a directory is verified")
	}
}

// verify = "required": what is not as its checksums say does not go in.
func TestVerified(t *testing.T) {
	dir := t.TempDir()
	data := tinyISO("X")
	digest := sha256.Sum256(data)
	line := hex.EncodeToString(digest[:])
	put(t, dir+"/good.iso", data)
	put(t, dir+"/bad.iso", tinyISO("Y"))
	put(t, dir+"/none.iso", data)
	put(t, dir+"/half.iso.part", data)
	short := append(tinyISO("S"), make([]byte, 2048)...)
	short[16*2048+87], short[16*2048+80] = 99, 99
	put(t, dir+"/short.iso", short)
	shortDigest := sha256.Sum256(short)
	put(t, dir+"/SHA256SUMS", []byte(line+"  good.iso\n"+line+"  bad.iso\n"+line+"  half.iso.part\n"+hex.EncodeToString(shortDigest[:])+"  short.iso\n"))
	l, err := New(LibraryOptions{Dirs: []string{dir}, Verified: true})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name          string
		before, after error
		text          string
	}{
		{"good.iso", ErrUnchecked, nil, "spindle verify good.iso"},
		{"bad.iso", ErrUnchecked, ErrUntrusted, "bad.iso is not what SHA256SUMS says"},
		{"none.iso", ErrUntrusted, ErrUntrusted, "there is no checksum for it"},
		{"short.iso", ErrUntrusted, ErrUntrusted, "shorter than its file system"},
		{"half.iso.part", ErrIncomplete, ErrIncomplete, "the download goes on"},
	} {
		for i, want := range []error{tt.before, tt.after} {
			d, _, err := l.OpenDisc(tt.name, Options{})
			if err == nil {
				d.Close()
			}
			if !errors.Is(err, want) || (i == 0 || want != nil) && want != ErrUnchecked && !strings.Contains(fmt.Sprint(err), tt.text) {
				t.Errorf("OpenDisc(%s), time %d: %v; want %v, %q", tt.name, i, err, want, tt.text)
			}
			if i == 0 {
				_, _ = l.Verify(t.Context(), tt.name, nil) // half.iso.part is refused
			}
		}
	}
	put(t, dir+"/good.iso", tinyISO("OTHER")) // a changed file is unchecked again
	if _, _, err := l.OpenDisc("good.iso", Options{}); !errors.Is(err, ErrUnchecked) {
		t.Errorf("a changed image: %v, want %v", err, ErrUnchecked)
	}
}

// An image of several files is verified file by file; companions count.
func TestCompanions(t *testing.T) {
	dir := t.TempDir()
	put(t, dir+"/s/x.iso", tinyISO("X"))
	put(t, dir+"/s/x.bin", []byte("track"))
	l := mustOpen(t, dir)
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	k, err := identify(root, "s/x.iso", Options{})
	if err != nil {
		t.Fatal(err)
	}
	k.Companions = stampFiles(root, "s/x.iso", []string{"x.bin"}) // as a sheet of several files has
	l.index.put(k)
	sums := func(names ...string) {
		var text []byte
		for _, n := range names {
			b, err := os.ReadFile(dir + "/s/" + n)
			if err != nil {
				t.Fatal(err)
			}
			d := sha256.Sum256(b)
			text = fmt.Appendf(text, "%x  %s\n", d, n)
		}
		put(t, dir+"/s/SHA256SUMS", text)
	}
	sums("x.iso")
	if c := checkIs(t, l, "s/x.iso", NoSum, "s/SHA256SUMS"); c.Detail != "no checksum for x.bin" {
		t.Errorf("detail %q", c.Detail)
	}
	sums("x.iso", "x.bin")
	checkIs(t, l, "s/x.iso", Passed, "s/SHA256SUMS")
	k, err = l.learn(root, place{0, "s/x.iso"})
	if err != nil || len(k.Companions) != 1 || k.digest("x.bin", algSHA256) == "" {
		t.Fatalf("learn = %+v, %v; want it from the index", k, err)
	}
	put(t, dir+"/s/x.bin", []byte("another track"))
	if k, err = l.learn(root, place{0, "s/x.iso"}); err != nil || len(k.Digests) != 0 {
		t.Errorf("learn after a companion changed = %+v, %v; want it anew", k, err)
	}
}

func FuzzSums(f *testing.F) {
	f.Add("SHA256SUMS", []byte(strings.Repeat("0", 64)+"  x.iso\n\\"+strings.Repeat("a", 64)+" *a\\nb\\\\.iso\n"))
	f.Add("x.iso.md5", []byte("d41d8cd98f00b204e9800998ecf8427e\n"))
	f.Add("MD5SUMS", []byte("MD5 (x) (y.iso) = d41d8cd98f00b204e9800998ecf8427e\r\nSHA512 () = \n"))
	f.Fuzz(func(t *testing.T, name string, text []byte) {
		s, err := parseSums(name, strings.NewReader(string(text)))
		if err != nil {
			t.Fatal(err) // no line is too long
		}
		for file, list := range s.lines {
			if filepath.IsAbs(file) || !filepath.IsLocal(file) {
				t.Errorf("name %q leads out of the directory", file)
			}
			for _, sum := range list {
				if b, err := hex.DecodeString(sum.hex); err != nil || len(b) != algSizes[sum.alg] || len(b) == 0 {
					t.Errorf("%q has the sum %+v", file, sum)
				}
			}
		}
		s.of("x.iso")
	})
}

func FuzzImplant(f *testing.F) {
	f.Add(uint32(1000), []byte("ISO MD5SUM = d41d8cd98f00b204e9800998ecf8427e;SKIPSECTORS = 15;RHLISOSTATUS=0;THIS IS NOT THE SAME AS RUNNING MD5SUM ON THIS ISO!!"))
	f.Add(uint32(0), []byte("ISO MD5SUM = ;SKIPSECTORS = -9"))
	f.Fuzz(func(t *testing.T, blocks uint32, text []byte) {
		pvd := tinyISO("X")[16*2048 : 17*2048]
		pvd[84], pvd[85], pvd[86], pvd[87] = byte(blocks>>24), byte(blocks>>16), byte(blocks>>8), byte(blocks)
		copy(pvd[appUse:appUse+appUseSize], text)
		im := parseImplant(pvd)
		if im == nil {
			return
		}
		if im.Size <= 17*2048-2048 || im.Size > int64(blocks)*2048 || len(im.MD5) != 32 {
			t.Errorf("%+v of %d blocks", im, blocks)
		}
		h := newImplantHash(im)
		_, _ = h.Write(pvd)
		h.ok(im)
	})
}

// Those who verify one image share the work, and the last who leaves ends it.
func TestVerifyIsShared(t *testing.T) {
	inBubble(t, func(r *watchRig) { put(r.t, r.path("x.iso"), tinyISO("X")) }, func(r *watchRig) {
		l := r.l
		for range jobsAtOnce { // nothing else is read meanwhile
			l.slots[verifyJob] <- struct{}{}
		}
		errs := make(chan error, 3)
		ctx, leave := context.WithCancelCause(r.t.Context())
		for _, c := range []context.Context{ctx, ctx, r.t.Context()} {
			go func() {
				_, err := l.Verify(c, "x.iso", nil)
				errs <- err
			}()
		}
		l.VerifyLater("x.iso")
		r.after(moment, "x.iso=ready")
		if e, _ := l.Entry("x.iso"); e.Checks.State != Checking {
			t.Errorf("listed as %+v", e.Checks)
		}
		if k := l.Tasks(); len(k) != 1 || k[0].Kind != "verify" || k[0].Image != "x.iso" {
			t.Errorf("Tasks = %+v", k)
		}
		leave(errors.New("left"))
		for range 2 {
			if err := <-errs; err == nil || err.Error() != "left" {
				t.Errorf("who left got %v", err)
			}
		}
		for range jobsAtOnce {
			<-l.slots[verifyJob]
		}
		if err := <-errs; err != nil {
			t.Error(err)
		}
		r.after(time.Second, "x.iso=ready")
		if e, _ := l.Entry("x.iso"); e.Checks.State != NoSum || e.Checks.SHA256 == "" || len(l.Tasks()) != 0 {
			t.Errorf("listed as %+v, tasks %v", e.Checks, l.Tasks())
		}
		l.slots[verifyJob] <- struct{}{}
		l.slots[verifyJob] <- struct{}{}
		l.VerifyLater("x.iso") // Run ends it
		pause(moment)
	})
}

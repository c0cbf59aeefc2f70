package isostore

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strings"
)

// Algorithms of checksums, as the names of their files spell them, with the
// bytes of a digest.
const (
	algMD5    = "md5"
	algSHA256 = "sha256"
	algSHA512 = "sha512"
)

var algSizes = map[string]int{algMD5: 16, algSHA256: 32, algSHA512: 64}

// Bounds of a file of checksums.
const (
	maxSumsSize = 4 << 20
	maxSumsLine = 8 << 10
)

// A sum is a checksum that a file should have. Without hex it stands for a file
// of checksums that is for that file by its name, and has none for it.
type sum struct {
	alg, hex string
	from     string // the file of checksums, as the library names it
}

// A sumFile is a file of checksums.
type sumFile struct {
	name  string           // in the library
	lines map[string][]sum // by name, relative to the file's directory
	bare  string           // a digest without a name, when that is all there is
	alg   string
}

// sumsNamed returns the algorithm of a file of checksums, by its name:
// SHA256SUMS, sha256sum.txt and the like, and NAME.sha256.
func sumsNamed(name string) (alg string, ok bool) {
	base := path.Base(name)
	for alg := range algSizes {
		if path.Ext(base) == "."+alg && len(base) > len(alg)+1 || slices.Contains(directorySums(alg), base) {
			return alg, true
		}
	}
	return "", false
}

// directorySums are the names that files of checksums of a whole directory
// have in the wild.
func directorySums(alg string) []string {
	return []string{strings.ToUpper(alg) + "SUMS", strings.ToUpper(alg) + "SUMS.txt", alg + "sum.txt", alg + "sums.txt", alg + "sums", alg + "sum"}
}

// ofDirectory reports whether a file of checksums is for all files beside it
// and below, and not for one.
func ofDirectory(name string) bool {
	_, one := algSizes[strings.TrimPrefix(path.Ext(name), ".")]
	return !one
}

// readSums reads the file of checksums name below root.
func readSums(root *os.Root, name string) (*sumFile, error) {
	f, err := openPlain(root, name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if fi, err := f.Stat(); err != nil || fi.Size() > maxSumsSize {
		return nil, errors.Join(err, fmt.Errorf("%s: checksums of more than %d bytes are not read", f.Name(), maxSumsSize))
	}
	return parseSums(name, f)
}

// openPlain opens a regular file below root without waiting.
func openPlain(root *os.Root, name string) (*os.File, error) {
	fi, err := root.Stat(name)
	if err == nil && !fi.Mode().IsRegular() {
		err = fmt.Errorf("%s: not a regular file", name)
	}
	if err != nil {
		return nil, err
	}
	f, err := openFile(root, name)
	if err != nil {
		return nil, err
	}
	if fi, err = f.Stat(); err != nil || !fi.Mode().IsRegular() {
		f.Close()
		return nil, errors.Join(err, fmt.Errorf("%s: not a regular file", name))
	}
	return f, nil
}

// parseSums reads checksums as GNU coreutils write them, of the algorithm that
// the file's name says:
//
//	DIGEST  NAME         or DIGEST *NAME; with a backslash before the digest
//	                     the name has \n, \r and \\ in place of those characters
//	SHA256 (NAME) = DIGEST
//	DIGEST               alone in the file
//
// Lines that are none of these, as those of a signature, are skipped. A name
// that leads out of the file's directory is no name of ours.
func parseSums(name string, r io.Reader) (*sumFile, error) {
	f := &sumFile{name: name, lines: map[string][]sum{}}
	f.alg, _ = sumsNamed(name)
	lines := bufio.NewScanner(io.LimitReader(r, maxSumsSize))
	lines.Buffer(make([]byte, 0, 512), maxSumsLine)
	lines.Split(scanBounded)
	count := 0
	for lines.Scan() {
		line := strings.TrimSuffix(strings.TrimPrefix(lines.Text(), "\ufeff"), "\r")
		if strings.TrimSpace(line) == "" {
			continue
		}
		count++
		f.add(line)
	}
	if count != 1 {
		f.bare = ""
	}
	return f, lines.Err()
}

// scanBounded is bufio.ScanLines, but cuts lines that are too long, which are
// no checksums, instead of ending.
func scanBounded(data []byte, atEOF bool) (int, []byte, error) {
	if len(data) >= maxSumsLine-1 && bytes.IndexByte(data, '\n') < 0 {
		return len(data), data, nil
	}
	return bufio.ScanLines(data, atEOF)
}

// add takes a line.
func (f *sumFile) add(line string) {
	alg, digest, name, named := cutLine(line)
	if alg == "" {
		alg = f.alg
	}
	sum1, err := hex.DecodeString(digest)
	if err != nil || len(sum1) != algSizes[alg] || len(sum1) == 0 {
		return
	}
	s := sum{alg: alg, hex: strings.ToLower(digest), from: f.name}
	switch name = path.Clean(name); {
	case !named:
		f.bare = s.hex
	case path.IsAbs(name) || name == "." || name == ".." || strings.HasPrefix(name, "../"):
		// no name of ours
	default:
		f.lines[name] = append(f.lines[name], s)
	}
}

// cutLine parts a line; alg is empty where the line does not say it.
func cutLine(line string) (alg, digest, name string, named bool) {
	line, escaped := strings.CutPrefix(line, `\`)
	if tag, rest, ok := strings.Cut(line, " ("); ok && algSizes[strings.ToLower(tag)] > 0 {
		if i := strings.LastIndex(rest, ") = "); i >= 0 {
			alg, name, digest, named = strings.ToLower(tag), rest[:i], strings.TrimSpace(rest[i+4:]), true
		}
	} else if digest, name, named = strings.Cut(line, " "); named {
		if name != "" && (name[0] == ' ' || name[0] == '*') {
			name = name[1:]
		}
		if strings.TrimSpace(name) == "" {
			named = false
		}
	}
	if escaped {
		name = unescape.Replace(name)
	}
	return alg, digest, name, named
}

var unescape = strings.NewReplacer(`\\`, `\`, `\n`, "\n", `\r`, "\r")

// of returns the checksums that f has for the file name of the library.
func (f *sumFile) of(name string) []sum {
	if f == nil {
		return nil
	}
	dir := path.Dir(f.name)
	rel := name
	if dir != "." {
		var below bool
		if rel, below = strings.CutPrefix(name, dir+"/"); !below {
			return nil
		}
	}
	if list := f.lines[rel]; list != nil || ofDirectory(f.name) || f.name != name+path.Ext(f.name) {
		return list
	}
	return []sum{{f.alg, f.bare, f.name}}
}

// usable parts sums from the files that should have some and have none.
func usable(list []sum) (good []sum, empty []string) {
	for _, s := range list {
		if s.hex == "" {
			empty = append(empty, s.from)
		} else {
			good = append(good, s)
		}
	}
	return good, empty
}

// sumsNames are the names of files that may have checksums of the file name:
// beside it, and for whole directories also above it.
func sumsNames(name string) (list []string) {
	for _, alg := range []string{algSHA256, algSHA512, algMD5} {
		list = append(list, name+"."+alg, stem(name)+"."+alg)
	}
	for dir := path.Dir(name); ; dir = path.Dir(dir) {
		for _, alg := range []string{algSHA256, algSHA512, algMD5} {
			for _, base := range directorySums(alg) {
				list = append(list, path.Join(dir, base))
			}
		}
		if dir == "." {
			return list
		}
	}
}

// sumsFor reads the checksums that there are for the file name below root.
func sumsFor(root *os.Root, name string) (list []sum) {
	for _, n := range sumsNames(name) {
		f, err := readSums(root, n)
		if err != nil && !missing(err) {
			f = noSums(n)
		}
		list = append(list, f.of(name)...)
	}
	return list
}

// noSums is a file of checksums that cannot be read as one.
func noSums(name string) *sumFile {
	alg, _ := sumsNamed(name)
	return &sumFile{name: name, alg: alg}
}

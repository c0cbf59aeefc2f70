package iso9660

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// An alphabet says which identifiers a file system takes.
type alphabet struct {
	clean   func(string) string      // a name's part in its characters
	cut     func(string, int) string // the longest start of at most n units
	units   func(string) int         // the length of a part
	fold    func(string) string      // equal for identifiers that may not stand side by side
	base    int                      // units of a name without an extension
	whole   int                      // units of a name and its extension, the dot not counted
	ext     int                      // units of an extension
	split   bool                     // a directory's name may have an extension too
	tail    string                   // characters that may not come last
	mark    string                   // before the number that makes a name unique
	numbers int                      // units kept free for mark and number
}

// dCharacters are those of ECMA-119, 7.4.1; 7.5.1 and 7.6.3 give the lengths at
// interchange level 2 and up.
var dCharacters = alphabet{
	clean: cleanD, cut: cutBytes, units: byteCount, fold: same,
	base: 31, whole: 30, ext: 30, mark: "_", numbers: 8,
}

// jolietCharacters are UCS-2 (Joliet specification, 1995): 64 characters.
// Windows finds no name beside another that differs in case alone, and none that
// ends with a dot or a space.
var jolietCharacters = alphabet{
	clean: cleanJoliet, cut: cutUTF16, units: utf16Count, fold: strings.ToLower,
	base: 64, whole: 63, ext: 16, split: true, tail: " .", mark: "_", numbers: 8,
}

// fatCharacters are those of an 8.3 alias that every reader takes.
var fatCharacters = alphabet{
	clean: cleanD, cut: cutBytes, units: byteCount, fold: same,
	base: 8, whole: 11, ext: 3, split: true, mark: "~", numbers: 4,
}

// identifiers gives each node of a directory an identifier that no other one
// has. A name that fits as it is keeps it, whatever else is in the directory;
// the others are given numbers in the order of the names.
func (a *alphabet) identifiers(nodes []*node) []string {
	ids := make([]string, len(nodes))
	used := make(map[string]bool, len(nodes))
	var left []int
	for i, n := range nodes {
		base, ext, exact := a.parts(n)
		id := join(base, ext)
		if key := a.fold(id); exact && !used[key] {
			ids[i], used[key] = id, true
		} else {
			left = append(left, i)
		}
	}
	next := map[string]int{}
	for _, i := range left {
		base, ext, _ := a.parts(nodes[i])
		id := join(base, ext)
		stem := a.cut(base, a.room(ext)-a.numbers)
		key := a.fold(join(stem, ext))
		for used[a.fold(id)] {
			next[key]++
			number := a.mark + strconv.Itoa(next[key])
			id = join(a.cut(stem, a.room(ext)-len(number))+number, ext)
		}
		ids[i], used[a.fold(id)] = id, true
	}
	return ids
}

// room is how many units a name may have before an extension.
func (a *alphabet) room(ext string) int {
	if ext == "" {
		return min(a.base, a.whole)
	}
	return min(a.base, a.whole-a.units(ext))
}

// parts returns the name and extension that n would have if it were alone, and
// whether nothing but case was lost.
func (a *alphabet) parts(n *node) (base, ext string, exact bool) {
	base = n.name
	if i := strings.LastIndexByte(n.name, '.'); i > 0 && (a.split || !n.isDir()) {
		base, ext = n.name[:i], n.name[i+1:]
	}
	if ext = a.clean(ext); a.units(ext) > a.ext { // no extension that anyone knows
		base, ext = n.name, ""
	}
	room := a.room(ext)
	if n.isDir() && ext == "" {
		room = a.base
	}
	if room < a.numbers+1 && a.ext > a.numbers { // the extension takes all
		ext = a.cut(ext, a.whole-a.numbers-1)
		room = a.room(ext)
	}
	base = a.cut(a.clean(base), room)
	if ext = strings.TrimRight(ext, a.tail); ext == "" {
		base = strings.TrimRight(base, a.tail)
	}
	base = cmp.Or(base, "_")
	return base, ext, strings.EqualFold(join(base, ext), n.name)
}

// join puts a name and its extension together.
func join(base, ext string) string {
	if ext == "" {
		return base
	}
	return base + "." + ext
}

// cleanD writes s in d-characters: letters as capitals, any other character as
// an underscore.
func cleanD(s string) string {
	b := make([]byte, 0, len(s))
	for _, r := range s {
		switch {
		case r >= 'a' && r <= 'z':
			r -= 'a' - 'A'
		case r >= 'A' && r <= 'Z', r >= '0' && r <= '9':
		default:
			r = '_'
		}
		b = append(b, byte(r))
	}
	return string(b)
}

// cleanJoliet replaces what the specification forbids, and bytes that are not
// UTF-8, with underscores.
func cleanJoliet(s string) string {
	return strings.Map(func(r rune) rune {
		if r < 0x20 || r == utf8.RuneError || strings.ContainsRune(`*/:;?\`, r) {
			return '_'
		}
		return r
	}, s)
}

func same(s string) string            { return s }
func byteCount(s string) int          { return len(s) }
func cutBytes(s string, n int) string { return s[:min(n, len(s))] }

func utf16Count(s string) (n int) {
	for _, r := range s {
		n += utf16.RuneLen(r)
	}
	return n
}

func cutUTF16(s string, n int) string {
	for i, r := range s {
		if n -= utf16.RuneLen(r); n < 0 {
			return s[:i]
		}
	}
	return s
}

// ucs2 encodes s big-endian.
func ucs2(s string) string {
	b := make([]byte, 0, 2*len(s))
	for _, u := range utf16.Encode([]rune(s)) {
		b = append(b, byte(u>>8), byte(u))
	}
	return string(b)
}

// giveNames gives identifiers to all nodes and puts the entries of each
// directory in the order of ECMA-119, 9.3, in both views. Joliet has no symbolic
// links, and so neither have its directories.
func (t *tree) giveNames() {
	for n := range t.walk {
		list := n.children[0]
		for i, id := range dCharacters.identifiers(list) {
			list[i].iso = id
		}
		files := slices.DeleteFunc(slices.Clone(list), func(c *node) bool { return !c.isDir() && !c.isFile() })
		for i, id := range jolietCharacters.identifiers(files) {
			files[i].joliet = ucs2(id)
			if files[i].isDir() {
				n.subdirs++
			}
		}
		slices.SortFunc(list, func(a, b *node) int { return cmp.Compare(a.iso, b.iso) })
		slices.SortFunc(files, func(a, b *node) int { return cmp.Compare(a.joliet, b.joliet) })
		n.children = [2][]*node{list, files}
	}
}

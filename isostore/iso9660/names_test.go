package iso9660

import (
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestIdentifiers(t *testing.T) {
	file := func(names ...string) (list []*node) {
		for _, n := range names {
			dir := strings.HasSuffix(n, "/")
			c := &node{name: strings.TrimSuffix(n, "/")}
			if dir {
				c.mode = fs.ModeDir
			}
			list = append(list, c)
		}
		return list
	}
	long, capital := strings.Repeat("long", 20), strings.Repeat("LONG", 20)
	tests := []struct {
		name  string
		a     *alphabet
		names []*node
		want  []string
	}{
		{"plain", &dCharacters, file("readme.txt", "README", "d.dir/"), []string{"README.TXT", "README", "D_DIR"}},
		{"case twins", &dCharacters, file("Foo", "foo", "foo_1"), []string{"FOO", "FOO_2", "FOO_1"}},
		{"exact ones first", &dCharacters, file("a-b", "a_b"), []string{"A_B_1", "A_B"}},
		{"file and directory", &dCharacters, file("a/", "a."), []string{"A", "A_1"}},
		{"hidden, dots", &dCharacters, file(".rc", "a.b.c", "x."), []string{"_RC", "A_B.C", "X"}},
		{"long", &dCharacters, file(long+".txt", long+"2.txt", long+"/"), []string{capital[:27] + ".TXT", capital[:19] + "_1.TXT", capital[:31]}},
		{"long extension", &dCharacters, file("a." + long), []string{("A_" + capital)[:30]}},
		{"others", &dCharacters, file("ünï", "日本", "a b[1].x"), []string{"_N_", "__", "A_B_1_.X"}},
		{"joliet", &jolietCharacters, file("a*b?.txt", "Foo", "foo", "ünï 日本.x", "bad\xFF"), []string{"a_b_.txt", "Foo", "foo_1", "ünï 日本.x", "bad_"}},
		{"joliet long", &jolietCharacters, file(long+".txt", long+"2.txt"), []string{long[:60] + ".txt", long[:52] + "_1.txt"}},
		{"joliet ends", &jolietCharacters, file("a", "a..", "b. ", "..."), []string{"a", "a_1", "b", "_"}},
		{"joliet pair", &jolietCharacters, file(strings.Repeat("😀", 40)), []string{strings.Repeat("😀", 31)}},
		{"8.3", &fatCharacters, file("bootx64.efi", "loader entry.conf", "loader entry.config"), []string{"BOOTX64.EFI", "LOADER_E", "LOAD~1"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := tt.a.identifiers(tt.names)
			for i, want := range tt.want {
				if got[i] != want {
					t.Errorf("%q becomes %q; want %q", tt.names[i].name, got[i], want)
				}
			}
		})
	}
}

// forest makes a tree in memory: names are separated by zeros, directories end
// with a slash, a name that holds "=>" is a link.
func forest(text string) *tree {
	root := &node{mode: fs.ModeDir | 0o755}
	root.parent = root
	t := &tree{base: "forest", root: root, warnings: &warnings{}, newest: time.Unix(1, 0)}
	dirs, seen := []*node{root}, map[string]bool{}
	for i, part := range strings.Split(text, "\x00") {
		dir := dirs[i%len(dirs)]
		name, isDir := strings.CutSuffix(part, "/")
		name, link, isLink := strings.Cut(name, "=>")
		if name = strings.ReplaceAll(name, "/", "%"); len(name) > 255 {
			name = name[:255]
		}
		n := &node{parent: dir, name: name, mode: 0o644, stamp: stamp{sec: int64(i) << 20}}
		if name == "" || name == "." || name == ".." || seen[n.path()] {
			continue
		}
		seen[n.path()] = true
		switch {
		case isDir && len(dirs) < 100:
			n.mode = fs.ModeDir | 0o755
			dirs = append(dirs, n)
		case isLink && strings.Trim(link, "/") != "":
			n.mode, n.link = fs.ModeSymlink|0o777, link
		default:
			n.stamp.size = int64(i%3) * 5_000_000_000
		}
		dir.children[primary] = append(dir.children[primary], n)
	}
	for _, d := range dirs {
		slices.SortFunc(d.children[primary], func(a, b *node) int { return strings.Compare(a.name, b.name) })
	}
	return t
}

// FuzzNames lays out trees of arbitrary names and reads them back: every name is
// there again by Rock Ridge, and all identifiers are valid, unique and in order.
func FuzzNames(f *testing.F) {
	f.Add("a\x00A\x00a.b\x00a-b\x00dir/\x00in\x00.hid\x00ünï\x00😀")
	f.Add(strings.Repeat("long name ", 25) + "\x00" + strings.Repeat("long name ", 24) + "x\x00l=>../" + strings.Repeat("c", 250) + "/" + strings.Repeat("./y/", 400))
	f.Add("d/\x00" + strings.Repeat("many\xFF", 50) + "\x00e/\x00e\x00x;1\x00:*?\x00b\x00c\x00d")
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > 1<<16 {
			return
		}
		tr := forest(text)
		tr.giveNames()
		b := &builder{tree: tr, label: text, time: tr.newest, warnings: tr.warnings}
		if err := b.layout(); err != nil {
			t.Fatal(err)
		}
		for kind := range byte(2) {
			root, err := read(b.segments[0].mem, kind+1)
			if err != nil {
				t.Fatalf("view %d: %v", kind, err)
			}
			if err := sameTree(tr.root, root, int(kind)); err != nil {
				t.Errorf("view %d: %v", kind, err)
			}
		}
	})
}

// sameTree compares what was written with what was read, by identifiers, which
// must be unique, and by Rock Ridge names in the primary view.
func sameTree(n *node, it *item, view int) error {
	if len(n.children[view]) != len(it.children) {
		return fmt.Errorf("%s has %d entries; want %d", n.path(), len(it.children), len(n.children[view]))
	}
	seen := map[string]bool{}
	for i, c := range n.children[view] {
		got := it.children[i]
		key := strings.ToLower(got.name)
		if view == primary {
			key, _, _ = strings.Cut(got.id, ";")
			key = strings.TrimSuffix(key, ".")
		}
		if seen[key] {
			return fmt.Errorf("%s: identifier %q twice", c.path(), got.id)
		}
		seen[key] = true
		if view == primary && (got.name != c.name || strings.Trim(got.link, "/") != clean(c.link) || got.mode != posixMode(c.mode)) {
			return fmt.Errorf("%q -> %q becomes %q -> %q, mode %o", c.name, c.link, got.name, got.link, got.mode)
		}
		if view == joliet && strings.TrimRight(got.name, " .") != got.name {
			return fmt.Errorf("%s: identifier %q ends with a space or a dot", c.path(), got.name)
		}
		if c.isDir() != got.dir || c.isFile() && got.size != c.stamp.size {
			return fmt.Errorf("%s has %d bytes; want %d", c.path(), got.size, c.stamp.size)
		}
		if c.isDir() {
			if err := sameTree(c, got, view); err != nil {
				return err
			}
		}
	}
	return nil
}

// clean drops empty components of a link's target.
func clean(target string) string {
	parts := strings.Split(target, "/")
	return strings.Join(slices.DeleteFunc(parts, func(p string) bool { return p == "" }), "/")
}

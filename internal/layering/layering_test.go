// Package layering holds the rules of the repository that a person would have
// to remember: who imports whom, how long a file is, what is documented.
package layering

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const root = "../.."

// module is what paths of our packages start with.
const module = "spindle/"

// A file is a Go file of the repository.
type file struct {
	name string // from the root, with slashes
	dir  string
	test bool
	text string
	ast  *ast.File
	fset *token.FileSet
}

func files(t *testing.T) []file {
	t.Helper()
	var list []file
	walk(t, func(name, text string) {
		if path.Ext(name) != ".go" {
			return
		}
		fset := token.NewFileSet()
		f, err := parser.ParseFile(fset, name, text, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, file{name, path.Dir(name), strings.HasSuffix(name, "_test.go"), text, f, fset})
	})
	return list
}

// walk calls f for each file of the repository that is ours and text.
func walk(t *testing.T, f func(name, text string)) {
	t.Helper()
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		name := filepath.ToSlash(strings.TrimPrefix(strings.TrimPrefix(p, root), "/"))
		switch {
		case err != nil:
			return err
		case d.IsDir() && (name == ".git" || name == "bin" || name == "dist" || name == ".cache"):
			return fs.SkipDir
		case !d.Type().IsRegular() || name == ".git": // a file in a worktree
			return nil
		}
		b, err := os.ReadFile(p)
		if err == nil && !slices.Contains(b, 0) {
			f(name, string(b))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// arrows say what a package may import of ours, by the longest prefix of its
// path; a name that ends with /... is a package and all below it.
var arrows = map[string][]string{
	"cmd":                     {"internal/daemon", "internal/api/client", "config"},
	"internal/daemon":         {"config", "internal/api/...", "target/...", "gadget/...", "scsi", "scsi/filter", "scsi/tally", "internal/pcapng", "mmcemu", "isostore", "isostore/convert", "isostore/disc", "isostore/iso9660"},
	"internal/api":            {"internal/api/client"},
	"internal/api/client":     {},
	"internal/initiator":      {},
	"internal/lab":            {"internal/lab"},
	"internal/e2e":            {},
	"internal/e2e/usbdrive":   {"gadget", "target", "mmcemu", "isostore/image"},
	"internal/layering":       {},
	"internal/pcapng":         {},
	"internal/transcripttest": {"scsi", "scsi/filter", "scsi/scsitest/replaytest", "mmcemu", "isostore/disc", "isostore/image", "testdata/fixture"},
	"config":                  {},
	"scsi":                    {},
	"scsi/filter":             {"scsi", "scsi/tally"},
	"scsi/tally":              {"scsi"},
	"scsi/scsitest":           {"scsi", "scsi/filter", "scsi/scsitest"},
	"scsi/scsitest/host":      {"scsi", "scsi/scsitest"},
	"target":                  {"scsi", "scsi/tally", "target", "target/..."},
	"gadget":                  {"scsi", "target", "gadget/..."},
	"mmcemu":                  {"scsi", "isostore/disc", "isostore/sector"},
	"isostore":                {"isostore/disc", "isostore/image", "isostore/iso9660"},
	"isostore/image":          {"isostore/chd", "isostore/disc", "isostore/iso9660", "isostore/sector"},
	"isostore/chd":            {"isostore/disc", "isostore/sector"},
	"isostore/convert":        {"isostore/disc", "isostore/image", "isostore/sector"},
	"isostore/disc":           {},
	"isostore/iso9660":        {"isostore/disc"},
	"isostore/disc/disctest":  {"isostore/disc", "isostore/sector"},
	"isostore/sector":         {"isostore/disc"},
	"hack":                    {},
	"testdata":                {},
}

func TestArrows(t *testing.T) {
	for _, f := range files(t) {
		if f.test {
			continue // tests may reach for peers and harness
		}
		from := longest(f.dir)
		if from == "" {
			t.Errorf("%s: package %s is in no layer: give it its arrows here", f.name, f.dir)
			continue
		}
		for _, imp := range f.ast.Imports {
			p, _ := strconv.Unquote(imp.Path.Value)
			to, ours := strings.CutPrefix(p, module)
			if ours && !allowed(arrows[from], to) {
				t.Errorf("%s imports %s; package %s may import only %v", f.name, to, from, arrows[from])
			}
		}
	}
}

func longest(dir string) string {
	for ; dir != "."; dir = path.Dir(dir) {
		if _, ok := arrows[dir]; ok {
			return dir
		}
	}
	return ""
}

func allowed(list []string, to string) bool {
	for _, a := range list {
		base, below := strings.CutSuffix(a, "/...")
		if to == base || below && strings.HasPrefix(to, base+"/") {
			return true
		}
	}
	return false
}

// The suites that tests are made of must stay out of the product.
func TestNoHarnessInProduct(t *testing.T) {
	for _, f := range files(t) {
		if f.test || strings.Contains(f.dir, "test") || strings.HasPrefix(f.dir, "internal/lab") || strings.HasPrefix(f.dir, "internal/initiator") {
			continue
		}
		for _, imp := range f.ast.Imports {
			if p, _ := strconv.Unquote(imp.Path.Value); p == "testing" || strings.HasPrefix(p, module+"internal/lab") || strings.HasSuffix(p, "test") {
				t.Errorf("%s imports %s", f.name, p)
			}
		}
	}
}

func TestFilesAreShort(t *testing.T) {
	for _, f := range files(t) {
		if n := strings.Count(f.text, "\n"); n > 400 {
			t.Errorf("%s has %d lines, more than 400", f.name, n)
		}
	}
}

func TestFunctionsAreShort(t *testing.T) {
	var lengths []int
	for _, f := range files(t) {
		if f.test {
			continue
		}
		for _, d := range f.ast.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok || fn.Body == nil {
				continue
			}
			n := f.fset.Position(fn.End()).Line - f.fset.Position(fn.Pos()).Line + 1
			if lengths = append(lengths, n); n > 80 {
				t.Errorf("%s: %s has %d lines, more than 80", f.name, fn.Name.Name, n)
			}
		}
	}
	slices.Sort(lengths)
	if p95 := lengths[len(lengths)*95/100]; p95 > 40 {
		t.Errorf("95 in 100 functions have up to %d lines, more than 40", p95)
	}
}

func TestExportedNamesAreDocumented(t *testing.T) {
	packages := map[string]bool{}
	for _, f := range files(t) {
		if f.test {
			continue
		}
		packages[f.dir] = packages[f.dir] || f.ast.Doc != nil
		for _, d := range f.ast.Decls {
			for _, name := range undocumented(d) {
				t.Errorf("%s: %s has no comment", f.name, name)
			}
		}
	}
	for dir, documented := range packages {
		if !documented {
			t.Errorf("package %s has no comment", dir)
		}
	}
}

func undocumented(d ast.Decl) (names []string) {
	switch d := d.(type) {
	case *ast.FuncDecl:
		wellKnown := d.Name.Name == "String" || d.Name.Name == "Error"
		if d.Name.IsExported() && !wellKnown && d.Doc == nil && (d.Recv == nil || ast.IsExported(receiver(d))) {
			names = append(names, d.Name.Name)
		}
	case *ast.GenDecl:
		for _, s := range d.Specs {
			switch s := s.(type) {
			case *ast.TypeSpec:
				if s.Name.IsExported() && d.Doc == nil && s.Doc == nil {
					names = append(names, s.Name.Name)
				}
			case *ast.ValueSpec:
				if s.Names[0].IsExported() && d.Doc == nil && s.Doc == nil && s.Comment == nil {
					names = append(names, s.Names[0].Name)
				}
			}
		}
	}
	return names
}

// receiver is the name of a method's type.
func receiver(d *ast.FuncDecl) string {
	typ := d.Recv.List[0].Type
	for {
		switch x := typ.(type) {
		case *ast.StarExpr:
			typ = x.X
		case *ast.IndexExpr:
			typ = x.X
		case *ast.Ident:
			return x.Name
		default:
			return ""
		}
	}
}

// machinePath is a path that only one machine or person has.
var machinePath = regexp.MustCompile(`(^|[\s"'=(:])/(home/[a-z]|Users/|root/|work/)`)

func TestNoMachinePaths(t *testing.T) {
	walk(t, func(name, text string) {
		if name == "internal/layering/layering_test.go" {
			return
		}
		for i, line := range strings.Split(text, "\n") {
			if machinePath.MatchString(line) && !strings.Contains(line, "/home/you") {
				t.Errorf("%s:%d: a path of one machine: %s", name, i+1, strings.TrimSpace(line))
			}
		}
	})
}

func TestReadme(t *testing.T) {
	b, err := os.ReadFile(filepath.Join(root, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	text := string(b)
	if n := strings.Count(text, "\n"); n > 120 {
		t.Errorf("README.md has %d lines, more than 120", n)
	}
	for _, want := range []string{"make run", "make test", "```console\n$ make run\n"} {
		if !strings.Contains(text, want) {
			t.Errorf("README.md lacks %q", want)
		}
	}
}

var link = regexp.MustCompile(`\]\(([^)#:]+)\)`)

// code is what stands between backquotes.
var code = regexp.MustCompile("`[^`\\n]*`")

func TestLinksLead(t *testing.T) {
	walk(t, func(name, text string) {
		if path.Ext(name) != ".md" {
			return
		}
		for _, m := range link.FindAllStringSubmatch(code.ReplaceAllString(text, ""), -1) {
			if _, err := os.Stat(filepath.Join(root, filepath.Dir(name), m[1])); err != nil {
				t.Errorf("%s links to %s: %v", name, m[1], err)
			}
		}
	})
}

// Each direct dependency has its reason in docs/dependencies.md.
func TestDependenciesHaveReasons(t *testing.T) {
	b, err := os.ReadFile(filepath.Join(root, "docs", "dependencies.md"))
	if err != nil {
		t.Fatal(err)
	}
	direct := map[string]bool{}
	for _, f := range files(t) {
		for _, imp := range f.ast.Imports {
			p, _ := strconv.Unquote(imp.Path.Value)
			if host, _, _ := strings.Cut(p, "/"); strings.Contains(host, ".") {
				direct[moduleOf(p)] = true
			}
		}
	}
	for m := range direct {
		if !strings.Contains(string(b), m) {
			t.Errorf("docs/dependencies.md says nothing of %s", m)
		}
	}
	if len(direct) < 4 {
		t.Error(fmt.Sprint("too few were found: ", direct))
	}
}

// moduleOf is the module of a package, for the hosts that we import from.
func moduleOf(p string) string {
	n := 3
	if strings.HasPrefix(p, "go.uber.org/") {
		n = 2
	}
	parts := strings.Split(p, "/")
	return strings.Join(parts[:min(n, len(parts))], "/")
}

//go:build linux

package e2e

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"spindle/internal/lab"
)

var update = flag.Bool("update", false, "write what the tests saw into docs/")

// conformanceDoc is where the results stand.
const conformanceDoc = "../../docs/conformance.md"

// TestConformance runs every test of libiscsi's suite, each in a process of its
// own, and compares the results with the table in docs/conformance.md.
func TestConformance(t *testing.T) {
	lab.Need(t, "iscsi-test-cu", "xorriso")
	t.Parallel()
	names := suiteTests(t)
	results := make([]result, len(names))
	iso := lab.ISO(t, lab.Image{Size: 8 << 20, Seed: 5})
	drives := []*daemon{serve(t, iso), serve(t, iso)} // a worker each: tests reset and eject
	var wg sync.WaitGroup
	for w, d := range drives {
		url := d.url()
		wg.Go(func() {
			for i := w; i < len(names); i += len(drives) {
				results[i] = runSuiteTest(t.Context(), names[i], url)
			}
		})
	}
	wg.Wait()
	for _, d := range drives { // the tests left nothing behind
		d.expect("ready", filepath.Base(iso))
	}
	for _, r := range results {
		if r.err != nil {
			t.Errorf("%s: %v\n%s", r.name, r.err, r.out)
		}
		if slices.Contains(mustPass, r.name) && len(r.skips) > 0 {
			t.Errorf("%s is skipped (%q) and must pass", r.name, r.skips)
		}
	}
	for _, name := range mustPass {
		if !slices.Contains(names, name) {
			t.Errorf("the suite has no %s, which must pass", name)
		}
	}
	if !t.Failed() {
		compareConformance(t, results)
	}
}

// mustPass are tests that a drive can pass only if it does what they try.
var mustPass = []string{
	"iSCSI.iSCSIResiduals.Read10Invalid",
	"iSCSI.iSCSIResiduals.Read10Residuals",
	"iSCSI.iSCSIResiduals.Read12Residuals",
	"iSCSI.iSCSIcmdsn.iSCSICmdSnTooHigh",
	"iSCSI.iSCSIcmdsn.iSCSICmdSnTooLow",
}

// suiteTests returns the names FAMILY.SUITE.TEST of all tests, once each: the
// families SCSI and iSCSI hold all that ALL and LINUX do.
func suiteTests(t *testing.T) []string {
	t.Helper()
	out := tool(t, "iscsi-test-cu", "--list")
	var names []string
	known, other := map[string]bool{}, map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^([^.\s]+)\.([^.\s]+\.[^.\s]+)$`).FindAllStringSubmatch(out, -1) {
		if m[1] == "SCSI" || m[1] == "iSCSI" {
			names = append(names, m[0])
			known[m[2]] = true
		} else {
			other[m[2]] = true
		}
	}
	for name := range other {
		if !known[name] {
			t.Errorf("the test %s is in neither the family SCSI nor iSCSI", name)
		}
	}
	if len(names) < 200 {
		t.Fatalf("iscsi-test-cu lists %d tests; the list is\n%s", len(names), out)
	}
	slices.Sort(names)
	return names
}

// A result is how one test of the suite ended.
type result struct {
	name  string
	skips []string // reasons, once each
	out   string
	err   error // it failed, or did not run
}

var (
	// verdict has a test's name, what it printed itself, and its end. What stands
	// before and behind is of the tool's probes.
	verdict = regexp.MustCompile(`(?ms)^  Test: (\S+) \.\.\.(|.*?\n)(passed|FAILED)`)
	counts  = regexp.MustCompile(`(?m)^ +tests +(\d+) +(\d+) +(\d+) +(\d+) +(\d+)$`) // total, ran, passed, failed, inactive
	skipped = regexp.MustCompile(`(?m)^ *\[SKIPPED\] (.*)$`)
)

// suiteArgs are a test's flags. --dataloss lets it write, which tests of
// reservations need, and --allow-sanitize lets tests of SANITIZE begin; but for
// one that sets a disk's software write protection first, and fails without.
func suiteArgs(name string) []string {
	args := []string{"--dataloss"}
	if strings.HasPrefix(name, "SCSI.Sanitize.") && name != "SCSI.Sanitize.Readonly" {
		args = append(args, "--allow-sanitize")
	}
	return append(args, "-t", name)
}

// runSuiteTest runs one test.
func runSuiteTest(ctx context.Context, name, url string) result {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	r := result{name: name}
	out, err := lab.ToolCmd(ctx, "iscsi-test-cu", append(suiteArgs(name), url)...).CombinedOutput()
	r.out = string(out)
	if err != nil {
		r.err = err
		return r
	}
	v, n := verdict.FindStringSubmatch(r.out), counts.FindStringSubmatch(r.out)
	switch {
	case v == nil || n == nil || !strings.HasSuffix(name, "."+v[1]):
		r.err = fmt.Errorf("the output is not one test's")
	case v[3] != "passed" || !slices.Equal(n[1:], []string{"1", "1", "1", "0", "0"}):
		r.err = fmt.Errorf("%s; total, ran, passed, failed, inactive: %s", v[3], n[1:])
	default:
		for _, m := range skipped.FindAllStringSubmatch(v[2], -1) {
			r.skips = append(r.skips, m[1])
		}
	}
	return r
}

// compareConformance compares the results with the table, or writes it.
func compareConformance(t *testing.T, results []result) {
	t.Helper()
	want := conformanceText(t, results)
	if t.Failed() {
		return
	}
	if *update {
		if err := os.WriteFile(conformanceDoc, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	got, err := os.ReadFile(conformanceDoc)
	if err != nil {
		t.Fatal(err)
	}
	have := strings.Split(string(got), "\n")
	for line := range strings.SplitSeq(want, "\n") {
		if !slices.Contains(have, line) {
			t.Errorf("docs/conformance.md lacks %q", line)
		}
	}
	if string(got) != want {
		t.Error("docs/conformance.md is not what this run makes of it; look at the difference after: go test ./internal/e2e -run Conformance -update")
	}
}

// conformanceText is the page as these results make it.
func conformanceText(t *testing.T, results []result) string {
	t.Helper()
	var rows strings.Builder
	passed := 0
	for _, r := range results {
		if len(r.skips) == 0 {
			passed++
			fmt.Fprintf(&rows, "| %s | passed | |\n", r.name)
			continue
		}
		var misses []string
		for _, text := range r.skips {
			word, ok := missing[text]
			if !ok {
				t.Errorf("%s is skipped for a reason that has no word in this test: %q", r.name, text)
			}
			if !slices.Contains(misses, word) {
				misses = append(misses, word)
			}
		}
		fmt.Fprintf(&rows, "| %s | skipped | %s |\n", r.name, strings.Join(misses, ", "))
	}
	return fmt.Sprintf(conformancePage, len(results), passed, len(results)-passed, rows.String())
}

// Package lab is the test harness for what only a real kernel or firmware can
// show: QEMU guests that run Debian's own kernel and a script, firmware that
// boots a disc, and tgtd as the peer to compare with.
//
// The tools come from `make deps`: installed packages, found in PATH, and
// unpacked ones, found through a manifest in the cache. A test says what it
// needs with [Need] and is skipped, with the reason, where that is missing; with
// CI=true in the environment it fails instead.
package lab

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// Dir returns the lab's cache directory, which hack/deps fills.
func Dir() string {
	if dir := os.Getenv("SPINDLE_CACHE"); dir != "" {
		return filepath.Join(dir, "lab")
	}
	dir, err := os.UserCacheDir() // XDG_CACHE_HOME or .cache, as in hack/deps
	if err != nil {
		dir = os.TempDir()
	}
	return filepath.Join(dir, "spindle", "lab")
}

// manifest is what hack/deps wrote: key to value, paths relative to Dir.
var manifest = sync.OnceValue(func() map[string]string {
	m := make(map[string]string)
	text, err := os.ReadFile(filepath.Join(Dir(), "manifest"))
	if err != nil {
		return m
	}
	for line := range strings.Lines(string(text)) {
		if key, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok {
			m[key] = value
		}
	}
	return m
})

// cached returns the path of a manifest entry, or an error wrapping fs.ErrNotExist.
func cached(key string) (string, error) {
	rel, ok := manifest()[key]
	if !ok {
		return "", fmt.Errorf("no %s in the cache: %w", key, fs.ErrNotExist)
	}
	path := filepath.Join(Dir(), rel)
	_, err := os.Stat(path)
	return path, err
}

// libraryPath is the LD_LIBRARY_PATH of unpacked programs.
func libraryPath() string {
	var dirs []string
	for rel := range strings.SplitSeq(manifest()["lib"], ":") {
		dirs = append(dirs, filepath.Join(Dir(), rel))
	}
	return strings.Join(dirs, ":")
}

// sets are the names that Need takes for more than one tool.
var sets = map[string][]string{
	"kernel": {"qemu-system-x86_64", "busybox", "vmlinux"},
	"ovmf":   {"qemu-system-x86_64", "OVMF_CODE_4M.fd", "OVMF_VARS_4M.fd"},
}

// Where Debian's packages put firmware images, and iPXE for QEMU's network cards.
const (
	firmware = "/usr/share/OVMF"
	roms     = "/usr/lib/ipxe/qemu"
)

// find returns the path of one tool or file and whether it is an unpacked one.
func find(name string) (path string, unpacked bool, err error) {
	switch {
	case name == "vmlinux":
		path, err = cached("kernel.vmlinux")
		return path, true, err
	case name == "root":
		path, err = cached("root.tools")
		return path, true, err
	case strings.HasSuffix(name, ".fd"):
		path = filepath.Join(firmware, name)
		_, err = os.Stat(path)
		return path, false, err
	}
	if strings.HasSuffix(name, ".rom") {
		path = filepath.Join(roms, name)
		_, err = os.Stat(path)
		return path, false, err
	}
	if path, err = cached("tool." + name); err == nil {
		return path, true, nil
	}
	if path, err = exec.LookPath(name); err == nil {
		return path, false, nil
	}
	for _, dir := range []string{"/usr/sbin", "/sbin"} { // not in every user's PATH
		if path, perr := exec.LookPath(filepath.Join(dir, name)); perr == nil {
			return path, false, nil
		}
	}
	return "", false, err
}

// Need skips the test when a tool is neither in PATH nor in the cache, and says
// which one and how to get it; with CI=true in the environment it fails the test.
// Besides names of programs it takes "kernel" (all that a [Guest] needs), "root" (for
// one with Root) and "ovmf".
func Need(t testing.TB, tools ...string) {
	t.Helper()
	var missing []string
	for _, tool := range tools {
		names, ok := sets[tool]
		if !ok {
			names = []string{tool}
		}
		for _, name := range names {
			if _, _, err := find(name); err != nil {
				missing = append(missing, name)
			}
		}
	}
	if len(missing) == 0 {
		return
	}
	why := fmt.Sprintf("this test needs %s; remedy: make deps", strings.Join(missing, ", "))
	if os.Getenv("CI") == "true" {
		t.Fatal(why)
	}
	t.Skip(why)
}

// Tool returns the path of a tool, as Need would find it. A tool from the cache
// needs the libraries there: run it with [ToolCmd].
func Tool(t testing.TB, name string) string {
	t.Helper()
	Need(t, name)
	path, _, _ := find(name)
	return path
}

// ToolCmd returns a command that runs a tool from PATH or the cache. A tool that
// does not exist is an error of the command's Start.
func ToolCmd(ctx context.Context, name string, args ...string) *exec.Cmd {
	path, unpacked, err := find(name)
	if err != nil {
		cmd := exec.CommandContext(ctx, name, args...)
		cmd.Err = errors.Join(cmd.Err, err)
		return cmd
	}
	cmd := exec.CommandContext(ctx, path, args...)
	if unpacked {
		cmd.Env = append(os.Environ(), "LD_LIBRARY_PATH="+libraryPath())
	}
	return cmd
}

// run runs a tool to its end and fails the test, with the output, when it fails.
func run(t testing.TB, name string, args ...string) string {
	t.Helper()
	out, err := ToolCmd(t.Context(), name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

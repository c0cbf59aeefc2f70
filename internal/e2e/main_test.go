//go:build linux

package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"spindle/internal/lab"
)

func TestMain(m *testing.M) {
	code := m.Run()
	if workDir != "" {
		os.RemoveAll(workDir)
	}
	os.Exit(code)
}

// workDir holds the binary under test.
var workDir string

// built builds spindle once for all tests and returns its path.
var built = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "spindle-e2e")
	if err != nil {
		return "", err
	}
	workDir = dir
	path := filepath.Join(dir, "spindle")
	args := []string{"build", "-o", path}
	if withRace {
		args = append(args, "-race")
	}
	if out, err := exec.Command("go", append(args, "spindle/cmd/spindle")...).CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return path, nil
})

// program returns the path of the binary under test.
func program(t testing.TB) string {
	t.Helper()
	path, err := built()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// tool runs a foreign program to its end and returns what it printed; the test
// fails when it does.
func tool(t testing.TB, name string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	out, err := lab.ToolCmd(ctx, name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %q: %v\n%s", name, args, err, out)
	}
	return string(out)
}

// library makes a directory of images, by name.
func library(t testing.TB, images map[string]lab.Image) string {
	t.Helper()
	dir := t.TempDir()
	for name, img := range images {
		if err := os.Rename(lab.ISO(t, img), filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// limit is how long anything that must come may take. Guests have lab's.
const limit = 3 * time.Minute

// until calls f until it returns nil, and fails the test with its last error
// when that is not in time.
func until(t testing.TB, f func() error) {
	t.Helper()
	deadline := time.After(limit)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := f()
		if err == nil {
			return
		}
		select {
		case <-deadline:
			t.Fatalf("not within %v: %v", limit, err)
		case <-tick.C:
		}
	}
}

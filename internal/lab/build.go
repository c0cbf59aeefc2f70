package lab

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

// guestTool is the name of this package's own program for guests, as a script
// calls it; its usage is in the comment of its package.
const guestTool = "guesttool"

var buildGuestTool = sync.OnceValues(func() ([]byte, error) {
	return buildStatic("spindle/internal/lab/guesttool")
})

// GoBinary builds a Go command of this module statically and returns it, for a
// [Guest]'s Data.
func GoBinary(t testing.TB, pkg string) []byte {
	t.Helper()
	p, err := buildStatic(pkg)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func buildStatic(pkg string) ([]byte, error) {
	dir, err := os.MkdirTemp("", "lab-build")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	bin := filepath.Join(dir, "out")
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", bin, pkg)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64", "GOFLAGS=")
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("go build %s: %w\n%s", pkg, err, out)
	}
	return os.ReadFile(bin)
}

package main

import (
	"bufio"
	"bytes"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"spindle/internal/lab"
)

var update = flag.Bool("update", false, "write the README's transcript anew from the newcomer's walk")

// TestNewcomersWalk does what the README tells a newcomer: a fresh clone, `make
// run`, and the commands that it prints, word for word.
func TestNewcomersWalk(t *testing.T) {
	lab.Need(t, "git", "make", "iscsi-ls", "qemu-img", "sha256sum")
	testscript.Run(t, testscript.Params{
		Dir: filepath.Join("testdata", "walk"), RequireExplicitExec: true,
		Setup: func(env *testscript.Env) error {
			w := &walk{t: t}
			env.Values[walkKey{}] = w
			env.Defer(w.stop)
			return w.setup(env)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"freeaddr": func(ts *testscript.TestScript, _ bool, _ []string) { ts.Setenv("ADDR", lab.FreeAddr(t)) },
			"make-run": func(ts *testscript.TestScript, _ bool, args []string) { walkOf(ts).makeRun(ts, args) },
			"type":     func(ts *testscript.TestScript, _ bool, _ []string) { walkOf(ts).typeNext(ts) },
			"hashes":   func(ts *testscript.TestScript, _ bool, _ []string) { walkOf(ts).hashes(ts) },
			"readme":   func(ts *testscript.TestScript, _ bool, _ []string) { walkOf(ts).readme(ts) },
		},
	})
}

// A walk is what a newcomer sees.
type walk struct {
	t          *testing.T
	daemon     *exec.Cmd
	said       string // by make run
	transcript strings.Builder
}

type walkKey struct{}

func walkOf(ts *testscript.TestScript) *walk { return ts.Value(walkKey{}).(*walk) }

// setup gives the newcomer a home of their own, and Go's caches of ours.
func (w *walk) setup(env *testscript.Env) error {
	root, err := filepath.Abs(filepath.Join("..", ".."))
	if err != nil {
		return err
	}
	env.Setenv("REPOSITORY", root)
	for _, name := range []string{"GOCACHE", "GOMODCACHE", "GOPROXY", "GOFLAGS", "GOTOOLCHAIN"} {
		value, err := exec.Command("go", "env", name).Output()
		if err != nil {
			return err
		}
		env.Setenv(name, strings.TrimSpace(string(value)))
	}
	home := filepath.Join(env.WorkDir, "home")
	env.Setenv("HOME", home)
	short, err := os.MkdirTemp("", "sp")
	if err != nil {
		return err
	}
	env.Defer(func() { os.RemoveAll(short) })
	// What a user without root has by default; root's are the system's.
	env.Setenv("SPINDLE_STATE", filepath.Join(home, ".local", "state", "spindle"))
	env.Setenv("SPINDLE_LIBRARY", filepath.Join(home, ".local", "share", "spindle", "images"))
	env.Setenv("SPINDLE_SOCKET", filepath.Join(short, "s"))
	return os.Mkdir(home, 0o755)
}

// makeRun starts make run and reads what it prints.
func (w *walk) makeRun(ts *testscript.TestScript, args []string) {
	cmd := exec.Command("make", append([]string{"run"}, args...)...)
	cmd.Dir, cmd.Env = ts.MkAbs("."), environ(ts)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	log := &bytes.Buffer{}
	cmd.Stderr = log
	out, err := cmd.StdoutPipe()
	ts.Check(err)
	ts.Check(cmd.Start())
	w.daemon = cmd
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		w.said += lines.Text() + "\n"
		if strings.HasPrefix(lines.Text(), "Ctrl-C") {
			fmt.Fprintf(&w.transcript, "$ make run\n%s\n", strings.TrimSpace(w.said[:strings.Index(w.said, "\n    ")]))
			return
		}
	}
	w.stop()
	ts.Fatalf("make run ended: %s%s", w.said, log)
}

// environ is what the script's own programs would have.
func environ(ts *testscript.TestScript) []string {
	env := []string{}
	for _, name := range []string{"PATH", "HOME", "TMPDIR", "REPOSITORY", "GOCACHE", "GOMODCACHE", "GOPROXY", "GOFLAGS", "GOTOOLCHAIN", "SPINDLE_STATE", "SPINDLE_LIBRARY", "SPINDLE_SOCKET"} {
		env = append(env, name+"="+ts.Getenv(name))
	}
	return env
}

// stop is Ctrl-C.
func (w *walk) stop() {
	if w.daemon == nil {
		return
	}
	_ = syscall.Kill(-w.daemon.Process.Pid, syscall.SIGINT)
	ended := time.AfterFunc(time.Minute, func() { _ = syscall.Kill(-w.daemon.Process.Pid, syscall.SIGKILL) })
	defer ended.Stop()
	_ = w.daemon.Wait() // make says that it was interrupted
	w.daemon = nil
}

// typeNext pastes the commands that need no root into a shell, one by one.
func (w *walk) typeNext(ts *testscript.TestScript) {
	part, _, _ := strings.Cut(w.said, "As root")
	for line := range strings.Lines(part) {
		command, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "    ")
		if !ok {
			continue
		}
		cmd := exec.Command("sh", "-c", command)
		cmd.Dir, cmd.Env = ts.MkAbs("."), environ(ts)
		out, err := cmd.CombinedOutput()
		fmt.Fprintf(&w.transcript, "$ %s\n%s", command, out)
		if err != nil {
			ts.Fatalf("%s: %v\n%s", command, err, w.transcript.String())
		}
	}
	ts.Logf("%s", w.transcript.String())
}

var hash = regexp.MustCompile(`(?m)^([0-9a-f]{64})  `)

// hashes checks that the disc that was read is the file, before and after the
// swap, and that the swap was one.
func (w *walk) hashes(ts *testscript.TestScript) {
	var h []string
	for _, m := range hash.FindAllStringSubmatch(w.transcript.String(), -1) {
		h = append(h, m[1])
	}
	if len(h) != 4 || h[0] != h[1] || h[2] != h[3] || h[0] == h[2] {
		ts.Fatalf("hashes %q: want those of file and copy, twice, and different after the swap", h)
	}
}

// readme compares the README's transcript with this one, or writes it.
func (w *walk) readme(ts *testscript.TestScript) {
	path := filepath.Join(ts.Getenv("REPOSITORY"), "README.md")
	text, err := os.ReadFile(path)
	ts.Check(err)
	got := strings.NewReplacer(ts.Getenv("ADDR"), "127.0.0.1:3260", ts.Getenv("HOME"), "~").Replace(w.transcript.String())
	got = host.ReplaceAllString(got, "${1}host$2")
	before, rest, ok := strings.Cut(string(text), "```console\n")
	want, after, ok2 := strings.Cut(rest, "```\n")
	if !ok || !ok2 {
		ts.Fatalf("README.md has no transcript: a block of ```console")
	}
	if *update {
		ts.Check(os.WriteFile(path, []byte(before+"```console\n"+got+"```\n"+after), 0o644))
		return
	}
	if got != want {
		ts.Fatalf("README.md's transcript is not what a newcomer sees (remedy: go test ./cmd/spindle -run NewcomersWalk -update)\n%s\nwant\n%s", got, want)
	}
}

var host = regexp.MustCompile(`(iqn\.2026-11\.spindle:)[a-z0-9.-]+(:)`)

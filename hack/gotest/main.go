// Gotest runs `go test -json` with its arguments and prints what `go test` would,
// and behind it each skipped test with its reason. With CI=true in the environment a
// skip is a failure: the machine there has all that tests need.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
)

// An event is one line of go test's JSON output (go doc cmd/test2json).
type event struct {
	Action, Package, Test, Output string
}

type testKey struct{ pkg, test string }

// A report collects what the events say.
type report struct {
	w       io.Writer
	output  map[testKey][]string // of tests that have not ended yet
	skipped []string
}

func main() {
	// An interrupt goes to go test too, which ends its tests; its output is read to the
	// end. Not Ignore: that would be inherited.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGINT)
	cmd := exec.Command("go", append([]string{"test", "-json"}, os.Args[1:]...)...)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "gotest:", err)
		os.Exit(1)
	}
	r := &report{w: os.Stdout, output: make(map[testKey][]string)}
	r.read(out)
	failed := cmd.Wait() != nil
	for _, s := range r.skipped {
		fmt.Println("skipped:", s)
	}
	if len(r.skipped) > 0 && os.Getenv("CI") == "true" {
		fmt.Printf("FAIL: %d skipped, and in CI a skip is a failure\n", len(r.skipped))
		failed = true
	}
	if failed {
		os.Exit(1)
	}
}

func (r *report) read(from io.Reader) {
	lines := bufio.NewReader(from)
	for {
		line, err := lines.ReadBytes('\n')
		var e event
		if json.Unmarshal(line, &e) == nil {
			r.add(e)
		} else {
			_, _ = r.w.Write(line) // what is not JSON is for people
		}
		if err != nil {
			return
		}
	}
}

func (r *report) add(e event) {
	key := testKey{e.Package, e.Test}
	switch e.Action {
	case "build-output":
		fmt.Fprint(r.w, e.Output)
	case "output":
		if e.Test != "" {
			r.output[key] = append(r.output[key], e.Output)
		} else if e.Output != "PASS\n" {
			fmt.Fprint(r.w, e.Output)
		}
	case "skip":
		if e.Test != "" { // else a package without tests
			r.skipped = append(r.skipped, e.Package+" "+e.Test+": "+reason(r.output[key]))
		}
		delete(r.output, key)
	case "pass":
		delete(r.output, key)
	case "fail":
		if e.Test == "" { // tests that had no end, as when the program died
			for k := range r.output {
				if k.pkg == e.Package {
					r.flush(k)
				}
			}
		}
		r.flush(key)
	}
}

// flush prints what a test printed.
func (r *report) flush(key testKey) {
	for _, line := range r.output[key] {
		fmt.Fprint(r.w, line)
	}
	delete(r.output, key)
}

// reason is what a skipped test printed, without the lines that announce it.
func reason(output []string) string {
	var words []string
	for _, line := range output {
		line = strings.TrimSpace(line)
		if !strings.HasPrefix(line, "=== ") && !strings.HasPrefix(line, "--- ") {
			words = append(words, line)
		}
	}
	return strings.Join(words, " ")
}

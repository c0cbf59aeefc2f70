package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"spindle/internal/api/client"
	"spindle/internal/initiator"
	"spindle/internal/lab"
	"spindle/isostore"
)

// program is the directory of the program that scripts run: built as users do,
// since a start of one with the race detector takes half a second.
var program string

func TestMain(m *testing.M) { os.Exit(testMain(m)) }

func testMain(m *testing.M) int {
	dir, err := os.MkdirTemp("", "spindle-bin")
	if err == nil {
		defer os.RemoveAll(dir)
		program = dir
		build := exec.Command("go", "build", "-o", filepath.Join(dir, "spindle"), ".")
		build.Stderr = os.Stderr
		err = build.Run()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "building spindle:", err)
		return 1
	}
	return m.Run()
}

// TestScripts runs the scripts of testdata. Each has paths of its own in the
// environment, and a library of a.iso and b.iso.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata", RequireExplicitExec: true, RequireUniqueNames: true,
		Setup: setup,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"await": await, "portal": portal, "hold": hold, "release": release, "leave": leave, "freeaddr": freeAddr, "need": need, "signal": sendSignal, "packets": packets,
		},
	})
}

// A script is what a script's own commands share.
type script struct {
	t    testing.TB
	held *initiator.Conn // of hold
}

type scriptKey struct{}

func of(ts *testscript.TestScript) *script { return ts.Value(scriptKey{}).(*script) }

func setup(env *testscript.Env) error {
	t, _ := env.T().(testing.TB)
	env.Values[scriptKey{}] = &script{t: t}
	dir, err := os.MkdirTemp("", "sp") // short: a socket is in it
	if err != nil {
		return err
	}
	env.Defer(func() { os.RemoveAll(dir) })
	images := filepath.Join(env.WorkDir, "images")
	if _, err := isostore.MakeSample(images); err != nil {
		return err
	}
	for from, to := range map[string]string{isostore.SampleName: "a.iso", isostore.SecondName: "b.iso"} {
		if err := os.Rename(filepath.Join(images, from), filepath.Join(images, to)); err != nil {
			return err
		}
	}
	env.Setenv("PATH", program+string(os.PathListSeparator)+env.Getenv("PATH"))
	env.Setenv("SPINDLE_STATE", filepath.Join(env.WorkDir, "state"))
	env.Setenv("SPINDLE_SOCKET", filepath.Join(dir, "s"))
	env.Setenv("SPINDLE_LIBRARY", images)
	return nil
}

// await 'REGEXP' PROGRAM ARGS... runs a program until what it prints matches.
func await(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: await REGEXP PROGRAM ARGS...")
	}
	want := regexp.MustCompile("(?m)" + args[0])
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	end := time.Now().Add(time.Minute)
	for {
		err := ts.Exec(args[1], args[2:]...)
		if err == nil && want.MatchString(ts.ReadFile("stdout")) {
			return
		}
		if time.Now().After(end) {
			ts.Fatalf("%q did not come: %v\n%s%s", args[0], err, ts.ReadFile("stdout"), ts.ReadFile("stderr"))
		}
		<-tick.C
	}
}

func status(ts *testscript.TestScript) (s client.Status) {
	await(ts, false, []string{`"portals"`, "spindle", "status", "--json"})
	ts.Check(json.Unmarshal([]byte(ts.ReadFile("stdout")), &s))
	return s
}

// portal waits for the daemon and sets $PORTAL and $TARGET.
func portal(ts *testscript.TestScript, _ bool, _ []string) {
	s := status(ts)
	ts.Setenv("PORTAL", s.Portals[0])
	ts.Setenv("TARGET", s.Drives[0].Target)
}

// hold logs in and prevents removal; release allows it again; leave hangs up.
func hold(ts *testscript.TestScript, _ bool, _ []string) {
	portal(ts, false, nil)
	c, err := initiator.Dial(ts.Getenv("PORTAL"))
	ts.Check(err)
	ts.Defer(func() { c.Close() })
	_, err = c.Login(initiator.Options{Target: ts.Getenv("TARGET"), Initiator: "iqn.2026-11.net.example:holder"})
	ts.Check(err)
	_, err = c.Do(make([]byte, 16), 0, nil, 0) // takes 29/00
	ts.Check(err)
	prevent(ts, c, 1)
	of(ts).held = c
}

func release(ts *testscript.TestScript, _ bool, _ []string) { prevent(ts, of(ts).held, 0) }

func leave(ts *testscript.TestScript, _ bool, _ []string) { ts.Check(of(ts).held.Close()) }

func prevent(ts *testscript.TestScript, c *initiator.Conn, flag byte) {
	res, err := c.Do([]byte{0x1E, 0, 0, 0, flag, 15: 0}, 0, nil, 0)
	ts.Check(err)
	if res.Status != 0 {
		ts.Fatalf("PREVENT ALLOW MEDIUM REMOVAL: status %02x, sense %x", res.Status, res.Sense)
	}
}

// packets FILE N waits until a capture has that many packets.
func packets(ts *testscript.TestScript, _ bool, args []string) {
	want, err := strconv.Atoi(args[1])
	ts.Check(err)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(time.Minute); ; <-tick.C {
		var got client.Captured
		f, err := os.Open(ts.MkAbs(args[0]))
		if err == nil {
			got, err = client.CopyCapture(io.Discard, f) // which has no end yet
			f.Close()
		}
		if got.Packets == want {
			return
		}
		if time.Now().After(end) {
			ts.Fatalf("%s has %d packets, want %d: %v", args[0], got.Packets, want, err)
		}
	}
}

// freeaddr sets $ADDR to a loopback address that nobody listens on.
func freeAddr(ts *testscript.TestScript, _ bool, _ []string) {
	ts.Setenv("ADDR", lab.FreeAddr(of(ts).t))
}

// need skips the script when a tool is missing, and in CI fails.
func need(ts *testscript.TestScript, _ bool, tools []string) { lab.Need(of(ts).t, tools...) }

// sendSignal is signal HUP or signal TERM: it goes to the daemon that holds the state directory.
func sendSignal(ts *testscript.TestScript, _ bool, args []string) {
	text := ts.ReadFile(filepath.Join(ts.Getenv("SPINDLE_STATE"), "lock"))
	pid, err := strconv.Atoi(strings.TrimSpace(text))
	ts.Check(err)
	ts.Check(syscall.Kill(pid, map[string]syscall.Signal{"HUP": syscall.SIGHUP, "TERM": syscall.SIGTERM}[args[0]]))
}

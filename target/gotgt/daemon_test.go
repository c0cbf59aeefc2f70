//go:build linux && !race

package gotgt_test

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"spindle/internal/initiator"
	"spindle/internal/lab"
)

// TestDaemon serves by gotgt from a configuration: it says what that cannot do,
// a disc can be read, a swap is noticed, and it ends when it is asked to. gotgt's
// targets are variables of its package, so the daemon is a process.
func TestDaemon(t *testing.T) {
	dir := t.TempDir()
	program := filepath.Join(dir, "spindle")
	if err := os.WriteFile(program, lab.GoBinary(t, "spindle/cmd/spindle"), 0o700); err != nil {
		t.Fatal(err)
	}
	images := map[string][]byte{"a.iso": newImage(1), "b.iso": newImage(2)}
	for name, data := range images {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	_, port, _ := net.SplitHostPort(lab.FreeAddr(t))
	config := filepath.Join(dir, "c.toml")
	text := fmt.Sprintf("[library]\ndirs = [%q]\n[daemon]\nstate = %q\nsocket = %q\n[iscsi]\nlisten = [\":%s\"]\nengine = \"gotgt\"\n", dir, dir+"/state", dir+"/sock", port)
	drive := fmt.Sprintf("[drive.cd0]\ndisc = \"a.iso\"\nswap_hold = \"0s\"\n[drive.cd0.iscsi]\ntarget = %q\n", iqn)
	write := func(middle string) {
		if err := os.WriteFile(config, []byte(text+middle+drive), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("")
	if out, err := exec.Command(program, "serve", "--config", config).CombinedOutput(); err == nil || !bytes.Contains(out, []byte("experimental = true")) {
		t.Fatalf("without experimental: %v, %s; want a refusal that says so", err, out)
	}
	write("experimental = true\n")
	var log bytes.Buffer
	cmd := exec.Command(program, "serve", "--config", config)
	cmd.Stdout, cmd.Stderr = &log, &log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended, exited := make(chan struct{}), error(nil)
	go func() { exited = cmd.Wait(); close(ended) }()
	t.Cleanup(func() {
		cmd.Process.Kill()
		<-ended
		if t.Failed() {
			t.Logf("the daemon: %v, %s", exited, &log)
		}
	})
	c := login(t, "127.0.0.1:"+port, ended)
	verb := func(args ...string) string {
		out, err := exec.Command(program, append(args, "--socket", dir+"/sock")...).CombinedOutput()
		if err != nil {
			t.Fatalf("%q: %v, %s", args, err, out)
		}
		return string(out)
	}
	for _, name := range []string{"a.iso", "b.iso"} {
		verb("insert", "cd0", name)
		if got := readAll(t, c); !slices.Equal(got, images[name]) {
			t.Errorf("%s reads as %d other bytes", name, len(got))
		}
	}
	if status := verb("status"); !strings.Contains(status, "gotgt") {
		t.Errorf("status does not say which engine serves:\n%s", status)
	}
	cmd.Process.Signal(syscall.SIGTERM)
	if <-ended; exited != nil {
		t.Errorf("after SIGTERM: %v", exited)
	}
	if !strings.Contains(log.String(), "no CHAP") || !strings.Contains(log.String(), "open to whoever reaches [::]:"+port+" (hint: gotgt knows no rules") {
		t.Errorf("the log does not say what the engine cannot do:\n%s", &log)
	}
}

// readAll reads the disc once the drive is ready.
func readAll(t *testing.T, c *initiator.Conn) (data []byte) {
	t.Helper()
	for range 10 { // unit attentions
		if do(t, c, step{"00 00 00 00 00 00", 0, ""}).Status == 0 {
			break
		}
	}
	const each = 100
	for lba := 0; lba < blocks; lba += each {
		cdb := fmt.Sprintf("28 00 %08x 00 %04x 00", lba, each)
		data = append(data, do(t, c, step{cdb, each * 2048, ""}).Data...)
	}
	return data
}

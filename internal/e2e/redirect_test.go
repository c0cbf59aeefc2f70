//go:build linux

package e2e

import (
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"spindle/internal/lab"
)

// libiscsi follows a temporary redirection to the server that has the drive now:
// its tools, and QEMU's, see that one's serial number and data. It takes a
// permanent one for a refusal, which docs/iscsi.md says.
func TestRedirectedTools(t *testing.T) {
	lab.Need(t, "iscsi-inq", "qemu-img", "xorriso")
	t.Parallel()
	iso := lab.ISO(t, lab.Image{Size: 1 << 20, Seed: 61})
	there := serve(t, iso)
	drive := there.cd0()
	config := filepath.Join(t.TempDir(), "spindle.toml")
	text := fmt.Sprintf("[drive.cd0.iscsi]\ntarget = %q\nredirect = %q\n", drive.Target, there.portal)
	write := func(text string) {
		t.Helper()
		if err := replace(config, text); err != nil {
			t.Fatal(err)
		}
	}
	write(text)
	here := serve(t, "--config", config, "--library", t.TempDir())
	if here.cd0().Serial == drive.Serial {
		t.Fatal("both drives have one serial number")
	}
	serial := []string{"-e", "1", "-c", "128", here.url()}
	if out := tool(t, "iscsi-inq", serial...); !strings.Contains(out, "["+drive.Serial+"]") {
		t.Errorf("iscsi-inq printed %q; want serial number %s", out, drive.Serial)
	}
	copied := filepath.Join(t.TempDir(), "copy.iso")
	tool(t, "qemu-img", "convert", "-O", "raw", here.url(), copied)
	if got, want := lab.SHA256(t, copied), lab.SHA256(t, iso); got != want {
		t.Errorf("sha256 of the copy is %s; want %s", got, want)
	}
	write(text + "redirect_permanent = true\n")
	until(t, func() error { // the file is seen, and iscsi-inq says what it got
		out, err := lab.ToolCmd(t.Context(), "iscsi-inq", serial...).CombinedOutput()
		if err == nil || !strings.Contains(string(out), "Target moved permanently") {
			return fmt.Errorf("iscsi-inq: %v, printed %q", err, out)
		}
		return nil
	})
}

// Behind a router with NAT what the service is
// told to advertise brings a tool that asks for targets to them.
func TestAdvertisedTools(t *testing.T) {
	lab.Need(t, "iscsi-ls", "xorriso")
	t.Parallel()
	router := newRouter(t)
	config := filepath.Join(t.TempDir(), "spindle.toml")
	if err := os.WriteFile(config, fmt.Appendf(nil, "[iscsi]\nadvertise = [%q]\n[drive.cd0]\n", router.addr), 0o600); err != nil {
		t.Fatal(err)
	}
	d := serve(t, "--config", config, lab.ISO(t, lab.Image{Size: 1 << 20, Seed: 62}))
	router.service.Store(d.portal)
	out := tool(t, "iscsi-ls", "-s", "iscsi://"+router.addr)
	if want := "Portal:" + router.addr + ",1"; !strings.Contains(out, want) || !strings.Contains(out, "Lun:0    Type:MMC") {
		t.Errorf("iscsi-ls printed %q; want %q and the logical unit", out, want)
	}
	if got := router.conns.Load(); got < 2 {
		t.Errorf("%d connections came by the router; want that of the list and that of the login", got)
	}
}

// A router hands every connection to an address of its own to a service.
type router struct {
	addr    string
	service atomic.Value // string
	conns   atomic.Int32
}

func newRouter(t *testing.T) *router {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	r := &router{addr: l.Addr().String()}
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			r.conns.Add(1)
			out, err := net.Dial("tcp", r.service.Load().(string))
			if err != nil {
				in.Close()
				continue
			}
			go func() { defer out.Close(); _, _ = io.Copy(out, in) }()
			go func() { defer in.Close(); _, _ = io.Copy(in, out) }()
		}
	}()
	return r
}

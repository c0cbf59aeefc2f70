package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// A Result is how a guest ended.
type Result struct {
	Status int    // what its script or its boot loader handed back
	Log    string // its console, and what QEMU itself said
}

// errNoStatus is a machine that ended, or was ended, without handing back a status.
var errNoStatus = errors.New("the machine ended without a status")

// exitDevice hands a status to the host: a byte s+16 written to port 0x501 ends QEMU
// with (s+16)<<1|1, which no other way for QEMU to end gives.
const exitDevice = "isa-debug-exit,iobase=0x501,iosize=2"

// A machine is one QEMU process with a second serial port and a monitor that end in
// sockets here.
type machine struct {
	cmd     *exec.Cmd
	port    *os.File
	monitor *monitor
}

// start starts QEMU with its first serial port on the console file. The process dies
// with ctx, and with this process: a test that is killed leaves no guest behind.
func start(ctx context.Context, console *os.File, args ...string) (*machine, error) {
	ours, theirs, err := socketpair()
	if err != nil {
		return nil, err
	}
	defer theirs.Close()
	control, far, err := socketpair()
	if err != nil {
		ours.Close()
		return nil, err
	}
	defer far.Close()
	args = append([]string{
		"-nodefaults", "-no-user-config", "-nographic", "-no-reboot", "-device", exitDevice,
		"-serial", "stdio", "-chardev", "socket,id=host,fd=3", "-serial", "chardev:host",
		"-chardev", "socket,id=monitor,fd=4", "-mon", "chardev=monitor,mode=control",
	}, args...)
	cmd := ToolCmd(ctx, "qemu-system-x86_64", args...)
	cmd.Stdout, cmd.Stderr = console, console
	cmd.ExtraFiles = []*os.File{theirs, far} // descriptors 3 and 4
	cmd.SysProcAttr = dieWithParent()
	if err := cmd.Start(); err != nil {
		ours.Close()
		control.Close()
		return nil, err
	}
	return &machine{cmd, ours, newMonitor(control)}, nil
}

// socketpair returns two connected sockets that no other process inherits.
func socketpair() (ours, theirs *os.File, err error) {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err != nil {
		return nil, nil, err
	}
	syscall.CloseOnExec(fds[0])
	syscall.CloseOnExec(fds[1])
	return os.NewFile(uintptr(fds[0]), "guest"), os.NewFile(uintptr(fds[1]), "qemu"), nil
}

// wait waits for the process and returns the status that the guest handed back.
func (m *machine) wait() (int, error) {
	defer m.port.Close()
	defer m.monitor.close()
	err := m.cmd.Wait()
	code := m.cmd.ProcessState.ExitCode()
	if code < 33 || code&1 == 0 {
		return 0, errors.Join(errNoStatus, err)
	}
	return (code - 33) / 2, nil
}

// boot runs QEMU to its end, hands it to serve meanwhile, and returns the result. It fails the test when the machine hands back no status.
func boot(t testing.TB, timeout time.Duration, serve func(*machine), args ...string) *Result {
	t.Helper()
	if timeout == 0 {
		timeout = 8 * time.Minute // a quiet machine needs a minute; one that is full of guests, many times that
	}
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	console, err := os.CreateTemp(t.ArtifactDir(), "console-*.log")
	if err != nil {
		t.Fatal(err)
	}
	defer console.Close()
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("end of the console (%s):\n%s", console.Name(), tail(readLog(console.Name()), 60))
		}
	})
	began := time.Now()
	m, err := start(ctx, console, args...)
	if err != nil {
		t.Fatal(err)
	}
	ended := false
	defer func() { // a hook may end the test with Fatal, or panic
		if !ended {
			cancel()
			_, _ = m.wait()
		}
	}()
	if serve != nil {
		serve(m)
	}
	status, err := m.wait()
	ended = true
	if err != nil {
		t.Fatalf("guest: %v after %v (limit %v)", err, time.Since(began).Round(time.Millisecond), timeout)
	}
	return &Result{Status: status, Log: readLog(console.Name())}
}

// readLog reads a console as lines that end in a plain newline.
func readLog(path string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	return string(bytes.ReplaceAll(text, []byte("\r"), nil))
}

// tail returns the last n lines of a text.
func tail(text string, n int) string {
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

// emulated is QEMU's own code generator, with a translation buffer large enough
// for a kernel's boot.
var emulated = []string{"-accel", "tcg,tb-size=256", "-cpu", "qemu64"}

// accelerator returns QEMU's arguments for the processor. A /dev/kvm that exists may
// be unusable for stock kernels, so KVM is taken only when the processor has
// the hardware for it and a canary guest hands back its status in ten seconds.
var accelerator = sync.OnceValue(func() []string {
	kvm := []string{"-accel", "kvm", "-cpu", "host"}
	info, _ := os.ReadFile("/proc/cpuinfo")
	if !bytes.Contains(info, []byte(" vmx ")) && !bytes.Contains(info, []byte(" svm ")) {
		return emulated
	}
	if err := canary(kvm); err != nil {
		return emulated
	}
	return kvm
})

// canary boots the smallest guest with the given processor.
func canary(processor []string) error {
	dir, err := os.MkdirTemp("", "canary")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	g := &Guest{Script: "exit 7"}
	args, err := g.prepare(filepath.Join(dir, "initrd"))
	if err != nil {
		return err
	}
	console, err := os.Create(filepath.Join(dir, "console"))
	if err != nil {
		return err
	}
	defer console.Close()
	m, err := start(ctx, console, append(args, processor...)...)
	if err != nil {
		return err
	}
	status, err := m.wait()
	if err == nil && status != 7 {
		err = errors.New("canary: status " + strconv.Itoa(status))
	}
	if err != nil {
		err = fmt.Errorf("canary: %w", err)
	}
	return err
}

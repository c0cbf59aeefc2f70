package lab

import (
	"debug/elf"
	_ "embed"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

//go:embed guest/init
var initScript []byte

//go:embed guest/host
var hostScript []byte

//go:embed guest/waitfor
var waitforScript []byte

// What a guest loads to be an iSCSI initiator of its own (with Net, and the binary
// iscsistart), and to see a drive that QEMU passes through (with [SCSI]).
var (
	InitiatorModules = []string{"crc32c_generic", "iscsi_tcp", "sr_mod", "sg", "isofs", "udf"}
	VirtioModules    = []string{"virtio_pci", "virtio_scsi", "sr_mod", "sg", "isofs", "udf"}
)

// A Hook is what the host does when a guest's script calls `host NAME ARGS...`.
// The text is printed in the guest; an error makes the call fail there.
type Hook func(args []string) (string, error)

// A Guest is a machine that boots Debian's kernel, loads modules, runs one shell
// script and hands back its exit status. Its user space is busybox.
type Guest struct {
	// Modules are loaded in this order, each after what it depends on, each with
	// its parameters behind it: "usb-storage delay_use=0".
	Modules []string
	// Binaries are tools or host paths put into the guest's /bin, with the shared
	// libraries they need; "guesttool" is this package's own.
	Binaries []string
	// Files are host files, by guest path, and Data bytes, by guest path.
	Files map[string]string
	Data  map[string][]byte
	// Script is run by busybox's shell; what it prints is on the console. Besides
	// busybox it has `host` (see Hooks) and `waitfor COMMAND...`, which tries a command
	// until it succeeds, for 30 s. Exit statuses above 100 arrive as 100.
	Script string
	// Memory is in MiB; 512 when zero. It holds Files and Binaries too.
	Memory int
	// Args are more arguments for QEMU.
	Args []string
	// Net gives the guest eth0 with 10.0.2.15; 10.0.2.2 is the host's 127.0.0.1.
	Net bool
	// Hooks are what the script can ask of the host: `host NAME ARGS...` blocks until
	// the hook has returned. They run one at a time on the goroutine that called Run.
	Hooks map[string]Hook
	// Timeout is for the whole run; 120 s when zero.
	Timeout time.Duration
}

// Run boots the guest and returns how it ended. It fails the test when the guest
// ends without a status. The console is kept as an artifact of the test, and its
// end is logged when the test fails.
func (g *Guest) Run(t testing.TB) *Result {
	t.Helper()
	Need(t, "kernel")
	for _, name := range g.Binaries {
		if name != guestTool {
			Need(t, name)
		}
	}
	args, err := g.prepare(filepath.Join(t.TempDir(), "initrd"))
	if err != nil {
		t.Fatal(err)
	}
	serve := func(port *os.File) { serveHooks(t, port, g.Hooks) }
	return boot(t, g.Timeout, serve, append(args, accelerator()...)...)
}

// prepare writes the initramfs and returns QEMU's arguments but for the processor.
func (g *Guest) prepare(initrd string) ([]string, error) {
	a, err := g.archive()
	if err != nil {
		return nil, err
	}
	f, err := os.Create(initrd)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if err := a.write(f); err != nil {
		return nil, err
	}
	kernel, _, err := find("vmlinux")
	if err != nil {
		return nil, err
	}
	memory := g.Memory
	if memory == 0 {
		memory = 512
	}
	args := []string{
		"-m", strconv.Itoa(memory), "-smp", "1", "-kernel", kernel, "-initrd", initrd,
		"-append", "console=ttyS0 quiet panic=-1 mitigations=off nokaslr",
	}
	if g.Net {
		args = append(args, "-netdev", "user,id=lab", "-device", "virtio-net-pci,netdev=lab,romfile=")
	}
	return append(args, g.Args...), nil
}

// archive collects the content of the initramfs.
func (g *Guest) archive() (archive, error) {
	a := make(archive)
	for _, dir := range []string{"/dev", "/proc", "/sys", "/tmp", "/mnt", "/root"} {
		a[dir] = node{mode: modeDir}
	}
	a.data("/init", initScript)
	a.data("/bin/host", hostScript)
	a.data("/bin/waitfor", waitforScript)
	a.data("/lab/script", []byte(g.Script))
	names := g.Modules
	if g.Net {
		names = append([]string{"virtio_pci", "virtio_net"}, names...)
	}
	modules, err := resolve(names)
	if err != nil {
		return nil, err
	}
	var list strings.Builder
	for _, m := range modules {
		file := "/lab/" + m.name + ".ko"
		a.file(file, m.path)
		fmt.Fprintf(&list, "%s %s\n", file, m.params)
	}
	a.data("/lab/modules", []byte(list.String()))
	if err := a.busybox(); err != nil {
		return nil, err
	}
	for _, name := range g.Binaries {
		if err := a.binary(name); err != nil {
			return nil, err
		}
	}
	for name, source := range g.Files {
		a.file(name, source)
	}
	for name, p := range g.Data {
		a.data(name, p)
	}
	return a, nil
}

// busybox adds busybox under all its names, except those that are there already.
func (a archive) busybox() error {
	bin, _, err := find("busybox")
	if err != nil {
		return err
	}
	applets, err := exec.Command(bin, "--list").Output()
	if err != nil {
		return err
	}
	a.file("/bin/busybox", bin)
	for name := range strings.FieldsSeq(string(applets)) {
		if _, ok := a["/bin/"+name]; !ok {
			a.link("/bin/"+name, "busybox")
		}
	}
	return a.libraries(bin, false)
}

// binary adds one program and its libraries.
func (a archive) binary(name string) error {
	if name == guestTool {
		p, err := buildGuestTool()
		if err == nil {
			a.data("/bin/"+guestTool, p)
		}
		return err
	}
	file, unpacked, err := find(name)
	if err != nil {
		return err
	}
	a.file(path.Join("/bin", filepath.Base(file)), file)
	return a.libraries(file, unpacked)
}

// libraries adds the shared libraries and the loader of a program, as ldd names
// them, to the directory where Debian's loader looks first.
func (a archive) libraries(file string, unpacked bool) error {
	f, err := elf.Open(file)
	if err != nil {
		return nil // a script: Binaries names its interpreter
	}
	defer f.Close()
	if f.Section(".interp") == nil {
		return nil
	}
	ldd := exec.Command("ldd", file)
	if unpacked {
		ldd.Env = append(os.Environ(), "LD_LIBRARY_PATH="+libraryPath())
	}
	out, err := ldd.Output()
	if err != nil {
		return fmt.Errorf("ldd %s: %w", file, err)
	}
	for line := range strings.Lines(string(out)) {
		name, rest, found := strings.Cut(strings.TrimSpace(line), " => ")
		switch {
		case found && strings.HasPrefix(rest, "not found"):
			return fmt.Errorf("%s needs %s, which is not here", file, name)
		case found:
			source, _, _ := strings.Cut(rest, " (")
			a.file("/lib/x86_64-linux-gnu/"+name, source)
		case strings.HasPrefix(name, "/"): // the loader, at the path that the program names
			loader, _, _ := strings.Cut(name, " (")
			a.file(loader, loader)
		}
	}
	return nil
}

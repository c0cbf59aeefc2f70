package lab

import (
	"debug/elf"
	_ "embed"
	"fmt"
	"maps"
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

//go:embed guest/run
var runScript []byte

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
// script and hands back its exit status. Its user space is busybox, or [Guest.Root].
type Guest struct {
	// Root makes the guest's root Debian's, with the tools that hack/deps lists, in
	// place of busybox: read-only on a disk, below a file system in memory. Of
	// Binaries it takes guesttool alone: everything else is in the root, and udevd is not
	// running.
	Root bool
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
	// until it succeeds, for two minutes. Exit statuses above 100 arrive as 100.
	Script string
	// Memory is in MiB; 512 when zero. It holds Files and Binaries too.
	Memory int
	// Args are more arguments for QEMU.
	Args []string
	// Net gives the guest eth0 with 10.0.2.15; 10.0.2.2 is the host's 127.0.0.1. The
	// script can pull the cable: `host link off`, `host link on`.
	Net bool
	// Hooks are what the script can ask of the host: `host NAME ARGS...` blocks until
	// the hook has returned. They run one at a time on the goroutine that called Run.
	Hooks map[string]Hook
	// Timeout is for the whole run; eight minutes when zero.
	Timeout time.Duration
}

// Run boots the guest and returns how it ended. It fails the test when the guest
// ends without a status. The console is kept as an artifact of the test, and its
// end is logged when the test fails.
func (g *Guest) Run(t testing.TB) *Result {
	t.Helper()
	Need(t, "kernel")
	if g.Root {
		Need(t, "root")
	}
	for _, name := range g.Binaries {
		if name != guestTool {
			Need(t, name)
		}
	}
	args, err := g.prepare(filepath.Join(t.TempDir(), "initrd"))
	if err != nil {
		t.Fatal(err)
	}
	serve := func(m *machine) {
		hooks := maps.Clone(g.Hooks)
		if g.Net {
			if hooks == nil {
				hooks = map[string]Hook{}
			}
			hooks["link"] = m.monitor.link
		}
		serveHooks(t, m.port, hooks)
	}
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
		args = append(args, "-netdev", "user,id="+netdev, "-device", "virtio-net-pci,romfile=,netdev="+netdev)
	}
	if g.Root {
		root, err := cached("root.tools")
		if err != nil {
			return nil, err
		}
		args = append(args, "-drive", "file="+root+",if=none,id=root,format=raw,readonly=on", "-device", "virtio-blk-pci,drive=root")
	}
	return append(args, g.Args...), nil
}

// netdev is what QEMU calls the network of a guest with Net.
const netdev = "lab"

// over is where the initramfs keeps what goes into a root of its own.
const over = "/over"

// archive collects the content of the initramfs.
func (g *Guest) archive() (archive, error) {
	a := make(archive)
	for _, dir := range []string{"/dev", "/proc", "/sys", "/tmp", "/mnt", "/root"} {
		a[dir] = node{mode: modeDir}
	}
	a.data("/init", initScript)
	if err := a.modules(g); err != nil {
		return nil, err
	}
	if err := a.busybox(); err != nil {
		return nil, err
	}
	top, bin := "", "/bin/"
	if g.Root {
		top, bin = over, over+"/usr/local/bin/"
	}
	a.data(top+"/lab/run", runScript)
	a.data(top+"/lab/script", []byte(g.Script))
	a.data(bin+"host", hostScript)
	a.data(bin+"waitfor", waitforScript)
	for _, name := range g.Binaries {
		if g.Root && name != guestTool {
			return nil, fmt.Errorf("%s: a guest with Root has no other binaries than %s (hint: put its package into hack/deps)", name, guestTool)
		}
		if err := a.binary(name, bin); err != nil {
			return nil, err
		}
	}
	for name, source := range g.Files {
		a.file(top+name, source)
	}
	for name, p := range g.Data {
		a.data(top+name, p)
	}
	return a, nil
}

// modules adds the guest's modules, and the list by which they are loaded.
func (a archive) modules(g *Guest) error {
	var names []string
	if g.Root {
		names = append(names, "virtio_pci", "virtio_blk", "squashfs", "overlay")
	}
	if g.Net {
		names = append(names, "virtio_pci", "virtio_net")
	}
	list, err := resolve(append(names, g.Modules...))
	if err != nil {
		return err
	}
	var lines strings.Builder
	for _, m := range list {
		file := "/lab/" + m.name + ".ko"
		a.file(file, m.path)
		fmt.Fprintf(&lines, "%s %s\n", file, m.params)
	}
	a.data("/lab/modules", []byte(lines.String()))
	return nil
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

// binary adds one program, and its libraries, to a directory.
func (a archive) binary(name, dir string) error {
	if name == guestTool {
		p, err := buildGuestTool()
		if err == nil {
			a.data(dir+guestTool, p)
		}
		return err
	}
	file, unpacked, err := find(name)
	if err != nil {
		return err
	}
	a.file(path.Join(dir, filepath.Base(file)), file)
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

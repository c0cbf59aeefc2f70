//go:build linux

package bench

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"spindle/internal/lab"
)

// usbScript reads one file through the kernel's f_mass_storage and through
// spindle, each on a simulated controller of its own at super speed, in turns:
// "RUN who milliseconds ticks", ticks being those of the server's process.
const usbScript = `
dmesg -n 1
mount -t configfs none /sys/kernel/config
ip link set lo up
g=/sys/kernel/config/usb_gadget/fms
mkdir -p $g/strings/0x409 $g/configs/c.1 $g/functions/mass_storage.0
echo 0x1d6b >$g/idVendor; echo 0x0104 >$g/idProduct; echo fms >$g/strings/0x409/serialnumber
l=$g/functions/mass_storage.0/lun.0
echo 1 >$l/cdrom; echo 1 >$l/ro; echo 1 >$l/removable; echo /d.iso >$l/file
ln -s $g/functions/mass_storage.0 $g/configs/c.1/
echo dummy_udc.1 >$g/UDC
waitfor test -b /dev/sr0 || exit 1
cat >/c.toml <<EOF
[iscsi]
listen = []
[daemon]
state = "/st"
socket = "/s"
[drive.cd0]
disc = "/d.iso"
[drive.cd0.usb]
gadget = "g0"
[gadget.g0]
udc = "dummy_udc.0"
EOF
spindle serve --config /c.toml >/log 2>&1 &
daemon=$!
waitfor test -b /dev/sr1 || { cat /log; exit 1; }
kernel=$(pidof file-storage)
ticks() { awk '{print $14 + $15}' /proc/$1/stat; }
now() { awk '{print int($1 * 1000)}' /proc/uptime; }
run() { # WHO DEVICE PID
	t=$(ticks $3) a=$(now)
	dd if=$2 of=/dev/null bs=1M iflag=direct 2>/dev/null || exit 1
	echo RUN $1 $(($(now) - a)) $(($(ticks $3) - t))
}
cmp /d.iso /dev/sr1 || exit 1
for i in 1 2 3 4 5 6 7; do
	if [ $((i % 2)) = 0 ]; then run kernel /dev/sr0 $kernel; run spindle /dev/sr1 $daemon
	else run spindle /dev/sr1 $daemon; run kernel /dev/sr0 $kernel; fi
done`

const usbDisc = 96 << 20

// A sample is one run of one of the two.
type sample struct {
	rate float64 // MB/s of data
	cpu  float64 // CPU seconds for a GiB
}

// BenchmarkUSB compares with the kernel's own gadget function, in one guest.
func BenchmarkUSB(b *testing.B) {
	lab.Need(b, "kernel", "genisoimage")
	iso := lab.ISO(b, lab.Image{Size: usbDisc, Seed: 7})
	g := &lab.Guest{
		Modules: []string{"dummy_hcd is_super_speed=1 num=2", "usb-storage delay_use=0", "sr_mod", "isofs", "libcomposite", "usb_f_fs", "usb_f_mass_storage"},
		Data:    map[string][]byte{"/bin/spindle": lab.GoBinary(b, "spindle/cmd/spindle")},
		Files:   map[string]string{"/d.iso": iso},
		Memory:  1024, Script: usbScript,
	}
	for range b.N {
		r := g.Run(b)
		if r.Status != 0 {
			b.Fatalf("status %d", r.Status)
		}
		reportUSB(b, r.Log)
	}
}

func reportUSB(b *testing.B, log string) {
	b.Helper()
	runs := map[string][]sample{}
	for line := range strings.Lines(log) {
		var who string
		var ms, ticks float64
		if n, _ := fmt.Sscanf(line, "RUN %s %f %f", &who, &ms, &ticks); n == 3 && ms > 0 {
			const mb = usbDisc / 1e6
			runs[who] = append(runs[who], sample{mb / ms * 1000, ticks / 100 / usbDisc * gib})
		}
	}
	if len(runs["spindle"]) != pairs || len(runs["kernel"]) != pairs {
		b.Fatalf("%d and %d runs, want %d", len(runs["spindle"]), len(runs["kernel"]), pairs)
	}
	var ratios []float64
	for i, s := range runs["spindle"] {
		ratios = append(ratios, s.rate/runs["kernel"][i].rate)
	}
	for _, who := range []string{"kernel", "spindle"} {
		var line strings.Builder
		for _, s := range runs[who] {
			fmt.Fprintf(&line, "  %.0f MB/s %.2f", s.rate, s.cpu)
		}
		b.Logf("%-8s%s  (MB/s, CPU s/GiB of the guest)", who, line.String())
	}
	slices.Sort(ratios)
	b.Logf("ratio of throughput %.2f [%.2f to %.2f]", ratios[pairs/2], ratios[0], ratios[pairs-1])
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(ratios[pairs/2], "x-throughput")
	b.ReportMetric(ratios[0], "x-least")
	b.ReportMetric(ratios[pairs-1], "x-most")
}

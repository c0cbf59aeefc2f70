package lab

import (
	"strings"
	"testing"
)

func TestGuest(t *testing.T) {
	Need(t, "kernel", "mkudffs")
	t.Parallel()
	g := &Guest{
		Modules: []string{"loop max_loop=2", "udf"},
		Files:   map[string]string{"/disc.udf": ISO(t, Image{Kind: BareUDF, Label: "EMPTY"})},
		Data:    map[string][]byte{"/etc/motd": []byte("good morning\n")},
		Script: `
			cat /etc/motd
			mount -o loop,ro -t udf /disc.udf /mnt || exit 3
			mount | grep ' /mnt type udf ' || exit 4
			x=$(host greet "two words" "" 'a"b') || exit 1
			echo "answer: $x"
			host refuse && exit 2
			seq 1 2000
			exit 7`,
		Hooks: map[string]Hook{
			"greet": func(args []string) (string, error) { return strings.Join(args, "|"), nil },
		},
	}
	r := g.Run(t)
	if r.Status != 7 {
		t.Errorf("status %d; want 7", r.Status)
	}
	for _, want := range []string{"\ngood morning\n", "answer: two words||a\"b\n", "the test has no such hook\n", "\n2000\nLAB-STATUS=7"} {
		if !strings.Contains(r.Log, want) {
			t.Errorf("the console lacks %q", want)
		}
	}
}

// TestRoot boots the root with tools: it can be written to, what the test brings
// is there, and the tools are Debian's.
func TestRoot(t *testing.T) {
	Need(t, "kernel", "root")
	t.Parallel()
	g := &Guest{
		Root:     true,
		Binaries: []string{"guesttool"},
		Data:     map[string][]byte{"/etc/motd": []byte("good morning\n")},
		Script: `
			cat /etc/motd
			touch /usr/bin/mine /tmp/mine || exit 3
			guesttool; [ $? = 2 ] || exit 4
			for tool in cd-info cd-drive mmc-tool cdrdao cdparanoia readom wodim xorriso dvd+rw-mediainfo sg_get_config sg_modes \
				sg_vpd sg_luns lsdvd eject cd-discid blkid iscsistart udevadm /lib/udev/cdrom_id /lib/systemd/systemd-udevd; do
				command -v $tool >/dev/null || { echo "no $tool"; exit 5; }
			done
			echo "answer: $(host greet "two words" "")"
			exit 7`,
		Hooks: map[string]Hook{
			"greet": func(args []string) (string, error) { return strings.Join(args, "|"), nil },
		},
	}
	r := g.Run(t)
	if r.Status != 7 {
		t.Errorf("status %d; want 7", r.Status)
	}
	for _, want := range []string{"\ngood morning\n", "answer: two words|\n"} {
		if !strings.Contains(r.Log, want) {
			t.Errorf("the console lacks %q", want)
		}
	}
}

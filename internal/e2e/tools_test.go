//go:build linux

package e2e

import (
	"net"
	"path/filepath"
	"strings"
	"testing"

	"spindle/internal/lab"
)

func TestTools(t *testing.T) {
	lab.Need(t, "iscsi-ls", "iscsi-inq", "xorriso")
	t.Parallel()
	d := serve(t, lab.ISO(t, lab.Image{Size: 1 << 20, Seed: 1}))
	drive := d.cd0()
	inquiry := func(page string) []string { return []string{"iscsi-inq", "-e", "1", "-c", page, d.url()} }
	for _, tt := range []struct {
		name string
		args []string
		want []string
	}{
		{"discovery", []string{"iscsi-ls", "-s", "iscsi://" + d.portal}, []string{
			"Target:" + drive.Target + " Portal:" + d.portal + ",1", "Lun:0    Type:MMC",
		}},
		{"standard INQUIRY", []string{"iscsi-inq", d.url()}, []string{
			"Peripheral Device Type:MMC", "Removable:1", "ReponseDataFormat:2", "CmdQue:1", "Version Descriptor:0960 iSCSI",
		}},
		{"VPD 00", inquiry("0"), []string{
			"Page:0x00 SUPPORTED_VPD_PAGES\nPage:0x80 UNIT_SERIAL_NUMBER\nPage:0x83 DEVICE_IDENTIFICATION\n",
		}},
		{"VPD 80", inquiry("128"), []string{"Unit Serial Number:[" + drive.Serial + "]"}},
		{"VPD 83", inquiry("131"), []string{
			"Association:(1) TARGET_PORT\nDesignator Type:(4) RELATIVE_TARGET_PORT",
			"Designator:[" + drive.Target + ",t,0x0001]",
			"Association:(0) LOGICAL_UNIT\nDesignator Type:(3) NAA",
			drive.Serial + "]", // of the T10 vendor identification
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			out := tool(t, tt.args[0], tt.args[1:]...)
			for _, want := range tt.want {
				if !strings.Contains(out, want) {
					t.Errorf("%q printed\n%s\nwant %q in it", tt.args, out, want)
				}
			}
		})
	}
}

func TestIPv6(t *testing.T) {
	lab.Need(t, "iscsi-ls", "qemu-img", "xorriso")
	if l, err := net.Listen("tcp", "[::1]:0"); err != nil {
		t.Skipf("this machine has no IPv6 on its loopback: %v", err)
	} else {
		l.Close()
	}
	t.Parallel()
	iso := lab.ISO(t, lab.Image{Size: 1 << 20, Seed: 2})
	d := serveOn(t, "[::1]:0", iso)
	if !strings.HasPrefix(d.portal, "[::1]:") {
		t.Fatalf("the portal is %s; want one of [::1]", d.portal)
	}
	if out, want := tool(t, "iscsi-ls", "-s", "iscsi://"+d.portal), "Portal:"+d.portal+",1"; !strings.Contains(out, want) {
		t.Errorf("iscsi-ls printed %q; want %q in it", out, want)
	}
	convert(t, d, iso)
}

func TestConvert(t *testing.T) {
	lab.Need(t, "qemu-img", "xorriso")
	t.Parallel()
	iso := lab.ISO(t, lab.Image{Size: 300_000_000, Seed: 3})
	convert(t, serve(t, iso), iso)
}

// convert reads the whole disc in cd0 with qemu-img and compares it with a file.
func convert(t *testing.T, d *daemon, iso string) {
	t.Helper()
	out := filepath.Join(t.TempDir(), "copy.iso")
	tool(t, "qemu-img", "convert", "-O", "raw", d.url(), out)
	if got, want := lab.SHA256(t, out), lab.SHA256(t, iso); got != want {
		t.Errorf("sha256 of the copy is %s; want %s", got, want)
	}
}

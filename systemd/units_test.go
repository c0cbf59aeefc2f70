// Package systemd holds the units. Its tests have systemd's own tools read
// them.
package systemd

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"spindle/config"
	"spindle/internal/lab"
)

// installed returns a directory with the units, whose program is there.
func installed(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	program := filepath.Join(dir, "spindle")
	if out, err := exec.Command("go", "build", "-o", program, "spindle/cmd/spindle").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	for _, name := range []string{"spindle.service", "spindle.socket"} {
		b, err := os.ReadFile(name)
		if err == nil {
			text := strings.Replace(string(b), "ExecStart=/usr/bin/spindle ", "ExecStart="+program+" ", 1)
			err = os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestVerify(t *testing.T) {
	lab.Need(t, "systemd-analyze")
	dir := installed(t)
	out, err := lab.ToolCmd(t.Context(), "systemd-analyze", "verify", "--man=no",
		filepath.Join(dir, "spindle.service"), filepath.Join(dir, "spindle.socket")).CombinedOutput()
	if err != nil || len(out) > 0 {
		t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	}
}

var exposure = regexp.MustCompile(`Overall exposure level for spindle\.service: ([0-9.]+)`)

func TestExposure(t *testing.T) {
	lab.Need(t, "systemd-analyze")
	if level, out := exposureOf(t, "spindle.service"); level > 2.5 {
		t.Errorf("exposure %.1f, want 2.5 at most\n%s", level, out)
	}
}

func exposureOf(t *testing.T, unit string) (level float64, report []byte) {
	t.Helper()
	out, err := lab.ToolCmd(t.Context(), "systemd-analyze", "security", "--offline=true", unit).CombinedOutput()
	m := exposure.FindSubmatch(out)
	if err != nil || m == nil {
		t.Fatalf("systemd-analyze security: %v\n%s", err, out)
	}
	if level, err = strconv.ParseFloat(string(m[1]), 64); err != nil {
		t.Fatal(err)
	}
	return level, out
}

// The drop-in for a USB gadget costs what docs/usb.md says and no more. It is
// put behind the unit's own section, which is what systemd makes of it.
func TestGadgetDropIn(t *testing.T) {
	lab.Need(t, "systemd-analyze")
	dir := installed(t)
	unit := filepath.Join(dir, "spindle.service")
	service, err := os.ReadFile(unit)
	if err != nil {
		t.Fatal(err)
	}
	dropIn, err := os.ReadFile("spindle-gadget.conf")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(unit, append(append(service, '\n'), dropIn...), 0o644); err != nil {
		t.Fatal(err)
	}
	out, err := lab.ToolCmd(t.Context(), "systemd-analyze", "verify", "--man=no", unit).CombinedOutput()
	if err != nil || len(out) > 0 {
		t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	}
	level, report := exposureOf(t, unit)
	stated, err := os.ReadFile("../docs/usb.md")
	if err != nil {
		t.Fatal(err)
	}
	if want := "exposure " + strconv.FormatFloat(level, 'f', 1, 64); !strings.Contains(string(stated), want) {
		t.Errorf("docs/usb.md does not state %q\n%s", want, report)
	}
}

// What the service needs of systemd's protocol must not go by an edit.
func TestService(t *testing.T) {
	b, err := os.ReadFile("spindle.service")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"Type=notify", "WatchdogSec=", "Restart=on-failure", "ExecReload=", "StateDirectory=spindle", "RuntimeDirectory=spindle", "LimitNOFILE="} {
		if !strings.Contains(string(b), "\n"+want) {
			t.Errorf("spindle.service lacks %s", want)
		}
	}
}

// The user and the directories come to be as the files say.
func TestUserAndDirectories(t *testing.T) {
	lab.Need(t, "systemd-sysusers", "systemd-tmpfiles")
	if os.Geteuid() != 0 {
		t.Skip("making a user needs root")
	}
	root := t.TempDir()
	if err := os.Mkdir(filepath.Join(root, "etc"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, c := range [][]string{
		{"systemd-sysusers", "--root=" + root, "spindle.sysusers"},
		{"systemd-tmpfiles", "--root=" + root, "--create", "spindle.tmpfiles"},
	} {
		abs, err := filepath.Abs(c[len(c)-1])
		if err != nil {
			t.Fatal(err)
		}
		c[len(c)-1] = abs
		if out, err := lab.ToolCmd(t.Context(), c[0], c[1:]...).CombinedOutput(); err != nil {
			t.Errorf("%v: %v\n%s", c, err, out)
		}
	}
	passwd, err := os.ReadFile(filepath.Join(root, "etc", "passwd"))
	if err != nil || !strings.Contains(string(passwd), "spindle:x:") {
		t.Errorf("passwd: %v\n%s", err, passwd)
	}
	if fi, err := os.Stat(filepath.Join(root, "var/lib/spindle/images")); err != nil || !fi.IsDir() {
		t.Errorf("images: %v", err)
	}
}

func TestExampleConfiguration(t *testing.T) {
	c, err := config.Load("spindle.toml")
	if err != nil || len(c.Drives) != 1 {
		t.Errorf("spindle.toml: %+v, %v", c, err)
	}
}

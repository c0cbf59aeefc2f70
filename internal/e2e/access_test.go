//go:build linux

package e2e

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"spindle/internal/lab"
)

// Secrets of the tests, by table of [chap]: of hosts, and "self" of the drive.
var secrets = map[string]string{
	"alice": "alice-has-16-chr", "bob": "bob-has-one-more", "finder": "the-one-who-asks", "self": "the-drive-itself",
}

// guarded starts a daemon whose drives are not for everybody: cd0 (a.iso) asks
// for alice and proves itself, cd1 is for an initiator that nobody is, cd2
// takes SHA3-256 of bob alone; who asks for targets has to be finder.
func guarded(t *testing.T, size int64) (d *daemon, iso string) {
	t.Helper()
	dir := library(t, map[string]lab.Image{"a.iso": {Size: size, Seed: 30}})
	config := filepath.Join(t.TempDir(), "spindle.toml")
	var text strings.Builder
	fmt.Fprintf(&text, `[library]
dirs = [%q]
[iscsi.discovery]
users = ["finder"]
[drive.cd0]
disc = "a.iso"
[drive.cd0.iscsi]
users = ["alice", "bob"]
mutual = "self"
[drive.cd1.iscsi]
initiators = ["iqn.2026-11.lab:nobody"]
[drive.cd2.iscsi]
users = ["bob"]
algorithms = ["SHA3-256"]
`, dir)
	for table, secret := range secrets {
		file := filepath.Join(filepath.Dir(config), table)
		if err := os.WriteFile(file, []byte(secret+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&text, "[chap.%s]\nsecret_file = %q\n", table, table)
	}
	if err := os.WriteFile(config, []byte(text.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return serve(t, "--config", config), filepath.Join(dir, "a.iso")
}

// logged checks that the daemon's log has a line with all of these, and no
// secret anywhere.
func (d *daemon) logged(want ...string) {
	d.t.Helper()
	text, err := os.ReadFile(d.log.Name())
	if err != nil {
		d.t.Fatal(err)
	}
	for _, secret := range secrets {
		if strings.Contains(string(text), secret) {
			d.t.Errorf("the log has the secret %q", secret)
		}
	}
lines:
	for line := range strings.Lines(string(text)) {
		for _, w := range want {
			if !strings.Contains(line, w) {
				continue lines
			}
		}
		return
	}
	d.t.Errorf("no line of the log has all of %q", want)
}

// TestCHAP logs a guest's kernel in by open-iscsi, with every algorithm, one-way
// and mutual. The kernel's own target in the same guest is the peer that shows
// that the initiator's side is right.
func TestCHAP(t *testing.T) {
	lab.Need(t, "kernel", "iscsid", "iscsiadm", "xorriso")
	t.Parallel()
	d, iso := guarded(t, 8<<20)
	_, port, err := net.SplitHostPort(d.portal)
	if err != nil {
		t.Fatal(err)
	}
	g := &lab.Guest{
		Modules: append([]string{
			"md5", "sha1_generic", "sha256_generic", "sha3_generic", "target_core_mod", "target_core_file", "iscsi_target_mod", "sd_mod",
		}, lab.InitiatorModules...),
		Binaries: []string{"iscsid", "iscsiadm"},
		Data:     openISCSIFiles(""),
		Net:      true,
		Hooks: map[string]lab.Hook{
			"target": func(args []string) (string, error) {
				s := d.status()
				return s.Drive(args[0]).Target, nil
			},
			"same": sameAs(t, iso),
		},
		Script: chapScript(port),
	}
	if r := g.Run(t); r.Status != 0 {
		t.Errorf("status %d; want 0", r.Status)
	}
	d.logged("login refused", "0201", guestName, `user \"alice\" is wrong`)
	d.logged("login refused", "0201", guestName, `no user \"mallory\"`)
	d.logged("login refused", "0201", "offers 7 (SHA-256) in CHAP_A; this target takes [SHA3-256]")
	d.logged("login refused", "0202", "cd1", guestName)
}

func chapScript(port string) string {
	return `
fail() {
	echo "FAILED: $*"
	exit 1
}
node() { iscsiadm -m node -T $target -p $portal "$@"; }
name() { # DRIVE: whom the next functions speak of
	target=$(host target $1) portal=10.0.2.2:` + port + `
	node -o new >/dev/null || fail $1
}
set_auth() { # ALGORITHMS [USER SECRET [USER SECRET]]; without a user those of before stay
	auth=node.session.auth
	set -- -n $auth.chap_algs -v $1 ${2:+-n $auth.authmethod -v CHAP -n $auth.username -v $2 -n $auth.password -v $3} \
		-n $auth.username_in -v "$4" -n $auth.password_in -v "$5"
	node -o update "$@" || fail update "$@"
}
good() { # as set_auth
	set_auth "$@"
	node --login || fail "login with $*"
	if [ "$1$drive" = $all/dev/sr0 ]; then
		waitfor test -b $drive && host same $(sha256sum $drive) || fail read
	fi
	node --logout || fail logout
}
bad() { # STATUS, as set_auth
	want=$1
	shift
	set_auth "$@"
	node --login
	status=$?
	[ $status = $want ] || fail "login with $*: status $status, want $want"
}
up() { echo "up $(cut -d' ' -f1 /proc/uptime) s: $*"; }
mkdir -p /run/lock/iscsi
iscsid || fail iscsid
alice="alice ` + secrets["alice"] + `" bob="bob ` + secrets["bob"] + `" self="self ` + secrets["self"] + `"
all=SHA3-256,SHA256,SHA1,MD5

up kernel target
mount -t configfs none /sys/kernel/config
core=/sys/kernel/config/target/core/fileio_0/f iscsi=/sys/kernel/config/target/iscsi peer=iqn.2026-11.lab:peer
mkdir -p $core && echo fd_dev_name=/tmp/disk,fd_dev_size=1048576 >$core/control && echo 1 >$core/enable || fail disk
group=$iscsi/$peer/tpgt_1
acl=$group/acls/` + guestName + `
mkdir -p $iscsi $iscsi/$peer $group $group/np/127.0.0.1:3260 $group/lun/lun_0 $acl/lun_0 || fail peer
ln -s $core $group/lun/lun_0/x
ln -s $group/lun/lun_0 $acl/lun_0/x
set -- $alice
echo -n $1 >$acl/auth/userid && echo -n $2 >$acl/auth/password
set -- $self
echo -n $1 >$acl/auth/userid_mutual && echo -n $2 >$acl/auth/password_mutual
echo 1 >$group/attrib/authentication && echo 1 >$group/enable || fail enable
target=$peer portal=127.0.0.1:3260
node -o new >/dev/null || fail peer
good SHA3-256 $alice $self
good $all $alice $self
bad 24 MD5 $bob

up spindle
name cd0
drive=/dev/sr0
for algs in MD5 SHA1 SHA256 SHA3-256 $all; do
	good $algs $alice
	good $algs $alice $self
done
drive=

up refusals
bad 24 SHA1 alice not-the-secret-at-all
bad 24 SHA3-256 mallory ` + secrets["alice"] + `
bad 19 $all $alice self not-the-secret-at-all
name cd1
bad 24 MD5
name cd2
bad 24 $all
bad 24 SHA256 $bob
good $all $bob
bad 24 $all $bob $self # it cannot prove itself

up discovery
find() { iscsiadm -m discovery -t sendtargets -p $portal; }
find && fail discovery without CHAP
cat >>/etc/iscsi/iscsid.conf <<-END
	discovery.sendtargets.auth.authmethod = CHAP
	discovery.sendtargets.auth.username = finder
	discovery.sendtargets.auth.password = ` + secrets["finder"] + `
END
find | sort >/tmp/found || fail discovery
cat /tmp/found
[ "$(cut -d' ' -f2 /tmp/found)" = "$(host target cd0; echo; host target cd2)" ] || fail these are not the targets that are for this initiator
up end`
}

// libiscsi runs a program that logs in by libiscsi, which knows MD5 alone, with
// variables of its environment.
func libiscsi(t *testing.T, env []string, name string, args ...string) (string, error) {
	t.Helper()
	cmd := lab.ToolCmd(t.Context(), name, args...)
	cmd.Env = append(os.Environ(), env...)
	cmd.Stdin = strings.NewReader("info block\nquit\n") // for QEMU's monitor
	out, err := cmd.CombinedOutput()
	if _, failed := err.(*exec.ExitError); err != nil && !failed {
		t.Fatal(err)
	}
	return string(out), err
}

func TestCHAPTools(t *testing.T) {
	lab.Need(t, "iscsi-ls", "iscsi-inq", "qemu-img", "qemu-system-x86_64", "xorriso")
	t.Parallel()
	d, iso := guarded(t, 1<<20)
	s := d.status()
	url := func(user, drive, query string) string {
		return "iscsi://" + user + d.portal + "/" + s.Drive(drive).Target + "/0" + query
	}
	ask := func(name, secret string) string { return name + "%" + secret + "@" }
	alice, self := ask("alice", secrets["alice"]), "?target_user=self&target_password="
	copied := filepath.Join(t.TempDir(), "copy.iso")
	image := func(user, secret string) []string {
		return []string{
			"convert", "--object", "secret,id=s,data=" + secret, "--image-opts", "-O", "raw",
			"driver=iscsi,transport=tcp,portal=" + d.portal + ",lun=0,target=" + s.Drive("cd0").Target + ",user=" + user + ",password-secret=s", copied,
		}
	}
	machine := func(secret string) []string {
		return []string{
			"-M", "none", "-display", "none", "-monitor", "stdio", "-object", "secret,id=s,data=" + secret, "-iscsi", "user=alice,password-secret=s",
			"-drive", "if=none,id=disc,format=raw,readonly=on,file=" + url("", "cd0", ""),
		}
	}
	const inquiry = "Peripheral Device Type:MMC"
	for _, tt := range []struct {
		name string
		env  []string
		tool string
		args []string
		want string // what is printed by a program that succeeds; empty for one that has to fail
		log  []string
	}{
		{"one-way", nil, "iscsi-inq", []string{url(alice, "cd0", "")}, inquiry, nil},
		{"environment", []string{"LIBISCSI_CHAP_USERNAME=bob", "LIBISCSI_CHAP_PASSWORD=" + secrets["bob"]}, "iscsi-inq", []string{url("", "cd0", "")}, inquiry, nil},
		{"mutual", nil, "iscsi-inq", []string{url(alice, "cd0", self+secrets["self"])}, inquiry, nil},
		{"mutual with another secret", nil, "iscsi-inq", []string{url(alice, "cd0", self+"not-the-secret-at-all")}, "", nil},
		{"missing", nil, "iscsi-inq", []string{url("", "cd0", "")}, "", []string{"0201"}},
		{"wrong", nil, "iscsi-inq", []string{url(ask("alice", "not-the-secret-at-all"), "cd0", "")}, "", []string{"0201", "alice"}},
		{"algorithm", nil, "iscsi-inq", []string{url(ask("bob", secrets["bob"]), "cd2", "")}, "", []string{"0201"}},
		{"name that may not", nil, "iscsi-inq", []string{url("", "cd1", "")}, "", []string{"0202", "initiators does not list"}},
		{"name", nil, "iscsi-inq", []string{"-i", "iqn.2026-11.lab:nobody", url("", "cd1", "")}, inquiry, nil},
		{"discovery without", nil, "iscsi-ls", []string{"iscsi://" + d.portal}, "", []string{"0201", "discovery"}},
		{"discovery", nil, "iscsi-ls", []string{"iscsi://" + ask("finder", secrets["finder"]) + d.portal}, "Target:" + s.Drive("cd0").Target, nil},
		{"machine", nil, "qemu-system-x86_64", machine(secrets["alice"]), "disc (#block", nil},
		{"machine with another secret", nil, "qemu-system-x86_64", machine("not-the-secret-at-all"), "", []string{"0201", "alice", "linux-kvm"}},
		{"QEMU", nil, "qemu-img", []string{"convert", "-O", "raw", url(alice, "cd0", ""), copied}, "", nil},
		{"QEMU with a secret object", nil, "qemu-img", image("alice", secrets["alice"]), "", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			os.Remove(copied)
			out, err := libiscsi(t, tt.env, tt.tool, tt.args...)
			switch {
			case strings.HasPrefix(tt.name, "QEMU") && tt.log == nil:
				if err != nil || lab.SHA256(t, copied) != lab.SHA256(t, iso) {
					t.Errorf("the copy is not the image: %v\n%s", err, out)
				}
			case tt.want == "" && err == nil, tt.want != "" && (err != nil || !strings.Contains(out, tt.want)):
				t.Errorf("%v; want %q; it printed\n%s", err, tt.want, out)
			}
			d.logged(tt.log...)
		})
	}
	find := func(initiator string) string {
		out, _ := libiscsi(t, nil, "iscsi-ls", "-i", initiator, "iscsi://"+ask("finder", secrets["finder"])+d.portal)
		names := regexp.MustCompile(`cd\d`).FindAllString(out, -1)
		slices.Sort(names)
		return strings.Join(names, " ")
	}
	for initiator, want := range map[string]string{"iqn.2026-11.lab:a": "cd0 cd2", "iqn.2026-11.lab:nobody": "cd0 cd1 cd2"} {
		if got := find(initiator); got != want {
			t.Errorf("%s finds %q, want %q", initiator, got, want)
		}
	}
}

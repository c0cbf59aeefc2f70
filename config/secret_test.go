package config

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestSecretsAreNotPrinted prints a secret in every way that a careless line of
// code might.
func TestSecretsAreNotPrinted(t *testing.T) {
	const text = "correct horse"
	c := &Config{CHAP: []CHAP{{Table: "alice", Secret: NewSecret(text)}}}
	inside := struct{ secret Secret }{NewSecret(text)} // fmt cannot call methods here
	var out bytes.Buffer
	for _, v := range []any{c, *c, c.CHAP, c.CHAP[0], &c.CHAP[0].Secret, c.CHAP[0].Secret, inside, &inside} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%p", "%b"} {
			fmt.Fprintf(&out, verb+"\n", v)
		}
		j, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		out.Write(j)
		for _, h := range []slog.Handler{slog.NewTextHandler(&out, nil), slog.NewJSONHandler(&out, nil)} {
			slog.New(h).Info("x", "v", v)
		}
	}
	for _, leak := range []string{text, fmt.Sprintf("%x", text), fmt.Sprintf("%X", text), strings.Trim(fmt.Sprint([]byte(text)), "[]")} {
		if strings.Contains(out.String(), leak) {
			t.Errorf("%q was printed", leak)
		}
	}
	if !strings.Contains(out.String(), hidden) || string(c.CHAP[0].Secret.Bytes()) != text || (Secret{}).Bytes() != nil {
		t.Errorf("the secret is %q, want %q", c.CHAP[0].Secret.Bytes(), text)
	}
}

// A secretDir is a directory with a configuration and secrets.
type secretDir struct {
	t   *testing.T
	dir string
}

func newSecretDir(t *testing.T) *secretDir { return &secretDir{t, t.TempDir()} }

func (d *secretDir) write(name, text string, mode os.FileMode) {
	d.t.Helper()
	path := filepath.Join(d.dir, name)
	os.Remove(path)
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		d.t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		d.t.Fatal(err)
	}
}

// load loads a configuration with that text.
func (d *secretDir) load(text string) (*Config, error) {
	d.t.Helper()
	d.write("f.toml", text, 0o644)
	return Load(filepath.Join(d.dir, "f.toml"))
}

const (
	good     = "correct horse"
	usesBoth = `[drive.cd0.iscsi]
users = ["alice"]
mutual = "self"
[chap.alice]
secret_file = "alice"
[chap.self]
secret_credential = "own"
`
)

func TestSecrets(t *testing.T) {
	d := newSecretDir(t)
	t.Setenv("CREDENTIALS_DIRECTORY", d.dir)
	d.write("alice", good+"\n", 0o400)
	d.write("own", "battery staple", 0o440) // systemd's are as it makes them
	c, err := d.load(usesBoth)
	if err != nil {
		t.Fatal(err)
	}
	if a, s := c.Chap("alice"), c.Chap("self"); string(a.Secret.Bytes()) != good || string(s.Secret.Bytes()) != "battery staple" {
		t.Errorf("secrets %q and %q, want %q and %q", a.Secret.Bytes(), s.Secret.Bytes(), good, "battery staple")
	}
	d.write("own", good, 0o400)
	const want = "/f.toml:3: drive.cd0.iscsi.mutual: self and alice have the same secret: whoever is asked could ask back"
	if _, err := d.load(usesBoth); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("one secret for both: %v; want %s", err, want)
	}
	c, err = d.load("[drive.a]\n[chap.alice]\nsecret_file = \"alice\"\n")
	if err != nil {
		t.Fatal(err)
	}
	if w := strings.Join(c.Warnings, "\n"); !strings.Contains(w, "nothing names [chap.alice]") {
		t.Errorf("warnings %q; want one of the table that nothing names", w)
	}
}

// TestBadSecrets checks that each refusal says where, why and what to do, and
// none of them the secret.
func TestBadSecrets(t *testing.T) {
	const one = "[drive.a]\n[chap.alice]\nsecret_file = \"alice\"\n"
	const key = "/f.toml:3: chap.alice.secret_file: "
	for _, tt := range []struct {
		name, text string
		mode       os.FileMode
		want       []string
	}{
		{"for all to read", good, 0o644, []string{key, "/alice is open to other users (mode 0644) (hint: chmod 600 "}},
		{"for others to read", good, 0o604, []string{"(mode 0604)"}},
		{"for the group to write", good, 0o620, []string{"(mode 0620)"}},
		{"short", "elevenchars\n", 0o600, []string{
			key, "/alice has 11 characters, fewer than 12: who sees one login on the wire can try all such (RFC 7143, 9.2.1, asks for 96 bits)",
			"(hint: make one: (umask 077; openssl rand -base64 12 | tr -d '\\n' >", "/alice))",
		}},
		{"empty", "", 0o600, []string{"has 0 characters"}},
		{"long", strings.Repeat("x", 256), 0o600, []string{key, "has 256 characters, more than 255"}},
		{"a whole book", strings.Repeat("x", 257), 0o600, []string{key, "/alice has more than 256 bytes (hint: name a file with the secret alone in it)"}},
		{"two lines", good + "\n" + good + "\n", 0o600, []string{key, "has a second line or a control character in it"}},
		{"of Windows", good + "\r\n", 0o600, []string{"control character"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := newSecretDir(t)
			d.write("alice", tt.text, tt.mode)
			_, err := d.load(one)
			for _, want := range tt.want {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("%v; want %s", err, want)
				}
			}
			if err != nil && tt.text != "" && strings.Contains(err.Error(), strings.TrimSpace(tt.text)) {
				t.Errorf("%v says the secret", err)
			}
		})
	}
}

// TestNoSecret names things that hold none.
func TestNoSecret(t *testing.T) {
	d := newSecretDir(t)
	if err := syscall.Mkfifo(filepath.Join(d.dir, "fifo"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("CREDENTIALS_DIRECTORY", "")
	for _, tt := range []struct{ line, want string }{
		{`secret_file = "none"`, "f.toml:3: chap.a.secret_file: open " + d.dir + "/none: no such file or directory (hint: make one: (umask"},
		{`secret_file = "fifo"`, "/fifo is no regular file (hint: name a file"},
		{`secret_file = "."`, " is no regular file"},
		{`secret_credential = "own"`, "f.toml:3: chap.a.secret_credential: systemd passes no credentials (hint: write LoadCredential=own:FILE into the unit"},
	} {
		if _, err := d.load("[drive.a]\n[chap.a]\n" + tt.line + "\n"); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v; want %s", tt.line, err, tt.want)
		}
	}
	t.Setenv("CREDENTIALS_DIRECTORY", d.dir)
	const want = "none: no such file or directory (hint: write LoadCredential=none:FILE into the unit and restart the service)"
	if _, err := d.load("[drive.a]\n[chap.a]\nsecret_credential = \"none\"\n"); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("no such credential: %v; want %s", err, want)
	}
}

func TestGuarded(t *testing.T) {
	me, mine := os.Geteuid(), os.Getegid()
	const stranger, strangers = 1 << 30, 1<<30 + 1
	for _, tt := range []struct {
		name         string
		mode         os.FileMode
		owner, group int
		want         string // part of the reason; none when it is good
	}{
		{"mine", 0o600, me, strangers, ""},
		{"root's", 0o400, 0, strangers, ""},
		{"root's, for my group", 0o640, 0, mine, ""},
		{"root's, for another group", 0o640, 0, strangers, "open to other users (mode 0640)"},
		{"root's, for my group to write", 0o660, 0, mine, "open to other users"},
		{"root's, for all", 0o644, 0, mine, "open to other users"},
		{"another's", 0o600, stranger, mine, "belongs to another user"},
	} {
		reason, hint := guarded("f", tt.mode, tt.owner, tt.group)
		if (reason == "") != (tt.want == "") || !strings.Contains(reason, tt.want) || (hint == "") != (reason == "") {
			t.Errorf("%s: %q, hint %q; want %q", tt.name, reason, hint, tt.want)
		}
	}
}

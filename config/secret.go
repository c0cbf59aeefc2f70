package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// A Secret is a password. Nothing prints it: not fmt, in whatever it is, not
// encoding/json, not log/slog. Bytes gives it to who has to hash it.
type Secret struct {
	text *string // behind a pointer, for fmt looks into fields that it may not call methods of
}

// NewSecret returns text as a secret.
func NewSecret(text string) Secret { return Secret{&text} }

const hidden = "[secret]"

// Bytes returns the secret, nil for the zero value.
func (s Secret) Bytes() []byte {
	if s.text == nil {
		return nil
	}
	return []byte(*s.text)
}

// Equal reports whether both are the same, for configurations of one operator:
// how long it takes may tell where they differ.
func (s Secret) Equal(o Secret) bool {
	return s.text == o.text || s.text != nil && o.text != nil && *s.text == *o.text
}

// String hides the secret.
func (s Secret) String() string { return hidden }

// Format implements fmt.Formatter, and hides the secret from every verb.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, hidden) }

// MarshalText implements encoding.TextMarshaler, for JSON too, and hides the
// secret.
func (s Secret) MarshalText() ([]byte, error) { return []byte(hidden), nil }

// LogValue implements slog.LogValuer and hides the secret.
func (s Secret) LogValue() slog.Value { return slog.StringValue(hidden) }

const (
	minSecret     = 12 // bytes: 96 bits (RFC 7143, 9.2.1)
	maxSecret     = 255
	maxSecretFile = 256 // bytes, with the newline
)

// makeSecret is how to make a secret that suits every host: of 96 random bits, and
// of 16 characters, more than which Windows does not take.
func makeSecret(path string) string {
	return "make one: (umask 077; openssl rand -base64 12 | tr -d '\\n' >" + path + ")"
}

// readSecrets reads the secrets that the configuration names. Errors are those
// of the file with that text.
func (c *Config) readSecrets(text string) error {
	var errs []*Error
	for i := range c.CHAP {
		p := &c.CHAP[i]
		key, path, read := "secret_file", p.File, readSecretFile
		if p.Credential != "" {
			key, path, read = "secret_credential", p.Credential, readCredential
		}
		secret, reason, hint := read(path)
		if reason != "" {
			errs = append(errs, &Error{Key: []string{"chap", p.Table, key}, Reason: reason, Hint: hint})
		}
		p.Secret = secret
	}
	errs = append(errs, c.secretProblems()...)
	if len(errs) == 0 {
		return nil
	}
	return locate(c.Path, text, errs)
}

// secretProblems checks that no secret serves both directions.
func (c *Config) secretProblems() (errs []*Error) {
	var users []*CHAP
	for _, a := range c.accesses() {
		for _, u := range a.Users {
			users = append(users, c.Chap(u))
		}
	}
	for where, a := range c.accesses() {
		if a.Mutual == "" {
			continue
		}
		own := c.Chap(a.Mutual)
		i := slices.IndexFunc(users, func(u *CHAP) bool { return own.Secret.text != nil && own.Secret.Equal(u.Secret) })
		if i >= 0 {
			errs = append(errs, &Error{
				Key: append(where, "mutual"), Hint: "the drive needs one of its own; " + makeSecret("FILE"),
				Reason: fmt.Sprintf("%s and %s have the same secret: whoever is asked could ask back for the answer (RFC 7143, 9.2.1)", own.Table, users[i].Table),
			})
		}
	}
	return errs
}

// readCredential reads a credential that systemd passes. systemd sees to who
// may read it.
func readCredential(name string) (s Secret, reason, hint string) {
	dir := os.Getenv("CREDENTIALS_DIRECTORY")
	if dir == "" {
		return s, "systemd passes no credentials", fmt.Sprintf("write LoadCredential=%s:FILE into the unit, or name a secret_file here", name)
	}
	return readSecret(filepath.Join(dir, name), fmt.Sprintf("write LoadCredential=%s:FILE into the unit and restart the service", name),
		func(os.FileInfo) (string, string) { return "", "" })
}

// readSecretFile reads a secret from a file that nobody else may read.
func readSecretFile(path string) (s Secret, reason, hint string) {
	return readSecret(path, makeSecret(path), func(fi os.FileInfo) (reason, hint string) {
		owner, group := 0, 0
		if st, ok := fi.Sys().(*syscall.Stat_t); ok {
			owner, group = int(st.Uid), int(st.Gid)
		}
		return guarded(path, fi.Mode().Perm(), owner, group)
	})
}

// guarded says why a secret in a file with such owners is none: someone else
// may read it, or put another in its place. Root may give it to the group that
// the service runs as.
func guarded(path string, mode fs.FileMode, owner, group int) (reason, hint string) {
	if owner != 0 && owner != os.Geteuid() {
		return fmt.Sprintf("%s belongs to another user (%d)", path, owner), fmt.Sprintf("chown %d %s", os.Geteuid(), path)
	}
	others := mode & 0o077
	if groups, _ := os.Getgroups(); owner == 0 && (group == os.Getegid() || slices.Contains(groups, group)) {
		others &^= 0o040
	}
	if others != 0 {
		return fmt.Sprintf("%s is open to other users (mode %04o)", path, mode), fmt.Sprintf("chmod 600 %s, and make a new secret if they may have read it", path)
	}
	return "", ""
}

// readSecret reads a file that check, which says what is wrong with it, lets
// pass. create is what to do when there is none.
func readSecret(path, create string, check func(os.FileInfo) (reason, hint string)) (s Secret, reason, hint string) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a FIFO without a writer is no reason to wait
	switch {
	case errors.Is(err, fs.ErrPermission):
		return s, err.Error(), fmt.Sprintf("spindle must be able to read it: chown %d %s", os.Geteuid(), path)
	case errors.Is(err, fs.ErrNotExist):
		return s, err.Error(), create
	case err != nil:
		return s, err.Error(), ""
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return s, err.Error(), ""
	}
	if !fi.Mode().IsRegular() {
		return s, path + " is no regular file", "name a file with the secret alone in it"
	}
	if reason, hint = check(fi); reason != "" {
		return s, reason, hint
	}
	b, err := io.ReadAll(io.LimitReader(f, maxSecretFile+1))
	if err != nil {
		return s, err.Error(), ""
	}
	if len(b) > maxSecretFile {
		return s, fmt.Sprintf("%s has more than %d bytes", path, maxSecretFile), "name a file with the secret alone in it"
	}
	text := strings.TrimSuffix(string(b), "\n")
	reason, hint = checkSecret(text, path)
	if reason != "" {
		return s, reason, hint
	}
	return NewSecret(text), "", ""
}

// checkSecret says what is wrong with a secret, without its text.
func checkSecret(text, path string) (reason, hint string) {
	switch {
	case strings.ContainsFunc(text, isControl):
		return path + " has a second line or a control character in it", "hosts type the secret: one line of letters and digits"
	case len(text) < minSecret:
		return fmt.Sprintf("the secret in %s has %d characters, fewer than %d: who sees one login on the wire can try all such (RFC 7143, 9.2.1, asks for 96 bits)", path, len(text), minSecret), makeSecret(path)
	case len(text) > maxSecret:
		return fmt.Sprintf("the secret in %s has %d characters, more than %d", path, len(text), maxSecret), makeSecret(path)
	}
	return "", ""
}

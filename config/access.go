package config

import (
	"fmt"
	"iter"
	"maps"
	"net/netip"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// A CHAP is a table [chap.NAME]: a name and the secret that proves it
// (RFC 7143, 12.1.3). A host's proves the host, a drive's the drive.
type CHAP struct {
	Table      string // NAME, by which Access has it
	Name       string // on the wire, CHAP_N
	File       string // that holds the secret; empty for a credential
	Credential string // of systemd, that holds the secret
	Secret     Secret // only Load reads it
}

// Access says who may log in. The zero value lets everybody in.
type Access struct {
	Initiators []string       // iSCSI names, or patterns with *; none for all
	Networks   []netip.Prefix // where initiators come from; none for all
	Users      []string       // tables of [chap] that an initiator proves to be; none for no CHAP
	Mutual     string         // table of [chap] that proves the drive; empty for none
	Algorithms []string       // of Algorithms; none for all of them
}

// Open reports whether everybody may log in.
func (a *Access) Open() bool { return len(a.Initiators)+len(a.Networks)+len(a.Users) == 0 }

// Algorithms are the values of Access.Algorithms, the strongest first.
var Algorithms = []string{"SHA3-256", "SHA-256", "SHA1", "MD5"}

var (
	chapTable      = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)
	credentialName = regexp.MustCompile(`^[A-Za-z0-9_-][A-Za-z0-9._-]{0,254}$`)
)

const maxCHAPName = 255 // bytes; RFC 7143, 6.1, has no longer text values

// readCHAPs takes the tables below [chap].
func (c *Config) readCHAPs(t *table) {
	for _, name := range slices.Sorted(maps.Keys(t.m)) {
		c.CHAP = append(c.CHAP, c.readCHAP(name, t.table(name)))
	}
}

// readCHAP fills a table [chap.NAME].
func (c *Config) readCHAP(name string, t *table) CHAP {
	p := CHAP{Table: name, Name: name}
	t.string("name", &p.Name)
	t.string("secret_file", &p.File)
	t.string("secret_credential", &p.Credential)
	if p.File != "" && !filepath.IsAbs(p.File) {
		p.File = filepath.Join(filepath.Dir(c.Path), p.File)
	}
	if t.says("secret") {
		t.take("secret")
		t.fail("secret", "a secret does not stand here, where it is shown and copied", `put it into a file of its own and write secret_file = "…"`)
	}
	t.done()
	return p
}

// read takes the keys of who may log in.
func (a *Access) read(t *table) {
	t.strings("initiators", &a.Initiators)
	t.prefixes("networks", &a.Networks)
	t.strings("users", &a.Users)
	t.string("mutual", &a.Mutual)
	t.strings("algorithms", &a.Algorithms)
	for key, everybody := range map[string]string{
		"initiators": "whoever they are", "networks": "wherever they come from", "users": "without a password",
		"algorithms": "with any of them",
	} {
		if list, ok := t.m[key].([]any); ok && len(list) == 0 {
			t.fail(key, "the list is empty", "leave the line out to let hosts in "+everybody)
		}
	}
}

// prefixes takes a list of networks. One address is a network of its own.
func (t *table) prefixes(key string, dst *[]netip.Prefix) {
	var texts []string
	t.strings(key, &texts)
	for _, text := range texts {
		p, reason, hint := parseNetwork(text)
		if reason != "" {
			t.fail(key, fmt.Sprintf("%q %s", text, reason), hint)
			continue
		}
		*dst = append(*dst, p)
	}
}

// parseNetwork takes ADDRESS/BITS, or one address.
func parseNetwork(text string) (p netip.Prefix, reason, hint string) {
	a, err := netip.ParseAddr(text)
	if err == nil {
		p = netip.PrefixFrom(a, a.BitLen())
	} else if p, err = netip.ParsePrefix(text); err != nil {
		return p, "is no network", `write it as "192.0.2.0/24" or "2001:db8::/32"`
	}
	switch {
	case a.Zone() != "":
		return p, "names an interface", "leave out the % and what is behind it"
	case p.Addr().Is4In6():
		return p, "is IPv4 in the form of IPv6, which no host has here", "write it as IPv4"
	case p != p.Masked():
		return p, fmt.Sprintf("is an address in the network %v", p.Masked()), fmt.Sprintf("write %q for all of that network, or %q for the one host", p.Masked(), p.Addr())
	}
	return p, "", ""
}

// accessProblems returns what is wrong with who may log in.
func (c *Config) accessProblems() (errs []*Error) {
	for i := range c.CHAP {
		errs = append(errs, c.CHAP[i].problems()...)
	}
	roles := map[string]string{} // of a table: what it is used as already
	for where, a := range c.accesses() {
		fail := func(key, reason, hint string) {
			errs = append(errs, &Error{Key: append(slices.Clone(where), key), Reason: reason, Hint: hint})
		}
		a.problems(fail)
		c.userProblems(a, fail)
		for _, u := range a.Users {
			if roles[u] == "mutual" {
				fail("users", fmt.Sprintf("%q proves a drive elsewhere", u), oneWay)
			}
			roles[u] = "user"
		}
		if a.Mutual != "" && roles[a.Mutual] == "user" {
			fail("mutual", fmt.Sprintf("%q is one of users", a.Mutual), oneWay)
		} else if a.Mutual != "" {
			roles[a.Mutual] = "mutual"
		}
	}
	return errs
}

// oneWay is why a secret serves one direction only (RFC 7143, 9.2.1).
const oneWay = "with one secret for both directions whoever is asked could ask back for the answer: make a second table with a secret of its own"

// accesses are all that say who may log in, with their tables.
func (c *Config) accesses() iter.Seq2[[]string, *Access] {
	return func(yield func([]string, *Access) bool) {
		if !yield([]string{"iscsi", "discovery"}, &c.ISCSI.Discovery) {
			return
		}
		for i := range c.Drives {
			if !yield([]string{"drive", c.Drives[i].Name, "iscsi"}, &c.Drives[i].Access) {
				return
			}
		}
	}
}

// problems returns what is wrong with p, but for its secret.
func (p *CHAP) problems() (errs []*Error) {
	fail := func(reason, hint string, key ...string) {
		errs = append(errs, &Error{Key: append([]string{"chap", p.Table}, key...), Reason: reason, Hint: hint})
	}
	if !chapTable.MatchString(p.Table) {
		fail("it is no name for a table of CHAP", `use 1 to 64 letters, digits, - and _; name = "…" may be anything`)
	}
	if p.Name == "" || len(p.Name) > maxCHAPName || strings.ContainsFunc(p.Name, isControl) {
		fail(fmt.Sprintf("%q is not 1 to %d characters", p.Name, maxCHAPName), "leave the line out for the name of the table", "name")
	}
	switch {
	case p.File == "" && p.Credential == "":
		fail("it has no secret", `write secret_file = "FILE", or secret_credential = "NAME" of systemd`)
	case p.File != "" && p.Credential != "":
		fail("it has a file and a credential", "leave one of the two out", "secret_credential")
	case strings.ContainsRune(p.File, 0):
		fail("it is no name of a file", "", "secret_file")
	case p.Credential != "" && !credentialName.MatchString(p.Credential):
		fail(fmt.Sprintf("%q is no name of a credential", p.Credential), "it is what stands before the : of LoadCredential=", "secret_credential")
	}
	return errs
}

func isControl(r rune) bool { return r < ' ' || r == 0x7F }

// problems returns what is wrong with a by itself.
func (a *Access) problems(fail func(key, reason, hint string)) {
	for i, p := range a.Initiators {
		if reason, hint := checkPattern(p); reason != "" {
			fail("initiators", fmt.Sprintf("%q: %s", p, reason), hint)
		} else if slices.Contains(a.Initiators[:i], p) {
			fail("initiators", fmt.Sprintf("%q stands there twice", p), "")
		}
	}
	for i, p := range a.Networks {
		if slices.Contains(a.Networks[:i], p) {
			fail("networks", fmt.Sprintf("%q stands there twice", p), "")
		}
	}
	for i, name := range a.Algorithms {
		if !slices.Contains(Algorithms, name) {
			fail("algorithms", fmt.Sprintf("%q is not one of %s", name, strings.Join(Algorithms, ", ")), suggest(name, Algorithms))
		} else if slices.Contains(a.Algorithms[:i], name) {
			fail("algorithms", fmt.Sprintf("%q stands there twice", name), "")
		}
	}
	if len(a.Users) == 0 && a.Mutual != "" {
		fail("mutual", "the drive proves itself only to hosts that do so first (RFC 7143, 12.1.3)", "add users")
	}
	if len(a.Users) == 0 && len(a.Algorithms) > 0 {
		fail("algorithms", "they are of CHAP, and there are no users", "add users, or leave the line out")
	}
}

// checkPattern says what is wrong with the name of an initiator, or a pattern.
// Initiators are not held to the characters of RFC 3722: QEMU's and
// open-iscsi's may have capitals and underscores.
func checkPattern(p string) (reason, hint string) {
	kind, _, _ := strings.Cut(strings.ToLower(p), ".")
	switch {
	case len(p) > maxTargetName:
		return fmt.Sprintf("it has %d bytes, more than %d", len(p), maxTargetName), ""
	case strings.ContainsFunc(p, func(r rune) bool { return r <= ' ' || r > '~' }):
		return "an iSCSI name has no such characters", "write each name in quotes of its own"
	case kind == "iqn", strings.ContainsAny(p, "*?") && slices.Contains([]string{"eui", "naa"}, kind), strings.HasPrefix(p, "*"),
		eui.MatchString(p), naa.MatchString(p):
		return "", ""
	case kind == "eui", kind == "naa":
		return "it is no such name: eui. has 16 hexadecimal digits behind it, naa. 16 or 32", "compare with what the host says, or write a pattern as \"" + kind + ".*\""
	}
	if _, reason, _ := parseNetwork(p); reason == "" {
		return "it is an address", "addresses go into networks"
	}
	return "it is no iSCSI name", `write "iqn.2026-11.net.example:host1", or a pattern as "iqn.2026-11.net.example:*"`
}

// userProblems checks that a's users are there, each name once.
func (c *Config) userProblems(a *Access, fail func(key, reason, hint string)) {
	names := map[string]string{} // on the wire, to table
	for i, table := range a.Users {
		p := c.Chap(table)
		switch {
		case p == nil:
			fail("users", fmt.Sprintf("there is no [chap] table %q", table), c.suggestCHAP(table))
		case slices.Contains(a.Users[:i], table):
			fail("users", fmt.Sprintf("%q stands there twice", table), "")
		case names[p.Name] != "":
			fail("users", fmt.Sprintf("%s and %s are both %q to hosts", names[p.Name], table, p.Name), "a host says its name first, and one secret goes with it: change name in one of them")
		default:
			names[p.Name] = table
		}
	}
	if a.Mutual != "" && c.Chap(a.Mutual) == nil {
		fail("mutual", fmt.Sprintf("there is no [chap] table %q", a.Mutual), c.suggestCHAP(a.Mutual))
	}
}

func (c *Config) suggestCHAP(name string) string {
	var known []string
	for i := range c.CHAP {
		known = append(known, c.CHAP[i].Table)
	}
	if hint := suggest(name, known); hint != "" {
		return hint
	}
	return fmt.Sprintf("add [chap.%s] with a secret_file", name)
}

// Chap returns the table [chap.NAME], or nil.
func (c *Config) Chap(name string) *CHAP {
	if i := slices.IndexFunc(c.CHAP, func(p CHAP) bool { return p.Table == name }); i >= 0 {
		return &c.CHAP[i]
	}
	return nil
}

// unusedCHAP returns the tables of [chap] that nothing names.
func (c *Config) unusedCHAP() (unused []string) {
	used := map[string]bool{}
	for _, a := range c.accesses() {
		used[a.Mutual] = true
		for _, u := range a.Users {
			used[u] = true
		}
	}
	for i := range c.CHAP {
		if table := c.CHAP[i].Table; !used[table] {
			unused = append(unused, table)
		}
	}
	return unused
}

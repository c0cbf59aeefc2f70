package config

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/BurntSushi/toml"
)

// Parse parses and checks a configuration. name is the file's, for errors and
// for directories that are relative to it. Its error is as that of [Load].
func Parse(name string, data []byte) (*Config, error) {
	if len(data) > maxSize {
		return nil, &Error{File: name, Reason: fmt.Sprintf("it is larger than %d bytes", maxSize)}
	}
	var top map[string]any
	if _, err := toml.Decode(string(data), &top); err != nil {
		return nil, syntaxError(name, err)
	}
	c := defaults()
	c.Path = name
	r := &reader{}
	c.read(&table{r: r, m: top})
	errs := append(r.errs, c.problems()...)
	if len(errs) > 0 {
		return nil, locate(name, string(data), errs)
	}
	return c, nil
}

// syntaxError is an error of package toml in our form.
func syntaxError(name string, err error) error {
	e := &Error{File: name, Reason: err.Error()}
	if pe, ok := errors.AsType[toml.ParseError](err); ok {
		e.Line, e.Reason = pe.Position.Line, pe.Message
		switch {
		case strings.Contains(e.Reason, "already"):
			e.Hint = "a drive, a table and a key may stand only once"
		case strings.Contains(e.Reason, "expected value"):
			e.Hint = "put text in double quotes"
		case strings.Contains(e.Reason, "expected '.' or '='"):
			e.Hint = `a line is KEY = VALUE, or a [TABLE]`
		case strings.Contains(e.Reason, "end table name"):
			e.Hint = "a table is [NAME] on a line of its own"
		}
	}
	return e
}

// read fills c from the file's tables.
func (c *Config) read(top *table) {
	lib := top.table("library")
	lib.strings("dirs", &c.Library.Dirs)
	lib.choice("verify", &c.Library.Verify, Off, Required)
	lib.string("cache", &c.Library.Cache)
	lib.size("cache_size", &c.Library.CacheSize)
	if dir := c.Library.Cache; dir != "" && !filepath.IsAbs(dir) {
		c.Library.Cache = filepath.Join(filepath.Dir(c.Path), dir)
	}
	c.Unsaid.Dirs = !lib.says("dirs")
	for i, dir := range c.Library.Dirs {
		if dir != "" && !filepath.IsAbs(dir) {
			c.Library.Dirs[i] = filepath.Join(filepath.Dir(c.Path), dir)
		}
	}
	lib.done()

	iscsi := top.table("iscsi")
	c.ISCSI.readPortals(iscsi)
	c.ISCSI.readEngine(iscsi)
	c.ISCSI.Limits.read(iscsi.table("limits"))
	discovery := iscsi.table("discovery")
	c.ISCSI.Discovery.read(discovery)
	discovery.done()
	iscsi.done()
	c.readCHAPs(top.table("chap"))

	d := top.table("daemon")
	d.string("state", &c.Daemon.State)
	d.string("socket", &c.Daemon.Socket)
	c.Unsaid.State, c.Unsaid.Socket = !d.says("state"), !d.says("socket")
	d.level("log_level", &c.Daemon.LogLevel)
	d.bool("log_json", &c.Daemon.LogJSON)
	d.done()

	drives := top.table("drive")
	for _, name := range slices.Sorted(maps.Keys(drives.m)) {
		c.Drives = append(c.Drives, readDrive(name, drives.table(name)))
	}
	gadgets := top.table("gadget")
	for _, name := range slices.Sorted(maps.Keys(gadgets.m)) {
		c.Gadgets = append(c.Gadgets, readGadget(name, gadgets.table(name)))
	}
	top.done()
}

func readDrive(name string, t *table) Drive {
	d := NewDrive(name)
	t.string("disc", &d.Disc)
	t.choice("medium", &d.Medium, "cd", "dvd", "bd")
	t.choice("on_reload", &d.OnReload, Hold, Force)
	t.choice("eject", &d.Eject, Keep, Remove)
	t.choice("host", &d.Host, Hosts...)
	t.duration("swap_hold", &d.SwapHold)
	t.duration("spin_up", &d.SpinUp)
	t.duration("eject_wait", &d.EjectWait)
	t.bool("ua_on_return", &d.UAOnReturn)
	d.readKind(t)
	iscsi := t.table("iscsi")
	iscsi.string("target", &d.Target)
	iscsi.string("redirect", &d.Redirect)
	iscsi.bool("redirect_permanent", &d.RedirectPermanent)
	d.Access.read(iscsi)
	iscsi.done()
	usb := t.table("usb")
	usb.string("gadget", &d.Gadget)
	usb.done()
	t.done()
	return d
}

func readGadget(name string, t *table) Gadget {
	g := NewGadget(name)
	t.string("udc", &g.UDC)
	t.id("vid", &g.VendorID)
	t.id("pid", &g.ProductID)
	t.string("manufacturer", &g.Manufacturer)
	t.string("product", &g.Product)
	t.string("serial", &g.Serial)
	t.int("max_power", &g.MaxPower)
	t.bool("self_powered", &g.SelfPowered)
	t.int("subclass", &g.Subclass)
	t.bool("stall", &g.Stall)
	t.choice("mode", &g.Mode, MMC, Kernel)
	t.string("functionfs", &g.FunctionFS)
	t.string("usbip", &g.USBIP)
	t.done()
	return g
}

// A reader collects what is wrong.
type reader struct{ errs []*Error }

// A table is a TOML table that is read key by key, so that every wrong value
// is reported and not only the first, and that knows which keys nobody asked
// for. Its methods leave the default where there is no such key.
type table struct {
	r     *reader
	path  []string
	m     map[string]any
	known []string
}

func (t *table) fail(key, reason, hint string) {
	t.r.errs = append(t.r.errs, &Error{Key: append(slices.Clone(t.path), key), Reason: reason, Hint: hint})
}

// named are the tables that hold tables with names of the user's.
var named = []string{"drive", "gadget", "chap"}

func (t *table) take(key string) (any, bool) {
	t.known = append(t.known, key)
	v, ok := t.m[key]
	return v, ok
}

// table returns the table below key, an empty one when there is none.
func (t *table) table(key string) *table {
	sub := &table{r: t.r, path: append(slices.Clone(t.path), key)}
	v, ok := t.take(key)
	if !ok {
		return sub
	}
	if sub.m, ok = v.(map[string]any); !ok {
		name := strings.Join(sub.path, ".")
		if len(t.path) == 0 && slices.Contains(named, key) {
			name += ".NAME"
		}
		t.fail(key, "it must be a table, not "+kindOf(v), fmt.Sprintf("write it as [%s]", name))
	}
	return sub
}

func (t *table) string(key string, dst *string) {
	if v, ok := t.take(key); ok {
		if s, ok := v.(string); ok {
			*dst = s
		} else {
			t.fail(key, "it must be text, not "+kindOf(v), "put it in double quotes")
		}
	}
}

func (t *table) strings(key string, dst *[]string) {
	v, ok := t.take(key)
	if !ok {
		return
	}
	list, ok := v.([]any)
	if !ok {
		t.fail(key, "it must be a list of texts, not "+kindOf(v), `write it as ["…", "…"]`)
		return
	}
	out := make([]string, 0, len(list))
	for _, e := range list {
		s, ok := e.(string)
		if !ok {
			t.fail(key, "it must be a list of texts, and holds "+kindOf(e), `write it as ["…", "…"]`)
			return
		}
		out = append(out, s)
	}
	*dst = out
}

func (t *table) bool(key string, dst *bool) {
	if v, ok := t.take(key); ok {
		if b, ok := v.(bool); ok {
			*dst = b
		} else {
			t.fail(key, "it must be true or false, not "+kindOf(v), "write it without quotes")
		}
	}
}

func (t *table) int(key string, dst *int) {
	if v, ok := t.take(key); ok {
		if n, ok := v.(int64); ok && n == int64(int(n)) {
			*dst = int(n)
		} else if _, ok := v.(float64); ok {
			t.fail(key, "it must be a whole number, not a fraction", "write it as 48, without point and exponent")
		} else {
			t.fail(key, "it must be a whole number, not "+kindOf(v), "write it without quotes")
		}
	}
}

// id takes a USB vendor or product id: 0x1d6b, or "1d6b" as tools print it.
func (t *table) id(key string, dst *uint16) {
	v, ok := t.take(key)
	if !ok {
		return
	}
	n, ok := v.(int64)
	if s, isText := v.(string); isText {
		u, err := strconv.ParseUint(strings.TrimPrefix(s, "0x"), 16, 16)
		n, ok = int64(u), err == nil
	}
	if !ok || n < 0 || n > 0xFFFF {
		t.fail(key, "it is no id of 16 bits", `write it as 0x1d6b or "1d6b"`)
		return
	}
	*dst = uint16(n)
}

// says reports whether the file has the key.
func (t *table) says(key string) bool {
	_, ok := t.m[key]
	return ok
}

// choice takes one of a few texts.
func (t *table) choice(key string, dst *string, of ...string) {
	old := *dst
	t.string(key, dst)
	if *dst != old && !slices.Contains(of, *dst) {
		t.fail(key, fmt.Sprintf("%q is not one of %s", *dst, strings.Join(of, ", ")), suggest(*dst, of))
		*dst = old
	}
}

func (t *table) duration(key string, dst *time.Duration) {
	text := dst.String()
	t.string(key, &text)
	d, err := time.ParseDuration(text)
	if err != nil {
		t.fail(key, fmt.Sprintf("%q is not a duration", text), `write it as "2.5s" or "500ms"`)
		return
	}
	*dst = d
}

// sizeUnits are what may stand behind a number of bytes.
var sizeUnits = []struct {
	name string
	n    int64
}{{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", 1 << 40}, {"kB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"TB", 1e12}, {"B", 1}}

// size takes a number of bytes with its unit.
func (t *table) size(key string, dst *int64) {
	text := ""
	if t.string(key, &text); text == "" && !t.says(key) {
		return
	}
	for _, u := range sizeUnits {
		number, ok := strings.CutSuffix(text, u.name)
		if !ok {
			continue
		}
		f, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
		if f *= float64(u.n); err == nil && f >= 1 && f < 1<<62 {
			*dst = int64(f)
			return
		}
		break
	}
	if _, isText := t.m[key].(string); isText {
		t.fail(key, fmt.Sprintf("%q is no size", text), `write it as "20GiB" or "500MB"`)
	}
}

func (t *table) level(key string, dst *slog.Level) {
	names := map[string]slog.Level{"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError}
	text := strings.ToLower(dst.String())
	t.choice(key, &text, "debug", "info", "warn", "error")
	*dst = names[text]
}

// done reports the keys that were not asked for.
func (t *table) done() {
	for _, key := range slices.Sorted(maps.Keys(t.m)) {
		if slices.Contains(t.known, key) {
			continue
		}
		t.fail(key, "unknown key", suggest(key, t.known))
	}
}

// kindOf names the type of a TOML value for people.
func kindOf(v any) string {
	switch v.(type) {
	case string:
		return "text"
	case int64, float64:
		return "a number"
	case bool:
		return "true or false"
	case time.Time:
		return "a date"
	case map[string]any:
		return "a table"
	}
	return "a list"
}

// suggest is a hint: the nearest of the known words, or all of them.
func suggest(word string, known []string) string {
	if len(known) == 0 {
		return ""
	}
	near := slices.MinFunc(known, func(a, b string) int {
		return cmp.Compare(distance(word, a), distance(word, b))
	})
	if distance(word, near) <= max(2, len(word)/3) {
		return fmt.Sprintf("did you mean %q?", near)
	}
	return "known here: " + strings.Join(known, ", ")
}

// distance is how many letters of a must be changed, put in, taken out, or
// exchanged with the next to make b of it, in bytes.
func distance(a, b string) int {
	a = a[:min(len(a), 64)] // keys of ours are shorter
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		before, last, row = last, row, before
		row[0] = i + 1
		for j := range len(b) {
			cost := last[j]
			if a[i] != b[j] {
				cost = 1 + min(last[j], last[j+1], row[j])
			}
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				cost = min(cost, 1+before[j-1])
			}
			row[j+1] = cost
		}
	}
	return row[len(b)]
}

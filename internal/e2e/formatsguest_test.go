//go:build linux

package e2e

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"spindle/internal/lab"
	"spindle/testdata/fixture"
)

// A guestDisc is a disc that a guest's tools have to see as what it is.
type guestDisc struct {
	name    string // in the library
	make    func(m *maker, iso []byte) *content
	media   string   // all that cdrom_id says of it, without ID_CDROM_MEDIA_
	label   string   // that blkid finds, "" for a disc without data
	sectors []int    // to read by READ CD
	mounts  []string // options with which its files are as SUMS says
	extra   string   // of the script
}

const (
	oneTrack = " SESSION_COUNT=1 TRACK_COUNT=1 TRACK_COUNT_DATA=1"
	complete = " SESSION_COUNT=1 STATE=complete TRACK_COUNT=1 TRACK_COUNT_DATA=1" // of DVD and BD
)

// guestDiscs are media of all kinds, each kept in another format. iso is a file
// system with SUMS.
var guestDiscs = []guestDisc{
	{
		name: "data.cue", media: "CD=1" + oneTrack, label: "FORMATS", sectors: []int{-1, 16}, mounts: []string{"nojoliet", "norock"},
		make: func(m *maker, iso []byte) *content {
			s := fixture.DataDisc(fixture.Mode1, iso)
			m.must(fixture.WriteCUE(m.dir, "data", s, fixture.CUEOptions{}))
			return &content{Source: s}
		},
	},
	{
		name: "mixed.nrg", media: "CD=1 SESSION_COUNT=1 TRACK_COUNT=3 TRACK_COUNT_AUDIO=2 TRACK_COUNT_DATA=1",
		label: "FORMATS", sectors: []int{16, 500, 900}, mounts: []string{"nojoliet"},
		make: func(m *maker, iso []byte) *content {
			s := fixture.DataFirst(iso)
			m.must(fixture.WriteNRG(m.dir, "mixed", s, fixture.NRGOptions{}))
			return &content{Source: s}
		},
	},
	{
		name: "audio.cue", media: "CD=1 SESSION_COUNT=1 TRACK_COUNT=3 TRACK_COUNT_AUDIO=3", sectors: []int{-150, 0, 799, 1599},
		make: func(m *maker, _ []byte) *content {
			s := fixture.AudioDisc()
			m.must(fixture.WriteCUE(m.dir, "audio", s, fixture.CUEOptions{Layout: fixture.FilePerTrack, Audio: "WAVE"}))
			for _, t := range s.Tracks() {
				m.tool("flac", "--silent", "--delete-input-file", fmt.Sprintf("audio (Track %02d).wav", t.Number))
			}
			return &content{Source: s}
		},
	},
	{
		name: "extra.ccd", media: "CD=1 SESSION_COUNT=2 SESSION_LAST_OFFSET=26624000 TRACK_COUNT=4 TRACK_COUNT_AUDIO=3 TRACK_COUNT_DATA=1",
		label: "TWO", sectors: []int{0, 1000, 13016}, mounts: []string{"nojoliet", "session=3", "sbsector=13000"},
		make: func(m *maker, _ []byte) *content {
			s := fixture.MixedMode(sessionISO(m, fixture.MixedModeStart))
			m.must(fixture.WriteCCD(m.dir, "extra", s, fixture.CCDOptions{}))
			return &content{Source: s}
		},
	},
	{
		name: "layers.mds", media: "DVD=1" + complete, label: "FORMATS", mounts: []string{"norock"},
		make: func(m *maker, iso []byte) *content {
			s := fixture.DualLayerDVD(800, 416, iso)
			m.must(fixture.WriteMDS(m.dir, "layers", s, fixture.MDSOptions{}))
			return &content{Source: s}
		},
	},
	{
		name: "dvd.chd", media: "DVD=1" + complete, label: "FORMATS", mounts: []string{"nojoliet"},
		make: func(m *maker, iso []byte) *content {
			s := fixture.DVD(500, iso)
			m.must(fixture.WriteCHD(m.dir, "dvd", s, fixture.CHDOptions{Codecs: []string{"zstd", "lzma"}}))
			return &content{Source: s}
		},
	},
	{
		name: "packed.cso", media: "CD=1" + oneTrack, label: "FORMATS", sectors: []int{16}, mounts: []string{"nojoliet"},
		make: func(m *maker, iso []byte) *content {
			s := fixture.DataDisc(fixture.Mode1, iso)
			m.must(fixture.WriteCSO(m.dir, "packed", s, fixture.CSOOptions{}))
			return &content{Source: s}
		},
	},
	{
		name: "large.iso", media: "BD=1" + complete, label: "FORMATS", mounts: []string{"nojoliet"},
		make: func(m *maker, iso []byte) *content {
			const blocks = 4_500_000 // 9.2 GB, nearly all a hole
			m.write("large.iso", iso)
			m.must(os.Truncate(m.path("large.iso"), blocks*fixture.UserSize))
			return &content{Source: fixture.DVD(blocks, iso)}
		},
	},
	{
		name: "folder", media: "CD=1" + oneTrack, label: "folder", mounts: []string{"nojoliet,utf8", "norock,utf8"}, make: folderDisc,
		extra: `
			mount -o ro,nojoliet,utf8 /dev/sr0 /mnt || fail mount
			[ "$(readlink /mnt/link)" = "a/b/c/Déjà vu.txt" ] && [ -x "/mnt/run me.sh" ] && [ ! -x /mnt/SUMS ] || fail Rock Ridge
			umount /mnt`,
	},
}

// sessionISO is a file system for a session that starts at a sector.
func sessionISO(m *maker, start int) []byte {
	m.t.Helper()
	tree := m.t.TempDir()
	sums(m, tree, "DATA")
	m.tool("genisoimage", "-quiet", "-C", fmt.Sprintf("0,%d", start), "-J", "-r", "-V", "TWO", "-o", "two.iso", tree)
	defer os.Remove(m.path("two.iso"))
	return m.read("two.iso")
}

// folderDisc is a folder with names that not every file system can have.
func folderDisc(m *maker, _ []byte) *content {
	m.t.Helper()
	dir := m.path("folder")
	sums(m, dir, "README", "a/b/c/Déjà vu.txt", "a/name with spaces and ünïcode 日本.bin", "a/b.c.d.e", "run me.sh",
		"1/2/3/4/5/6/7/8/9/deep", strings.Repeat("long ", 11)+"name", "CASE", "lower.case")
	m.must(os.Chmod(filepath.Join(dir, "run me.sh"), 0o755))
	m.must(os.Symlink("a/b/c/Déjà vu.txt", filepath.Join(dir, "link")))
	return nil
}

// sums writes files of some bytes and their SUMS into a directory.
func sums(m *maker, dir string, names ...string) {
	m.t.Helper()
	var list []byte
	for _, name := range names {
		data := []byte(strings.Repeat("in "+name+" ", 3000))
		path := filepath.Join(dir, name)
		m.must(os.MkdirAll(filepath.Dir(path), 0o755))
		m.must(os.WriteFile(path, data, 0o644))
		list = fmt.Appendf(list, "%x  %s\n", sha256.Sum256(data), name)
	}
	m.must(os.WriteFile(filepath.Join(dir, "SUMS"), list, 0o644))
}

// formatsPrelude has functions for the script of a guestDisc.
const formatsPrelude = `
insert() { # NAME: and have the kernel look, without reading
	echo "DISC $1"
	host spindle insert cd0 "$1" || fail insert
	: </dev/sr0
}
same() { # WHAT GOT WANT
	[ "$2" = "$3" ] || fail "$1: $2; want $3"
}
media() { same cdrom_id "$(cdrom_id /dev/sr0 | sed -n 's/^ID_CDROM_MEDIA_\(.*\)/\1/p' | sort | tr '\n' ' ')" "$1 "; }
profile() { same sg_get_config "$(sg_get_config -c /dev/sr0 | sed -n 's/^Current profile: //p')" "$1"; }
tracks() { # number, LBA, control, mode, of each track
	same wodim "$(wodim -toc dev=/dev/sr0 2>/dev/null |
		sed -n 's/^track: *\([^ ]*\) lba: *\([0-9]*\) .* control: \(.\) mode: \(.*\)/\1 \2 \3 \4/p' | tr '\n' ' ')" "$1 "
}
answer() { # CDB LENGTH SUM: of the answer's hex digits
	same "$1" "$(guesttool sgio /dev/sr0 $1 $2 | sed 's/.*data=//' | tr -d '\n' | sha256sum)" "$3  -"
}
label() { # LABEL OFFSET SIZE: of what blkid may look at
	same blkid "$(blkid -p -o value -s LABEL -O $2 -S $3 /dev/sr0)" "$1"
}
whole() { same sha256sum "$(sha256sum </dev/sr0)" "$1  -"; }
sums() {
	mount -t iso9660 -o ro,$1 /dev/sr0 /mnt && (cd /mnt && sha256sum -c SUMS >/tmp/sums) && umount /mnt || { cat /tmp/sums; fail "mount -o $1"; }
}
`

// script is what a guest does with the disc, whose content c is nil where it is
// not known by the byte.
func (g *guestDisc) script(c *content) string {
	var b strings.Builder
	add := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	add("insert %s", g.name)
	add("media '%s'", g.media)
	kind, _, _ := strings.Cut(g.media, "=")
	add("profile %s-ROM", kind)
	if c != nil {
		add("tracks '%s'", c.wodim())
		c.answers(add, g.sectors)
	}
	if g.label != "" {
		start, end := c.data()
		add("label %s %d %d", g.label, start*fixture.UserSize, (end-start)*fixture.UserSize)
	}
	if sum := c.sum(); sum != "" {
		add("whole %s", sum)
	}
	for _, options := range g.mounts {
		add("sums %s", options)
	}
	add("%s", g.extra)
	return b.String()
}

// data is where user data starts and ends in the last data track; zeros stand
// for the whole disc.
func (c *content) data() (start, end int) {
	if c == nil || c.Blocks > 0 {
		return 0, 0
	}
	for _, t := range c.Tracks() {
		if t.Data() {
			start, end = t.Start, t.End
		}
	}
	for c.block(end-1) == nil {
		end--
	}
	return start, end
}

// wodim is what it prints of tracks: number, LBA, control and mode.
func (c *content) wodim() string {
	if c.Blocks > 0 {
		return fmt.Sprintf("1 0 4 1 lout %d 4 -1", c.Blocks)
	}
	var list []string
	control := byte(0)
	for _, t := range c.Tracks() {
		mode := map[fixture.Kind]int{fixture.Audio: -1, fixture.Mode1: 1, fixture.Mode2Form1: 2}[t.Kind]
		list = append(list, fmt.Sprintf("%d %d %d %d", t.Number, t.Start, t.Control, mode))
		control = t.Control
	}
	return strings.Join(append(list, fmt.Sprintf("lout %d %d -1", c.LeadOut(), control)), " ")
}

// answers adds commands whose answers are known: READ DISC STRUCTURE of a DVD,
// the full TOC and sectors of a CD.
func (c *content) answers(add func(format string, args ...any), sectors []int) {
	answer := func(cdb, want []byte) {
		add("answer %x %d %x", cdb, len(want), sha256.Sum256([]byte(hex.EncodeToString(want))))
	}
	if c.Blocks > 0 {
		if c.Blocks < 1<<20 {
			_, physical := c.DVDStructures()
			answer(cdb(0xAD, 12, 8, uint16(4+len(physical))), append([]byte{8, 2, 0, 0}, physical...))
		}
		return
	}
	toc := c.fullTOC()
	answer(cdb(0x43, 10, 1, byte(2), 2, byte(2), 7, uint16(len(toc))), toc)
	for _, lba := range sectors {
		answer(cdb(0xBE, 12, 2, int32(lba), 7, uint16(1), 9, byte(0xF8)), c.raw(lba))
	}
}

// sum is the SHA-256 of all user data, "" where there is audio, or too much.
func (c *content) sum() string {
	if c == nil || c.Blocks > 1<<20 {
		return ""
	}
	hash := sha256.New()
	for lba := range c.LeadOut() {
		b := c.block(lba)
		if b == nil {
			return ""
		}
		hash.Write(b)
	}
	return hex.EncodeToString(hash.Sum(nil))
}

// TestFormatsInGuest swaps discs of all kinds, each of another format, under one
// guest, whose kernel and tools have to see each as what it is.
//
// A read of audio or of Form 2 as blocks fails, as in a real drive, and the
// kernel says so: blkid makes it do that when it looks for signatures at the end
// of a disc. So it is told where the data track lies, and the kernel's log must
// have no error at all.
func TestFormatsInGuest(t *testing.T) {
	tools := []string{"cdrom_id", "blkid", "sg_get_config", "wodim"}
	lab.Need(t, append([]string{"kernel", "iscsistart", "xorriso", "genisoimage", "flac"}, tools...)...)
	t.Parallel()
	m := &maker{t, t.TempDir()}
	iso, err := os.ReadFile(lab.ISO(t, lab.Image{Size: 400_000, Seed: 62, Label: "FORMATS"}))
	m.must(err)
	var script strings.Builder
	script.WriteString(formatsPrelude + "dmesg -n 1\nlogin\n")
	for _, g := range guestDiscs {
		script.WriteString(g.script(g.make(m, iso)))
	}
	r := &rig{dir: m.dir, config: filepath.Join(t.TempDir(), "spindle.toml"), tools: tools}
	m.must(r.configure(""))
	r.daemon = serve(t, "--config", r.config)
	r.guest(t, script.String()+`! dmesg | grep -i "i/o error\|invalid session" || fail errors`, nil)
}

//go:build linux

package e2e

import (
	"crypto/sha256"
	"fmt"
	"hash"
	"regexp"
	"strings"

	"spindle/testdata/fixture"
)

// battery is what is called with which disc in the drive.
func battery(discs map[string]*content) []round {
	mixed, songs, extra, video, large := discs[mixedDisc], discs[songsDisc], discs[extraDisc], discs[videoDisc], discs[largeDisc]
	return []round{
		{mixedDisc, join(driveCalls, mixed.cdCalls("CD-DATA .Mode 1."), mixed.dataCalls("BATTERY"), mixedCalls(mixed),
			mixed.udevCalls("CD=1", "SESSION_COUNT=1", "TRACK_COUNT=3", "TRACK_COUNT_AUDIO=2", "TRACK_COUNT_DATA=1"))},
		{songsDisc, join(songs.cdCalls("CD-DA"), songCalls(songs),
			songs.udevCalls("CD=1", "SESSION_COUNT=1", "TRACK_COUNT=4", "TRACK_COUNT_AUDIO=4"))},
		{extraDisc, join(extra.cdCalls("CD-DA"), extraCalls(extra), extra.udevCalls("CD=1", "SESSION_COUNT=2",
			"SESSION_LAST_OFFSET=26624000", "TRACK_COUNT=4", "TRACK_COUNT_AUDIO=3", "TRACK_COUNT_DATA=1"))},
		{videoDisc, join(video.largeCalls("DVD"), videoCalls(video),
			video.udevCalls("DVD=1", "SESSION_COUNT=1", "STATE=complete", "TRACK_COUNT=1", "TRACK_COUNT_DATA=1"))},
		{largeDisc, join(large.largeCalls("BD"), large.dataCalls("BATTERY"), ejectCalls,
			large.udevCalls("BD=1", "SESSION_COUNT=1", "STATE=complete", "TRACK_COUNT=1", "TRACK_COUNT_DATA=1"))},
	}
}

// cableBattery is the part of it that tells whether data come over a cable as they
// come over a network.
func cableBattery(discs map[string]*content) []round {
	mixed, songs, video, large := discs[mixedDisc], discs[songsDisc], discs[videoDisc], discs[largeDisc]
	generic := video.readom()
	generic.command = strings.ReplaceAll(generic.command, "/dev/sr0", "/dev/sg0")
	return []round{
		{mixedDisc, append([]call{mountCall("DATA.BIN"), mixed.clone()}, ejectCalls...)},
		{songsDisc, append(songs.tocCalls(), songs.rip())},
		{extraDisc, []call{mountCall("DATA")}},
		{videoDisc, []call{video.readom(), generic, mountCall("DATA")}},
		{largeDisc, []call{large.tocOfLarge(), mountCall("DATA.BIN")}},
	}
}

func join(lists ...[]call) (all []call) {
	for _, list := range lists {
		all = append(all, list...)
	}
	return all
}

// product is how the drive is named in INQUIRY.
const product = "VIRTUAL CD/DVD"

// driveCalls ask what the drive is, whatever is in it.
var driveCalls = []call{
	{command: "cd-drive /dev/sr0", want: []string{
		"^Model +: " + product, "^Hardware +: CD-ROM or DVD", "C2 Error pointers are supported", "CD-Text is supported",
		"Can eject +: Yes", "Can disable manual eject +: Yes", "Can read multiple sessions .* Yes", "Can read IRSC +: Yes",
		"Can read Media Channel Number .* Yes", "Can read C2 Errors +: Yes", "Can play audio +: Yes", "Can read CD-DA +: Yes",
		"Can read Mode 2 Form 2 +: Yes", "Can read DVD-ROM +: Yes", "Can write DVD-RAM +: No",
	}},
	{command: "mmc-tool --inquiry /dev/sr0", want: []string{product}},
	// It takes the header for the page: this speed is the page's code and length, 2A1Eh.
	{command: "mmc-tool -C /dev/sr0", want: []string{"Mode sense 10 information", "Maximum read speed is 10782 K"}},
	// The exit status is of a program that looks for a recorder.
	{command: "wodim -checkdrive dev=/dev/sr0", status: 255, want: []string{"^Device seems to be: Generic mmc2 DVD-ROM", "^Identification : '" + product}},
	{command: "wodim -prcap dev=/dev/sr0", want: prcap},
	{command: "wodim -prcap dev=/dev/sg0", want: prcap},
	{command: "wodim -atip dev=/dev/sr0", status: 255, want: []string{"no CD/DVD-Recorder"}, deny: []string{"CHECK CONDITION"}},
	{command: "sg_modes -a /dev/sr0", want: pages},
	{command: "sg_modes -a /dev/sg0", want: pages},
	{command: "sg_vpd /dev/sr0", want: []string{"Unit serial number", "Device identification"}},
	{command: "sg_vpd -p sn /dev/sg0", want: []string{"Unit serial number: [0-9A-F]{16}"}},
	{command: "sg_vpd -p di /dev/sg0", want: []string{"designator type: NAA", "vendor id: SPINDLE", "iqn.*:cd0,t,0x0001", "transport: Internet SCSI"}},
	{command: "sg_luns /dev/sr0", want: []string{"list length = 8 ", "^ *0000000000000000$"}},
	{command: "sg_luns /dev/sg0", want: []string{"list length = 8 ", "^ *0000000000000000$"}},
}

var prcap = []string{
	"Does read CD-R media", "Does read CD-RW media", "Does read DVD-ROM media", "Does not write CD-R media", "Does read Mode 2 Form 2 blocks",
	"Does read digital audio blocks", "Does restart non-streamed digital audio reads accurately", "Does read multi-session CDs",
	"Does return CD media catalog number", "Does return CD ISRC", "Does support C2 error pointers", "Does read R-W subcode",
	"Does play audio CDs", "Number of volume control levels: 256", "individual volume control", "Loading mechanism type: tray",
	"Does support ejection", "Does allow media to be locked", "Maximum read  speed: *[0-9]{4,} kB/s",
}

// pages begin with the codes that hosts look for.
var pages = []string{"^ 00 +01 0a ", "^ 00 +0e 0e ", "^ 00 +1a 0a ", "^ 00 +1d 08 ", "^ 00 +2a "}

// udevCalls are cdrom_id, whose words of the medium are all given, and the same
// profile by sg_get_config.
func (c *content) udevCalls(media ...string) []call {
	want := []string{"ID_CDROM=1", "ID_CDROM_BD=1", "ID_CDROM_CD=1", "ID_CDROM_DVD=1", "ID_CDROM_MEDIA=1"}
	for _, m := range media {
		want = append(want, "ID_CDROM_MEDIA_"+m)
	}
	profile, _, _ := strings.Cut(media[0], "=")
	text := strings.Join(want, "\n")
	return []call{
		{command: "/lib/udev/cdrom_id /dev/sr0 | LC_ALL=C sort", check: func(out string) error {
			got := strings.Fields(out)
			if len(got) != len(want) || !sameWords(got, want) {
				return fmt.Errorf("want\n%s", text)
			}
			return nil
		}},
		{command: "sg_get_config /dev/sr0", want: []string{
			"^Current profile: " + profile + "-ROM", "profile: CD-ROM ", "profile: DVD-ROM ", "profile: BD-ROM ", "Drive serial number",
		}},
		{command: "sg_get_config -c /dev/sg0", want: []string{"profile: " + profile + "-ROM , currentP=1"}},
	}
}

func sameWords(a, b []string) bool {
	count := make(map[string]int)
	for i := range a {
		count[a[i]]++
		count[b[i]]--
	}
	for _, n := range count {
		if n != 0 {
			return false
		}
	}
	return true
}

// cdCalls ask for the TOC of a CD.
func (c *content) cdCalls(mode string) []call {
	tracks := len(c.Tracks())
	info := []string{"^Disc mode is listed as: " + mode, "MCN.: " + c.MCN, fmt.Sprintf("^170: .* %06d leadout", c.LeadOut())}
	table, id := []string{}, fmt.Sprintf("^[0-9a-f]{8} %d", tracks)
	for i, t := range c.Tracks() {
		kind := "audio"
		if t.Data() {
			kind = "data"
		}
		info = append(info, fmt.Sprintf("^ *%d: .* %06d %s ", t.Number, t.Start, kind))
		if t.ISRC != "" {
			info = append(info, fmt.Sprintf("^TRACK +%d ISRC: %s", t.Number, t.ISRC))
		}
		if c.Title != "" && !t.Data() {
			info = append(info, "TITLE: "+t.Title, "PERFORMER: "+t.Artist)
		}
		id += fmt.Sprintf(" %d", t.Start+150)
		if !t.Data() {
			table = append(table, c.paranoia(i))
		}
	}
	calls := []call{
		{command: "cd-info --no-device-info /dev/sr0", want: info, deny: []string{"Iconv failed"}},
		{command: "cdrdao disk-info --device /dev/sr0", want: []string{fmt.Sprintf("^Sessions +: %d", len(c.Sessions)), fmt.Sprintf("^Last Track +: %d", tracks)}},
		{command: "cdparanoia -vQ -d /dev/sr0", want: append(table, "Drive is MMC style", "Expected command set reads OK")},
		{command: "cd-discid /dev/sr0", want: []string{id + " "}},
	}
	return append(calls, c.tocCalls()...)
}

// tocCalls read the TOC: wodim as it is, cdrdao with what sub-channels and CD-TEXT
// add to it.
func (c *content) tocCalls() []call {
	tracks := len(c.Tracks())
	toc := []string{fmt.Sprintf("^first: 1 last %d$", tracks), fmt.Sprintf("^track:lout lba: +%d ", c.LeadOut())}
	for _, t := range c.Tracks() {
		mode := map[fixture.Kind]int{fixture.Audio: -1, fixture.Mode1: 1, fixture.Mode2Form1: 2}[t.Kind]
		toc = append(toc, fmt.Sprintf("^track: +%d lba: +%d .* control: %d mode: %d", t.Number, t.Start, t.Control, mode))
	}
	calls := []call{{command: "wodim -toc dev=/dev/sr0", want: toc}}
	for i := range c.Sessions {
		device := []string{"/dev/sr0", "/dev/sg0"}[(i+tracks)%2]
		calls = append(calls, call{
			command: fmt.Sprintf("cd /tmp && rm -f x.toc && cdrdao read-toc --session %d --device %s x.toc; echo TOC; cat x.toc", i+1, device),
			check:   isTOC(c.cdrdao(i)),
		})
	}
	return calls
}

// paranoia is the line of an audio track in cdparanoia's table: it ends where the next
// begins, or where its session's lead-out does.
func (c *content) paranoia(i int) string {
	t := c.Tracks()[i]
	end := c.LeadOut()
	if i+1 < len(c.Tracks()) {
		end = c.Tracks()[i+1].Start
	}
	for _, s := range c.Sessions {
		if t.Start < s.LeadOut {
			end = min(end, s.LeadOut)
		}
	}
	may := func(bit byte, yes string) string {
		if t.Control&bit != 0 {
			return yes
		}
		return "no"
	}
	return fmt.Sprintf(`^ *%d\. +%d .* %d \[.*\] +%s +%s +2$`, t.Number, end-t.Start, t.Start, may(2, "OK"), may(1, "yes"))
}

// dataCalls read a file system that begins in block 0.
func (c *content) dataCalls(label string) []call {
	return []call{
		{command: "blkid -p -o value -s LABEL /dev/sr0", want: []string{"^" + label + "$"}},
		{command: "iso-info --no-header -f -i /dev/sr0", want: []string{"^Volume +: " + label, "400000 /DATA.BIN"}},
		mountCall("DATA.BIN"),
	}
}

// largeCalls are those of a disc without sessions and audio.
func (c *content) largeCalls(kind string) []call {
	info := []string{"Mounted Media: .*" + kind + "-ROM"}
	if kind == "DVD" {
		info = append(info, "Media Book Type: .*DVD-ROM book", fmt.Sprintf("Legacy lead-out at: +%d[*]2KB", c.Blocks))
	} else {
		info = append(info, "Disc status: +complete", "Number of Tracks: +1", fmt.Sprintf("Track Size: +%d[*]2KB", c.Blocks),
			fmt.Sprintf("READ CAPACITY: +%d[*]2048", c.Blocks))
	}
	return []call{
		{command: "cd-info --no-device-info /dev/sr0", want: []string{map[string]string{"DVD": "^Disc mode is listed as: DVD-ROM", "BD": "^CD-ROM Track List .1 - 1"}[kind]}},
		c.tocOfLarge(),
		{command: "wodim -prcap dev=/dev/sr0", want: []string{"Does read DVD-ROM media", "Current read  speed: *[0-9]{5} kB/s"}},
		{command: "xorriso -outdev /dev/sr0 -toc 2>&1", want: []string{
			"^Media current: " + kind + "-ROM", "^Media status : is written , is closed", fmt.Sprintf("^Media blocks : %d readable", c.Blocks), "^ISO session  :   1 ,  +0 ,",
		}},
		// It wonders that a drive that cannot write has no speeds of writing.
		{command: "dvd+rw-mediainfo /dev/sr0", want: info, deny: []string{"unable|CHECK|error"}},
	}
}

// tocOfLarge is wodim's view of the one track of a disc that is no CD.
func (c *content) tocOfLarge() call {
	return call{command: "wodim -toc dev=/dev/sr0", want: []string{
		"^first: 1 last 1", "^track: +1 lba: +0 .* control: 4 mode: 1", fmt.Sprintf("^track:lout lba: +%d ", c.Blocks),
	}}
}

// mountCall mounts the last session and checks its files, of which one is named.
func mountCall(name string) call {
	return call{
		command: "mount -t iso9660 -o ro /dev/sr0 /mnt && cd /mnt && sha256sum -c SUMS; cd /; umount /mnt",
		want:    []string{"^" + regexp.QuoteMeta(name) + ": OK"},
	}
}

// sum is a call's line of sha256sum for what add gives to a hash.
func sum(file string, add func(h hash.Hash)) string {
	h := sha256.New()
	add(h)
	return regexp.QuoteMeta(fmt.Sprintf("%x  %s", h.Sum(nil), file))
}

// samples are the raw sectors of a range.
func (c *content) samples(file string, from, to int) string {
	return sum(file, func(h hash.Hash) {
		for lba := from; lba < to; lba++ {
			h.Write(c.raw(lba))
		}
	})
}

// clone calls readom for all raw sectors with their sub-channels, and the TOC.
func (c *content) clone() call {
	toc := c.fullTOC()
	return call{
		command: "cd /tmp && rm -f clone* && readom -clone dev=/dev/sr0 f=clone.img 2>&1 | grep -v ^readom: | tail -n 20; sha256sum clone.img; stat -c 'size %s' clone.img; " +
			fmt.Sprintf("head -c %d clone.img.toc | od -An -v -tx1 -w%d; rm clone*", len(toc), len(toc)),
		want: []string{fmt.Sprintf("^size %d$", c.LeadOut()*2448), "^ ?" + strings.TrimSpace(fmt.Sprintf("% x", toc)) + "$"},
		deny: []string{"CHECK CONDITION", "Errno"},
	}
}

func mixedCalls(c *content) []call {
	clone := c.clone()
	clone.want = append(clone.want, sum("clone.img", func(h hash.Hash) {
		for lba := range c.LeadOut() {
			h.Write(c.raw(lba))
			h.Write(c.Sub(lba))
		}
	}))
	return []call{
		clone,
		{command: "cd /tmp && cd-read -m audio -s 900 -e 901 -i /dev/sr0 -o x.raw >/dev/null; sha256sum x.raw", want: []string{c.samples("x.raw", 900, 902)}},
		{command: "dvd+rw-mediainfo /dev/sr0", status: 252, want: []string{"non-DVD media mounted"}},
	}
}

// rip reads all audio. cdparanoia guesses the drive's byte order by what sounds
// smooth, which saw teeth and noise do not, so that it is told. (By -g, it cannot
// open any drive: it fails in the same way with QEMU's own.)
func (c *content) rip() call {
	return call{
		command: "cd /tmp && rm -f rip.raw && cdparanoia -d /dev/sr0 -c -r 1- rip.raw; sha256sum rip.raw; rm rip.raw",
		want:    []string{"^Done", c.samples("rip.raw", 0, c.LeadOut())},
	}
}

// readom reads all user data.
func (c *content) readom() call {
	return call{command: "cd /tmp && rm -f x && readom dev=/dev/sr0 f=x; sha256sum x; rm x", want: []string{c.sum() + "  x"}}
}

func songCalls(c *content) []call {
	return []call{
		c.rip(),
		c.clone(),
		{command: "mmc-tool --mcn /dev/sr0", want: []string{c.MCN}},
		{command: "wodim -atip dev=/dev/sr0", status: 255, want: []string{"no CD/DVD-Recorder"}},
		{command: "blkid -p /dev/sr0", status: 2, check: func(out string) error {
			if strings.TrimSpace(out) != "" {
				return fmt.Errorf("blkid finds something on an audio disc")
			}
			return nil
		}},
	}
}

func extraCalls(c *content) []call {
	return []call{
		{command: "blkid -o value -s LABEL /dev/sr0", want: []string{"^TWO$"}},
		{command: "xorriso -outdev /dev/sr0 -toc 2>&1", want: []string{"^Media current: CD-ROM", "^Media status : is written , is closed", "^ISO session  : +4 , +13000 ,.*, TWO"}},
		mountCall("DATA"),
		{command: "mount -t iso9660 -o ro,session=3 /dev/sr0 /mnt && cd /mnt && sha256sum -c SUMS; cd /; umount /mnt", want: []string{"^DATA: OK"}},
		{command: "cd /tmp && rm -f x && readom dev=/dev/sr0 sectors=13000-13016 f=x; sha256sum x; rm x", want: []string{sum("x", func(h hash.Hash) {
			for lba := 13000; lba < 13016; lba++ {
				h.Write(c.block(lba))
			}
		})}},
	}
}

func videoCalls(c *content) []call {
	return []call{
		{command: "cdrdao disk-info --device /dev/sg0", want: []string{"^Sessions +: 1", "^Last Track +: 1"}},
		{command: "lsdvd -x /dev/sr0", want: []string{
			"^Disc Title: FILM", "^Title: 01, Length: 00:00:04.000 Chapters: 02, Cells: 02", "Format: PAL, Aspect ratio: 4/3, Width: 720, Height: 576",
			"Chapter: 01, Length: 00:00:01.920", "Chapter: 02, Length: 00:00:02.080", "^Longest track: 01",
		}},
		c.readom(),
		{command: "blkid -p /dev/sr0", want: []string{`LABEL="FILM"`, `TYPE="udf"`}},
		{
			command: "mount -o ro /dev/sr0 /mnt && grep /mnt /proc/mounts && cd /mnt && sha256sum -c SUMS && ls VIDEO_TS; cd /; umount /mnt",
			want:    []string{"^/dev/sr0 /mnt udf ", "^DATA: OK", "^VTS_01_1.VOB"},
		},
	}
}

// ejectCalls open and close the tray; eject(1) unlocks before it ejects, so what the
// lock is good for is seen by a command.
var ejectCalls = []call{
	{command: "eject -v -i on /dev/sr0", want: []string{"may NOT be ejected with device button"}},
	{command: "sg_start -v --eject /dev/sg0", status: 5, want: []string{"(?i)medium removal prevented"}},
	{command: "guesttool status /dev/sr0", want: []string{"^disc$"}},
	{command: "eject -v -i off /dev/sr0", want: []string{"may be ejected with device button"}},
	{command: "eject -v /dev/sr0", want: []string{"CD-ROM eject command succeeded"}},
	{command: "guesttool status /dev/sr0", want: []string{"^open$"}},
	{command: "eject -v -t /dev/sr0", want: []string{"closing tray"}},
	{command: "guesttool status /dev/sr0", want: []string{"^disc$"}},
	{command: "eject -v -T /dev/sr0", want: []string{"toggling tray"}},
	{command: "guesttool status /dev/sr0", want: []string{"^open$"}},
	{command: "eject -v -T /dev/sr0", want: []string{"toggling tray"}},
	mountCall("DATA.BIN"),
}

package host

import (
	"context"
	"encoding/binary"
	"errors"
	"slices"
	"time"

	"spindle/scsi/scsitest"
)

// Rules of Windows: cdrom.sys and the file systems above it. What it gave up
// for a drive it keeps in the registry.
const (
	WindowsInquiry       Rule = "INQUIRY gives as many bytes as its length says, which is not 0"
	WindowsClasses       Rule = "GET EVENT STATUS NOTIFICATION for no class tells the classes, media among them"
	WindowsEvent         Rule = "an event is 8 bytes, and its length field 6"
	WindowsClass         Rule = "no event of a class that was not asked for"
	WindowsEvents        Rule = "at most 32 events follow one another at once"
	WindowsMMC           Rule = "GET CONFIGURATION succeeds at the first time, with a medium and without"
	WindowsOneFeature    Rule = "GET CONFIGURATION for one feature gives one feature"
	WindowsConfiguration Rule = "the length of GET CONFIGURATION is a multiple of four"
	WindowsProfile       Rule = "no profile is current without a medium"
	WindowsMode2A        Rule = "MODE SENSE gives page 2Ah"
	WindowsPerformance   Rule = "GET PERFORMANCE gives whole descriptors, of the type that was asked for"
	WindowsProtection    Rule = "the features of CSS and AACS are not current with a disc that has none"
	WindowsTOC           Rule = "READ TOC gives the tracks that its length says"
)

var windowsModels = []Model{
	{Name: "Windows, iSCSI", Interval: time.Second, Rules: windowsRules, host: newWindows},
	{Name: "Windows, USB", USB: true, Interval: time.Second, Rules: windowsRules, host: newWindows},
}

var windowsRules = []Rule{
	WindowsInquiry, WindowsClasses, WindowsEvent, WindowsClass, WindowsEvents, WindowsMMC, WindowsOneFeature,
	WindowsConfiguration, WindowsProfile, WindowsMode2A, WindowsPerformance, WindowsProtection, WindowsTOC,
}

func newWindows(c *conn) Host { return &windows{conn: c} }

// windows is a drive as cdrom.sys sees it.
type windows struct {
	*conn
	classes byte // of events to ask for; 0 when events were given up
	cycling bool // asks for the classes in turn until a higher one answers
	mmc     bool
	verify  bool // the volume is to be verified: a unit attention came by
}

// Attach implements Host, in the order of the driver's start.
func (h *windows) Attach(ctx context.Context) error {
	d, err := h.inquiry(ctx, 36)
	if err != nil || len(d) < 36 || d[4] == 0 {
		return h.giveUp(WindowsInquiry, "% X, %v", d[:min(len(d), 5)], err)
	}
	var errs []error
	if all, err := h.inquiry(ctx, int(d[4])+5); err != nil || len(all) < int(d[4])+5 {
		errs = append(errs, h.giveUp(WindowsInquiry, "%d bytes of %d, %v", len(all), int(d[4])+5, err))
	}
	for _, page := range []byte{0x00, 0x80, 0x83} {
		_, _ = h.vpd(ctx, page)
	}
	errs = append(errs, h.learnClasses(ctx), h.pollEvents(ctx, false), h.configure(ctx), h.mode2A(ctx))
	errs = append(errs, h.identify(ctx))
	_, _ = h.in(ctx, 8, 0xA4, 0, 0, 0, 0, 0, 0, 0, 0, 8, 8) // region state; failure is ignored
	return errors.Join(errs...)
}

// configure asks for profile and features. A failure is for ever.
func (h *windows) configure(ctx context.Context) error {
	d, err := h.configuration(ctx, 0, 0, 8)
	if err != nil || len(d) < 8 || binary.BigEndian.Uint32(d) <= 4 {
		return h.giveUp(WindowsMMC, "% X, %v", d, err)
	}
	h.mmc = true
	var errs []error
	one, err := h.configuration(ctx, 2, 0, 12)
	if err != nil || len(one) < 12 || be16(one[8:]) != 0 || binary.BigEndian.Uint32(one) != 8+uint32(one[11]) {
		errs = append(errs, h.giveUp(WindowsOneFeature, "% X, %v", one, err))
	}
	size := int(binary.BigEndian.Uint32(d)) + 4
	all, err := h.configuration(ctx, 0, 0, min(size, 0xFFFF))
	if err != nil || size%4 != 0 || len(all) < min(size, 0xFFFF) {
		errs = append(errs, h.giveUp(WindowsConfiguration, "%d bytes of %d, %v", len(all), size, err))
	}
	return errors.Join(append(errs, h.protection(all))...)
}

// protection looks for features that make the disc one that needs keys.
func (h *windows) protection(d []byte) error {
	for at := 8; at+4 <= len(d); at += 4 + int(d[at+3]) {
		code := be16(d[at:])
		if (code == 0x0106 || code == 0x010D) && d[at+2]&1 != 0 {
			return h.giveUp(WindowsProtection, "feature %04X is current", code)
		}
	}
	return nil
}

func (h *windows) mode2A(ctx context.Context) error {
	for range 3 {
		d, err := h.in(ctx, 192, 0x5A, 8, 0x2A, 0, 0, 0, 0, 0, 192)
		if err == nil && holdsPage(d, 8, func() int { return be16(d[6:]) }) {
			return nil
		}
	}
	d, err := h.in(ctx, 192, 0x1A, 8, 0x2A, 0, 192)
	if err == nil && holdsPage(d, 4, func() int { return int(d[3]) }) {
		return nil
	}
	return h.giveUp(WindowsMode2A, "% X, %v", d[:min(len(d), 12)], err)
}

// holdsPage reports whether page 2Ah stands after header and block descriptors.
func holdsPage(d []byte, header int, descriptors func() int) bool {
	if len(d) < header {
		return false
	}
	at := header + descriptors()
	return len(d) >= at+8 && d[at]&0x3F == 0x2A
}

// identify finds what medium is there, as when a volume is mounted.
func (h *windows) identify(ctx context.Context) error {
	var blocks uint32
	err := h.retry(ctx, func() (err error) { blocks, _, err = h.capacity(ctx); return err })
	h.verify = false // by what follows
	if err != nil {
		h.lose()
		if v := gaveUp(err); v != nil {
			return v
		}
		return h.checkEmpty(ctx, err)
	}
	h.seen.Present, h.seen.Blocks = true, blocks
	if h.mmc {
		if d, err := h.configuration(ctx, 0, 0, 8); err == nil && len(d) >= 8 {
			h.seen.Kind = kindOf(be16(d[6:]))
		}
	}
	errs := []error{h.readTOC(ctx)}
	_, _ = h.in(ctx, 34, 0x51, 0, 0, 0, 0, 0, 0, 0, 34)
	_, _ = h.in(ctx, 36, 0x52, 1, 0, 0, 0, 1, 0, 0, 36)
	err = h.retry(ctx, func() error { return h.label(ctx) })
	if noMedium(err) {
		h.lose()
	}
	return errors.Join(append(errs, gaveUp(err))...)
}

// checkEmpty looks at the profile of a drive that says it is empty.
func (h *windows) checkEmpty(ctx context.Context, why error) error {
	if !h.mmc || !noMedium(why) {
		return nil
	}
	d, err := h.configuration(ctx, 0, 0, 8)
	if err != nil || len(d) < 8 || be16(d[6:]) == 0 {
		return nil
	}
	// A medium may have come between the two commands.
	if err := h.testUnitReady(ctx); noMedium(err) {
		return h.giveUp(WindowsProfile, "profile %04X", be16(d[6:]))
	}
	return nil
}

func (h *windows) readTOC(ctx context.Context) error {
	const most = 804
	var d []byte
	err := h.retry(ctx, func() (err error) {
		d, err = h.in(ctx, most, 0x43, 2, 0, 0, 0, 0, 0, most>>8, most&0xFF)
		return err
	})
	if err != nil {
		return gaveUp(err)
	}
	if len(d) < 12 || be16(d)+2 > len(d) || (len(d)-4)/8 != int(d[3])-int(d[2])+2 {
		return h.giveUp(WindowsTOC, "%d bytes, % X", len(d), d[:min(len(d), 4)])
	}
	if h.seen.Kind == CD && !slices.ContainsFunc(slices.Collect(slices.Chunk(d[4:len(d)-8], 8)), func(t []byte) bool { return len(t) > 1 && t[1]&4 != 0 }) {
		h.seen.Kind = Audio
	}
	_, _ = h.in(ctx, most, 0x43, 0, 1, 0, 0, 0, 0, most>>8, most&0xFF)
	_, _ = h.in(ctx, most, 0x43, 2, 2, 0, 0, 0, 0, most>>8, most&0xFF)
	return nil
}

// retry runs a command again after what its error handler deals with: unit
// attentions, and a drive that becomes ready.
func (h *windows) retry(ctx context.Context, command func() error) error {
	for range 8 {
		err := command()
		switch {
		case newMedium(err):
			if err := h.mediumChanged(ctx); err != nil {
				return err
			}
		case attention(err):
		case becomingReady(err):
			if err := scsitest.Pause(ctx, time.Second); err != nil {
				return err
			}
		default:
			return err
		}
	}
	return command()
}

// mediumChanged is what the driver asks again on 6/28.
func (h *windows) mediumChanged(ctx context.Context) error {
	h.seen.Changes++
	h.verify = true
	var errs []error
	if d, err := h.configuration(ctx, 1, 0, 0xFFFF); err == nil {
		if len(d) < 8 || len(d)%4 != 0 {
			errs = append(errs, h.giveUp(WindowsConfiguration, "%d bytes", len(d)))
		}
		errs = append(errs, h.protection(d))
	}
	_, _ = h.in(ctx, 0xFFF0, 0x5A, 8, 0x2A, 0, 0, 0, 0, 0xFF, 0xF0)
	errs = append(errs, h.performance(ctx, 4, 0), h.performance(ctx, 0, 3))
	return errors.Join(errs...)
}

// performance asks for write speeds, by type 0 and 3. That it fails is ignored.
func (h *windows) performance(ctx context.Context, bits, kind byte) error {
	d, err := h.in(ctx, 8+200*16, 0xAC, bits, 0, 0, 0, 0, 0, 0, 0, 200, kind)
	if err != nil {
		return nil // as the driver does
	}
	want := byte(0)
	if kind == 0 {
		want = 2
	}
	if len(d) < 8 || (binary.BigEndian.Uint32(d)-4)%16 != 0 || d[4]&3 != want {
		return h.giveUp(WindowsPerformance, "type %d: % X", kind, d[:min(len(d), 8)])
	}
	return nil
}

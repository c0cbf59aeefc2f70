package host

import (
	"context"
	"errors"
)

// learnClasses is the first event request, for no class at all.
func (h *windows) learnClasses(ctx context.Context) error {
	d, err := h.events(ctx, 0)
	if err != nil || len(d) < 4 || d[3]&(1<<mediaClass) == 0 {
		return h.giveUp(WindowsClasses, "% X, %v", d, err)
	}
	h.classes = d[3] & 0x5A // operational change, external request, media, busy
	h.cycling = h.classes&(h.classes-1) != 0
	return nil
}

// Poll implements Host: the driver's timer of 1 s.
func (h *windows) Poll(ctx context.Context) error {
	if h.classes == 0 {
		return h.pollReady(ctx)
	}
	return h.pollEvents(ctx, true)
}

// pollEvents asks for events until there is none. act says that the host is
// past its start and acts on them.
func (h *windows) pollEvents(ctx context.Context, act bool) error {
	if h.classes == 0 {
		return nil
	}
	const most = 32
	var errs []error
	for again := 0; ; again++ {
		if again > most {
			h.classes = 0
			return errors.Join(append(errs, h.giveUp(WindowsEvents, "%d events at once", again))...)
		}
		event, err := h.event(ctx)
		if err != nil {
			h.classes = 0
			return errors.Join(append(errs, err)...)
		}
		if event == 0 {
			return errors.Join(errs...)
		}
		if act {
			errs = append(errs, h.act(ctx, event))
		}
	}
}

// event returns the code of one media event, 0 for none; other classes give a
// code that nothing is done for.
func (h *windows) event(ctx context.Context) (byte, error) {
	d, err := h.events(ctx, h.classes)
	switch {
	case err != nil:
		return 0, h.giveUp(WindowsEvent, "%v", err)
	case len(d) != 8 || be16(d) < 6:
		return 0, h.giveUp(WindowsEvent, "% X", d)
	case h.cycling && h.classes&(1<<(d[2]&7)) == 0:
		return 0, h.giveUp(WindowsClass, "class %d of %02X", d[2]&7, h.classes)
	case d[2]&7 != mediaClass && d[4]&0xF != 0:
		return 0xF, nil
	}
	return d[4] & 0xF, nil
}

func (h *windows) act(ctx context.Context, event byte) error {
	switch event {
	case newMediaCode, mediaChangedCode:
		h.seen.Changes++
		return h.identify(ctx)
	case removalCode:
		h.seen.Changes++
		h.lose()
	case ejectRequest:
		if !h.keep {
			_ = h.Eject(ctx) // another host may hold it
		}
	}
	return nil
}

// mediaChangedCode is what changers report.
const mediaChangedCode = 4

// pollReady is how a drive without events is watched.
func (h *windows) pollReady(ctx context.Context) error {
	err := h.testUnitReady(ctx)
	switch {
	case newMedium(err):
		err := h.mediumChanged(ctx)
		return errors.Join(err, h.identify(ctx))
	case noMedium(err):
		h.lose()
	case err == nil && !h.seen.Present:
		return h.identify(ctx)
	}
	return nil
}

// Read implements Host. On 6/28 the volume is verified, which finds the new
// medium, and the program that read gets an error.
func (h *windows) Read(ctx context.Context, lba uint32, n int) ([]byte, error) {
	if !h.seen.Present {
		return nil, ErrNoMedium
	}
	if h.verify {
		if err := h.identify(ctx); err != nil {
			return nil, err
		}
		return nil, errChanged
	}
	d, err := h.readMedium(ctx, lba, n)
	switch {
	case newMedium(err):
		if v := errors.Join(h.mediumChanged(ctx), h.identify(ctx)); v != nil {
			return nil, v
		}
	case noMedium(err):
		h.lose()
	}
	return d, err
}

// Mount implements Host. Windows mounts what it finds, and does not lock it
// but for a program that keeps it.
func (h *windows) Mount(ctx context.Context) error {
	if !h.seen.Present {
		return ErrNoMedium
	}
	if h.keep {
		return h.lock(ctx, true)
	}
	_, err := h.Read(ctx, 0, 1)
	return err
}

// Unmount implements Host.
func (h *windows) Unmount(ctx context.Context) error {
	if h.seen.Locked {
		return h.lock(ctx, false)
	}
	return nil
}

func (h *windows) lock(ctx context.Context, lock bool) error {
	return h.retry(ctx, func() error { return h.prevent(ctx, lock) })
}

// Eject implements Host.
func (h *windows) Eject(ctx context.Context) error {
	_ = h.lock(ctx, false)
	return h.retry(ctx, func() error { return h.eject(ctx) })
}

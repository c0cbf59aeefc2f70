package host

import (
	"context"
	"errors"
)

// Media events.
const (
	ejectRequest = 1
	newMediaCode = 2
	removalCode  = 3
	mediaClass   = 4
)

// Poll implements Host: the block layer asks for events each 2 s, and udev acts
// on what it finds.
func (h *linux) Poll(ctx context.Context) error {
	request, change, err := h.checkEvents(ctx, false)
	errs := []error{err}
	if request && !h.keep {
		errs = append(errs, h.letGo(ctx))
	}
	if change {
		errs = append(errs, h.changeSeen(ctx))
	}
	return errors.Join(errs...)
}

// checkEvents is sr_check_events. clearing is an open of the device, which looks
// by TEST UNIT READY as well.
func (h *linux) checkEvents(ctx context.Context, clearing bool) (request, change bool, err error) {
	event, err := h.mediaEvent(ctx)
	request = event == ejectRequest
	change = event == newMediaCode || event == removalCode
	h.gesnChanged = h.gesnChanged || change
	if h.ignoreGESN {
		change = false
	} else {
		change = h.takeChanged() || change
		if !clearing {
			return request, change, err
		}
	}
	was := h.present
	notReady := h.ready(ctx)
	h.present = notReady == nil || !noMedium(notReady)
	if was != h.present {
		h.changed = true
	}
	change = h.takeChanged() || change
	errs := []error{err, gaveUp(notReady)}
	if !h.ignoreGESN {
		errs = append(errs, h.compare())
	}
	return request, change, errors.Join(errs...)
}

func (h *linux) takeChanged() bool {
	if !h.changed {
		return false
	}
	h.changed, h.turChanged = false, true
	return true
}

// compare counts how often an event came that TEST UNIT READY does not confirm.
func (h *linux) compare() (err error) {
	switch {
	case h.turChanged:
	case !h.gesnChanged:
		h.mismatch = 0
	default:
		if h.mismatch++; h.mismatch > 9 {
			h.ignoreGESN = true
			err = h.giveUp(LinuxAgreement, "%d events in a row", h.mismatch)
		}
	}
	h.turChanged, h.gesnChanged = false, false
	return err
}

// mediaEvent is sr_get_events: the code of a media event, 0 for none.
func (h *linux) mediaEvent(ctx context.Context) (byte, error) {
	d, err := h.events(ctx, 1<<mediaClass)
	switch {
	case attention(err):
		return newMediaCode, nil
	case err != nil:
		return 0, h.giveUp(LinuxEvents, "%v", err)
	case len(d) < 8 || be16(d) < 4 || d[2]&0x80 != 0 || d[2]&7 != mediaClass:
		return 0, h.giveUp(LinuxEvents, "% X", d)
	}
	return d[4] & 0xF, nil
}

// changeSeen is the change event and what udev's rules do on it: open the
// device, look what is in it, and lock the tray so that the button asks.
func (h *linux) changeSeen(ctx context.Context) error {
	_, _, err := h.checkEvents(ctx, true)
	h.seen.Changes++
	h.mounted = false // the mount of a medium that went is dead
	ready, err2 := h.takeIn(ctx)
	if ready {
		_ = h.lock(ctx, true)
	}
	return errors.Join(err, err2)
}

// letGo is cdrom_id's answer to an eject request, mounted or not.
func (h *linux) letGo(ctx context.Context) error {
	_ = h.lock(ctx, false)
	_ = h.move(ctx, h.eject) // another host may hold it
	return nil
}

// lock is sr_lock_door, and move sr_tray_move: as ioctl goes past unit
// attentions, and keep that there was one.
func (h *linux) lock(ctx context.Context, lock bool) error {
	return h.move(ctx, func(ctx context.Context) error { return h.prevent(ctx, lock) })
}

func (h *linux) move(ctx context.Context, command func(context.Context) error) (err error) {
	for range 10 {
		if err = command(ctx); !attention(err) {
			return err
		}
		h.changed = true
	}
	return err
}

// Mount implements Host: open(2), which closes an open tray and locks it.
func (h *linux) Mount(ctx context.Context) error {
	_, change, err := h.checkEvents(ctx, true)
	if change {
		h.seen.Changes++
		_, err2 := h.takeIn(ctx)
		err = errors.Join(err, err2)
	}
	if err != nil {
		return err
	}
	notReady := h.ready(ctx)
	if noMedium(notReady) && h.canClose {
		_ = h.move(ctx, h.load)
		notReady = h.ready(ctx)
	}
	if notReady != nil {
		h.lose()
		return errors.Join(ErrNoMedium, notReady)
	}
	if h.changed || !h.seen.Present { // closing the tray brought a medium
		h.changed = false
		h.seen.Changes++
		if _, err := h.takeIn(ctx); err != nil {
			return err
		}
	}
	if h.seen.Kind == Audio {
		return ErrNotData
	}
	if err := h.lock(ctx, true); err != nil {
		return err
	}
	h.mounted = true
	_, err = h.Read(ctx, 16, 1)
	return err
}

// Unmount implements Host: the last close unlocks.
func (h *linux) Unmount(ctx context.Context) error {
	if !h.mounted {
		return nil
	}
	h.mounted = false
	return h.lock(ctx, false)
}

// Eject implements Host: eject(1), which unmounts before.
func (h *linux) Eject(ctx context.Context) error {
	if !h.canEject {
		return errors.New("the drive cannot eject")
	}
	h.mounted = false
	if err := h.lock(ctx, false); err != nil {
		return err
	}
	return h.move(ctx, h.eject)
}

package daemon

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"spindle/config"
	"spindle/internal/api"
	"spindle/internal/api/client"
	"spindle/isostore"
)

// service is the daemon as the API sees it. Its methods run on the API's
// goroutines.
type service struct{ d *Daemon }

var _ api.Service = service{}

// Tray implements api.Service.
func (s service) Tray(name string) (api.Tray, error) {
	t := &tray{d: s.d, name: name}
	ctx := context.Background()
	var known []string
	if err := s.d.loop.call(ctx, func() {
		t.dr = s.d.drive(name)
		for _, dr := range s.d.drives {
			known = append(known, dr.cfg.Name)
		}
	}); err != nil {
		return nil, err
	}
	if t.dr == nil {
		return nil, &client.Error{
			Status: http.StatusNotFound, Message: fmt.Sprintf("there is no drive %q", name),
			Hint: "the drives are: " + strings.Join(known, ", "),
		}
	}
	return t, nil
}

// Status implements api.Service.
func (s service) Status(ctx context.Context) (st client.Status, err error) {
	var done client.Status
	if err := s.d.loop.call(ctx, func() { done = s.d.status() }); err != nil {
		return st, err
	}
	return done, nil
}

// infoOf is an image's description in the API's type, which has the same form
// in JSON.
func infoOf(info isostore.Info) (out client.Info, err error) {
	b, err := json.Marshal(info)
	if err == nil {
		err = json.Unmarshal(b, &out)
	}
	return out, err
}

// Inspect says what the image at path is, without a daemon. A packed one is
// unpacked for it: tell, which may be nil, is told how far that is, in bytes.
func Inspect(ctx context.Context, path string, tell func(done, total int64)) (client.Info, error) {
	_, info, done, err := isostore.OpenUnpacked(ctx, path, isostore.Options{}, tell)
	if err != nil {
		return client.Info{}, err
	}
	done()
	return infoOf(info)
}

// Health implements api.Service.
func (s service) Health(ctx context.Context) error { return s.d.loop.call(ctx, func() {}) }

// Changes implements api.Service.
func (s service) Changes() <-chan struct{} { return s.d.news.wait() }

// A tray is a drive as the API sees it.
type tray struct {
	d    *Daemon
	name string
	dr   *drive
}

// Insert implements api.Tray.
func (t *tray) Insert(ctx context.Context, image string, way api.Way) error {
	if image == "" {
		return &client.Error{Status: http.StatusBadRequest, Message: "the name of the image is missing", Hint: "`spindle images` lists them"}
	}
	var act uint64
	var c config.Drive
	if err := t.d.loop.call(ctx, func() { act, c = t.dr.begin(), t.dr.cfg }); err != nil {
		return err
	}
	o, err := t.d.openReady(ctx, c, image)
	if err != nil {
		return imageError(err)
	}
	return t.attempt(ctx, newAttempt(act, o, way))
}

// Eject implements api.Tray.
func (t *tray) Eject(ctx context.Context, way api.Way) error {
	var act uint64
	if err := t.d.loop.call(ctx, func() { act = t.dr.begin() }); err != nil {
		return err
	}
	return t.attempt(ctx, newAttempt(act, opened{}, way))
}

// attempt waits for the end of an act that the loop performs. When ctx ends
// before hosts have let go of the tray, the act is not performed.
func (t *tray) attempt(ctx context.Context, a *attempt) error {
	if !t.d.loop.post(func() { t.d.attempt(t.dr, a) }) {
		a.o.drop()
		return errStopped
	}
	select {
	case err := <-a.done:
		if err == nil {
			t.d.saver.wait(ctx, a.saved)
		}
		return err
	case <-ctx.Done():
		t.d.loop.post(func() {
			if t.dr.request == a {
				t.d.endRequest(t.dr, context.Cause(ctx))
			}
		})
		return context.Cause(ctx)
	case <-t.d.loop.done:
		return errStopped
	}
}

// Holders implements api.Tray.
func (t *tray) Holders() []client.Holder { return holdersOf(t.dr.emu.Holders()) }

// Status implements api.Tray.
func (t *tray) Status(ctx context.Context) (client.Drive, error) {
	var s client.Drive
	if err := t.d.loop.call(ctx, func() { s = t.dr.status() }); err != nil {
		return client.Drive{}, err
	}
	return s, nil
}

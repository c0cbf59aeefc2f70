// Package api is the daemon's HTTP interface: JSON over a Unix socket. It sees
// the daemon through [Service] and a drive through [Tray], and knows neither
// what a disc is nor who carries it to hosts.
package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"spindle/internal/api/client"
)

// A Tray is a drive as operators see it.
type Tray interface {
	// Insert puts the library's image of that name into the drive and returns
	// when the disc is ready. When hosts hold the tray it asks them to let go,
	// and fails with a *client.Error that names them when they do not in time.
	Insert(ctx context.Context, image string, way Way) error
	// Eject opens the tray and takes the disc out. A held tray is treated as
	// by Insert.
	Eject(ctx context.Context, way Way) error
	// Holders returns who prevents removal of the disc.
	Holders() []client.Holder
	// Status says what the drive is now.
	Status(ctx context.Context) (client.Drive, error)
	// Listen returns what the drive plays from now on. The channel is closed
	// when the drive goes; stop ends the listening and is to be called.
	Listen() (frames <-chan client.AudioFrame, stop func())
	// Trace sends what the drive's flight recorder holds, as values that are
	// a line of JSON each, a header first; then, to follow, what comes until
	// ctx is done.
	Trace(ctx context.Context, follow bool, send func(lines ...any) error) error
}

// A Way is how an operator opens a tray that hosts hold.
type Way struct {
	Force bool          // at once: the paper clip
	Wait  time.Duration // for hosts to let go; 0 is not at all, negative the drive's own
}

// wayOf reads a Way from a request.
func wayOf(force bool, wait string) (Way, error) {
	if wait == "" {
		return Way{force, -1}, nil
	}
	d, err := time.ParseDuration(wait)
	if err != nil || d < 0 || d > maxWait {
		return Way{}, &client.Error{
			Status: http.StatusBadRequest, Message: fmt.Sprintf("wait: %q is no duration from 0s to %v", wait, maxWait),
			Hint: `write it as "30s" or "2m"`,
		}
	}
	return Way{force, d}, nil
}

// A Service is the daemon. An error that is a *client.Error is answered with
// its HTTP status, any other as an internal error.
type Service interface {
	Tray(name string) (Tray, error)
	Status(ctx context.Context) (client.Status, error)
	// Images lists the library, withInfo with all that is known of each image.
	Images(ctx context.Context, withInfo bool) ([]client.Image, error)
	// Verify compares an image with its checksums. What it finds is no error.
	Verify(ctx context.Context, image string) (client.Verified, error)
	Inspect(ctx context.Context, name string) (client.Info, error)
	// Health returns when the daemon's loop has turned.
	Health(ctx context.Context) error
	// Sessions lists the iSCSI sessions, and what drives have counted.
	Sessions(ctx context.Context) (client.Sessions, error)
	// DropSession ends a session and returns when it has ended.
	DropSession(ctx context.Context, id string) error
	// TraceSession writes what passes on a session to w, as pcapng, until ctx is
	// done, r is fulfilled or the session ends: none of these is an error.
	TraceSession(ctx context.Context, id string, r client.TraceRequest, w io.Writer) error
	// Changes returns a channel that is closed when Status next changes.
	Changes() <-chan struct{}
}

const (
	maxBody = 64 << 10         // bounds a request
	maxWait = 10 * time.Minute // for a tray that is held
)

type handler struct {
	s   Service
	log *slog.Logger
}

// New returns the handler of all requests.
func New(s Service, log *slog.Logger) http.Handler {
	h := &handler{s, log}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/status", h.status)
	mux.HandleFunc("GET /v1/images", h.images)
	mux.HandleFunc("GET /v1/images/inspect", h.inspect)
	mux.HandleFunc("POST /v1/images/verify", h.verify)
	mux.HandleFunc("POST /v1/drives/{drive}/insert", h.insert)
	mux.HandleFunc("POST /v1/drives/{drive}/eject", h.eject)
	mux.HandleFunc("GET /v1/drives/{drive}/listen", h.listen)
	mux.HandleFunc("GET /v1/drives/{drive}/trace", h.trace)
	mux.HandleFunc("GET /v1/sessions", h.sessions)
	mux.HandleFunc("DELETE /v1/sessions/{id}", h.dropSession)
	mux.HandleFunc("GET /v1/sessions/{id}/trace", h.traceSession)
	mux.HandleFunc("GET /v1/health", h.health)
	mux.HandleFunc("GET /v1/events", h.events)
	mux.HandleFunc("/", h.notFound)
	return mux
}

func (h *handler) status(w http.ResponseWriter, r *http.Request) {
	s, err := h.s.Status(r.Context())
	h.answer(w, s, err)
}

func (h *handler) images(w http.ResponseWriter, r *http.Request) {
	list, err := h.s.Images(r.Context(), r.URL.Query().Has("info"))
	h.answer(w, list, err)
}

func (h *handler) inspect(w http.ResponseWriter, r *http.Request) {
	takesLong(w) // the image may be unpacked first
	info, err := h.s.Inspect(r.Context(), r.URL.Query().Get("name"))
	h.answer(w, info, err)
}

func (h *handler) verify(w http.ResponseWriter, r *http.Request) {
	var in client.VerifyRequest
	if !h.decode(w, r, &in) {
		return
	}
	takesLong(w)
	v, err := h.s.Verify(r.Context(), in.Image)
	h.answer(w, v, err)
}

// takesLong says that the answer may come later than the server's time limit
// for a request, which would end the request's context.
func takesLong(w http.ResponseWriter) {
	_ = http.NewResponseController(w).SetReadDeadline(time.Time{}) // it is no error where there is no limit
}

func (h *handler) insert(w http.ResponseWriter, r *http.Request) {
	var in client.InsertRequest
	if !h.decode(w, r, &in) {
		return
	}
	h.change(w, r, in.Force, in.Wait, func(t Tray, way Way) error { return t.Insert(r.Context(), in.Image, way) })
}

func (h *handler) eject(w http.ResponseWriter, r *http.Request) {
	var in client.EjectRequest
	if !h.decode(w, r, &in) {
		return
	}
	h.change(w, r, in.Force, in.Wait, func(t Tray, way Way) error { return t.Eject(r.Context(), way) })
}

// change acts on the drive of the path and answers with what it is then.
func (h *handler) change(w http.ResponseWriter, r *http.Request, force bool, wait string, act func(Tray, Way) error) {
	takesLong(w) // hosts may have to let go, and the image to be unpacked and verified, first
	way, err := wayOf(force, wait)
	var t Tray
	if err == nil {
		t, err = h.s.Tray(r.PathValue("drive"))
	}
	if err == nil {
		err = act(t, way)
	}
	if err != nil {
		h.answer(w, nil, err)
		return
	}
	d, err := t.Status(r.Context())
	h.answer(w, d, err)
}

func (h *handler) health(w http.ResponseWriter, r *http.Request) {
	h.answer(w, struct{}{}, h.s.Health(r.Context()))
}

func (h *handler) notFound(w http.ResponseWriter, r *http.Request) {
	h.answer(w, nil, &client.Error{
		Status: http.StatusNotFound, Message: fmt.Sprintf("%s %s is not of this API", r.Method, r.URL.Path),
		Hint: "client and daemon may be of different versions",
	})
}

// decode reads the request's body into v; when it cannot, it answers.
func (h *handler) decode(w http.ResponseWriter, r *http.Request, v any) bool {
	if err := decode(http.MaxBytesReader(w, r.Body, maxBody), v); err != nil {
		h.answer(w, nil, &client.Error{Status: http.StatusBadRequest, Message: "request: " + err.Error()})
		return false
	}
	return true
}

// decode takes one JSON value without unknown fields; nothing is an empty one.
func decode(r io.Reader, v any) error {
	d := json.NewDecoder(r)
	d.DisallowUnknownFields()
	switch err := d.Decode(v); {
	case errors.Is(err, io.EOF):
		return nil
	case err != nil:
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("there is more than one JSON value")
	}
	return nil
}

func (h *handler) answer(w http.ResponseWriter, v any, err error) {
	w.Header().Set("Content-Type", "application/json")
	if err != nil {
		e := h.errorOf(err)
		w.WriteHeader(e.Status)
		v = e
	}
	if err := json.NewEncoder(w).Encode(v); err != nil {
		h.log.Debug("api: answer not sent", "error", err)
	}
}

// errorOf gives err an HTTP status, and takes the hint out of its text.
func (h *handler) errorOf(err error) *client.Error {
	if e, ok := errors.AsType[*client.Error](err); ok {
		c := *e
		if c.Status == 0 {
			c.Status = http.StatusInternalServerError
		}
		return &c
	}
	if !errors.Is(err, context.Canceled) {
		h.log.Error("api: request failed", "error", err)
	}
	e := &client.Error{Status: http.StatusInternalServerError, Message: err.Error()}
	if m, hint, ok := strings.Cut(strings.TrimSuffix(e.Message, ")"), " (hint: "); ok {
		e.Message, e.Hint = m, hint
	}
	return e
}

// events sends the status now and on each change, as server-sent events.
func (h *handler) events(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	flush := http.NewResponseController(w)
	takesLong(w)
	for {
		changed := h.s.Changes()
		s, err := h.s.Status(r.Context())
		if err != nil {
			return
		}
		b, err := json.Marshal(s)
		if err != nil {
			return
		}
		if _, err := fmt.Fprintf(w, "event: status\ndata: %s\n\n", b); err != nil {
			return
		}
		if flush.Flush() != nil {
			return
		}
		select {
		case <-r.Context().Done():
			return
		case <-changed:
		}
	}
}

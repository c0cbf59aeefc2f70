package api

import (
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"spindle/internal/api/client"
)

func (h *handler) sessions(w http.ResponseWriter, r *http.Request) {
	s, err := h.s.Sessions(r.Context())
	h.answer(w, s, err)
}

func (h *handler) dropSession(w http.ResponseWriter, r *http.Request) {
	h.answer(w, struct{}{}, h.s.DropSession(r.Context(), r.PathValue("id")))
}

// traceSession sends a capture of a session.
func (h *handler) traceSession(w http.ResponseWriter, r *http.Request) {
	ask, err := traceRequest(r)
	out := &stream{w: w, c: http.NewResponseController(w)}
	if err == nil {
		takesLong(w)
		err = h.s.TraceSession(r.Context(), r.PathValue("id"), ask, out)
	}
	switch {
	case err != nil && !out.begun:
		h.answer(w, nil, err)
	case err != nil && r.Context().Err() == nil:
		h.log.Debug("api: trace of a session ended", "error", err)
	}
}

// maxTrace bounds how long a trace may be asked for, and maxCount its PDUs.
const (
	maxTrace = 24 * time.Hour
	maxCount = 1 << 30
)

// traceRequest reads what of a session is captured from a request.
func traceRequest(r *http.Request) (t client.TraceRequest, err error) {
	q := r.URL.Query()
	for name, to := range map[string]*int{"snaplen": &t.SnapLen, "count": &t.Count} {
		text := q.Get(name)
		if text == "" {
			continue
		}
		if *to, err = strconv.Atoi(text); err != nil || *to < 1 || *to > maxCount {
			return t, badQuery(name, text, fmt.Sprintf("is no number from 1 to %d", maxCount))
		}
	}
	if text := q.Get("for"); text != "" {
		if t.For, err = time.ParseDuration(text); err != nil || t.For <= 0 || t.For > maxTrace {
			return t, badQuery("for", text, fmt.Sprintf("is no duration up to %v", maxTrace))
		}
	}
	return t, nil
}

func badQuery(name, text, why string) error {
	return &client.Error{Status: http.StatusBadRequest, Message: fmt.Sprintf("%s: %q %s", name, text, why)}
}

// A stream is a file that is sent as it grows.
type stream struct {
	w     http.ResponseWriter
	c     *http.ResponseController
	begun bool
}

var _ io.Writer = (*stream)(nil)

// Write implements io.Writer: what it gets is on its way when it returns.
func (s *stream) Write(p []byte) (int, error) {
	if !s.begun {
		s.begun = true
		s.w.Header().Set("Content-Type", "application/x-pcapng")
		s.w.Header().Set("Cache-Control", "no-store")
	}
	_ = s.c.SetWriteDeadline(time.Now().Add(traceWait)) // it is no error where there is no limit
	n, err := s.w.Write(p)
	if err == nil {
		err = s.c.Flush()
	}
	return n, err
}

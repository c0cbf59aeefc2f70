package api

import (
	"bytes"
	"encoding/json"
	"net/http"
	"time"
)

// traceWait is how long a reader of a trace may take for a piece of it.
const traceWait = time.Minute

// trace sends what a drive's flight recorder holds as JSON Lines.
func (h *handler) trace(w http.ResponseWriter, r *http.Request) {
	t, err := h.s.Tray(r.PathValue("drive"))
	if err != nil {
		h.answer(w, nil, err)
		return
	}
	takesLong(w)
	out, begun := http.NewResponseController(w), false
	err = t.Trace(r.Context(), r.URL.Query().Has("follow"), func(lines ...any) error {
		if !begun {
			begun = true
			w.Header().Set("Content-Type", "application/x-ndjson")
			w.Header().Set("Cache-Control", "no-store")
		}
		var b bytes.Buffer
		e := json.NewEncoder(&b)
		for _, line := range lines {
			if err := e.Encode(line); err != nil {
				return err
			}
		}
		_ = out.SetWriteDeadline(time.Now().Add(traceWait)) // it is no error where there is no limit
		if _, err := w.Write(b.Bytes()); err != nil {
			return err
		}
		return out.Flush()
	})
	switch {
	case err != nil && !begun:
		h.answer(w, nil, err)
	case err != nil && r.Context().Err() == nil:
		h.log.Debug("api: trace ended", "error", err)
	}
}

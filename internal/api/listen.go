package api

import (
	"bufio"
	"net/http"
)

// listen sends what the drive plays, frame after frame, until the client or the
// drive goes; the head of the answer says that it listens.
func (h *handler) listen(w http.ResponseWriter, r *http.Request) {
	t, err := h.s.Tray(r.PathValue("drive"))
	if err != nil {
		h.answer(w, nil, err)
		return
	}
	frames, stop := t.Listen()
	defer stop()
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Cache-Control", "no-store")
	flush := http.NewResponseController(w)
	takesLong(w)
	if flush.Flush() != nil {
		return
	}
	out := bufio.NewWriterSize(w, 16<<10)
	for {
		select {
		case <-r.Context().Done():
			return
		case f, ok := <-frames:
			if !ok {
				return
			}
			if _, err := f.WriteTo(out); err != nil {
				return
			}
			if len(frames) == 0 && (out.Flush() != nil || flush.Flush() != nil) {
				return
			}
		}
	}
}

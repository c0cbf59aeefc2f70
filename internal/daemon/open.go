package daemon

import (
	"errors"
	"io/fs"
	"net/http"
	"strings"

	"spindle/config"
	"spindle/internal/api/client"
	"spindle/isostore"
	"spindle/isostore/disc"
)

func imageOptions(c config.Drive) isostore.Options {
	kind, _ := disc.ParseKind(c.Medium)
	return isostore.Options{Kind: kind}
}

func isOutside(err error) bool { return errors.Is(err, isostore.ErrOutside) }

// imageError is an error of opening an image as the API answers it.
func imageError(err error) error {
	e := &client.Error{Status: http.StatusUnprocessableEntity, Message: err.Error()}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		e.Status = http.StatusNotFound
	case isOutside(err):
		e.Status = http.StatusBadRequest
	}
	e.Message, e.Hint = splitHint(e.Message)
	return e
}

// splitHint parts a text of ours from the hint behind it.
func splitHint(text string) (message, hint string) {
	if m, h, ok := strings.Cut(text, " (hint: "); ok && strings.HasSuffix(h, ")") {
		return m, strings.TrimSuffix(h, ")")
	}
	return text, ""
}

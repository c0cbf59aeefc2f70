package gotgt

import (
	"context"
	"io"
	"log/slog"

	"github.com/sirupsen/logrus"
)

// redirectLog sends what gotgt says to log. It warns of each CHECK CONDITION,
// which is every second answer of a drive: only its errors are for people.
func redirectLog(log *slog.Logger) {
	logrus.SetOutput(io.Discard)
	logrus.SetLevel(logrus.WarnLevel) // below that it formats every PDU
	logrus.AddHook(hook{log})
}

type hook struct{ log *slog.Logger }

// Levels implements logrus.Hook.
func (hook) Levels() []logrus.Level { return logrus.AllLevels }

// Fire implements logrus.Hook.
func (h hook) Fire(e *logrus.Entry) error {
	level := slog.LevelDebug
	if e.Level <= logrus.ErrorLevel {
		level = slog.LevelWarn
	}
	h.log.Log(context.Background(), level, "gotgt: "+e.Message)
	return nil
}

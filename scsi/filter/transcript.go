package filter

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"spindle/scsi"
)

// A Transcript is a header and what happened after it, in the order of the
// lines.
type Transcript struct {
	Header  Header
	Entries []Entry
}

// Bounds of what ReadTranscript takes.
const (
	maxLine    = 128 << 10 // bytes; an entry has some 10,000 at most
	maxEntries = 1 << 20
)

// ErrTranscript is what is wrong with a transcript. The error says which line.
var ErrTranscript = errors.New("not a transcript")

// ReadTranscript reads JSON Lines: a [Header], then an [Entry] a line. Empty
// lines are nothing. An error wraps [ErrTranscript] unless it is r's.
func ReadTranscript(r io.Reader) (*Transcript, error) {
	t := &Transcript{}
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxLine)
	number, headed := 0, false
	for lines.Scan() {
		number++
		line := bytes.TrimSpace(lines.Bytes())
		if len(line) == 0 {
			continue
		}
		var err error
		if headed {
			err = t.add(line)
		} else {
			err, headed = t.Header.read(line), true
		}
		if err != nil {
			return nil, fmt.Errorf("%w: line %d: %w", ErrTranscript, number, err)
		}
	}
	switch err := lines.Err(); {
	case errors.Is(err, bufio.ErrTooLong):
		return nil, fmt.Errorf("%w: line %d is longer than %d bytes", ErrTranscript, number+1, maxLine)
	case err != nil:
		return nil, err
	case !headed:
		return nil, fmt.Errorf("%w: it is empty (hint: `spindle trace DRIVE --json` writes one)", ErrTranscript)
	}
	return t, nil
}

func (h *Header) read(line []byte) error {
	if err := json.Unmarshal(line, h); err != nil {
		return err
	}
	switch {
	case h.Version == 0:
		return errors.New(`the first line has no "spindle_transcript" (hint: save all lines of` + " `spindle trace DRIVE --json`)")
	case h.Version != Version:
		return fmt.Errorf("it is of version %d, and this program knows version %d (hint: use the spindle that wrote it, %.40q)", h.Version, Version, h.Program)
	}
	return nil
}

func (t *Transcript) add(line []byte) error {
	if len(t.Entries) == maxEntries {
		return fmt.Errorf("there are more than %d entries", maxEntries)
	}
	var e Entry
	if err := json.Unmarshal(line, &e); err != nil {
		return err
	}
	if err := e.check(); err != nil {
		return err
	}
	t.Entries = append(t.Entries, e)
	return nil
}

// maxLength bounds the length of a transfer, in bytes: hosts claim 32 bits.
const maxLength = 1 << 32

// check holds an entry to what a recorder writes.
func (e *Entry) check() error {
	for _, text := range e.Pending {
		if _, err := Attention(text); err != nil {
			return err
		}
	}
	for _, n := range []int64{e.Length, e.Total, e.In, e.Out} {
		if n < 0 || n > maxLength {
			return fmt.Errorf("%d is no length in bytes", n)
		}
	}
	switch {
	case len(e.Pending) > maxPending:
		return fmt.Errorf("%d unit attentions wait; %d is the most", len(e.Pending), maxPending)
	case e.Event == "" && (len(e.CDB) == 0 || len(e.CDB) > len(scsi.CDB{})):
		return fmt.Errorf("there is neither an event nor a CDB of 1 to 16 bytes, but %d", len(e.CDB))
	case e.Event == EventJoined && e.Host == nil:
		return fmt.Errorf("event %q has no host", e.Event)
	case int64(len(e.Data)) != min(e.In, MaxData):
		return fmt.Errorf("%d bytes of data of an answer of %d", len(e.Data), e.In)
	case int64(len(e.OutData)) != min(e.Out, MaxOut):
		return fmt.Errorf("%d bytes of data-out of %d", len(e.OutData), e.Out)
	case len(e.SHA256) != 0 && len(e.SHA256) != 32:
		return fmt.Errorf("a SHA-256 of %d bytes", len(e.SHA256))
	case len(e.Sense) != 0 && len(e.Sense) != scsi.FixedSenseLen:
		return fmt.Errorf("sense of %d bytes", len(e.Sense))
	}
	return nil
}

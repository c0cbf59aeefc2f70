package image

import (
	"encoding/base64"
	"encoding/xml"
	"fmt"
	"io"
	"slices"
)

// dmgMaxDepth bounds how deep a property list is nested; those of disk images
// are four deep.
const dmgMaxDepth = 16

// A dmgWalker walks through a property list for the run tables, which are at
//
//	<plist><dict><key>resource-fork</key><dict><key>blkx</key><array><dict>
//	<key>Data</key><data>base64</data>
//
// token by token, with bounded memory. A library that builds the whole list
// (howett.net/plist) goes a call deeper for each <array>: megabytes of them
// overflow the stack, which no recover catches.
type dmgWalker struct {
	d    *xml.Decoder
	path []string // keys of the dicts and arrays that are open; "" without one
	key  string   // the last one read
	in   bool     // the <plist>, which stands around all
}

// dmgMaxTag bounds what stands between < and >: the parser keeps all attributes
// of an element, and each takes many times its bytes.
const dmgMaxTag = 4096

// A tagLimiter reads text whose tags are not longer than that.
type tagLimiter struct {
	r    io.Reader
	n    int64 // bytes read
	tag  int64 // of them, where the last < stands that no > ends
	open bool
}

// Read implements io.Reader.
func (l *tagLimiter) Read(p []byte) (int, error) {
	n, err := l.r.Read(p)
	for i, c := range p[:n] {
		at := l.n + int64(i)
		switch {
		case c == '<' && !l.open:
			l.tag, l.open = at, true
		case c == '>':
			l.open = false
		case l.open && at-l.tag > dmgMaxTag:
			return i, fmt.Errorf("a tag of more than %d bytes from byte %d on", dmgMaxTag, l.tag)
		}
	}
	l.n += int64(n)
	return n, err
}

// dmgTables calls table for each run table of a property list.
func dmgTables(r io.Reader, table func(b []byte) error) error {
	w := &dmgWalker{d: xml.NewDecoder(&tagLimiter{r: r})}
	for {
		t, err := w.d.Token()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%w: byte %d: %w", ErrDamaged, w.d.InputOffset(), err)
		}
		switch t := t.(type) {
		case xml.StartElement:
			err = w.start(t, table)
		case xml.EndElement:
			if len(w.path) > 0 && (t.Name.Local == "dict" || t.Name.Local == "array") {
				w.path = w.path[:len(w.path)-1]
			}
		}
		if err != nil {
			return err
		}
	}
}

// start takes an element.
func (w *dmgWalker) start(t xml.StartElement, table func(b []byte) error) error {
	switch t.Name.Local {
	case "plist":
		if w.in {
			return fmt.Errorf("%w: byte %d: a <plist> in another", ErrDamaged, w.d.InputOffset())
		}
		w.in = true
	case "dict", "array":
		if len(w.path) >= dmgMaxDepth {
			return fmt.Errorf("%w: byte %d: nested deeper than %d", ErrDamaged, w.d.InputOffset(), dmgMaxDepth)
		}
		w.path, w.key = append(w.path, w.key), ""
	case "key":
		text, err := w.text()
		w.key = string(text)
		return err
	default:
		key := w.key
		w.key = ""
		text, err := w.text()
		if err != nil || t.Name.Local != "data" || key != "Data" || !slices.Equal(w.path, []string{"", "resource-fork", "blkx", ""}) {
			return err
		}
		text = slices.DeleteFunc(text, func(c byte) bool { return c <= ' ' })
		b := make([]byte, base64.StdEncoding.DecodedLen(len(text)))
		n, err := base64.StdEncoding.Decode(b, text)
		if err != nil {
			return fmt.Errorf("%w: byte %d: %w", ErrDamaged, w.d.InputOffset(), err)
		}
		return table(b[:n])
	}
	return nil
}

// text reads the text of an element that has nothing else in it, and its end.
func (w *dmgWalker) text() ([]byte, error) {
	var text []byte
	for {
		t, err := w.d.Token()
		if err != nil {
			return nil, fmt.Errorf("%w: byte %d: %w", ErrDamaged, w.d.InputOffset(), noEOF(err))
		}
		switch t := t.(type) {
		case xml.CharData:
			text = append(text, t...)
		case xml.EndElement:
			return text, nil
		case xml.StartElement:
			return nil, fmt.Errorf("%w: byte %d: <%s> in a text", ErrDamaged, w.d.InputOffset(), t.Name.Local)
		}
	}
}

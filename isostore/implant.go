package isostore

import (
	"crypto/md5"
	"encoding/binary"
	"encoding/hex"
	"hash"
	"strconv"
	"strings"

	"spindle/isostore/disc"
)

// Where implantisomd5 writes (reference/mmc.md 9): the application use field of
// the primary volume descriptor, ECMA-119 8.4.
const (
	appUse     = 883 // in the descriptor, in bytes
	appUseSize = 512
)

// An implant is a checksum that an image carries in its own primary volume
// descriptor: MD5 of the first Size bytes, with the field that holds the text
// taken for blanks.
type implant struct {
	MD5  string `json:"md5"`
	Size int64  `json:"size"` // bytes that it covers
	OK   bool   `json:"ok,omitempty"`
	Done bool   `json:"done,omitempty"` // it was checked, with OK as the result
}

// pvdSpace returns the volume space size, in blocks, of a block that is a
// primary volume descriptor.
func pvdSpace(pvd []byte) (blocks int64, ok bool) {
	if len(pvd) < disc.BlockSize || string(pvd[:7]) != "\x01CD001\x01" {
		return 0, false
	}
	return int64(binary.BigEndian.Uint32(pvd[84:])), true
}

// parseImplant returns the checksum in a primary volume descriptor, nil when
// there is none. The text is KEY = VALUE pairs with semicolons between them:
// "ISO MD5SUM = <32 hexadecimal digits>;SKIPSECTORS = <blocks at the end that
// are left out>;…", padded with blanks.
func parseImplant(pvd []byte) *implant {
	blocks, ok := pvdSpace(pvd)
	if !ok {
		return nil
	}
	im, skip := &implant{}, int64(0)
	for field := range strings.SplitSeq(string(pvd[appUse:appUse+appUseSize]), ";") {
		key, value, ok := strings.Cut(field, "=")
		if !ok {
			continue
		}
		value = strings.Trim(value, " \x00")
		switch strings.TrimSpace(key) {
		case "ISO MD5SUM":
			if sum, err := hex.DecodeString(value); err == nil && len(sum) == md5.Size {
				im.MD5 = strings.ToLower(value)
			}
		case "SKIPSECTORS":
			n, err := strconv.ParseInt(value, 10, 32)
			if err != nil || n < 0 {
				return nil
			}
			skip = n
		}
	}
	if im.MD5 == "" || blocks-skip <= pvdBlock {
		return nil
	}
	im.Size = (blocks - skip) * disc.BlockSize
	return im
}

// An implantHash computes the checksum of an implant over the bytes of an
// image, given in order.
type implantHash struct {
	h    hash.Hash
	at   int64
	size int64
}

func newImplantHash(im *implant) *implantHash { return &implantHash{h: md5.New(), size: im.Size} }

var blanks = []byte(strings.Repeat(" ", appUseSize))

// Write implements io.Writer.
func (w *implantHash) Write(p []byte) (int, error) {
	const from = pvdBlock*disc.BlockSize + appUse
	n := len(p)
	for len(p) > 0 && w.at < w.size {
		piece := p[:min(int64(len(p)), w.size-w.at)]
		switch {
		case w.at < from:
			piece = piece[:min(int64(len(piece)), from-w.at)]
			w.h.Write(piece)
		case w.at < from+appUseSize:
			piece = piece[:min(int64(len(piece)), from+appUseSize-w.at)]
			w.h.Write(blanks[:len(piece)])
		default:
			w.h.Write(piece)
		}
		w.at += int64(len(piece))
		p = p[len(piece):]
	}
	return n, nil
}

// ok reports whether all bytes came and the checksum is right.
func (w *implantHash) ok(im *implant) bool {
	return w.at == w.size && hex.EncodeToString(w.h.Sum(nil)) == im.MD5
}

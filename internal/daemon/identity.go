package daemon

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// An identity is what a machine's drives take their serial numbers and names
// from: 64 random bits, made once.
type identity [8]byte

const identityFile = "identity"

// loadIdentity reads the identity in dir, or makes it. When it cannot be kept
// the error says so, and the identity is still a good one until the end.
func loadIdentity(dir string) (identity, error) {
	var id identity
	path := filepath.Join(dir, identityFile)
	text, err := os.ReadFile(path)
	if err == nil {
		n, derr := hex.Decode(id[:], []byte(strings.TrimSpace(string(text[:min(len(text), 17)]))))
		if derr == nil && n == len(id) {
			return id, nil
		}
		err = fmt.Errorf("%s is damaged: the drives have new serial numbers", path)
	}
	if _, rerr := rand.Read(id[:]); rerr != nil {
		return id, rerr
	}
	werr := writeFile(path, []byte(hex.EncodeToString(id[:])+"\n"))
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return id, errors.Join(err, werr)
}

// of returns what a drive has of the identity: a serial number, and an NAA
// designator of the locally assigned kind.
func (id identity) of(drive string) (serial string, naa uint64) {
	h := sha256.New()
	h.Write(id[:])
	h.Write([]byte(drive))
	sum := h.Sum(nil)
	return strings.ToUpper(hex.EncodeToString(sum[:8])), binary.BigEndian.Uint64(sum[8:])&(1<<60-1) | 3<<60
}

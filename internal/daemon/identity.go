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

// loadIdentity reads the identity in dir, or makes it. A damaged one is put
// aside; one that cannot be read stays, since another start may read it. The
// error says so, and the identity is still a good one until the end.
func loadIdentity(dir string) (identity, error) {
	var id identity
	path := filepath.Join(dir, identityFile)
	text, err := os.ReadFile(path)
	if err == nil {
		n, derr := hex.Decode(id[:], []byte(strings.TrimSpace(string(text[:min(len(text), 17)]))))
		if derr == nil && n == len(id) {
			return id, nil
		}
		aside := path + ".damaged"
		err = fmt.Errorf("%s is damaged: the drives have new serial numbers, and hosts take them for others (hint: it is kept as %s)", path, aside)
		err = errors.Join(err, os.Rename(path, aside))
	} else if !errors.Is(err, fs.ErrNotExist) {
		_, rerr := rand.Read(id[:])
		return id, errors.Join(fmt.Errorf("identity cannot be read, serial numbers are others until the next start: %w", err), rerr)
	}
	if _, rerr := rand.Read(id[:]); rerr != nil {
		return id, rerr
	}
	werr := writeFile(path, []byte(hex.EncodeToString(id[:])+"\n"))
	if werr != nil {
		werr = fmt.Errorf("identity is not kept, serial numbers change with a restart: %w", werr)
	}
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

package isostore

import (
	"context"
	"crypto/md5"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"slices"
	"time"

	"spindle/isostore/disc"
	"spindle/isostore/image"
)

// errMoved: a file is another one than at the beginning.
var errMoved = errors.New("it changed while it was read (hint: try again when it is complete)")

var hashes = map[string]func() hash.Hash{algMD5: md5.New, algSHA256: sha256.New, algSHA512: sha512.New}

// readChunk is how much is read at once for checksums, in bytes.
const readChunk = 1 << 20

// A progress is told how many bytes of how many were read.
type progress func(done, total int64)

// A reading computes the checksums of an image in one pass over its files.
type reading struct {
	ctx         context.Context
	root        *os.Root
	name        string
	tell        progress
	done, total int64
	buf         []byte
}

// digestImage computes the checksums that k's image should have by sums, and
// the SHA-256 of each file. It returns k with them.
func digestImage(ctx context.Context, root *os.Root, name string, k *known, sums func(file string) []sum, o Options, tell progress) (*known, error) {
	now := *k
	now.Digests, now.Checked = nil, time.Now()
	r := &reading{ctx: ctx, root: root, name: name, tell: tell, total: k.Stamp.Size, buf: make([]byte, readChunk)}
	for _, c := range k.Companions {
		r.total += c.Stamp.Size
	}
	flat := false
	if k.Implant != nil {
		if flat = isFlat(root, name); !flat {
			r.total += k.Implant.Size
		}
	}
	var inside *implantHash
	for i, file := range append([]string{""}, companionNames(k)...) {
		full := name
		if file != "" {
			full = besides(name, file)
		}
		var extra io.Writer = io.Discard
		if i == 0 && flat {
			inside = newImplantHash(k.Implant)
			extra = inside
		}
		want, _ := usable(sums(full))
		list, err := r.digestFile(full, want, extra)
		if err != nil {
			return nil, err
		}
		for _, d := range list {
			d.File = file
			now.Digests = append(now.Digests, d)
		}
	}
	if k.Implant != nil {
		if !flat {
			inside = newImplantHash(k.Implant)
			switch err := r.readDisc(inside, k.Implant.Size, o); {
			case errors.Is(err, ErrPacked): // what is known of it stays
				inside = nil
			case err != nil:
				return nil, err
			}
		}
		if inside != nil {
			im := *k.Implant
			im.Done, im.OK = true, inside.ok(&im)
			now.Implant = &im
		}
	}
	after, err := look(root, name, false)
	if err != nil || after != k.Stamp || !slices.Equal(stampFiles(root, name, companionNames(k)), k.Companions) {
		return nil, errMoved
	}
	return &now, nil
}

func companionNames(k *known) (list []string) {
	for _, c := range k.Companions {
		list = append(list, c.Name)
	}
	return list
}

// digestFile reads the file name once, for all algorithms.
func (r *reading) digestFile(name string, want []sum, extra io.Writer) ([]digest, error) {
	f, err := openPlain(r.root, name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	algs := []string{algSHA256}
	for _, s := range want {
		if !slices.Contains(algs, s.alg) {
			algs = append(algs, s.alg)
		}
	}
	hs := make([]hash.Hash, len(algs))
	to := []io.Writer{extra}
	for i, alg := range algs {
		hs[i] = hashes[alg]()
		to = append(to, hs[i])
	}
	all := io.MultiWriter(to...)
	for {
		n, err := f.Read(r.buf)
		_, _ = all.Write(r.buf[:n]) // hashes do not fail
		if stop := r.advance(n); stop != nil {
			return nil, stop
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
	}
	var list []digest
	for i, alg := range algs {
		list = append(list, digest{Alg: alg, Hex: hex.EncodeToString(hs[i].Sum(nil))})
	}
	return list, nil
}

// advance counts n bytes, and returns why to stop.
func (r *reading) advance(n int) error {
	r.done += int64(n)
	if r.tell != nil {
		r.tell(r.done, max(r.total, r.done))
	}
	return context.Cause(r.ctx)
}

// readDisc gives w the first size bytes of user data of the image.
func (r *reading) readDisc(w io.Writer, size int64, o Options) error {
	d, _, err := image.Open(r.root, r.name, o)
	if err != nil {
		return err
	}
	defer d.Close()
	end := min(size/disc.BlockSize, int64(d.Layout().LeadOut()))
	for lba := int64(0); lba < end; {
		n := min(int64(len(r.buf))/disc.BlockSize, end-lba)
		good, err := d.ReadBlocks(r.buf[:n*disc.BlockSize], disc.LBA(lba))
		_, _ = w.Write(r.buf[:good*disc.BlockSize])
		if stop := r.advance(good * disc.BlockSize); stop != nil {
			return stop
		}
		if err != nil {
			return fmt.Errorf("block %d: %w", lba+int64(good), err)
		}
		lba += n
	}
	return nil
}

// isFlat reports whether block n of the disc is at byte n*2048 of the file: a
// checksum inside needs no pass of its own then.
func isFlat(root *os.Root, name string) bool {
	f, err := openPlain(root, name)
	if err != nil {
		return false
	}
	defer f.Close()
	head := make([]byte, 7)
	_, err = f.ReadAt(head, pvdBlock*disc.BlockSize)
	return err == nil && string(head) == "\x01CD001\x01"
}

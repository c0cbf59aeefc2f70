package iscsi_test

import (
	"os"
	"path/filepath"
	"testing"

	"spindle/scsi/filter"
)

// Acts by their place in acts.
const (
	doCommand = iota
	doKnown
	doWrite
	doDataOut
	doAnswer
	doManage
	doPing
	doText
	doLogout
	doLogin
	doRaw
	doFlip
	doCorrupt
	doPieces
	doCut
	doSync
	doStall
	doTray
	doReload
	doNoise
)

// serveSeeds are programs of FuzzServe: what real hosts send, from the
// transcripts, and one of each mistake.
func serveSeeds(f *testing.F) [][]byte {
	seeds := hostSeeds(f)
	read := func(which, length, lun, how byte) []byte { return []byte{doKnown, which, length, lun, how} }
	add := func(login, how byte, parts ...[]byte) {
		p := []byte{login, how}
		for _, part := range parts {
			p = append(p, part...)
		}
		seeds = append(seeds, p)
	}
	ready := append(read(0, 0, 0, 1), read(0, 0, 0, 1)...)
	queue := func(n int) (p []byte) {
		for range n {
			p = append(p, read(3, 10, 0, 1)...)
		}
		return p
	}
	write := []byte{doWrite, 0, 0, 24, 0, 24, 0, 0, 1}
	unasked := []byte{doWrite, 2, 0x20, 0, 0x80, 16, 0, 0, 1}
	for login := range byte(len(logins)) { // reads, and writes with and without R2T, by every login
		add(login, login&1<<2, ready, read(2, 6, 0, 1), queue(3), write, []byte{doSync, doAnswer}, unasked, []byte{doDataOut, 2, 0, 0, 16, 0, 100, doSync})
	}
	add(0, 1, []byte{doText, 0, 0, 0, doSync, doText, 2, 3, 9, doText, 5, 4, 9, doSync}) // discovery
	add(1, 0, ready, []byte{doCorrupt, 0, 1}, read(2, 6, 0, 1))                          // digests that differ
	add(3, 0, ready, []byte{doCorrupt, 0, 1}, write)
	add(0, 0, ready, read(20, 11, 0, 1), []byte{doManage, 1, 1, 0, doSync}, queue(8), []byte{doManage, 5, 1, 0, doManage, 2, 1, 0, doManage, 6, 0, 0, doSync, doManage, 7, 0, 0})
	add(0, 0, ready, read(2, 6, 0, 0x11), read(2, 6, 0, 0x21), read(2, 6, 0, 0x31), read(2, 6, 0, 0x41), []byte{doPing, 0x11, 0, 99, doPing, 1, 0, 9, doSync})
	add(0, 0, ready, queue(4), []byte{doStall}, queue(40), []byte{doPing, 0, 16, 0})
	add(0, 0, ready, queue(2), []byte{doTray, 0, 0, doSync}, queue(2), []byte{doTray, 0, 1, doSync, doReload, 1, doSync})
	add(0, 0, []byte{doPieces, 0}, read(2, 6, 0, 1), []byte{doPieces, 46}, write, []byte{doCut, 0, 60}, write)
	add(0, 0, []byte{doFlip, 4, 255}, read(2, 6, 0, 1), queue(30))
	add(0, 0, []byte{doFlip, 0, 0x1C}, read(2, 6, 0, 1), []byte{doFlip, 1, 0x20}, read(2, 6, 0, 1), []byte{doSync, doLogout, 1, 7, doLogout, 0, 0})
	add(0, 2, []byte{doLogin, 0, 0x04, 0, doLogin, 1, 0x44, 0, doLogin, 0, 0x87, 0}, queue(2))
	add(0, 2, []byte{doNoise, 1, 0}, make([]byte, 64), []byte("GET / HTTP/1.0\r\n\r\n"))
	add(0, 2, []byte{doLogin, 2, 0x87, 0, doRaw, 0x43}, make([]byte, 60))
	add(2, 0, read(14, 8, 1, 1), read(15, 0, 3, 1), read(10, 0, 3, 2), read(0, 0, 2, 3), read(13, 4, 5, 1), read(5, 4, 1, 0x0B), []byte{doSync})
	return seeds
}

// hostSeeds are the first commands of the transcripts.
func hostSeeds(f *testing.F) (seeds [][]byte) {
	names, err := filepath.Glob("../../testdata/transcripts/*.jsonl")
	if err != nil || len(names) == 0 {
		f.Fatalf("no transcripts: %v", err)
	}
	for _, name := range names {
		file, err := os.Open(name)
		if err != nil {
			f.Fatal(err)
		}
		tr, err := filter.ReadTranscript(file)
		file.Close()
		if err != nil {
			f.Fatal(err)
		}
		p := []byte{1, 0}
		for _, e := range tr.Entries {
			if len(e.CDB) == 0 || len(p) > 30*20 || e.Out > 0 {
				continue
			}
			cdb := make([]byte, 16)
			copy(cdb, e.CDB)
			p = append(append(append(p, doCommand), cdb...), lengthOf(e.Length), 0, 1, doSync)
		}
		seeds = append(seeds, p)
	}
	return seeds
}

// lengthOf is the place in lengths of the first that is n or more; 1 MiB at
// most, as all of them have it but one.
func lengthOf(n int64) byte {
	best := byte(10)
	for i, l := range lengths {
		if int64(l) >= n && l < lengths[best] {
			best = byte(i)
		}
	}
	return best
}

package bot

import (
	"errors"
	"io"
	"sync"

	"spindle/scsi"
	"spindle/target"
)

// A task is one command between its CBW and its CSW.
type task struct {
	target.Task
	t *Transport
	w cbw

	ended chan struct{} // of capacity 1: Release was called
	gone  chan struct{} // closed when the task is left behind
	leave func()
	err   error
	abort bool

	mem  []byte // grows to a chunk at most, and slack of a packet
	fill int    // bytes in mem: to be sent, or received and not taken

	begun bool
	total int64 // what Begin announced
	take  int64 // what the host takes of it
	sent  int64 // given by the logical unit, in mem or on the wire

	got    int64 // bytes of data-out that arrived
	pos    int   // of those in mem taken
	taken  int64 // by the logical unit, in all
	short  bool  // the host ended its data
	excess bool  // the logical unit wanted more than the host had
}

func newTask(t *Transport) *task {
	k := &task{t: t, ended: make(chan struct{}, 1), gone: make(chan struct{})}
	k.leave = sync.OnceFunc(func() { close(k.gone) })
	k.Owner = k
	k.In, k.Out = (*dataIn)(k), (*dataOut)(k)
	return k
}

func (k *task) start(w *cbw) {
	k.w, k.err, k.abort = *w, nil, false
	k.CDB, k.Length = scsi.CDB(w.cdb), int64(w.length)
	k.fill, k.pos = 0, 0
	k.begun, k.total, k.take, k.sent = false, 0, 0, 0
	k.got, k.taken, k.short, k.excess = 0, 0, false, false
}

// Finish implements target.Owner.
func (k *task) Finish(err error, aborted bool) { k.err, k.abort = err, aborted }

// Release implements target.Owner.
func (k *task) Release() { k.ended <- struct{}{} }

// room makes mem hold n bytes past fill.
func (k *task) room(n int) []byte {
	if need := k.fill + n; need > len(k.mem) {
		grown := make([]byte, need)
		copy(grown, k.mem[:k.fill])
		k.mem = grown
	}
	return k.mem[k.fill : k.fill+n]
}

var errMisuse = errors.New("data-in: Begin must come once, and first")

// dataIn is a task as its logical unit's scsi.DataIn. What it sends leaves in
// whole packets until the last, for a short one ends the host's transfer.
type dataIn task

// Begin implements scsi.DataIn.
func (d *dataIn) Begin(n int64) (int64, error) {
	if d.begun || n < 0 {
		return 0, errMisuse
	}
	d.begun, d.total = true, n
	if d.w.in {
		d.take = min(n, d.Length)
	}
	return d.take, nil
}

const blockSize = 2048

// Buffer implements scsi.DataIn.
func (d *dataIn) Buffer() ([]byte, error) {
	left := d.take - d.sent
	if left <= 0 {
		return nil, errMisuse
	}
	if err := d.Err(); err != nil {
		return nil, err
	}
	n := min((left+blockSize-1)/blockSize*blockSize, ChunkSize)
	return (*task)(d).room(int(n)), nil
}

// Send implements scsi.DataIn.
func (d *dataIn) Send(n int) error {
	n = int(min(int64(n), d.take-d.sent))
	if n < 0 || d.fill+n > len(d.mem) {
		return errMisuse
	}
	d.fill += n
	d.sent += int64(n)
	whole := d.fill
	if d.sent < d.take {
		whole -= whole % d.t.ep.MaxPacket()
	}
	return (*task)(d).flush(whole)
}

// Reply implements scsi.DataIn.
func (d *dataIn) Reply(p []byte) error {
	take, err := d.Begin(int64(len(p)))
	if err != nil || take == 0 {
		return err
	}
	copy((*task)(d).room(int(take)), p)
	return d.Send(int(take))
}

// flush writes the first n bytes of mem.
func (k *task) flush(n int) error {
	if n == 0 {
		return nil
	}
	if err := k.Err(); err != nil {
		return err
	}
	if err := k.t.ep.Write(k.mem[:n]); err != nil {
		return err
	}
	k.fill = copy(k.mem, k.mem[n:k.fill])
	return nil
}

// dataOut is a task as its logical unit's data-out.
type dataOut task

// Read implements io.Reader.
func (d *dataOut) Read(p []byte) (int, error) {
	k := (*task)(d)
	for {
		if n := copy(p, k.mem[k.pos:k.fill]); n > 0 || len(p) == 0 {
			k.pos += n
			k.taken += int64(n)
			return n, nil
		}
		switch {
		case k.Err() != nil:
			return 0, k.Err()
		case k.w.in || k.got == k.Length || k.short:
			k.excess = true
			return 0, io.EOF
		}
		if err := k.receive(); err != nil {
			return 0, err
		}
	}
}

// receive takes the next chunk of data-out into mem, in place of what is there.
func (k *task) receive() error {
	k.fill, k.pos = 0, 0
	packet := int64(k.t.ep.MaxPacket())
	n := min((k.Length-k.got+packet-1)/packet*packet, ChunkSize)
	got, err := k.t.ep.Read(k.room(int(n)))
	if err != nil {
		return err
	}
	k.fill = int(min(int64(got), k.Length-k.got))
	k.got += int64(k.fill)
	k.short = int64(got) < n && k.got < k.Length
	return nil
}

// discard reads what the host sends still and nobody wants (6.7.3, cases 9
// and 11): it may be on its way already, so it is not stalled.
func (k *task) discard() error {
	for !k.w.in && k.got < k.Length && !k.short {
		if err := k.receive(); err != nil {
			return err
		}
	}
	return nil
}

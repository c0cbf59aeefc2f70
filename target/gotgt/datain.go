package gotgt

import "errors"

// A dataIn is the memory that gotgt made for an answer, as scsi.DataIn: all
// that the initiator expects at once.
type dataIn struct {
	mem   []byte
	take  int64
	sent  int
	begun bool
	spare [blockSize]byte // where the rest of a last block goes
	cut   bool            // Buffer lent spare
}

const blockSize = 2048

var errMisuse = errors.New("data-in: Begin must come once, and first")

// Begin implements scsi.DataIn.
func (d *dataIn) Begin(n int64) (int64, error) {
	if d.begun || n < 0 {
		return 0, errMisuse
	}
	d.begun, d.take = true, min(n, int64(len(d.mem)))
	return d.take, nil
}

// Buffer implements scsi.DataIn.
func (d *dataIn) Buffer() ([]byte, error) {
	left := int(d.take) - d.sent
	if left <= 0 {
		return nil, errMisuse
	}
	if d.cut = left < blockSize; d.cut {
		return d.spare[:], nil
	}
	return d.mem[d.sent : d.sent+left/blockSize*blockSize], nil
}

// Send implements scsi.DataIn.
func (d *dataIn) Send(n int) error {
	n = min(n, int(d.take)-d.sent)
	if n < 0 {
		return errMisuse
	}
	if d.cut {
		copy(d.mem[d.sent:], d.spare[:n])
	}
	d.sent += n
	return nil
}

// Reply implements scsi.DataIn.
func (d *dataIn) Reply(p []byte) error {
	take, err := d.Begin(int64(len(p)))
	if err == nil {
		d.sent = copy(d.mem, p[:take])
	}
	return err
}

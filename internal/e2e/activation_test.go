//go:build linux

package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"spindle/internal/initiator"
	"spindle/internal/lab"
)

// A returner reads a disc and comes back whenever its connection ends.
type returner struct {
	addr, target string
	isid         byte
	image        []byte
	reads        atomic.Int64
	dialled      chan struct{} // a value for each connection
}

const returnerBlocks = 32 // a read

// run reads until ctx is done. Whatever a host would notice is an error: data
// that differs, a port that refuses, a unit attention after the first.
func (r *returner) run(ctx context.Context) error {
	for first := true; ctx.Err() == nil; first = false {
		c, err := initiator.Dial(r.addr)
		if err != nil {
			return fmt.Errorf("connect: %w", err)
		}
		r.dialled <- struct{}{}
		stop := context.AfterFunc(ctx, func() { c.Close() })
		if _, err = c.Login(initiator.Options{Target: r.target, ISID: [6]byte{0x80, 0, r.isid}}); err == nil {
			if first {
				_, err = c.Do(make([]byte, 16), 0, nil, 0) // 29/00
			}
			if err == nil {
				err = r.read(c)
			}
		}
		stop()
		c.Close()
		if errors.Is(err, errNoticed) || errors.Is(err, initiator.ErrLogin) {
			return err
		}
	}
	return nil
}

var errNoticed = errors.New("a host notices")

// read reads until the connection ends.
func (r *returner) read(c *initiator.Conn) error {
	for lba := 0; ; lba = (lba + returnerBlocks) % (len(r.image)/2048 - returnerBlocks) {
		res, err := c.Do([]byte{0x28, 0, 0, 0, byte(lba >> 8), byte(lba), 0, 0, returnerBlocks, 0}, returnerBlocks*2048, nil, 0)
		switch {
		case err != nil:
			return err
		case res.Status != 0:
			return fmt.Errorf("%w: block %d: status %02x, sense %x", errNoticed, lba, res.Status, res.Sense)
		case !bytes.Equal(res.Data, r.image[lba*2048:][:returnerBlocks*2048]):
			return fmt.Errorf("%w: block %d: other data", errNoticed, lba)
		}
		r.reads.Add(1)
	}
}

// A daemon that dies under load and is started again with the socket that
// systemd keeps: no host is refused, those that come while it is down wait, and
// their reads go on as if nothing had been.
func TestRestartWithSocket(t *testing.T) {
	lab.Need(t, "xorriso")
	t.Parallel()
	iso := lab.ISO(t, lab.Image{Size: 8 << 20, Seed: 60})
	image, err := os.ReadFile(iso)
	if err != nil {
		t.Fatal(err)
	}
	d := serveSocket(t, iso)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var running sync.WaitGroup
	hosts := make([]*returner, 8)
	target := d.cd0().Target
	for i := range hosts {
		r := &returner{addr: d.portal, target: target, isid: byte(i), image: image, dialled: make(chan struct{}, 100)}
		hosts[i] = r
		running.Go(func() {
			if err := r.run(ctx); err != nil {
				t.Errorf("host %d: %v", r.isid, err)
			}
		})
	}
	for range 2 {
		progress(t, hosts)
		d.awaitPorts(hosts)
		for _, r := range hosts {
			for len(r.dialled) > 0 {
				<-r.dialled
			}
		}
		d.kill()
		for _, r := range hosts {
			<-r.dialled // into the backlog
		}
		d.start()
	}
	progress(t, hosts)
	cancel()
	running.Wait()
}

// progress waits until every host has read 20 times more.
func progress(t *testing.T, hosts []*returner) {
	t.Helper()
	var from []int64
	for _, r := range hosts {
		from = append(from, r.reads.Load())
	}
	until(t, func() error {
		for i, r := range hosts {
			if r.reads.Load() < from[i]+20 {
				return fmt.Errorf("host %d has read %d times, it had %d", i, r.reads.Load(), from[i])
			}
		}
		return nil
	})
}

// awaitPorts waits until the state on the disk knows the hosts: one that dies
// before that has seen nobody.
func (d *daemon) awaitPorts(hosts []*returner) {
	d.t.Helper()
	until(d.t, func() error {
		text, err := os.ReadFile(d.dir + "/state/state.json")
		if err != nil {
			return err
		}
		for _, r := range hosts {
			if key := fmt.Sprintf("i,0x8000%02x", r.isid); !strings.Contains(string(text), key) {
				return fmt.Errorf("the state does not have %s", key)
			}
		}
		return nil
	})
}

// serveSocket is serve with a listening socket that outlives the daemon.
func serveSocket(t testing.TB, args ...string) *daemon {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close() // its copy stays
	socket, err := l.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { socket.Close() })
	return serveWith(t, socket, "127.0.0.1:0", args...)
}

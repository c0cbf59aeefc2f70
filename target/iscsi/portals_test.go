package iscsi_test

import (
	"context"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"spindle/internal/initiator"
	"spindle/scsi"
	"spindle/target/iscsi"
)

// A groupListener is a listener in a portal group.
type groupListener struct {
	net.Listener
	group uint16
}

func (l groupListener) PortalGroup() uint16 { return l.group }

// portLister is a disk that tells by which target port its commands come.
type portLister struct {
	disk
	seen chan scsi.Port
}

func (d *portLister) Execute(ctx context.Context, cmd *scsi.Command) error {
	d.seen <- cmd.Nexus.Port
	return d.disk.Execute(ctx, cmd)
}

// A portal group is a target port: a login says which one it came to, and an
// ISID takes the place of a session at the same port only (RFC 7143, 4.4.1).
func TestPortalGroups(t *testing.T) {
	b := serve(t, iscsi.Options{})
	d := &portLister{seen: make(chan scsi.Port, 1)}
	b.srv.Set(exported(oneUnit(iqn, d)))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go b.srv.Serve(t.Context(), groupListener{l, 2})
	second := l.Addr().String()
	for _, tt := range []struct {
		addr, group string
		port        scsi.Port
		sessions    int
	}{
		{b.addr, "1", scsi.Port{Protocol: scsi.ISCSI, Name: iqn + ",t,0x0001", RelativeID: 1, Group: 1}, 1},
		{second, "2", scsi.Port{Protocol: scsi.ISCSI, Name: iqn + ",t,0x0002", RelativeID: 2, Group: 2}, 2},
		{second, "2", scsi.Port{Protocol: scsi.ISCSI, Name: iqn + ",t,0x0002", RelativeID: 2, Group: 2}, 2},
	} {
		c, err := initiator.Dial(tt.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		keys, err := c.Login(initiator.Options{Target: iqn})
		if err != nil || keys["TargetPortalGroupTag"] != tt.group {
			t.Errorf("login at %s: %v, %v; want group %s", tt.addr, keys, err, tt.group)
		}
		mustDo(t, c, cdb(opReady), 0, nil, 0)
		if got := <-d.seen; got != tt.port {
			t.Errorf("target port %+v, want %+v", got, tt.port)
		}
		if got := len(b.srv.Sessions()); got != tt.sessions {
			t.Errorf("%d sessions, want %d", got, tt.sessions)
		}
	}
	list, err := initiator.Discover(second)
	if want := []string{second + ",2", b.addr + ",1"}; err != nil || !slices.Equal(list[iqn], want) {
		t.Errorf("portals %v, %v; want %v", list[iqn], err, want)
	}
}

// Behind a forwarder the server sees addresses that its initiators do not
// reach: those that it is told to advertise bring them there.
func TestAdvertise(t *testing.T) {
	b := serve(t, iscsi.Options{})
	outside := forward(t, b.addr)
	list, err := initiator.Discover(outside)
	if want := []string{b.addr + ",1"}; err != nil || !slices.Equal(list[iqn], want) {
		t.Fatalf("without: %v, %v; want %v", list[iqn], err, want)
	}
	s := exported(oneUnit(iqn, &disk{}))
	s.Portals = []iscsi.Portal{{Address: outside}, {Address: "[2001:db8::1]:3260", Group: 2}}
	b.srv.Set(s)
	list, err = initiator.Discover(outside)
	if want := []string{outside + ",1", "[2001:db8::1]:3260,2"}; err != nil || !slices.Equal(list[iqn], want) {
		t.Fatalf("with: %v, %v; want %v", list[iqn], err, want)
	}
	told, _, _ := strings.Cut(list[iqn][0], ",")
	c, err := initiator.Open(told, initiator.Options{Target: iqn})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	mustDo(t, c, cdb(opReady), 0, nil, 0)
}

// An atListener accepts connections that came in by another address.
type atListener struct {
	net.Listener
	at *net.TCPAddr
}

func (l atListener) Addr() net.Addr { return l.at }

func (l atListener) Accept() (net.Conn, error) {
	nc, err := l.Listener.Accept()
	return atConn{nc, l.at}, err
}

func (l atListener) SetDeadline(t time.Time) error {
	return l.Listener.(*net.TCPListener).SetDeadline(t)
}

type atConn struct {
	net.Conn
	at *net.TCPAddr
}

func (c atConn) LocalAddr() net.Addr { return c.at }

// The loopback addresses of the server are the host's own to a host of the
// network: it would try itself. One of this machine is told of all.
func TestLoopbackPortals(t *testing.T) {
	b := serve(t, iscsi.Options{})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	outer := &net.TCPAddr{IP: net.IPv4(192, 0, 2, 7), Port: 3260}
	go b.srv.Serve(t.Context(), atListener{l, outer})
	list, err := initiator.Discover(l.Addr().String())
	if want := []string{outer.String() + ",1"}; err != nil || !slices.Equal(list[iqn], want) {
		t.Errorf("by the network: portals %v, %v; want %v", list[iqn], err, want)
	}
	list, err = initiator.Discover(b.addr)
	if want := []string{b.addr + ",1", outer.String() + ",1"}; err != nil || !slices.Equal(list[iqn], want) {
		t.Errorf("by loopback: portals %v, %v; want %v", list[iqn], err, want)
	}
}

// forward is a NAT: it listens on an address of its own and hands every
// connection to addr.
func forward(t *testing.T, addr string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", addr)
			if err != nil {
				in.Close()
				continue
			}
			go func() { io.Copy(out, in); out.Close() }()
			go func() { io.Copy(in, out); in.Close() }()
		}
	}()
	return l.Addr().String()
}

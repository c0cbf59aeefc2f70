package iscsi_test

import (
	"net"
	"syscall"
	"testing"

	"spindle/internal/initiator"
	"spindle/target/iscsi"
)

// A keptListener keeps what it accepts.
type keptListener struct {
	net.Listener
	kept chan *net.TCPConn
}

func (l keptListener) Accept() (net.Conn, error) {
	nc, err := l.Listener.Accept()
	if err == nil {
		l.kept <- nc.(*net.TCPConn)
	}
	return nc, err
}

// TCP keepalive is on, also when the listener that was passed has it off.
func TestKeepAlive(t *testing.T) {
	b := serve(t, iscsi.Options{})
	off := net.ListenConfig{KeepAlive: -1}
	l, err := off.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	kept := make(chan *net.TCPConn, 1)
	go b.srv.Serve(t.Context(), keptListener{l, kept})
	c, err := initiator.Open(l.Addr().String(), initiator.Options{Target: iqn})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	raw, err := (<-kept).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name                string
		level, option, want int
	}{
		{"SO_KEEPALIVE", syscall.SOL_SOCKET, syscall.SO_KEEPALIVE, 1},
		{"TCP_KEEPIDLE", syscall.IPPROTO_TCP, syscall.TCP_KEEPIDLE, 60},
		{"TCP_KEEPINTVL", syscall.IPPROTO_TCP, syscall.TCP_KEEPINTVL, 15},
		{"TCP_KEEPCNT", syscall.IPPROTO_TCP, syscall.TCP_KEEPCNT, 4},
	} {
		var got int
		if cerr := raw.Control(func(fd uintptr) { got, err = syscall.GetsockoptInt(int(fd), tt.level, tt.option) }); cerr != nil || err != nil || got != tt.want {
			t.Errorf("%s is %d, %v, %v; want %d", tt.name, got, cerr, err, tt.want)
		}
	}
}

package iscsi_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"spindle/internal/initiator"
	"spindle/scsi/scsitest"
	"spindle/target/iscsi"
)

// A login to a target that is served elsewhere is told where, at its first
// request, without a portal group tag (RFC 7143, 11.13.5 and 13.8).
func TestRedirect(t *testing.T) {
	b := serve(t, iscsi.Options{})
	names := "InitiatorName=iqn.a\x00TargetName=" + iqn + "\x00"
	for _, tt := range []struct {
		name     string
		redirect iscsi.Redirect
		request  *initiator.PDU
		status   uint16
	}{
		{"temporary", iscsi.Redirect{Address: "192.0.2.8:3260"}, loginPDU(0x87, names), 0x0101},
		{"permanent", iscsi.Redirect{Address: "[2001:db8::8]:3260", Permanent: true}, loginPDU(0x87, names), 0x0102},
		{"before authentication", iscsi.Redirect{Address: "cd.example:3260"}, loginPDU(0x81, names+"AuthMethod=CHAP,None\x00"), 0x0101},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := exported(oneUnit(iqn, &disk{}))
			s.Exports[0].Redirect = &tt.redirect
			b.srv.Set(s)
			c := b.dial(t)
			send(t, c, tt.request)
			r := recv(t, c)
			if want := "TargetAddress=" + tt.redirect.Address + "\x00"; r.U16(36) != tt.status || string(r.Data) != want || r.Header[1]&0x80 != 0 {
				t.Errorf("status %04x, flags %02x, text %q; want %04x and %q", r.U16(36), r.Header[1], r.Data, tt.status, want)
			}
			if _, err := c.Recv(); !errors.Is(err, io.EOF) {
				t.Errorf("after the redirection: %v, want the connection closed", err)
			}
			if list, err := initiator.Discover(b.addr); err != nil || len(list[iqn]) == 0 {
				t.Errorf("discovery: %v, %v; want the target, which says itself where it is", list, err)
			}
		})
	}
}

// A target that is redirected to where its initiator came to sends nobody in a
// circle.
func TestRedirectInACircle(t *testing.T) {
	log := told{"name another server", make(chan struct{}, 2)}
	b := serve(t, iscsi.Options{Log: slog.New(slog.NewTextHandler(log, nil))})
	_, port, _ := net.SplitHostPort(b.addr)
	for address, status := range map[string]uint16{
		b.addr: 0x0301, "[::ffff:127.0.0.1]:" + port: 0x0301, "127.0.0.2:" + port: 0x0101, "127.0.0.1:1": 0x0101,
	} {
		s := exported(oneUnit(iqn, &disk{}))
		s.Exports[0].Redirect = &iscsi.Redirect{Address: address}
		b.srv.Set(s)
		if got := b.status(t, iqn); got != status {
			t.Errorf("redirected to %s: status %04x, want %04x", address, got, status)
		}
	}
	if !t.Failed() {
		<-log.heard
	}
}

// An initiator that follows a redirection arrives.
func TestRedirectIsFollowed(t *testing.T) {
	here, there := serve(t, iscsi.Options{}), serve(t, iscsi.Options{})
	s := exported(oneUnit(iqn, &disk{}))
	s.Exports[0].Redirect = &iscsi.Redirect{Address: there.addr}
	here.srv.Set(s)
	c, err := initiator.Open(here.addr, initiator.Options{Target: iqn})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if c.RemoteAddr().String() != there.addr || len(there.srv.Sessions()) != 1 || len(here.srv.Sessions()) != 0 {
		t.Errorf("the session is at %v, want %s", c.RemoteAddr(), there.addr)
	}
}

// Sessions of a target that is served elsewhere from now on are asked to log
// out; commands are served until they do, and who does not is dropped in time.
func TestRedirectAsksToLogOut(t *testing.T) {
	open := exported(oneUnit(iqn, &disk{}))
	underGlass(t, open, func(t *testing.T, b *glass) {
		polite := b.login(t, initiator.Options{Target: iqn})
		deaf := b.login(t, initiator.Options{Target: iqn, ISID: [6]byte{0x80, 2}})
		moved, start := elsewhere(open), time.Now()
		b.srv.Set(moved)
		for _, c := range []*initiator.Conn{polite, deaf} {
			if p := recv(t, c); p.Op() != initiator.Async || p.Header[36] != 1 || p.U16(42) != 10 {
				t.Fatalf("opcode %02x, event %d, %d s; want a request to log out within 10 s", p.Op(), p.Header[36], p.U16(42))
			}
		}
		b.srv.Set(moved) // another reload asks nobody twice
		mustDo(t, polite, read10(0, 4), 4*2048, nil, 0)
		send(t, polite, logout(polite))
		if p := recv(t, polite); p.Op() != initiator.LogoutResp || p.Header[2] != 0 {
			t.Errorf("opcode %02x, response %d; want a response to the logout", p.Op(), p.Header[2])
		}
		if _, err := polite.Recv(); !errors.Is(err, io.EOF) {
			t.Errorf("after the logout: %v", err)
		}
		again := b.dial(t)
		send(t, again, again.LoginRequest(initiator.Options{Target: iqn}))
		if p := recv(t, again); p.U16(36) != initiator.MovedTemporarily {
			t.Errorf("the one that comes back gets status %04x, want 0101", p.U16(36))
		}
		if p := recv(t, deaf); p.Op() != initiator.Async || p.Header[36] != 3 || time.Since(start) != 10*time.Second {
			t.Errorf("opcode %02x, event %d after %v; want that the session is dropped after 10s", p.Op(), p.Header[36], time.Since(start))
		}
		closedAfter(t, deaf)
	})
}

// A redirection that is taken back and made again gives the whole time again,
// and asks again.
func TestRedirectAgain(t *testing.T) {
	open := exported(oneUnit(iqn, &disk{}))
	underGlass(t, open, func(t *testing.T, b *glass) {
		c := b.asked(t, open)
		scsitest.Pause(t.Context(), 6*time.Second)
		b.srv.Set(open)
		b.srv.Set(elsewhere(open))
		start := time.Now()
		if p := recv(t, c); p.Op() != initiator.Async || p.Header[36] != 1 {
			t.Fatalf("opcode %02x, event %d; want another request to log out", p.Op(), p.Header[36])
		}
		if p := recv(t, c); p.Op() != initiator.Async || p.Header[36] != 3 || time.Since(start) != 10*time.Second {
			t.Errorf("opcode %02x, event %d after %v; want that the session is dropped after 10s", p.Op(), p.Header[36], time.Since(start))
		}
		closedAfter(t, c)
	})
}

// A redirection that is taken back drops nobody who was asked to log out.
func TestRedirectTakenBack(t *testing.T) {
	open := exported(oneUnit(iqn, &disk{}))
	underGlass(t, open, func(t *testing.T, b *glass) {
		c := b.asked(t, open)
		b.srv.Set(open)
		scsitest.Pause(t.Context(), 15*time.Second)
		mustDo(t, c, read10(0, 4), 4*2048, nil, 0)
	})
}

// asked logs in to a target that is served elsewhere then, and returns what was
// asked to log out.
func (b *glass) asked(t *testing.T, open iscsi.Settings) *initiator.Conn {
	t.Helper()
	c := b.login(t, initiator.Options{Target: iqn})
	b.srv.Set(elsewhere(open))
	if p := recv(t, c); p.Op() != initiator.Async || p.Header[36] != 1 {
		t.Fatalf("opcode %02x, event %d; want a request to log out", p.Op(), p.Header[36])
	}
	return c
}

// elsewhere is s with its target served by another server.
func elsewhere(s iscsi.Settings) iscsi.Settings {
	s.Exports = []iscsi.Export{{Target: s.Exports[0].Target, Redirect: &iscsi.Redirect{Address: "192.0.2.8:3260"}}}
	return s
}

// A server that stops while a target's sessions are being asked to log out does
// not wait for longer than it was told.
func TestStopDuringRedirect(t *testing.T) {
	open := exported(oneUnit(iqn, &disk{}))
	underGlass(t, open, func(t *testing.T, b *glass) {
		c := b.asked(t, open)
		synctest.Wait()
		start := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		b.srv.Shutdown(ctx)
		if took := time.Since(start); took > 5*time.Second {
			t.Errorf("the stop took %v", took)
		}
		closedAfter(t, c)
	})
}

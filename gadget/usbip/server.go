// Package usbip is a USB/IP server: a USB drive, Bulk-Only, for any Linux or
// Windows machine with a USB/IP client, over TCP. No gadget hardware is needed;
// the device itself is emulated here.
//
// One client at a time imports the device. USB/IP knows no password and no
// secrecy: whoever reaches the port has the drive.
package usbip

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"time"

	"spindle/target"
)

// Options are the settings of a Server.
type Options struct {
	Log *slog.Logger // nil discards

	BusID string // what clients import; "1-1" when empty, 31 characters at most
	Speed Speed  // SuperSpeed when zero

	VendorID, ProductID uint16 // 1d6b:0104 when both are zero
	Subclass            byte   // of the interface; 06h, SCSI transparent, when zero
	Manufacturer        string
	Product             string
	Serial              string // the last 12 characters of 0-9 and A-F, and of this device alone

	// Stall ends short data-in by a halt in place of a zero-length packet.
	Stall bool
}

// A Server offers one USB device with some drives, which are LUN 0 and up.
type Server struct {
	o     Options
	units []*target.Unit

	mu       sync.Mutex
	importer string // address of the client, or empty
}

// NewServer returns a server for units, 16 at most.
func NewServer(o Options, units []*target.Unit) *Server {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	o.BusID = cmp.Or(o.BusID, "1-1")
	o.BusID = o.BusID[:min(len(o.BusID), busIDSize-1)]
	if o.Speed != HighSpeed {
		o.Speed = SuperSpeed
	}
	if o.VendorID == 0 && o.ProductID == 0 {
		o.VendorID, o.ProductID = 0x1d6b, 0x0104
	}
	o.Subclass = cmp.Or(o.Subclass, 0x06)
	o.Manufacturer = cmp.Or(o.Manufacturer, "Spindle")
	o.Product = cmp.Or(o.Product, "Optical drive")
	return &Server{o: o, units: units}
}

// Importer returns the address of the client that has the device, or nothing.
func (s *Server) Importer() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.importer
}

const (
	maxClients = 16               // that have not imported the device
	opTime     = 10 * time.Second // that they may take to say what they want
)

// Serve answers clients until ctx is done, when it returns nil, or l fails. It
// closes l, and returns when every connection has ended.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	var group sync.WaitGroup
	defer group.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(ctx, func() { l.Close() })()
	defer l.Close()
	slots := make(chan struct{}, maxClients)
	for {
		c, err := l.Accept()
		switch {
		case ctx.Err() != nil:
			if c != nil {
				c.Close()
			}
			return nil
		case err != nil && errors.Is(err, net.ErrClosed):
			return err
		case err != nil: // out of descriptors, or the client went: others come
			s.o.Log.Warn("USB/IP: accept", "error", err)
			if !pause(ctx, 100*time.Millisecond) {
				return nil
			}
			continue
		}
		select {
		case slots <- struct{}{}:
			group.Go(func() { s.client(ctx, c, sync.OnceFunc(func() { <-slots })) })
		default:
			s.o.Log.Warn("USB/IP: too many clients", "client", c.RemoteAddr())
			c.Close()
		}
	}
}

// pause waits, and reports whether ctx let it.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// client serves one connection. ready is called when it imported the device, or
// ended.
func (s *Server) client(ctx context.Context, c net.Conn, ready func()) {
	defer ready()
	defer c.Close()
	defer context.AfterFunc(ctx, func() { c.Close() })()
	address := host(c.RemoteAddr())
	log := s.o.Log.With("client", address)
	c.SetDeadline(time.Now().Add(opTime))
	imports, err := s.operation(c, address)
	if err != nil {
		log.Debug("USB/IP: client ended", "error", err)
		return
	}
	if !imports {
		return
	}
	defer s.release()
	ready()
	c.SetDeadline(time.Time{})
	keepAlive(c)
	log.Info("USB/IP: device imported")
	err = s.imported(ctx, c, "usbip:"+address)
	log.Info("USB/IP: device free again", "error", err)
}

// keepAlive ends the connection of a client that vanished within 30 s: it is
// the only one, and nobody else can have the device.
func keepAlive(c net.Conn) {
	if t, ok := c.(*net.TCPConn); ok {
		t.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true, Idle: 15 * time.Second, Interval: 5 * time.Second, Count: 3})
	}
}

// host is an address without its port: a client that comes back has another.
func host(a net.Addr) string {
	if h, _, err := net.SplitHostPort(a.String()); err == nil {
		return h
	}
	return a.String()
}

// operation answers the one request that a connection begins with, and reports
// whether the device was imported.
func (s *Server) operation(c net.Conn, address string) (bool, error) {
	var b [opSize + busIDSize]byte
	if _, err := io.ReadFull(c, b[:opSize]); err != nil {
		return false, err
	}
	if v := binary.BigEndian.Uint16(b[:]); v != version {
		return false, fmt.Errorf("%w: version %#x", errProtocol, v)
	}
	switch code := binary.BigEndian.Uint16(b[2:]); code {
	case reqDevlist:
		p := binary.BigEndian.AppendUint32(appendOp(nil, repDevlist, statusOK), 1)
		_, err := c.Write(append(s.o.appendDevice(p), classStorage, s.o.Subclass, bulkOnly, 0))
		return false, err
	case reqImport:
		if _, err := io.ReadFull(c, b[opSize:]); err != nil {
			return false, err
		}
		name, _, _ := bytes.Cut(b[opSize:], []byte{0})
		return s.attach(c, string(name), address)
	default:
		return false, fmt.Errorf("%w: code %#x", errProtocol, code)
	}
}

// attach answers OP_REQ_IMPORT.
func (s *Server) attach(c net.Conn, busID, address string) (bool, error) {
	status, holder := uint32(statusOK), ""
	if busID != s.o.BusID {
		status = statusNoDevice
	} else if holder = s.take(address); holder != "" {
		status = statusBusy
	}
	p := appendOp(nil, repImport, status)
	if status != statusOK {
		s.o.Log.Warn("USB/IP: import refused", "client", address, "bus-id", busID, "importer", holder)
		_, err := c.Write(p)
		return false, err
	}
	if _, err := c.Write(s.o.appendDevice(p)); err != nil {
		s.release()
		return false, err
	}
	return true, nil
}

// take gives the device to a client, or returns who has it.
func (s *Server) take(address string) (holder string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.importer != "" {
		return s.importer
	}
	s.importer = address
	return ""
}

func (s *Server) release() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.importer = ""
}

package daemon

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/coreos/go-systemd/v22/activation"

	"spindle/config"
	"spindle/internal/api"
)

// A listener accepts iSCSI connections. Its accept loop turns at least each
// turn, so that the watchdog sees that it does.
type listener struct {
	net.Listener
	turn  time.Duration
	group atomic.Uint32 // portal group tag
}

// PortalGroup implements iscsi.Grouped.
func (l *listener) PortalGroup() uint16 { return uint16(l.group.Load()) }

// SetDeadline ends an Accept: earlier than t when the watchdog wants to know.
func (l *listener) SetDeadline(t time.Time) error {
	d, ok := l.Listener.(interface{ SetDeadline(time.Time) error })
	if !ok {
		return errors.ErrUnsupported
	}
	if soon := time.Now().Add(l.turn); soon.Before(t) {
		t = soon
	}
	return d.SetDeadline(t)
}

// listen opens what the configuration names, or takes what systemd passes: a
// Unix socket is the API's, any other iSCSI's.
func (d *Daemon) listen() error {
	var apiSocket net.Listener
	passed, err := activation.ListenersWithNames()
	if err != nil {
		return fmt.Errorf("sockets of systemd: %w", err)
	}
	for _, name := range slices.Sorted(maps.Keys(passed)) {
		for _, l := range passed[name] {
			switch {
			case l == nil: // a datagram socket: not ours
			case l.Addr().Network() == "unix":
				apiSocket = l
			default:
				d.passed = true
				d.listeners[l.Addr().String()] = &listener{Listener: l, turn: d.systemd.period()}
			}
		}
	}
	if d.cfg.ISCSI.Engine == config.GoTGT {
		if d.passed {
			return errPassedToGotgt
		}
	} else if !d.passed {
		for _, addr := range d.cfg.ISCSI.Listen {
			l, err := d.listenOn(addr)
			if err != nil {
				return err
			}
			d.listeners[addr] = l
		}
	}
	d.accepts.Store(int32(len(d.listeners)))
	d.api, err = newAPI(d.cfg.Daemon.Socket, apiSocket)
	return err
}

func (d *Daemon) listenOn(addr string) (*listener, error) {
	// the server sets keepalive on what it accepts, from whomever the listener is
	l, err := (&net.ListenConfig{KeepAlive: -1}).Listen(context.Background(), "tcp", addr)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, errTaken(addr, err)
	}
	if err != nil {
		return nil, fmt.Errorf("%w (hint: choose an address of this machine with --listen or [iscsi] listen)", err)
	}
	return &listener{Listener: l, turn: d.systemd.period()}, nil
}

// errTaken is an address in use.
func errTaken(addr string, err error) error {
	return fmt.Errorf("listen on %s: %w (hint: another program has that port; stop it, or choose another address with --listen or [iscsi] listen)", addr, errors.Unwrap(err))
}

// serve accepts on l until it is closed. Sessions outlive their listener.
func (d *Daemon) serve(l *listener) {
	d.serving.Go(func() { _ = d.server.Serve(context.Background(), l) }) // ends with ErrStopped only
}

// portals returns the addresses that initiators connect to. It runs on the
// loop, or before it.
func (d *Daemon) portals() []string {
	list := []string{}
	for _, l := range d.listeners {
		list = append(list, l.Addr().String())
	}
	if d.gotgt != nil {
		list = append(list, net.JoinHostPort("::", strconv.Itoa(d.cfg.ISCSI.Port())))
	}
	slices.Sort(list)
	return list
}

// An apiServer is the API on its Unix socket.
type apiServer struct {
	path string // to remove at the end; empty when systemd made it
	l    net.Listener
	http *http.Server
	end  context.CancelFunc
	done sync.WaitGroup
}

// newAPI listens on path, unless l is a listener that systemd passed.
func newAPI(path string, l net.Listener) (*apiServer, error) {
	if l != nil {
		return &apiServer{l: l}, nil
	}
	l, err := listenUnix(path)
	if err != nil {
		return nil, err
	}
	return &apiServer{path: path, l: l}, nil
}

// listenUnix makes a socket of mode 0660, in place of one that nobody answers.
func listenUnix(path string) (net.Listener, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("socket: %w (hint: name another one with --socket)", err)
	}
	if fi, err := os.Lstat(path); err == nil {
		if fi.Mode()&fs.ModeSocket == 0 {
			return nil, fmt.Errorf("socket %s: a file is there (hint: name another one with --socket)", path)
		}
		if c, err := net.Dial("unix", path); err == nil {
			c.Close()
			return nil, fmt.Errorf("socket %s: another spindle answers there (hint: stop it, or name another socket with --socket)", path)
		}
		if err := os.Remove(path); err != nil {
			return nil, fmt.Errorf("socket: %w", err)
		}
	}
	// The mode is right from the first moment on.
	old := syscall.Umask(0o117)
	l, err := net.Listen("unix", path)
	syscall.Umask(old)
	if errors.Is(err, syscall.EINVAL) {
		return nil, fmt.Errorf("socket %s: its path has %d bytes, more than 107 (hint: name a shorter one with --socket)", path, len(path))
	}
	if err != nil {
		return nil, fmt.Errorf("socket: %w (hint: name another one with --socket)", err)
	}
	return l, nil
}

func (a *apiServer) start(s api.Service, log *slog.Logger) {
	ctx, end := context.WithCancel(context.Background())
	a.end = end
	a.http = &http.Server{
		Handler: api.New(s, log), ReadHeaderTimeout: 10 * time.Second, ReadTimeout: time.Minute, IdleTimeout: 2 * time.Minute,
		MaxHeaderBytes: 64 << 10, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
		BaseContext: func(net.Listener) context.Context { return ctx },
	}
	a.done.Go(func() { _ = a.http.Serve(a.l) }) // ends with ErrServerClosed only
}

// stop ends requests that wait for news, lets others end until ctx is done,
// and takes the socket away.
func (a *apiServer) stop(ctx context.Context) {
	a.end()
	if a.http.Shutdown(ctx) != nil {
		a.http.Close()
	}
	a.done.Wait()
	a.close()
}

func (a *apiServer) close() {
	a.l.Close() // a Unix listener of ours removes its file
}

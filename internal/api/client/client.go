package client

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// A Client speaks to the daemon behind one socket.
type Client struct {
	socket string
	http   *http.Client
}

// maxAnswer bounds what a daemon can make us hold.
const maxAnswer = 64 << 20

// New returns a client of the daemon at the Unix socket.
func New(socket string) *Client {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}
	return &Client{socket: socket, http: &http.Client{Transport: &http.Transport{
		DialContext: dial, MaxIdleConns: 1, IdleConnTimeout: time.Minute,
	}}}
}

// Close ends idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Status returns what the daemon is doing.
func (c *Client) Status(ctx context.Context) (s Status, err error) {
	return s, c.do(ctx, http.MethodGet, "/v1/status", nil, &s)
}

// Images lists the library.
func (c *Client) Images(ctx context.Context) (list []Image, err error) {
	return list, c.do(ctx, http.MethodGet, "/v1/images", nil, &list)
}

// ImagesInfo lists the library with all that is known of each image.
func (c *Client) ImagesInfo(ctx context.Context) (list []Image, err error) {
	return list, c.do(ctx, http.MethodGet, "/v1/images?info=1", nil, &list)
}

// Verify compares an image of the library with its checksums, and returns when
// it was read; Status has how far that is.
func (c *Client) Verify(ctx context.Context, r VerifyRequest) (v Verified, err error) {
	return v, c.do(ctx, http.MethodPost, "/v1/images/verify", r, &v)
}

// Inspect says what an image of the library is.
func (c *Client) Inspect(ctx context.Context, name string) (info Info, err error) {
	return info, c.do(ctx, http.MethodGet, "/v1/images/inspect?name="+url.QueryEscape(name), nil, &info)
}

// Insert puts an image into a drive and returns when the disc is ready.
func (c *Client) Insert(ctx context.Context, drive string, r InsertRequest) (d Drive, err error) {
	return d, c.do(ctx, http.MethodPost, "/v1/drives/"+url.PathEscape(drive)+"/insert", r, &d)
}

// Eject opens a drive's tray and takes the disc out.
func (c *Client) Eject(ctx context.Context, drive string, r EjectRequest) (d Drive, err error) {
	return d, c.do(ctx, http.MethodPost, "/v1/drives/"+url.PathEscape(drive)+"/eject", r, &d)
}

// Trace returns what the flight recorder of a drive holds, as JSON Lines: a
// header, then a line for each entry, of which [TraceEntry] is what people want
// to see. With follow it goes on until ctx is done or the drive is made anew.
func (c *Client) Trace(ctx context.Context, drive string, follow bool) (io.ReadCloser, error) {
	path := "/v1/drives/" + url.PathEscape(drive) + "/trace"
	if follow {
		path += "?follow=1"
	}
	resp, err := c.send(ctx, http.MethodGet, path, nil)
	if err != nil {
		return nil, err
	}
	return resp.Body, nil
}

// Health returns when the daemon's loop and its API have turned.
func (c *Client) Health(ctx context.Context) error {
	return c.do(ctx, http.MethodGet, "/v1/health", nil, nil)
}

// Events yields the daemon's status now and whenever it changes, until ctx is
// done, the loop ends, or the daemon stops.
func (c *Client) Events(ctx context.Context) iter.Seq2[Status, error] {
	return func(yield func(Status, error) bool) {
		resp, err := c.send(ctx, http.MethodGet, "/v1/events", nil)
		if err != nil {
			yield(Status{}, err)
			return
		}
		defer resp.Body.Close()
		lines := bufio.NewScanner(resp.Body)
		lines.Buffer(nil, maxAnswer)
		for lines.Scan() {
			data, ok := bytes.CutPrefix(lines.Bytes(), []byte("data: "))
			if !ok {
				continue
			}
			var s Status
			if err := json.Unmarshal(data, &s); !yield(s, err) || err != nil {
				return
			}
		}
		if err := lines.Err(); err != nil && ctx.Err() == nil {
			yield(Status{}, err)
		}
	}
}

func (c *Client) do(ctx context.Context, method, path string, in, out any) error {
	resp, err := c.send(ctx, method, path, in)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if out == nil {
		return nil
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxAnswer)).Decode(out); err != nil {
		return fmt.Errorf("answer of the daemon at %s: %w", c.socket, err)
	}
	return nil
}

// send returns the response when it is a good one.
func (c *Client) send(ctx context.Context, method, path string, in any) (*http.Response, error) {
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return nil, err
		}
		body = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://spindle"+path, body)
	if err != nil {
		return nil, err
	}
	if in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, c.unreachable(err)
	}
	if resp.StatusCode/100 == 2 {
		return resp, nil
	}
	defer resp.Body.Close()
	e := &Error{Status: resp.StatusCode}
	if err := json.NewDecoder(io.LimitReader(resp.Body, 1<<20)).Decode(e); err != nil || e.Message == "" {
		e.Message = "the daemon answered " + resp.Status
	}
	return nil, e
}

// unreachable says what to do when there is no daemon.
func (c *Client) unreachable(err error) error {
	op, ok := errors.AsType[*net.OpError](err)
	if !ok || op.Op != "dial" {
		return fmt.Errorf("daemon at %s: %w", c.socket, err)
	}
	hint := "start it with `spindle serve`, or name its socket with --socket or SPINDLE_SOCKET"
	if strings.Contains(op.Err.Error(), "permission denied") {
		hint = "join the socket's group, or ask root"
	}
	return &Error{Message: fmt.Sprintf("no daemon at %s: %v", c.socket, op.Err), Hint: hint}
}

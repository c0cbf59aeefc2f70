package client

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// Sessions are the iSCSI sessions that there are, and the drives, with what they
// have counted.
type Sessions struct {
	Sessions []SessionDetail `json:"sessions"`
	Drives   []DriveCounts   `json:"drives"`
}

// A SessionDetail is an iSCSI session whose login is complete.
type SessionDetail struct {
	ID           string     `json:"id"` // for SessionDrop and SessionTrace; used again after 65,535 logins at the earliest
	Initiator    string     `json:"initiator"`
	Address      string     `json:"address"`
	Target       string     `json:"target,omitempty"` // none in a discovery session
	Drive        string     `json:"drive,omitempty"`
	User         string     `json:"user,omitempty"` // of CHAP; none without
	Since        time.Time  `json:"since"`
	LastCommand  *time.Time `json:"last_command,omitempty"`
	HeaderDigest bool       `json:"header_digest"`
	DataDigest   bool       `json:"data_digest"`
	Traced       bool       `json:"traced"` // somebody traces it
	Counts
	TaskManagement uint64 `json:"task_management"` // requests
	DigestErrors   uint64 `json:"digest_errors"`
	Rejects        uint64 `json:"rejects"` // Reject PDUs that were sent
}

// DriveCounts are what a drive has counted of all its hosts, over any front end,
// since it was made.
type DriveCounts struct {
	Drive string `json:"drive"`
	Counts
}

// Counts count commands that ended.
type Counts struct {
	Commands uint64  `json:"commands"`
	Read     uint64  `json:"read_bytes"`    // of data-in
	Written  uint64  `json:"written_bytes"` // of data-out
	Errors   uint64  `json:"errors"`        // CHECK CONDITION
	Busy     uint64  `json:"busy"`          // BUSY, TASK SET FULL and other statuses
	Aborted  uint64  `json:"aborted"`
	All      Latency `json:"latency"`
	Reads    Latency `json:"latency_read"`  // of READ and READ CD
	Others   Latency `json:"latency_other"` // of all other commands
}

// A Latency is how long commands took. A time is the upper bound of a bucket, a
// power of two of microseconds.
type Latency struct {
	P50     time.Duration   `json:"p50_ns"`
	P99     time.Duration   `json:"p99_ns"`
	Buckets []LatencyBucket `json:"buckets"` // those that are not empty
}

// A LatencyBucket counts commands that took less than Below and not less than
// half of it; the first, of 1 µs, counts from 0 on and the last, of 8.4 s, to the end.
type LatencyBucket struct {
	Below time.Duration `json:"below_ns"`
	Count uint64        `json:"count"`
}

// A TraceRequest says what of a session is captured.
type TraceRequest struct {
	SnapLen int           // bytes of each PDU that are kept; 0 is all
	For     time.Duration // 0 is until the session ends
	Count   int           // PDUs; 0 is any number
}

// Query returns the request as the daemon reads it.
func (r TraceRequest) Query() url.Values {
	q := url.Values{}
	if r.SnapLen > 0 {
		q.Set("snaplen", strconv.Itoa(r.SnapLen))
	}
	if r.For > 0 {
		q.Set("for", r.For.String())
	}
	if r.Count > 0 {
		q.Set("count", strconv.Itoa(r.Count))
	}
	return q
}

// Sessions lists the iSCSI sessions.
func (c *Client) Sessions(ctx context.Context) (s Sessions, err error) {
	return s, c.do(ctx, http.MethodGet, "/v1/sessions", nil, &s)
}

// DropSession ends a session and returns when it has ended.
func (c *Client) DropSession(ctx context.Context, id string) error {
	return c.do(ctx, http.MethodDelete, "/v1/sessions/"+url.PathEscape(id), nil, nil)
}

// TraceSession returns what a session's ends say to each other from now on, as a
// pcapng file that begins with the login. [CopyCapture] takes it.
func (c *Client) TraceSession(ctx context.Context, id string, r TraceRequest) (io.ReadCloser, error) {
	path := "/v1/sessions/" + url.PathEscape(id) + "/trace"
	if q := r.Query().Encode(); q != "" {
		path += "?" + q
	}
	resp, err := c.send(ctx, http.MethodGet, path, nil)
	if err != nil {
		return nil, err
	}
	return resp.Body, nil
}

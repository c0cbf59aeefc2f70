package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"spindle/internal/api/client"
	"spindle/internal/pcapng"
	"spindle/scsi/tally"
	"spindle/target/iscsi"
)

// Sessions implements api.Service.
func (s service) Sessions(ctx context.Context) (client.Sessions, error) {
	drives, byTarget := []client.DriveCounts{}, map[string]string{}
	if err := s.d.loop.call(ctx, func() {
		for _, dr := range s.d.drives {
			drives = append(drives, client.DriveCounts{Drive: dr.cfg.Name, Counts: countsOf(dr.rec.Counts())})
			byTarget[dr.target.Name] = dr.cfg.Name
		}
	}); err != nil {
		return client.Sessions{}, err
	}
	out := client.Sessions{Sessions: []client.SessionDetail{}, Drives: drives}
	for _, n := range s.d.server.Details() {
		out.Sessions = append(out.Sessions, sessionOf(&n, byTarget[n.Target]))
	}
	return out, nil
}

func sessionOf(n *iscsi.SessionDetail, drive string) client.SessionDetail {
	out := client.SessionDetail{
		ID: strconv.Itoa(int(n.TSIH)), Initiator: n.Initiator, Address: n.Address, Target: n.Target, User: n.User, Drive: drive,
		Since: n.Since, HeaderDigest: n.HeaderDigest, DataDigest: n.DataDigest, Traced: n.Traced,
		Counts: countsOf(n.Counts), TaskManagement: n.TaskManagement, DigestErrors: n.DigestErrors, Rejects: n.Rejects,
	}
	if !n.LastCommand.IsZero() {
		out.LastCommand = &n.LastCommand
	}
	return out
}

func countsOf(s tally.Snapshot) client.Counts {
	return client.Counts{
		Commands: s.Commands, Read: s.In, Written: s.Out, Errors: s.Errors, Busy: s.Busy, Aborted: s.Aborted,
		All: latencyOf(s.Reads.Plus(s.Others)), Reads: latencyOf(s.Reads), Others: latencyOf(s.Others),
	}
}

func latencyOf(l tally.Latency) client.Latency {
	out := client.Latency{P50: l.Quantile(0.5), P99: l.Quantile(0.99), Buckets: []client.LatencyBucket{}}
	for i, n := range l {
		if n > 0 {
			out.Buckets = append(out.Buckets, client.LatencyBucket{Below: tally.Bound(i), Count: n})
		}
	}
	return out
}

// dropTime bounds how long a session that is dropped may take to end.
const dropTime = 15 * time.Second

// DropSession implements api.Service.
func (s service) DropSession(ctx context.Context, id string) error {
	tsih, err := s.tsih(id)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, dropTime)
	defer cancel()
	err = s.d.server.Drop(ctx, tsih)
	switch {
	case errors.Is(err, iscsi.ErrNoSession):
		return s.noSession(id)
	case errors.Is(err, context.DeadlineExceeded):
		return &client.Error{
			Status:  http.StatusGatewayTimeout,
			Message: fmt.Sprintf("session %s: its connection is closed, but storage holds a command of it", id),
			Hint:    "`spindle status` shows what storage holds; the session ends when it lets go",
		}
	}
	return err
}

// tsih returns the number of a session.
func (s service) tsih(id string) (uint16, error) {
	n, err := strconv.ParseUint(id, 10, 16)
	if err != nil {
		return 0, s.noSession(id)
	}
	return uint16(n), nil
}

// maxKnown bounds how many sessions an error names.
const maxKnown = 8

// noSession says which sessions there are.
func (s service) noSession(id string) error {
	var known []string
	for _, n := range s.d.server.Details() {
		known = append(known, fmt.Sprintf("%d (%s)", n.TSIH, n.Initiator))
	}
	e := &client.Error{Status: http.StatusNotFound, Message: fmt.Sprintf("there is no session %q", id), Hint: "there are none now"}
	switch more := len(known) - maxKnown; {
	case more > 0:
		e.Hint = fmt.Sprintf("the sessions are: %s and %d more; `spindle sessions` lists them", strings.Join(known[:maxKnown], ", "), more)
	case len(known) > 0:
		e.Hint = "the sessions are: " + strings.Join(known, ", ")
	}
	return e
}

// TraceSession implements api.Service.
func (s service) TraceSession(ctx context.Context, id string, r client.TraceRequest, w io.Writer) error {
	tsih, err := s.tsih(id)
	if err != nil {
		return err
	}
	tap, err := s.d.server.Tap(tsih, r.SnapLen)
	switch {
	case errors.Is(err, iscsi.ErrNoSession):
		return s.noSession(id)
	case errors.Is(err, iscsi.ErrTapped):
		return &client.Error{Status: http.StatusConflict, Message: fmt.Sprintf("session %s is traced already", id), Hint: "one trace a session; end the other first"}
	case err != nil:
		return err
	}
	defer tap.Close()
	initiator, target := tap.Ends()
	out, err := pcapng.New(w, pcapng.Options{
		Client: initiator, Server: target, Program: "spindle " + s.d.o.Version,
		Comment: "iSCSI session " + id + ", its login first, then what passed since the trace began; " +
			"Ethernet, IP and TCP headers are made up, values of CHAP keys are blanked with x",
	})
	if err != nil {
		return err
	}
	if r.For > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, r.For)
		defer cancel()
	}
	return capture(ctx, tap, out, r.Count)
}

// capture writes the login, then what passes, to the end of the session, of ctx
// or of count PDUs when that is not 0. Neither is an error.
func capture(ctx context.Context, tap *iscsi.Tap, out *pcapng.Writer, count int) error {
	login := tap.Login()
	at := time.Now()
	if len(login) > 0 {
		at = login[0].Time
	}
	if err := out.Open(at); err != nil {
		return err
	}
	if err := writePDUs(out, login); err != nil {
		return err
	}
	var told uint64
	for seen := 0; count == 0 || seen < count; {
		if err := out.Flush(); err != nil {
			return err
		}
		list, lost, err := tap.Next(ctx)
		if lost > told {
			told = lost
			if err := out.Lost(time.Now(), lost); err != nil {
				return err
			}
		}
		if count > 0 {
			list = list[:min(len(list), count-seen)]
		}
		seen += len(list)
		if err := writePDUs(out, list); err != nil {
			return err
		}
		switch {
		case errors.Is(err, io.EOF):
			if err := out.Close(time.Now()); err != nil {
				return err
			}
			return out.Flush()
		case err != nil: // the time is over, or the client went
			return out.Flush()
		}
	}
	return out.Flush()
}

func writePDUs(out *pcapng.Writer, list []iscsi.PDU) error {
	for i := range list {
		p := &list[i]
		m := pcapng.Message{Time: p.Time, FromServer: p.Sent, Data: p.Data, Length: p.Length, Missed: p.Missed}
		if err := out.Write(&m); err != nil {
			return err
		}
	}
	return nil
}

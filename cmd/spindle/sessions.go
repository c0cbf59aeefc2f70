package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"spindle/internal/api/client"
)

func (a *app) sessionsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "sessions", Short: "List the iSCSI sessions with what they have counted; drop or trace one", Args: cobra.NoArgs,
		Long: "Lists the iSCSI sessions: who has logged in from where to which drive, how many\n" +
			"commands and bytes that were, how long commands took, and when the last one came.\n" +
			"Below them are the drives, with what all their hosts did since the drive was made.\n\n" +
			"P50 and P99 are the times within which half, and 99 of 100, of the commands ended:\n" +
			"powers of two, so up to twice what it really was. --json has all the buckets.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := a.client().Sessions(cmd.Context())
			if err != nil {
				return err
			}
			return a.show(s, func(w io.Writer) { printSessions(w, &s, time.Now()) })
		},
	}
	cmd.AddCommand(a.dropCommand(), a.captureCommand())
	return cmd
}

func (a *app) dropCommand() *cobra.Command {
	return &cobra.Command{
		Use: "drop ID", Short: "End a session", Args: takes("ID"),
		Long: "Ends a session in good order: its commands end, the initiator is told, and the\n" +
			"connection is closed. Most initiators log in again at once, and go on where they\n" +
			"were: to keep one out, change who may log in.",
		ValidArgsFunction: a.completeSession,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := a.client().DropSession(cmd.Context(), args[0]); err != nil {
				return err
			}
			return a.show(map[string]string{"dropped": args[0]}, func(w io.Writer) {
				fmt.Fprintf(w, "session %s dropped\n", args[0])
			})
		},
	}
}

func (a *app) captureCommand() *cobra.Command {
	var ask client.TraceRequest
	var force bool
	cmd := &cobra.Command{
		Use: "trace ID FILE", Short: "Write what passes on a session to a capture file (pcapng)", Args: takes("ID", "FILE"),
		Long: "Writes the PDUs of a session to a capture file for Wireshark and tshark, until an\n" +
			"interrupt or the end of the session: its login first, then what passes from now\n" +
			"on. FILE - is standard output. One trace a session.\n\n" +
			"Addresses, ports and times are real; Ethernet, IP and TCP headers are made up, and\n" +
			"the values of CHAP_I, CHAP_C and CHAP_R are overwritten with x. The file holds the\n" +
			"data that the host reads, unless --snaplen cuts it.",
		Example:           "  spindle sessions trace 1 cd0.pcapng\n  tshark -r cd0.pcapng -d tcp.port==3260,iscsi\n  spindle sessions trace 1 - | wireshark -k -i -",
		ValidArgsFunction: a.completeSession,
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGINT, syscall.SIGTERM)
			defer stop()
			context.AfterFunc(ctx, stop) // a second signal ends at once
			return a.capture(ctx, args[0], args[1], ask, force)
		},
	}
	f := cmd.Flags()
	f.IntVar(&ask.SnapLen, "snaplen", 0, "keep so many bytes of each PDU, of which the header is 48 (default: all); login and text PDUs are whole always")
	f.DurationVar(&ask.For, "for", 0, "end after so long, as 10s")
	f.IntVar(&ask.Count, "count", 0, "end after so many PDUs, the login not counted")
	f.BoolVar(&force, "force", false, "write over a file that exists")
	return cmd
}

// capture writes a capture of a session to a file.
func (a *app) capture(ctx context.Context, id, name string, ask client.TraceRequest, force bool) error {
	for flag, n := range map[string]int64{"snaplen": int64(ask.SnapLen), "for": int64(ask.For), "count": int64(ask.Count)} {
		if n < 0 {
			return fmt.Errorf("--%s is negative (hint: leave it out for no limit)", flag)
		}
	}
	if f, ok := a.out.(*os.File); ok && name == "-" && isTerminal(f) {
		return &client.Error{Message: "a capture is not for a terminal", Hint: "name a file, or send it to a program: `… - | wireshark -k -i -`"}
	}
	r, err := a.client().TraceSession(ctx, id, ask)
	if err != nil {
		return err
	}
	defer r.Close()
	w, done, err := a.captureFile(name, force)
	if err != nil {
		return err
	}
	if !a.json {
		fmt.Fprintf(os.Stderr, "tracing session %s until %s\n", printable(id), untilText(ask))
	}
	got, err := client.CopyCapture(w, r)
	if ctx.Err() != nil { // that is how it ends
		err = nil
	}
	if derr := done(); err == nil {
		err = derr
	}
	a.reportCapture(name, got)
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = &client.Error{Message: "the trace broke off: the daemon stopped", Hint: "what was written is readable"}
	}
	return err
}

// untilText says what ends a capture.
func untilText(ask client.TraceRequest) string {
	text := "an interrupt or its end"
	if ask.For > 0 {
		text += fmt.Sprintf(", for %v at most", ask.For)
	}
	if ask.Count > 0 {
		text += fmt.Sprintf(", for %d PDUs at most", ask.Count)
	}
	return text
}

// captureFile makes the file of a capture, which only its owner may read: it
// holds a host's data.
func (a *app) captureFile(name string, force bool) (w io.Writer, done func() error, err error) {
	if name == "-" {
		return a.out, func() error { return nil }, nil
	}
	mode := os.O_EXCL
	if force {
		mode = os.O_TRUNC
	}
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|mode, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil, nil, &client.Error{Message: name + " exists", Hint: "choose another name, or write over it with --force"}
	}
	if err != nil {
		return nil, nil, err
	}
	return f, f.Close, nil
}

// reportCapture says on standard error what was written: standard output may be
// the capture.
func (a *app) reportCapture(name string, c client.Captured) {
	if a.json {
		_ = json.NewEncoder(os.Stderr).Encode(c)
		return
	}
	what := printable(oneLine(name))
	if name == "-" {
		what = "standard output"
	}
	fmt.Fprintf(os.Stderr, "%s: %d packets, %d bytes, %d PDUs lost\n", what, c.Packets, c.Bytes, c.Lost)
	if c.Lost > 0 {
		fmt.Fprintln(os.Stderr, "hint: they came faster than they were written; --snaplen 64 keeps the headers alone")
	}
}

// completeSession completes IDs of sessions.
func (a *app) completeSession(cmd *cobra.Command, args []string, _ string) (ids []cobra.Completion, _ cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveDefault // FILE
	}
	if s, err := a.client().Sessions(cmd.Context()); err == nil {
		for i := range s.Sessions {
			n := &s.Sessions[i]
			ids = append(ids, cobra.CompletionWithDesc(n.ID, printable(oneLine(n.Initiator))+" on "+cmp.Or(n.Drive, "discovery")))
		}
	}
	return ids, cobra.ShellCompDirectiveNoFileComp
}

func printSessions(w io.Writer, s *client.Sessions, now time.Time) {
	t := table(w)
	fmt.Fprintln(t, "ID\tINITIATOR\tADDRESS\tDRIVE\tUSER\tSINCE\tCOMMANDS\tREAD\tWRITTEN\tERRORS\tP50\tP99\tIDLE\tDIGESTS")
	for i := range s.Sessions {
		n := &s.Sessions[i]
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%d\t%s\t%s\t%d\t%s\t%s\t%s\t%s\n", n.ID, oneLine(n.Initiator), n.Address, cmp.Or(n.Drive, n.Target, "discovery"),
			cmp.Or(oneLine(n.User), "-"), clock(n.Since), n.Commands, sizeOf(int64(n.Read)), sizeOf(int64(n.Written)), n.Errors,
			tookText(n.All.P50), tookText(n.All.P99), idleText(n, now), digestsText(n))
	}
	t.Flush()
	fmt.Fprintln(w)
	t = table(w)
	fmt.Fprintln(t, "DRIVE\tCOMMANDS\tREAD\tWRITTEN\tERRORS\tABORTED\tP50\tP99")
	for i := range s.Drives {
		d := &s.Drives[i]
		fmt.Fprintf(t, "%s\t%d\t%s\t%s\t%d\t%d\t%s\t%s\n", d.Drive, d.Commands, sizeOf(int64(d.Read)), sizeOf(int64(d.Written)), d.Errors, d.Aborted,
			tookText(d.All.P50), tookText(d.All.P99))
	}
	t.Flush()
	for i := range s.Sessions {
		n := &s.Sessions[i]
		if n.DigestErrors+n.Rejects > 0 {
			fmt.Fprintf(w, "warning: session %s: digests differed %d times, %d PDUs were rejected\n", n.ID, n.DigestErrors, n.Rejects)
		}
	}
}

// tookText is a latency that is the bound of a bucket.
func tookText(d time.Duration) string {
	switch {
	case d == 0:
		return "-"
	case d < time.Millisecond:
		return "<" + d.String()
	}
	return "<" + d.Round(100*time.Microsecond).String()
}

// idleText is how long no command has come.
func idleText(n *client.SessionDetail, now time.Time) string {
	last := n.Since
	if n.LastCommand != nil {
		last = *n.LastCommand
	}
	return max(now.Sub(last), 0).Round(time.Second).String()
}

func digestsText(n *client.SessionDetail) string {
	var list []string
	if n.HeaderDigest {
		list = append(list, "header")
	}
	if n.DataDigest {
		list = append(list, "data")
	}
	return cmp.Or(strings.Join(list, ", "), "-")
}

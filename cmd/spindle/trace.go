package main

import (
	"bufio"
	"cmp"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"spindle/internal/api/client"
)

func (a *app) traceCommand() *cobra.Command {
	var follow bool
	cmd := &cobra.Command{
		Use: "trace DRIVE", Short: "Show the last commands of a drive's hosts", Args: takes("DRIVE"),
		Long: "Shows the commands that hosts sent to a drive and what it answered, inserts,\nejects and resets: the last 4,096, from the drive's flight recorder.\n\n" +
			"With --json the lines are a transcript. Save it to a file for a bug report: it\ncan be replayed. It holds file data: the first 256 bytes of each answer.",
		ValidArgsFunction: a.complete,
		RunE: func(cmd *cobra.Command, args []string) error {
			r, err := a.client().Trace(cmd.Context(), args[0], follow)
			if err != nil {
				return err
			}
			defer r.Close()
			if a.json {
				_, err = io.Copy(a.out, r)
			} else {
				err = printTrace(a.out, r)
			}
			if err == nil && follow && cmd.Context().Err() == nil {
				err = &client.Error{
					Message: fmt.Sprintf("the trace ends: drive %s went or was made anew, or the daemon stopped", args[0]),
					Hint:    "follow it again for what comes",
				}
			}
			return err
		},
	}
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "go on with what comes")
	return cmd
}

// printTrace prints JSON Lines for people, each as soon as it comes.
func printTrace(w io.Writer, r io.Reader) error {
	lines := bufio.NewReader(r)
	hosts := map[uint32]string{}
	for first := true; ; first = false {
		line, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) && len(line) == 0 {
			return nil
		}
		if err != nil {
			return fmt.Errorf("the trace broke off: %w", err)
		}
		if first {
			continue // the header
		}
		var e client.TraceEntry
		if err := json.Unmarshal(line, &e); err != nil {
			return fmt.Errorf("the trace has a line that is none: %w", err)
		}
		if e.Host != nil {
			hosts[e.Nexus] = oneLine(e.Host.Initiator)
		}
		if _, err := fmt.Fprintln(w, printable(traceLine(&e, hosts))); err != nil {
			return err
		}
	}
}

// traceLine is an entry on one line.
func traceLine(e *client.TraceEntry, hosts map[uint32]string) string {
	if e.Event == "lost" {
		return fmt.Sprintf("%-15s  %d entries are lost here", "", e.Lost)
	}
	at := e.Time.Local().Format("15:04:05.000000")
	if e.Base {
		at = fmt.Sprintf("%-15s", "before")
	}
	if e.Event != "" {
		return at + "  " + eventText(e, hosts)
	}
	who := cmp.Or(hosts[e.Nexus], fmt.Sprintf("nexus %d", e.Nexus))
	text := fmt.Sprintf("%s  %s  %s  %s", at, who, cmp.Or(e.Name, "unknown command"), cdbText(e.CDB))
	switch {
	case e.Running:
		text += "  has not ended"
	case e.Aborted:
		text += "  aborted"
	case e.Status == "CHECK CONDITION":
		text += "  " + e.Error
	default:
		text += "  " + e.Status
	}
	if e.In > 0 {
		text += fmt.Sprintf("  in %d", e.In)
	}
	if e.Out > 0 {
		text += fmt.Sprintf("  out %d", e.Out)
	}
	return text + "  " + e.Took.Round(time.Microsecond).String()
}

func eventText(e *client.TraceEntry, hosts map[uint32]string) string {
	parts := []string{"--", e.Event}
	switch {
	case e.Host != nil:
		parts = append(parts, oneLine(e.Host.Initiator))
		if e.Host.Address != "" {
			parts = append(parts, "from", e.Host.Address)
		}
	case e.Nexus != 0:
		parts = append(parts, cmp.Or(hosts[e.Nexus], fmt.Sprintf("nexus %d", e.Nexus)))
	}
	if e.Medium != nil {
		parts = append(parts, oneLine(e.Medium.Name))
	}
	if e.Initiator != "" {
		parts = append(parts, "by", oneLine(e.Initiator))
	}
	if e.Force {
		parts = append(parts, "by force")
	}
	if e.Error != "" {
		parts = append(parts, "failed: "+oneLine(e.Error))
	}
	return strings.Join(parts, " ")
}

// addresses are where the LBA and the count of blocks stand in the CDBs that
// people look for by them.
var addresses = map[byte]struct{ lba, lbaLen, count, countLen int }{
	0x08: {1, 3, 4, 1}, 0x28: {2, 4, 7, 2}, 0xA8: {2, 4, 6, 4}, 0xBE: {2, 4, 6, 3},
	0x2F: {2, 4, 7, 2}, 0x2B: {2, 4, 0, 0}, 0x45: {2, 4, 7, 2}, 0xA5: {2, 4, 6, 4},
}

// cdbText is a CDB as LBA and count where it has them, else as bytes.
func cdbText(text string) string {
	cdb, err := hex.DecodeString(text)
	if err != nil || len(cdb) == 0 {
		return text
	}
	a, ok := addresses[cdb[0]]
	if !ok || len(cdb) < a.lba+a.lbaLen || len(cdb) < a.count+a.countLen {
		return fmt.Sprintf("[% x]", cdb)
	}
	number := func(b []byte) (n uint32) {
		for _, c := range b {
			n = n<<8 | uint32(c)
		}
		return n
	}
	lba := number(cdb[a.lba:][:a.lbaLen])
	if cdb[0] == 0x08 {
		lba &= 0x1FFFFF // the rest is the LUN of old hosts
	}
	if a.countLen == 0 {
		return fmt.Sprintf("lba %d", lba)
	}
	return fmt.Sprintf("lba %d +%d", lba, number(cdb[a.count:][:a.countLen]))
}

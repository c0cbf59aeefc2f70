package main

import (
	"cmp"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"spindle/internal/api/client"
)

func table(w io.Writer) *tabwriter.Writer { return tabwriter.NewWriter(w, 0, 0, 2, ' ', 0) }

func printStatus(w io.Writer, s *client.Status) {
	t := table(w)
	fmt.Fprintln(t, "DRIVE\tSTATE\tDISC\tSIZE\tHELD BY")
	for _, d := range s.Drives {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\n", d.Name, d.State, discOf(&d), sizeOf(d.Size), heldBy(d.Holders))
	}
	t.Flush()
	for _, d := range s.Drives {
		if len(d.Slots) > 0 {
			fmt.Fprintf(w, "slots: %s: %s\n", d.Name, slotsText(d.Slots))
		}
		if d.Redirect != "" {
			fmt.Fprintf(w, "redirect: %s sends its hosts to %s\n", d.Name, d.Redirect)
		}
		if r := d.Request; r != nil {
			fmt.Fprintf(w, "requested: %s waits to %s until %s, for its hosts to let go\n", d.Name, act(r.Disc), clock(r.Until))
		}
		if p := d.Pending; p != nil {
			fmt.Fprintf(w, "pending: %s waits to %s since %s, until its hosts let go\n", d.Name, act(p.Disc), clock(p.Since))
		}
	}
	for _, d := range s.Drives {
		if p := d.Audio; p != nil {
			fmt.Fprintf(w, "audio: %s is %s, track %d, block %d\n", d.Name, p.State, p.Track, p.At)
		}
	}
	for _, n := range s.Sessions {
		fmt.Fprintf(w, "session: %s from %s on %s\n", n.Initiator, n.Address, cmp.Or(n.Target, "discovery"))
	}
	for _, g := range s.Gadgets {
		fmt.Fprintf(w, "gadget: %s with %s on %s, %s\n", g.Name, strings.Join(g.Drives, ", "), cmp.Or(g.UDC, "no controller"), cmp.Or(g.State, "not attached"))
		for _, l := range g.Limits {
			fmt.Fprintf(w, "limit: %s: %s\n", g.Name, l)
		}
	}
	for _, d := range s.Drives {
		for _, text := range d.Warnings {
			fmt.Fprintf(w, "warning: %s: %s\n", d.Name, oneLine(text))
		}
	}
	for _, k := range s.Tasks {
		fmt.Fprintf(w, "task: %s %s, %s\n", k.Kind, cmp.Or(oneLine(k.Image), fmt.Sprintf("%d images", k.Total)), percent(k.Done, k.Total))
	}
	for _, a := range s.Alarms {
		fmt.Fprintf(w, "alarm: %s: %s\n", a.About, a.Text)
	}
}

func discOf(d *client.Drive) string {
	if d.Next != "" {
		return oneLine(d.Next)
	}
	return cmp.Or(oneLine(d.Disc), "-")
}

// slotsText lists slots by number, with the one whose disc is in the drive in
// brackets.
func slotsText(list []client.Slot) string {
	texts := make([]string, len(list))
	for i, s := range list {
		text := fmt.Sprintf("%d %s", i, cmp.Or(oneLine(s.Disc), "-"))
		switch {
		case s.Loaded:
			text = "[" + text + "]"
		case s.Disc != "" && !s.Present:
			text += " (missing)"
		}
		texts[i] = text
	}
	return strings.Join(texts, ", ")
}

// act is what waits to be done: disc inserted, or the tray emptied.
func act(disc string) string {
	if disc == "" {
		return "eject"
	}
	return "insert " + oneLine(disc)
}

func heldBy(list []client.Holder) string {
	var names []string
	for _, h := range list {
		name := h.Initiator
		if h.Address != "" {
			name += " from " + h.Address
		}
		if !h.Since.IsZero() {
			name += " since " + clock(h.Since)
		}
		names = append(names, name)
	}
	return cmp.Or(strings.Join(names, ", "), "-")
}

// clock is a time of today without the date.
func clock(t time.Time) string {
	t = t.Local()
	if time.Since(t) < 24*time.Hour {
		return t.Format(time.TimeOnly)
	}
	return t.Format(time.DateTime)
}

func sizeOf(n int64) string {
	switch {
	case n == 0:
		return "-"
	case n < 10<<20:
		return fmt.Sprintf("%d KiB", (n+1023)>>10)
	case n < 10<<30:
		return fmt.Sprintf("%d MiB", n>>20)
	}
	return fmt.Sprintf("%d GiB", n>>30)
}

func printImages(w io.Writer, list []client.Image) {
	t := table(w)
	fmt.Fprintln(t, "NAME\tFORMAT\tMEDIUM\tSIZE\tLABEL\tBOOT\tSTATE")
	for _, i := range list {
		state := checked(i.State, &i.Checks)
		if i.Error != "" {
			state += ": " + oneLine(strings.ReplaceAll(i.Error, "\n", "; "))
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", oneLine(i.Name), cmp.Or(i.Format, "-"), cmp.Or(i.Medium, "-"), sizeOf(i.Size),
			cmp.Or(oneLine(i.Label), "-"), cmp.Or(strings.Join(i.Boot, ", "), "-"), state)
	}
	t.Flush()
}

// oneLine keeps a name in its cell of a table.
func oneLine(name string) string {
	return strings.NewReplacer("\n", "?", "\t", "?", "\v", "?", "\f", "?").Replace(name)
}

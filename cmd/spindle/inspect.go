package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"spindle/internal/api/client"
	"spindle/internal/daemon"
)

func (a *app) inspectCommand() *cobra.Command {
	return &cobra.Command{
		Use: "inspect IMAGE", Short: "Say what an image is: a file, or a name of the library", Args: takes("IMAGE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, stop := interruptible(cmd.Context())
			defer stop()
			info, err := a.inspect(ctx, args[0])
			if err != nil {
				return interrupted(ctx, err, "interrupted")
			}
			return a.show(info, func(w io.Writer) { printInfo(w, &info) })
		},
	}
}

// inspect looks at a file without a daemon, and asks the daemon for the rest. A
// packed image is unpacked for it.
func (a *app) inspect(ctx context.Context, name string) (client.Info, error) {
	bar := a.progress(name)
	defer bar.end()
	if _, err := os.Stat(name); err == nil {
		return daemon.Inspect(ctx, name, bar.of("unpack"))
	}
	c := a.client()
	stop := bar.follow(ctx, c, name)
	info, err := c.Inspect(ctx, name)
	stop()
	return info, noFile(name, err)
}

// printInfo prints all that is known of an image: what it is, a line a track,
// and a map of the disc.
func printInfo(w io.Writer, i *client.Info) {
	t := table(w)
	row := func(name, value string) {
		if value != "" {
			fmt.Fprintf(t, "%s:\t%s\n", name, oneLine(value))
		}
	}
	row("file", i.Path)
	for _, name := range i.Files {
		row("and", name)
	}
	row("format", i.Format)
	row("size", fmt.Sprintf("%s, %d bytes", sizeOf(i.Size), i.Size))
	row("medium", mediumOf(i))
	row("label", cmp.Or(i.Label, "-"))
	row("file systems", cmp.Or(strings.Join(i.FileSystems, ", "), "-"))
	if i.Created != nil {
		row("created", i.Created.UTC().Format(time.DateTime)+" UTC")
	}
	row("publisher", i.Publisher)
	row("title", i.Title)
	row("performer", i.Performer)
	row("catalogue number", i.MCN)
	row("boots", cmp.Or(strings.Join(i.BootBy, ", "), "-"))
	for _, b := range i.Boot {
		row("boot image", fmt.Sprintf("%s at block %d", strings.Join(append([]string{b.Platform}, b.Architectures...), " "), b.LBA))
	}
	row("from a disk", strings.Join(i.Hybrid, ", "))
	if c := i.Checks; c != nil {
		row("state", checked(i.State, c))
		row("checked by", strings.Join(baseNames(c.By), ", "))
		row("sha256", c.SHA256)
	}
	for _, text := range i.Warnings {
		row("warning", text)
	}
	t.Flush()
	fmt.Fprintln(w)
	printTracks(w, i)
	fmt.Fprintf(w, "\n%s\n", discMap(i, 64))
}

func mediumOf(i *client.Info) string {
	text := fmt.Sprintf("%s, %d blocks of 2048 bytes", i.Medium, i.Blocks)
	if i.Layers > 1 {
		text += fmt.Sprintf(", %d layers", i.Layers)
	}
	return text
}

// printTracks prints a line a track, with a column of its own only for what a
// track has.
func printTracks(w io.Writer, i *client.Info) {
	cd := i.Medium == "CD"
	columns := []struct {
		name string
		of   func(s *client.InfoSession, t *client.InfoTrack) string
	}{
		{"SESSION", func(s *client.InfoSession, _ *client.InfoTrack) string { return fmt.Sprint(s.Number) }},
		{"TRACK", func(_ *client.InfoSession, t *client.InfoTrack) string { return fmt.Sprint(t.Number) }},
		{"MODE", func(_ *client.InfoSession, t *client.InfoTrack) string { return t.Mode }},
		{"START", func(_ *client.InfoSession, t *client.InfoTrack) string { return fmt.Sprint(t.Start) }},
		{"BLOCKS", func(_ *client.InfoSession, t *client.InfoTrack) string { return fmt.Sprint(t.Blocks) }},
		{"LENGTH", func(_ *client.InfoSession, t *client.InfoTrack) string { return lengthOf(t.Blocks, cd) }},
		{"PREGAP", func(_ *client.InfoSession, t *client.InfoTrack) string {
			return lengthOf(t.Start-max(t.Pregap, 0), cd)
		}},
		{"INDEXES", func(_ *client.InfoSession, t *client.InfoTrack) string { return countOf(len(t.Indexes)) }},
		{"FLAGS", func(_ *client.InfoSession, t *client.InfoTrack) string { return flagsOf(t.Control) }},
		{"ISRC", func(_ *client.InfoSession, t *client.InfoTrack) string { return t.ISRC }},
		{"TITLE", func(_ *client.InfoSession, t *client.InfoTrack) string { return t.Title }},
		{"PERFORMER", func(_ *client.InfoSession, t *client.InfoTrack) string { return t.Performer }},
	}
	var head []string
	var rows [][]string
	for _, c := range columns {
		cells, any, n := make([][]string, 0), false, 0
		for s := range i.Sessions {
			for k := range i.Sessions[s].Tracks {
				v := c.of(&i.Sessions[s], &i.Sessions[s].Tracks[k])
				any = any || v != ""
				if n == len(rows) {
					rows = append(rows, nil)
				}
				cells = append(cells, []string{cmp.Or(oneLine(v), "-")})
				n++
			}
		}
		if !any {
			continue
		}
		head = append(head, c.name)
		for r := range cells {
			rows[r] = append(rows[r], cells[r]...)
		}
	}
	t := table(w)
	fmt.Fprintln(t, strings.Join(head, "\t"))
	for _, r := range rows {
		fmt.Fprintln(t, strings.Join(r, "\t"))
	}
	t.Flush()
}

// lengthOf is a length as a CD player shows it, with frames.
func lengthOf(blocks int64, cd bool) string {
	if !cd || blocks <= 0 {
		return ""
	}
	return fmt.Sprintf("%d:%02d.%02d", blocks/75/60, blocks/75%60, blocks%75)
}

func countOf(n int) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf("%d more", n)
}

func flagsOf(control int) string {
	var names []string
	for _, f := range []struct {
		bit  int
		name string
	}{{2, "copy"}, {1, "pre-emphasis"}, {8, "four-channel"}} {
		if control&f.bit != 0 && (control&4 == 0 || f.bit == 2) {
			names = append(names, f.name)
		}
	}
	return strings.Join(names, ", ")
}

// discMap draws the disc in one line of about width characters: a letter for
// each part of it, a for audio and D for data, a bar between tracks, brackets
// around sessions.
func discMap(i *client.Info, width int) string {
	var b strings.Builder
	for s := range i.Sessions {
		b.WriteByte('[')
		for k := range i.Sessions[s].Tracks {
			t := &i.Sessions[s].Tracks[k]
			if k > 0 {
				b.WriteByte('|')
			}
			letter := "D"
			if t.Mode == "audio" {
				letter = "a"
			}
			n := int(t.Blocks * int64(width) / max(i.Blocks, 1))
			b.WriteString(strings.Repeat(letter, min(max(n, 1), width)))
		}
		b.WriteByte(']')
	}
	return b.String() + "  a audio, D data, one letter for " + perLetter(i, width)
}

func perLetter(i *client.Info, width int) string {
	return fmt.Sprintf("%d blocks", max(1, i.Blocks/int64(width)))
}

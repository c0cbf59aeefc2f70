package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"spindle/internal/api/client"
)

func (a *app) statusCommand() *cobra.Command {
	return &cobra.Command{
		Use: "status", Short: "Show drives, discs, hosts and alarms", Args: takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := a.client().Status(cmd.Context())
			if err != nil {
				return err
			}
			return a.show(s, func(w io.Writer) { printStatus(w, &s) })
		},
	}
}

func (a *app) imagesCommand() *cobra.Command {
	return &cobra.Command{
		Use: "images", Short: "List the images of the library", Args: takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c := a.client()
			images := c.Images
			if a.json {
				images = c.ImagesInfo
			}
			list, err := images(cmd.Context())
			if err != nil {
				return err
			}
			return a.show(list, func(w io.Writer) { printImages(w, list) })
		},
	}
}

// A way is how a tray that a host holds is opened.
type way struct {
	force bool
	wait  string
}

func (w *way) flags(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&w.force, "force", false, "also when a host holds the tray: the paper clip")
	cmd.Flags().StringVar(&w.wait, "wait", "", "`duration` that a host which holds the tray has to let go, as 10s; 0s fails at once (default: the drive's eject_wait)")
}

// explain tells a person whom a verb waits for, until stop returns.
func (a *app) explain(ctx context.Context, c *client.Client, drive string) (stop func()) {
	if a.json {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for s, err := range c.Events(ctx) {
			if err != nil {
				return
			}
			if d := s.Drive(drive); d != nil && d.Request != nil {
				fmt.Fprintln(os.Stderr, printable(fmt.Sprintf("%s is held by %s: waiting until %s for it to be let go (Ctrl-C ends that)",
					d.Name, heldBy(d.Holders), clock(d.Request.Until))))
				return
			}
		}
	}()
	return func() {
		cancel()
		<-ended
	}
}

func (a *app) insertCommand() *cobra.Command {
	var how way
	slot := -1
	cmd := &cobra.Command{
		Use: "insert DRIVE {IMAGE | --slot N}", Short: "Put an image into a drive, in place of what is there",
		Args: func(cmd *cobra.Command, args []string) error {
			if cmd.Flags().Changed("slot") {
				return takes("DRIVE")(cmd, args)
			}
			return takes("DRIVE", "IMAGE")(cmd, args)
		},
		ValidArgsFunction: a.complete,
		RunE: func(cmd *cobra.Command, args []string) error {
			c := a.client()
			if cmd.Flags().Changed("slot") {
				name, err := inSlot(cmd.Context(), c, args[0], slot)
				if err != nil {
					return err
				}
				args = append(args, name)
			}
			image, err := imageName(args[1])
			if err != nil {
				return err
			}
			bar := a.progress(args[1])
			stop, quiet := bar.follow(cmd.Context(), c, image), a.explain(cmd.Context(), c, args[0])
			d, err := c.Insert(cmd.Context(), args[0], client.InsertRequest{Image: image, Force: how.force, Wait: how.wait})
			stop()
			quiet()
			bar.end()
			if err != nil {
				return err
			}
			a.warn(d.Warnings)
			return a.show(d, func(w io.Writer) { fmt.Fprintf(w, "%s: %s inserted\n", d.Name, oneLine(d.Disc)) })
		},
	}
	cmd.Flags().IntVar(&slot, "slot", -1, "the disc of a changer's slot, by number from 0, in place of IMAGE")
	how.flags(cmd)
	return cmd
}

// inSlot returns the name of the image in a slot of a changer.
func inSlot(ctx context.Context, c *client.Client, drive string, slot int) (string, error) {
	s, err := c.Status(ctx)
	if err != nil {
		return "", err
	}
	d := s.Drive(drive)
	switch {
	case d == nil:
		var known []string
		for _, d := range s.Drives {
			known = append(known, d.Name)
		}
		return "", fmt.Errorf("there is no drive %q (hint: the drives are: %s)", drive, strings.Join(known, ", "))
	case len(d.Slots) == 0:
		return "", fmt.Errorf("drive %s has no slots (hint: discs = [\"…\", \"…\"] in its table of the configuration gives it some)", drive)
	case slot < 0 || slot >= len(d.Slots):
		return "", fmt.Errorf("drive %s has no slot %d (hint: they are numbered from 0 to %d)", drive, slot, len(d.Slots)-1)
	case d.Slots[slot].Disc == "":
		return "", fmt.Errorf("slot %d of drive %s is empty (hint: `spindle status` shows what the slots hold)", slot, drive)
	}
	return d.Slots[slot].Disc, nil
}

// maxWarned is how many warnings a person is told at once.
const maxWarned = 20

// warn tells a person what is odd; programs find it in the JSON.
func (a *app) warn(texts []string) {
	if a.json {
		return
	}
	for i, text := range texts {
		if i == maxWarned {
			fmt.Fprintf(os.Stderr, "warning: and %d more\nhint: --json has them all\n", len(texts)-i)
			return
		}
		message, hint := cutHint(text)
		fmt.Fprintln(os.Stderr, "warning:", printable(oneLine(message)))
		if hint != "" {
			fmt.Fprintln(os.Stderr, "hint:", printable(oneLine(hint)))
		}
	}
}

// imageName is what an argument names: a path that begins as one is taken from
// the working directory, which the daemon does not share.
func imageName(arg string) (string, error) {
	if strings.HasPrefix(arg, "./") || strings.HasPrefix(arg, "../") {
		return filepath.Abs(arg)
	}
	return arg, nil
}

func (a *app) ejectCommand() *cobra.Command {
	var how way
	cmd := &cobra.Command{
		Use: "eject DRIVE", Short: "Open a drive's tray and take the disc out", Args: takes("DRIVE"),
		ValidArgsFunction: a.complete,
		RunE: func(cmd *cobra.Command, args []string) error {
			c := a.client()
			quiet := a.explain(cmd.Context(), c, args[0])
			d, err := c.Eject(cmd.Context(), args[0], client.EjectRequest{Force: how.force, Wait: how.wait})
			quiet()
			if err != nil {
				return err
			}
			return a.show(d, func(w io.Writer) { fmt.Fprintf(w, "%s: tray open, empty\n", d.Name) })
		},
	}
	how.flags(cmd)
	return cmd
}

// complete completes names of drives, then of images.
func (a *app) complete(cmd *cobra.Command, args []string, _ string) (names []cobra.Completion, _ cobra.ShellCompDirective) {
	c := a.client()
	switch {
	case len(args) == 0 && cmd.Name() != "verify":
		if s, err := c.Status(cmd.Context()); err == nil {
			for _, d := range s.Drives {
				names = append(names, d.Name)
			}
		}
	case len(args) == 1 && cmd.Name() == "insert", cmd.Name() == "verify":
		if list, err := c.Images(cmd.Context()); err == nil {
			for _, i := range list {
				names = append(names, i.Name)
			}
		}
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

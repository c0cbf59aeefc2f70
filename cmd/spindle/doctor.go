package main

import (
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"spindle/internal/daemon"
)

// errLacks ends `spindle doctor` with status 1 after it has said all.
var errLacks = errors.New("this machine lacks what is listed above")

func (a *app) doctorCommand() *cobra.Command {
	return &cobra.Command{
		Use: "doctor", Short: "Say what this machine lacks, and the commands that mend it", Args: takes(),
		RunE: func(*cobra.Command, []string) error {
			lacks := daemon.Doctor("")
			err := a.show(lacks, func(w io.Writer) { printLacks(w, lacks) })
			if err == nil && len(lacks) > 0 {
				err = errLacks
			}
			return err
		},
	}
}

func printLacks(w io.Writer, lacks []daemon.Lack) {
	if len(lacks) == 0 {
		fmt.Fprintln(w, "a USB drive on a cable: this machine has all that it needs")
		return
	}
	for _, l := range lacks {
		fmt.Fprintf(w, "%s: %s\n", l.For, l.Reason)
		if l.Remedy != "" {
			fmt.Fprintf(w, "    %s\n", l.Remedy)
		}
	}
}

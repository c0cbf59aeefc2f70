// Testdrive opens a drive of the kernel's in a guest and follows a script, a line
// at a time from its input, until one fails:
//
//	insert PATH | force PATH | eject | force | status
//
// With "! " before it a line has to fail, and its error is the variable
// REFUSAL of the shell from then on. Every other line is the shell's. At the end the
// gadget is closed.
package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"

	"spindle/gadget"
	"spindle/gadget/massstorage"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintf(os.Stderr, "testdrive: %v\n", err)
		os.Exit(1)
	}
}

func run() error {
	g, err := massstorage.Open(gadget.Options{
		Name: "k0", Serial: "0123456789AB", Manufacturer: "spindle", Product: "kernel drive", Configuration: "drive",
	}, 1)
	if err != nil {
		return err
	}
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		if err = line(g, in.Text()); err != nil {
			err = fmt.Errorf("%s: %w", in.Text(), err)
			break
		}
	}
	return errors.Join(err, g.Close())
}

func line(g *massstorage.Gadget, text string) error {
	text, fails := strings.CutPrefix(strings.TrimSpace(text), "! ")
	err := step(g, text)
	if !fails {
		return err
	}
	if err == nil {
		return errors.New("this was not refused")
	}
	fmt.Println("refused:", err)
	return os.Setenv("REFUSAL", err.Error())
}

func step(g *massstorage.Gadget, text string) error {
	ctx, d := context.Background(), g.Drive(0)
	verb, path, _ := strings.Cut(text, " ")
	switch {
	case verb == "insert":
		return d.Insert(ctx, path, false)
	case verb == "force" && path != "":
		return d.Insert(ctx, path, true)
	case verb == "force", verb == "eject":
		return d.Eject(ctx, verb == "force")
	case verb == "status":
		s := g.Status(0)
		fmt.Printf("path=%s udc=%s state=%s speed=%s\n", s.Path, s.UDC, s.State, s.Speed)
		return nil
	}
	c := exec.Command("sh", "-c", text)
	c.Stdout, c.Stderr = os.Stdout, os.Stderr
	return c.Run()
}

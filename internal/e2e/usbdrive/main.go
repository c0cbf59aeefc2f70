//go:build linux

// Usbdrive is a USB drive of the emulator's parts, for tests in a guest:
//
//	usbdrive serve [FLAGS] FILE...   serve each file in a drive, as LUN 0 and up, until SIGTERM
//	usbdrive insert FILE [force]     put a file into the tray of LUN 0
//	usbdrive eject [force]           open that
//	usbdrive status                  print what it is, and the gadget
//	usbdrive check                   print what this machine lacks
//
// The exit status is 1 with a line on stderr when something was refused.
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"spindle/gadget"
	"spindle/isostore/image"
	"spindle/mmcemu"
	"spindle/target"
)

const socket = "/tmp/usbdrive.sock"

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintf(os.Stderr, "usbdrive: %v\n", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) == 0 {
		return errors.New("wrong usage; see the package's comment")
	}
	switch args[0] {
	case "serve":
		return serve(args[1:])
	case "check":
		for _, f := range gadget.Check("") {
			fmt.Println(f)
		}
		return nil
	}
	return ask(args)
}

func serve(args []string) error {
	o := gadget.Options{
		Serial: "0123456789ABCDEF", Manufacturer: "spindle", Product: "optical drive", Configuration: "drive",
		Log: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	flags := flag.NewFlagSet("serve", flag.ExitOnError)
	flags.StringVar(&o.Name, "name", "g0", "of the gadget")
	flags.StringVar(&o.UDC, "udc", "", "to bind to")
	flags.StringVar(&o.FunctionFS, "ffs", "", "mounted FunctionFS")
	flags.StringVar(&o.MaxSpeed, "speed", "", "at most")
	flags.BoolVar(&o.Stall, "stall", false, "end short data by a halt")
	uid := flags.Int("uid", 0, "user to become first")
	mmc := flags.Bool("mmc", false, "subclass 02")
	_ = flags.Parse(args)
	if err := syscall.Setuid(*uid); err != nil {
		return err
	}
	if *mmc {
		o.Subclass = 2
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	drives, err := open(ctx, flags.Args())
	if err != nil {
		return err
	}
	var units []*target.Unit
	for i, d := range drives {
		units = append(units, target.NewUnit(fmt.Sprintf("cd%d", i), d, target.UnitOptions{Log: o.Log}))
	}
	g, err := gadget.Open(o, units)
	if err != nil {
		return err
	}
	stopAnswering, err := answer(drives[0], g)
	if err != nil {
		return errors.Join(err, g.Close())
	}
	fmt.Println("serving")
	err = g.Serve(ctx)
	stopAnswering()
	return errors.Join(err, g.Close())
}

func open(ctx context.Context, files []string) ([]*mmcemu.Drive, error) {
	var drives []*mmcemu.Drive
	for i, file := range files {
		d := mmcemu.New(mmcemu.Options{Vendor: "spindle", Product: "drive", Serial: fmt.Sprintf("0123456789AB%02d", i)})
		if err := insert(ctx, d, file, false); err != nil {
			return nil, err
		}
		drives = append(drives, d)
	}
	return drives, nil
}

func insert(ctx context.Context, d *mmcemu.Drive, file string, force bool) error {
	img, _, err := image.OpenFile(file, image.Options{})
	if err != nil {
		return err
	}
	err = d.Insert(ctx, mmcemu.Medium{Disc: img, Name: file, ID: file}, force)
	if _, held := errors.AsType[*mmcemu.HeldError](err); held {
		return errors.Join(err, img.Close())
	}
	return err
}

// answer serves the other verbs on a socket: a line each way.
func answer(d *mmcemu.Drive, g *gadget.Gadget) (stop func(), err error) {
	_ = os.Remove(socket) // of a process that was killed
	l, err := net.Listen("unix", socket)
	if err != nil {
		return nil, err
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			line, _ := bufio.NewReader(c).ReadString('\n')
			text, err := verb(d, g, strings.Fields(line))
			if err != nil {
				text = "error: " + err.Error()
			}
			fmt.Fprintln(c, text)
			c.Close()
		}
	}()
	return func() { l.Close() }, nil
}

func verb(d *mmcemu.Drive, g *gadget.Gadget, args []string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	force := args[len(args)-1] == "force"
	switch args[0] {
	case "insert":
		return "inserted", insert(ctx, d, args[1], force)
	case "eject":
		return "ejected", d.Eject(ctx, force)
	case "status":
		s, u := d.Status(), g.Status()
		return fmt.Sprintf("%s %s holders=%d udc=%s state=%q speed=%s host=%t",
			s.State, s.Medium, len(s.Holders), u.UDC, u.State, u.Speed, !u.Since.IsZero()), nil
	}
	return "", errors.New("unknown verb")
}

func ask(args []string) error {
	c, err := net.Dial("unix", socket)
	if err != nil {
		return err
	}
	defer c.Close()
	fmt.Fprintln(c, strings.Join(args, " "))
	text, err := io.ReadAll(c)
	if err != nil {
		return err
	}
	if reason, refused := strings.CutPrefix(string(text), "error: "); refused {
		return errors.New(strings.TrimSpace(reason))
	}
	fmt.Print(string(text))
	return nil
}

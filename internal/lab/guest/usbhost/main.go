//go:build linux

// Usbhost is a raw USB host for guests of package lab: it takes a mass storage
// device from the kernel's driver and plays what no kernel would play: the
// thirteen cases of host and device disagreement (Bulk-Only Transport, 6.7),
// wrappers that are not valid or not meaningful, resets in the middle of data.
// It judges nothing: it prints a line for each case, for a test to compare with
// a table.
//
//	usbhost [write | select]
//
// The device has two units. LUN 0 is an optical drive with a disc of 64 blocks
// at least. The commands with data-out are WRITE(10) on LUN 1, a disk, or MODE
// SELECT(10) on LUN 0, as the argument says; the default is write. At the end
// the kernel's driver has the device again.
package main

import (
	"fmt"
	"os"
)

func main() {
	selects := len(os.Args) == 2 && os.Args[1] == "select"
	if selects { // as ours does, whatever it is sent
		patience = muchPatience
	}
	if err := battery(selects); err != nil {
		say("FAILED", "%v", err)
		os.Exit(1)
	}
}

// say prints one line of the result.
func say(name, format string, args ...any) {
	fmt.Printf("usbhost| %s: %s\n", name, fmt.Sprintf(format, args...))
}

func battery(selects bool) error {
	d, err := find()
	if err != nil {
		return err
	}
	if err := d.claim(); err != nil {
		return err
	}
	say("device", "speed=%s packet=%d subclass=%02x", d.speed(), d.packet, d.subclass)
	if err := d.requests(); err != nil {
		return err
	}
	if err := d.settle(2); err != nil {
		return err
	}
	parts := []func() error{
		func() error { return d.commands(cases(selects)) },
		d.senseByUnit,
		d.badWrappers,
		func() error { return d.resets(selects) },
		d.halts,
	}
	for _, part := range parts {
		if err := part(); err != nil {
			return err
		}
	}
	if err := d.release(); err != nil {
		return fmt.Errorf("give back to the kernel's driver: %w", err)
	}
	say("end", "ok")
	return nil
}

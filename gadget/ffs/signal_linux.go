package ffs

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// wake is the signal that ends a transfer. The Go runtime has a handler for
// every signal and ignores this one. SIGURG, which preempts goroutines, is
// blocked during a transfer: the kernel drops what an interrupted one carried.
const wake = unix.Signal(40)

// onlyWake blocks the signals that the process can be sent but wake. Those of
// faults stay, and 32 to 34, by which threads change their user together.
var onlyWake = func() (set unix.Sigset_t) {
	open := map[unix.Signal]bool{
		wake: true, 32: true, 33: true, 34: true,
		unix.SIGSEGV: true, unix.SIGBUS: true, unix.SIGFPE: true, unix.SIGILL: true, unix.SIGTRAP: true, unix.SIGSYS: true,
	}
	const word = int(unsafe.Sizeof(set.Val[0])) * 8
	for s := 1; s <= 64; s++ {
		if !open[unix.Signal(s)] {
			set.Val[(s-1)/word] |= 1 << ((s - 1) % word)
		}
	}
	return set
}()

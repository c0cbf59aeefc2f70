package lab

import (
	"math/rand/v2"
	"net"
	"strconv"
	"testing"
)

// FreeAddr returns a loopback address with a TCP port that nobody has on any address
// of this machine. Prefer listening on port 0 where the program can tell its port, and
// need not come back to it.
//
// The port lies below those that connections begin at (32768 on Linux, 49152
// elsewhere): one of those may be taken by any connection of another test, or by the
// one that is dialled to see whether somebody listens there yet.
func FreeAddr(t testing.TB) string {
	t.Helper()
	const first, end = 16384, 32768
	var err error
	for range 100 {
		port := strconv.Itoa(first + rand.IntN(end-first))
		var l net.Listener
		if l, err = net.Listen("tcp", ":"+port); err == nil { // on all, for that is refused if any has it
			l.Close()
			return net.JoinHostPort("127.0.0.1", port)
		}
	}
	t.Fatal(err)
	return ""
}

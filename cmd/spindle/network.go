package main

import (
	"fmt"
	"io"
	"time"

	"spindle/internal/api/client"
)

// lately is how long status tells of what was refused.
const lately = 10 * time.Minute

// printNetwork says what the limits of the network target refused lately.
func printNetwork(w io.Writer, n *client.Network) {
	for _, r := range n.Refused {
		if time.Since(r.At) < lately {
			fmt.Fprintf(w, "refused: %d by %s = %s of [iscsi.limits], the last %s at %s\n", r.Count, r.Limit, r.Value, oneLine(r.Last), clock(r.At))
		}
	}
}

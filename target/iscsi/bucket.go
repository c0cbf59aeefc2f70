package iscsi

import "time"

// A bucket holds tokens that come at a rate: what it is asked for more often is
// refused. The zero value is full.
type bucket struct {
	spent float64 // tokens that are missing
	at    time.Time
}

// take takes one token of a bucket that holds burst and gets rate of them each
// second.
func (b *bucket) take(now time.Time, rate float64, burst int) bool {
	b.fill(now, rate)
	if b.spent > float64(burst)-1 {
		return false
	}
	b.spent++
	return true
}

func (b *bucket) fill(now time.Time, rate float64) {
	b.spent = max(0, b.spent-rate*now.Sub(b.at).Seconds())
	b.at = now
}

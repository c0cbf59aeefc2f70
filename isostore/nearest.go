package isostore

import (
	"path"
	"strings"
)

// nearest returns the name of names that a person most likely meant by name,
// or "": one that differs only in case, directory or ending, else the one with
// the fewest typing errors, a third of its length at most.
func nearest(name string, names []string) string {
	stem := func(s string) string {
		b := strings.ToLower(path.Base(s))
		return strings.TrimSuffix(b, path.Ext(b))
	}
	best, bestDist := "", len(name)/3+1
	for _, n := range names {
		if stem(n) == stem(name) {
			return n
		}
		d := min(distance(strings.ToLower(name), strings.ToLower(n)), distance(stem(name), stem(n)))
		if d < bestDist {
			best, bestDist = n, d
		}
	}
	return best
}

// distance is the Levenshtein distance of a and b in bytes, those beyond 255
// left aside.
func distance(a, b string) int {
	a, b = a[:min(len(a), 255)], b[:min(len(b), 255)]
	var row [256]int
	for j := range len(b) + 1 {
		row[j] = j
	}
	for i := range len(a) {
		diag := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diag
			if a[i] != b[j] {
				cost = 1 + min(diag, row[j], row[j+1])
			}
			diag, row[j+1] = row[j+1], cost
		}
	}
	return row[len(b)]
}

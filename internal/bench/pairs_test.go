//go:build linux

package bench

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

const (
	pairs = 7
	gib   = 1 << 30
)

// A figure is one thing that a sample measures.
type figure struct {
	name   string // of the metric and of the table's column
	format string // of a raw value
}

// interleave measures both servers in turns, who goes first changing each time,
// and reports for each figure the median of the ratios spindle/tgtd and their
// spread. The raw runs go to the log (-v), with a row for docs/performance.md.
func interleave(b *testing.B, both [2]server, turns int, figures []figure, measure func(s server) []float64) {
	b.Helper()
	var raw [2][][]float64
	for i := range turns {
		for j := range both {
			k := (i + j) % 2
			raw[k] = append(raw[k], measure(both[k]))
		}
	}
	var lines strings.Builder
	for k, s := range both {
		fmt.Fprintf(&lines, "\n        %-8s", s.name)
		for _, sample := range raw[k] {
			for f, v := range sample {
				fmt.Fprintf(&lines, " "+figures[f].format, v)
			}
			lines.WriteByte(' ')
		}
	}
	var row strings.Builder
	row.WriteString("| " + b.Name())
	for f, figure := range figures {
		least, median, most := ratios(raw, f)
		fmt.Fprintf(&row, " | %.2f, %.2f to %.2f", median, least, most)
		b.ReportMetric(median, "x-"+figure.name)
	}
	b.Logf("%s\n%s |", lines.String(), row.String())
	b.ReportMetric(0, "ns/op")
}

// ratios returns the least, the median and the largest of spindle/tgtd.
func ratios(raw [2][][]float64, f int) (least, median, most float64) {
	var list []float64
	for i := range raw[0] {
		list = append(list, raw[1][i][f]/raw[0][i][f])
	}
	slices.Sort(list)
	return list[0], list[len(list)/2], list[len(list)-1]
}

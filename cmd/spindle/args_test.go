package main

import (
	"testing"
	"time"

	"spindle/internal/api/client"
)

func TestTakes(t *testing.T) {
	for _, tt := range []struct {
		names, args []string
		want        string
	}{
		{nil, nil, ""},
		{nil, []string{"a"}, `"a" is one argument too many`},
		{[]string{"A", "B"}, []string{"a"}, "B is missing"},
		{[]string{"A", "B"}, []string{"a", "b", "c"}, `"c" is one argument too many`},
		{[]string{"[A]"}, nil, ""},
		{[]string{"[A]"}, []string{"a", "b"}, `"b" is one argument too many`},
		{[]string{"A..."}, nil, "A is missing"},
		{[]string{"A..."}, []string{"a", "b"}, ""},
	} {
		got := ""
		if err := takes(tt.names...)(nil, tt.args); err != nil {
			got = err.Error()
		}
		if got != tt.want {
			t.Errorf("%q of %q: %q, want %q", tt.args, tt.names, got, tt.want)
		}
	}
}

func TestUntilText(t *testing.T) {
	for want, ask := range map[string]client.TraceRequest{
		"an interrupt or its end":                                       {},
		"an interrupt or its end, for 10s at most":                      {For: 10 * time.Second},
		"an interrupt or its end, for 1m0s at most, for 9 PDUs at most": {For: time.Minute, Count: 9},
	} {
		if got := untilText(ask); got != want {
			t.Errorf("%+v: %q, want %q", ask, got, want)
		}
	}
}

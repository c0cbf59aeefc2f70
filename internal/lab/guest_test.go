package lab

import (
	"strings"
	"testing"
)

func TestCanary(t *testing.T) {
	g := &Guest{
		Script: `
			x=$(host greet "two words" "" 'a"b') || exit 1
			echo "answer: $x"
			host refuse && exit 2
			seq 1 2000
			exit 7`,
		Hooks: map[string]Hook{
			"greet": func(args []string) (string, error) { return strings.Join(args, "|"), nil },
		},
	}
	r := g.Run(t)
	if r.Status != 7 {
		t.Errorf("status %d; want 7", r.Status)
	}
	for _, want := range []string{"answer: two words||a\"b\n", "the test has no such hook\n", "\n2000\nLAB-STATUS=7"} {
		if !strings.Contains(r.Log, want) {
			t.Errorf("the console lacks %q", want)
		}
	}
}

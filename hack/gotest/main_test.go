package main

import (
	"slices"
	"strings"
	"testing"
)

func TestReport(t *testing.T) {
	const events = `{"Action":"start","Package":"p"}
{"Action":"output","Package":"p","Test":"TestA","Output":"=== RUN   TestA\n"}
{"Action":"output","Package":"p","Test":"TestB","Output":"noise of B\n"}
{"Action":"output","Package":"p","Test":"TestA","Output":"    a_test.go:1: this test needs x\n"}
{"Action":"output","Package":"p","Test":"TestA","Output":"--- SKIP: TestA (0.00s)\n"}
{"Action":"skip","Package":"p","Test":"TestA"}
{"Action":"pass","Package":"p","Test":"TestB"}
{"Action":"output","Package":"p","Test":"TestC","Output":"    c_test.go:1: wrong\n"}
{"Action":"output","Package":"p","Test":"TestC","Output":"--- FAIL: TestC (0.00s)\n"}
{"Action":"fail","Package":"p","Test":"TestC"}
{"Action":"output","Package":"p","Output":"PASS\n"}
{"Action":"output","Package":"p","Output":"FAIL\tp\t0.1s\n"}
{"Action":"skip","Package":"q"}
{"Action":"output","Package":"r","Test":"TestD","Output":"panic: dead\n"}
{"Action":"output","Package":"r","Output":"FAIL\tr\t0.1s\n"}
{"Action":"fail","Package":"r"}
not JSON
`
	var out strings.Builder
	r := &report{w: &out, output: make(map[testKey][]string)}
	r.read(strings.NewReader(events))
	const want = "    c_test.go:1: wrong\n--- FAIL: TestC (0.00s)\nFAIL\tp\t0.1s\nFAIL\tr\t0.1s\npanic: dead\nnot JSON\n"
	if out.String() != want {
		t.Errorf("printed %q; want %q", out.String(), want)
	}
	if want := []string{"p TestA: a_test.go:1: this test needs x"}; !slices.Equal(r.skipped, want) {
		t.Errorf("skipped %q; want %q", r.skipped, want)
	}
}

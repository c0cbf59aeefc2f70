//go:build linux && race

package e2e

// withRace makes the binary under test report races too: a daemon that has seen
// one does not exit with 0.
const withRace = true

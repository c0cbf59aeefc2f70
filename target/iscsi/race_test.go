//go:build race

package iscsi_test

// stormLogins are logins in all of TestLoginsLeaveNothing, fewer than where it
// counts: make test runs it without the race detector too.
const stormLogins = 2000

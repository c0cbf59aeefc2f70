//go:build !race

package iscsi_test

// stormLogins are logins in all of TestLoginsLeaveNothing.
const stormLogins = 20000

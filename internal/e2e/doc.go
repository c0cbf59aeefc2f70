// Package e2e holds the tests of the whole: they run the spindle binary as a
// user does, and let foreign initiators, a real kernel and firmware judge what
// it serves. Nothing here looks inside: tests see the command line, the
// documented JSON, and what hosts see.
package e2e

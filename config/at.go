package config

import "os"

// At returns an error about a key of the file that c came from, with its line:
// for what only the daemon can know to be wrong, such as a missing image.
func (c *Config) At(reason, hint string, key ...string) *Error {
	e := &Error{File: c.Path, Key: key, Reason: reason, Hint: hint}
	if text, err := os.ReadFile(c.Path); err == nil {
		e.Line = lineOf(string(text), key)
	}
	return e
}

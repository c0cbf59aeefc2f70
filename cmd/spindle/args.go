package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"spindle/internal/api/client"
)

// takes is what a command takes besides flags, by name: each once, but for a
// last one in brackets, which may be left out, or with dots, which may be many.
func takes(names ...string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		many := false
		for i, name := range names {
			word, dots := strings.CutSuffix(name, "...")
			many = dots
			if i >= len(args) && !strings.HasPrefix(name, "[") {
				return fmt.Errorf("%s is missing", word)
			}
		}
		if len(args) > len(names) && !many {
			return fmt.Errorf("%q is one argument too many", args[len(names)])
		}
		return nil
	}
}

// badFlag says what is wrong with the value of a flag as a person would.
func badFlag(_ *cobra.Command, err error) error {
	bad, ok := errors.AsType[*pflag.InvalidValueError](err)
	if !ok {
		return err
	}
	is := "is no good value"
	switch bad.GetFlag().Value.Type() {
	case "int":
		is = "is no whole number"
	case "duration":
		is = `is no duration, as 30s or 2m`
	case "bool":
		is = "is neither true nor false"
	}
	return fmt.Errorf("--%s: %q %s", bad.GetFlag().Name, bad.GetValue(), is)
}

// usageError is an error of the command line itself, with where to look.
func usageError(cmd *cobra.Command, err error) error {
	what, near, _ := strings.Cut(err.Error(), "\n\nDid you mean this?\n")
	hint := fmt.Sprintf("see `%s --help`", cmd.CommandPath())
	if words := strings.Fields(near); len(words) > 0 {
		hint = fmt.Sprintf("did you mean `%s %s`?", cmd.CommandPath(), words[0])
	}
	return &client.Error{Message: what, Hint: hint}
}

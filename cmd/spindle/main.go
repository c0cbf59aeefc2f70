// Spindle is an emulated optical drive service: `spindle serve` shows disc
// images to hosts as real drives, and the other verbs talk to it.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime/debug"
	"strings"
	"unicode"

	"github.com/spf13/cobra"

	"spindle/internal/api/client"
	"spindle/internal/daemon"
)

func main() { os.Exit(run()) }

// run is main with an exit status.
func run() int {
	a := &app{out: os.Stdout}
	cmd, err := a.command().ExecuteContextC(context.Background())
	if err != nil {
		if !a.ran { // the command line itself is wrong
			err = usageError(cmd, err)
		}
		a.report(os.Stderr, err)
		return 1
	}
	return 0
}

// An app is what the commands share.
type app struct {
	out    io.Writer
	socket string
	json   bool
	ran    bool // a command began
}

func (a *app) command() *cobra.Command {
	root := &cobra.Command{
		Use:           "spindle",
		Short:         "An emulated optical drive service",
		Long:          "Spindle takes disc images from a library and shows each one, in a drive that\nbehaves like a real CD, DVD or BD drive, to hosts over iSCSI\nor over a USB cable.",
		SilenceErrors: true, SilenceUsage: true,
		PersistentPreRun:  func(*cobra.Command, []string) { a.ran = true },
		CompletionOptions: cobra.CompletionOptions{HiddenDefaultCmd: true},
	}
	root.Version = version()
	root.SetVersionTemplate("spindle {{.Version}}\n")
	root.SetFlagErrorFunc(badFlag)
	f := root.PersistentFlags()
	f.StringVar(&a.socket, "socket", "", "Unix socket of the daemon (or SPINDLE_SOCKET)")
	f.BoolVar(&a.json, "json", false, "print JSON")
	root.AddCommand(a.serveCommand(), a.statusCommand(), a.imagesCommand(), a.insertCommand(),
		a.ejectCommand(), a.listenCommand(), a.traceCommand(), a.sessionsCommand(), a.inspectCommand(), a.verifyCommand(),
		a.convertCommand(), a.createCommand(), a.doctorCommand(), a.versionCommand())
	return root
}

// client returns a client of the daemon that the user means.
func (a *app) client() *client.Client {
	if a.socket != "" {
		return client.New(a.socket)
	}
	return client.New(daemon.ClientSocket())
}

// show prints v as JSON, or as text prints it.
func (a *app) show(v any, text func(io.Writer)) error {
	if !a.json {
		var b strings.Builder
		text(&b)
		_, err := io.WriteString(a.out, printable(b.String()))
		return err
	}
	e := json.NewEncoder(a.out)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// printable puts a question mark in the place of what a terminal would obey:
// names of files and of hosts come from others.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r != '\n' && !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, s)
}

// report prints an error, once and here only, with hints on lines of their own.
func (a *app) report(w io.Writer, err error) {
	e, ok := errors.AsType[*client.Error](err)
	if !ok {
		e = &client.Error{Message: err.Error()}
	}
	if a.json {
		if e.Hint == "" && !strings.Contains(e.Message, "\n") {
			parted := *e
			parted.Message, parted.Hint = cutHint(e.Message)
			e = &parted
		}
		_ = json.NewEncoder(w).Encode(e)
		return
	}
	for line := range strings.Lines(e.Message) {
		message, hint := cutHint(strings.TrimSuffix(line, "\n"))
		fmt.Fprintln(w, "spindle:", printable(message))
		if hint != "" {
			fmt.Fprintln(w, "hint:", printable(hint))
		}
	}
	if e.Hint != "" {
		fmt.Fprintln(w, "hint:", printable(e.Hint))
	}
}

// cutHint parts a text of ours from the hint behind it.
func cutHint(text string) (message, hint string) {
	if m, h, ok := strings.Cut(text, " (hint: "); ok && strings.HasSuffix(h, ")") {
		return m, strings.TrimSuffix(h, ")")
	}
	return text, ""
}

// noFile says what is wrong with a name that is neither that of a file nor, as
// there is no daemon, that of an image of its library; other errors stay.
func noFile(name string, err error) error {
	e, ok := errors.AsType[*client.Error](err)
	if !ok || e.Status != 0 {
		return err
	}
	what := "no file " + name
	if _, serr := os.Stat(name); serr != nil && !errors.Is(serr, fs.ErrNotExist) {
		what = "file " + name + ": " + cause(serr).Error()
	}
	return &client.Error{Message: what + ", and " + e.Message, Hint: e.Hint}
}

// cause is what is wrong with a file, without the name of a system call.
func cause(err error) error {
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		return p.Err
	}
	return err
}

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version", Args: takes(),
		RunE: func(*cobra.Command, []string) error {
			v := map[string]string{"version": version()}
			return a.show(v, func(w io.Writer) { fmt.Fprintln(w, "spindle", v["version"]) })
		},
	}
}

// version is what the build knows of itself.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" {
		return "(devel)"
	}
	return info.Main.Version
}

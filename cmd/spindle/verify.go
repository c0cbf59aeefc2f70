package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"

	"spindle/internal/api/client"
	"spindle/internal/daemon"
)

// errUnverified ends `spindle verify` with status 1 after it has said all.
var errUnverified = errors.New("not every image is as its checksums say")

func (a *app) verifyCommand() *cobra.Command {
	var missingOK bool
	cmd := &cobra.Command{
		Use: "verify IMAGE...", Short: "Compare images with their checksums: files, or names of the library", Args: takes("IMAGE..."),
		ValidArgsFunction: a.complete,
		RunE: func(cmd *cobra.Command, args []string) error {
			good := true
			list := []client.Verified{}
			for _, name := range args {
				v, err := a.verify(cmd.Context(), name)
				if err != nil {
					v = client.Verified{Name: name, Error: err.Error()}
				}
				list = append(list, v)
				good = good && (v.Checks.State == "ok" || v.Checks.State == "none" && missingOK)
				if !a.json {
					if err := a.showVerified(list[len(list)-1:]); err != nil {
						return err
					}
				}
			}
			if a.json {
				if err := a.showVerified(list); err != nil {
					return err
				}
			}
			if !good {
				return errUnverified
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&missingOK, "missing-ok", false, "an image without a checksum is no failure")
	return cmd
}

// showVerified prints results; of none it prints nothing for people.
func (a *app) showVerified(list []client.Verified) error {
	return a.show(list, func(w io.Writer) {
		for i := range list {
			printVerified(w, &list[i])
		}
	})
}

func printVerified(w io.Writer, v *client.Verified) {
	c := &v.Checks
	if v.Error != "" {
		fmt.Fprintf(w, "%s: not verified: %s\n", oneLine(v.Name), oneLine(v.Error))
		return
	}
	fmt.Fprintf(w, "%s: %s", oneLine(v.Name), verdicts[c.State])
	if len(c.By) > 0 {
		fmt.Fprintf(w, " (%s)", oneLine(strings.Join(baseNames(c.By), ", ")))
	}
	if c.Detail != "" {
		fmt.Fprintf(w, ": %s", oneLine(c.Detail))
	}
	fmt.Fprintln(w)
	if c.State == "none" && c.SHA256 != "" {
		fmt.Fprintf(w, "  sha256 %s\n", c.SHA256)
	}
}

// verdicts are what people are told of states of checks.
var verdicts = map[string]string{"ok": "OK", "failed": "FAILED", "none": "no checksum", "unchecked": "not checked", "checking": "being checked"}

func baseNames(list []string) (out []string) {
	for _, n := range list {
		out = append(out, path.Base(n))
	}
	return out
}

// verify asks the daemon, which keeps what it finds, and reads a file itself
// that is none of the daemon's library.
func (a *app) verify(ctx context.Context, name string) (client.Verified, error) {
	bar := a.progress(name)
	defer bar.end()
	image, err := imageName(name)
	fi, ferr := os.Stat(name)
	isFile, isFolder := ferr == nil && !fi.IsDir(), ferr == nil && fi.IsDir()
	if err == nil && isFile {
		image, err = filepath.Abs(name)
	}
	if err != nil {
		return client.Verified{}, err
	}
	c := a.client()
	stop := bar.follow(ctx, c, image)
	v, err := c.Verify(ctx, client.VerifyRequest{Image: image})
	stop()
	e, refused := errors.AsType[*client.Error](err)
	switch {
	case refused && isFile && (e.Status == 0 || e.Status == http.StatusBadRequest), // no daemon, or not in its library
		refused && isFolder && (e.Status == 0 || e.Status == http.StatusNotFound || e.Status == http.StatusBadRequest):
		return daemon.Verify(ctx, name, bar.of("verify"))
	}
	return v, noFile(name, err)
}

// A progress is a bar on a terminal, or nothing where there is none.
type progress struct {
	w     io.Writer
	title string
	kind  string                   // of the work that bar shows
	bar   *progressbar.ProgressBar // nil until the work is known, or for ever
	quiet bool
}

// doing says what kinds of work do.
var doing = map[string]string{"verify": "verifying ", "unpack": "unpacking ", "write": "writing "}

// progress returns what shows long work to a person at standard error.
func (a *app) progress(title string) *progress {
	return &progress{w: os.Stderr, title: printable(oneLine(title)), quiet: a.json || !isTerminal(os.Stderr)}
}

// isTerminal reports whether a person is at f.
func isTerminal(f *os.File) bool {
	fi, err := f.Stat()
	if err != nil || fi.Mode()&os.ModeCharDevice == 0 || os.Getenv("TERM") == "dumb" {
		return false
	}
	null, err := os.Stat(os.DevNull)
	return err != nil || !os.SameFile(fi, null)
}

// of returns what shows how far work of a kind is.
func (p *progress) of(kind string) func(done, total int64) {
	return func(done, total int64) { p.set(kind, done, total) }
}

// set shows done of total bytes of work of a kind.
func (p *progress) set(kind string, done, total int64) {
	if p.quiet || total <= 0 {
		return
	}
	if p.kind != kind {
		p.end()
		p.kind, p.bar = kind, nil
	}
	if p.bar == nil {
		p.bar = progressbar.NewOptions64(
			total, progressbar.OptionSetWriter(p.w), progressbar.OptionSetDescription(doing[kind]+p.title),
			progressbar.OptionShowBytes(true), progressbar.OptionClearOnFinish(), progressbar.OptionFullWidth(),
			progressbar.OptionEnableColorCodes(os.Getenv("NO_COLOR") == ""),
		)
	}
	p.bar.ChangeMax64(total)
	_ = p.bar.Set64(done)
}

// end takes the bar away.
func (p *progress) end() {
	if p.bar != nil {
		_ = p.bar.Clear()
	}
}

// follow shows how far the daemon is with what it does to an image, until stop
// returns.
func (p *progress) follow(ctx context.Context, c *client.Client, image string) (stop func()) {
	if p.quiet {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for s, err := range c.Events(ctx) {
			if err != nil {
				return
			}
			for _, t := range s.Tasks {
				if t.Image != "" && (t.Image == image || strings.HasSuffix(image, "/"+t.Image)) {
					p.set(t.Kind, t.Done, t.Total)
				}
			}
		}
	}()
	return func() {
		cancel()
		<-ended
	}
}

// percent is how far a task is.
func percent(done, total int64) string {
	return fmt.Sprintf("%d %%", min(done, total)*100/max(total, 1))
}

// checked is what a list says of an image: its state, then how far its content
// is known to be right.
func checked(state string, c *client.Checks) string {
	text := state
	switch c.State {
	case "checking":
		text += ", checking " + percent(c.Done, c.Total)
	case "ok", "unchecked":
		text += ", " + cmp.Or(map[string]string{"ok": "verified"}[c.State], c.State)
	case "failed":
		text += ", FAILED"
	}
	return text
}

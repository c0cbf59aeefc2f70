package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"spindle/config"
	"spindle/internal/daemon"
)

// A serve is the command line of `spindle serve`.
type serve struct {
	app      *app
	flags    *pflag.FlagSet
	file     string // FILE
	config   string
	listen   []string
	library  []string
	disc     string
	state    string
	logLevel string
	logJSON  bool
	sample   bool
	usb      string // controller, or config.Auto
}

func (a *app) serveCommand() *cobra.Command {
	s := &serve{app: a}
	cmd := &cobra.Command{
		Use: "serve [FILE]", Short: "Serve drives, the first with the disc of image FILE", Args: takes("[FILE]"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				s.file = args[0]
			}
			return s.run(cmd.Context())
		},
	}
	f := cmd.Flags()
	s.flags = f
	f.StringVar(&s.config, "config", "", "configuration file, see spindle.toml(5)")
	f.StringArrayVar(&s.listen, "listen", nil, "address HOST:PORT of iSCSI (default 127.0.0.1:3260); may be repeated")
	f.StringArrayVar(&s.library, "library", nil, "directory of images; may be repeated")
	f.StringVar(&s.disc, "disc", "", "image of the library to have in the drive")
	f.StringVar(&s.state, "state", "", "directory of what is kept across restarts")
	f.StringVar(&s.logLevel, "log-level", "", "debug, info, warn or error (default info)")
	f.BoolVar(&s.logJSON, "log-json", false, "log JSON")
	f.BoolVar(&s.sample, "sample", false, "make sample images when the library is empty, and insert one")
	f.StringVar(&s.usb, "usb", "", "also be a USB drive, on the first free controller or on --usb=UDC")
	f.Lookup("usb").NoOptDefVal = config.Auto
	return cmd
}

// load returns the configuration: the file's or the default one, changed by
// flags.
func (s *serve) load() (*config.Config, error) {
	c := config.Default()
	if s.config != "" {
		var err error
		if c, err = config.Load(s.config); err != nil {
			return nil, err
		}
	}
	// What neither file nor flag says depends on who runs the daemon.
	paths := daemon.DefaultPaths()
	if c.Unsaid.State {
		c.Daemon.State = paths.State
	}
	if c.Unsaid.Socket {
		c.Daemon.Socket = paths.Socket
	}
	if c.Unsaid.Dirs {
		c.Library.Dirs = []string{paths.Library}
	}
	if err := s.override(c); err != nil {
		return nil, err
	}
	// The daemon looks at those directories that are in force itself.
	c.Warnings = slices.DeleteFunc(c.Warnings, func(w string) bool { return strings.HasPrefix(w, "image directory") })
	return c, c.Validate()
}

// override puts flags in the place of what c says.
func (s *serve) override(c *config.Config) error {
	set := func(name string, v *string, value string) {
		if s.flags.Changed(name) {
			*v = value
		}
	}
	set("state", &c.Daemon.State, s.state)
	set("socket", &c.Daemon.Socket, s.app.socket)
	if s.flags.Changed("listen") {
		c.ISCSI.Listen, c.ISCSI.Groups = s.listen, nil
	}
	if s.flags.Changed("library") {
		c.Library.Dirs = s.library
	}
	if s.logLevel != "" {
		if err := c.Daemon.LogLevel.UnmarshalText([]byte(s.logLevel)); err != nil {
			return fmt.Errorf("--log-level %q is no level (hint: debug, info, warn or error)", s.logLevel)
		}
	}
	c.Daemon.LogJSON = c.Daemon.LogJSON || s.logJSON
	if s.usb != "" {
		if err := addGadget(c, s.usb); err != nil {
			return err
		}
	}
	return s.overrideDisc(c)
}

// addGadget puts the drives that are in no gadget into one on udc.
func addGadget(c *config.Config, udc string) error {
	if len(c.Gadgets) > 0 {
		return fmt.Errorf("both the file and --usb say what is on USB (hint: leave one of them out)")
	}
	g := config.NewGadget("g0")
	g.UDC = udc
	c.Gadgets = []config.Gadget{g}
	for i := range c.Drives {
		c.Drives[i].Gadget = g.Name
	}
	return nil
}

// overrideDisc sets the disc of the one drive that there is.
func (s *serve) overrideDisc(c *config.Config) (err error) {
	disc := s.disc
	switch {
	case s.file != "" && s.flags.Changed("disc"):
		return fmt.Errorf("both FILE and --disc say what is in the drive (hint: leave one of them out)")
	case s.file != "":
		if disc, err = filepath.Abs(s.file); err != nil {
			return err
		}
		if !s.flags.Changed("library") && s.config == "" {
			c.Library.Dirs = []string{filepath.Dir(disc)}
		}
	case s.sample && len(c.Library.Dirs) > 0 && len(c.Drives) == 1 && c.Drives[0].Disc == "" && disc == "":
		if disc, err = daemon.Sample(c.Library.Dirs); err != nil {
			return err
		}
	case !s.flags.Changed("disc"):
		return nil
	}
	if len(c.Drives) != 1 {
		return fmt.Errorf("the configuration has %d drives: which one is the disc for? (hint: write disc = into the file)", len(c.Drives))
	}
	c.Drives[0].Disc = disc
	return nil
}

func (s *serve) run(parent context.Context) error {
	ctx, stop := signal.NotifyContext(parent, syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends at once
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	if s.file != "" {
		if _, err := os.Stat(s.file); err != nil {
			return fmt.Errorf("image %s: %w (hint: name a file that exists)", s.file, cause(err))
		}
	}
	first, err := s.load()
	if err != nil {
		return err
	}
	d, err := daemon.Start(ctx, daemon.Options{Load: s.load, Log: logger(first), Version: version()})
	if err != nil {
		return err
	}
	go func() {
		for {
			select {
			case <-hup:
				d.Reload()
			case <-ctx.Done():
				return
			}
		}
	}()
	if s.config == "" && !first.Daemon.LogJSON && !s.app.json {
		go s.guide(ctx, d, first)
	}
	return d.Run(ctx)
}

func logger(c *config.Config) *slog.Logger {
	o := &slog.HandlerOptions{Level: c.Daemon.LogLevel}
	if c.Daemon.LogJSON {
		return slog.New(slog.NewJSONHandler(os.Stderr, o))
	}
	return slog.New(slog.NewTextHandler(os.Stderr, o))
}

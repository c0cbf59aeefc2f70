package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"spindle/internal/api/client"
	"spindle/internal/daemon"
)

// blockSize is about what a sector that was converted stands for, in bytes.
const blockSize = 2048

func (a *app) convertCommand() *cobra.Command {
	var o daemon.ConvertOptions
	cmd := &cobra.Command{
		Use: "convert SRC DST", Short: "Write an image in another format, which the extension of DST says", Args: takes("SRC", "DST"),
		Long: "Convert writes the image SRC, a file, a folder or a name of the library, as DST: an\n" +
			".iso or a seekable .iso.zst (data discs), a .cue with its .bin, a .toc with its .bin, or a .chd.\n" +
			"The result is compared with SRC sector by sector before it gets its name. What DST\n" +
			"cannot hold is a refusal, unless --lossy leaves it out.",
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, stop := interruptible(cmd.Context())
			defer stop()
			src, err := a.sourceFile(ctx, args[0])
			if err != nil {
				return err
			}
			bar := a.progress(args[1])
			show := bar.of("write")
			o.Progress = func(done, total int64) { show(done*blockSize, total*blockSize) }
			c, err := daemon.Convert(ctx, src, args[1], o, bar.of("unpack"))
			bar.end()
			if err != nil {
				return interrupted(ctx, err, nothingWritten)
			}
			a.warn(c.Warnings)
			return a.show(c, func(w io.Writer) { printConverted(w, &c) })
		},
	}
	cmd.Flags().BoolVar(&o.Lossy, "lossy", false, "leave out what the format cannot hold, and say what that was")
	cmd.Flags().BoolVar(&o.Force, "force", false, "write over files that exist")
	return cmd
}

// interruptible returns a context that an interrupt ends, so that unfinished
// files are taken away. A second one ends the program: storage may not answer.
func interruptible(parent context.Context) (context.Context, context.CancelFunc) {
	signals := []os.Signal{syscall.SIGINT, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) { // as nohup has it
		signals = append(signals, syscall.SIGHUP)
	}
	ctx, stop := signal.NotifyContext(parent, signals...)
	context.AfterFunc(ctx, stop)
	return ctx, stop
}

const nothingWritten = "interrupted: nothing was written"

// interrupted makes the error of work that a signal ended short.
func interrupted(ctx context.Context, err error, text string) error {
	if ctx.Err() != nil {
		return errors.New(text)
	}
	return err
}

// sourceFile returns the path of an image: of a file, or of what the daemon has
// by that name.
func (a *app) sourceFile(ctx context.Context, name string) (string, error) {
	if _, err := os.Stat(name); err == nil {
		return name, nil
	}
	c := a.client()
	if list, err := c.Images(ctx); err == nil {
		for _, i := range list { // without opening it, which may be to unpack it
			if i.Name == name {
				return filepath.Join(i.Dir, filepath.FromSlash(name)), nil
			}
		}
	}
	info, err := c.Inspect(ctx, name)
	return info.Path, noFile(name, err)
}

func printConverted(w io.Writer, c *client.Converted) {
	var names []string
	for _, f := range c.Files {
		names = append(names, oneLine(filepath.Base(f)))
	}
	fmt.Fprintf(w, "%s: %s, %s, compared with the source\n", strings.Join(names, ", "), c.Format, sizeOf(c.Size))
	for _, l := range c.Lost {
		fmt.Fprintf(w, "left out: %s\n", l)
	}
}

func (a *app) createCommand() *cobra.Command {
	var from string
	o := daemon.CreateOptions{Hybrid: true}
	cmd := &cobra.Command{
		Use: "create DST --from FOLDER", Short: "Make an ISO image of a folder, which boots when it holds boot files",
		Args: func(cmd *cobra.Command, args []string) error {
			if err := takes("DST")(cmd, args); err != nil || cmd.Flags().Changed("from") {
				return err
			}
			return errors.New("--from FOLDER is missing")
		},
		Long: "Create writes the files of a folder to the ISO image DST: ISO 9660 with Joliet and\n" +
			"Rock Ridge. The usual boot images in it are found by themselves; --boot-bios and\n" +
			"--boot-efi name others, by their path below the folder.",
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, stop := interruptible(cmd.Context())
			defer stop()
			bar := a.progress(args[0])
			info, err := daemon.Create(ctx, args[0], from, o, bar.of("write"))
			bar.end()
			if err != nil {
				return interrupted(ctx, err, nothingWritten)
			}
			a.warn(info.Warnings)
			return a.show(info, func(w io.Writer) {
				fmt.Fprintf(w, "%s: %s, boots by %s\n", oneLine(args[0]), sizeOf(info.Size), bootsBy(info.BootBy))
			})
		},
	}
	f := cmd.Flags()
	f.StringVar(&from, "from", "", "folder whose files go on the disc")
	f.StringVar(&o.Label, "label", "", "volume label (default: the folder's name)")
	f.StringVar(&o.BootBIOS, "boot-bios", "", "boot image for BIOS, by its path below the folder")
	f.StringVar(&o.BootEFI, "boot-efi", "", "boot image for UEFI, a FAT file system, by its path below the folder")
	f.BoolVar(&o.Force, "force", false, "write over a file that exists")
	return cmd
}

func bootsBy(list []string) string {
	if len(list) == 0 {
		return "nothing"
	}
	return strings.Join(list, ", ")
}

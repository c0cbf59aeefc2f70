package main

import (
	"bytes"
	"context"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"text/template"

	"spindle/config"
	"spindle/internal/api/client"
	"spindle/internal/daemon"
)

// A guide is what to type next.
type guide struct {
	Program  string // as it was called
	Socket   string // the flag, where the default does not find it
	Portal   string
	Drive    *client.Drive
	File     string // of the disc in the drive
	Next     string // another image
	NextFile string
}

var guideText = template.Must(template.New("").Parse(`
{{.Drive.Name}} holds {{or .Drive.Disc "no disc"}}. Next, in another terminal:
{{if .File}}
    iscsi-ls -s iscsi://{{.Portal}}
    qemu-img convert -O raw iscsi://{{.Portal}}/{{.Drive.Target}}/0 copy.iso
    sha256sum {{.File}} copy.iso
{{- end}}
{{- if .Next}}
    {{.Program}} insert {{.Drive.Name}} {{.Next}}{{.Socket}}
    qemu-img convert -O raw iscsi://{{.Portal}}/{{.Drive.Target}}/0 copy.iso
    sha256sum {{.NextFile}} copy.iso
{{- end}}
    {{.Program}} status{{.Socket}}

As root, with open-iscsi, to mount it:

    iscsiadm -m discovery -t sendtargets -p {{.Portal}}
    iscsiadm -m node -T {{.Drive.Target}} -p {{.Portal}} --login
    mount -o ro /dev/sr0 /mnt
    umount /mnt
    iscsiadm -m node -T {{.Drive.Target}} -p {{.Portal}} --logout

Ctrl-C stops spindle.
`))

// guide prints what to type next, once the daemon answers.
func (s *serve) guide(ctx context.Context, d *daemon.Daemon, c *config.Config) {
	st, err := d.Status(ctx)
	if err != nil || len(st.Drives) == 0 || len(st.Portals) == 0 {
		return
	}
	g := guide{Program: quote(os.Args[0]), Portal: reachable(st.Portals[0]), Drive: &st.Drives[0]}
	if daemon.ClientSocket() != c.Daemon.Socket {
		g.Socket = " --socket " + quote(c.Daemon.Socket)
	}
	cl := client.New(c.Daemon.Socket)
	defer cl.Close()
	images, err := cl.Images(ctx)
	if err != nil {
		return
	}
	for _, i := range images {
		file := shorter(filepath.Join(i.Dir, filepath.FromSlash(i.Name)))
		switch {
		case i.Name == g.Drive.Disc:
			g.File = file
		case g.Next == "" && i.Error == "":
			g.Next, g.NextFile = quote(i.Name), file
		}
	}
	if g.File == "" && filepath.IsAbs(g.Drive.Disc) {
		g.File = shorter(g.Drive.Disc)
	}
	var b bytes.Buffer
	if guideText.Execute(&b, g) == nil {
		_, _ = s.app.out.Write(b.Bytes())
	}
}

// reachable is an address to connect to: not that of all addresses.
func reachable(addr string) string {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return addr
	}
	switch ip := net.ParseIP(host); {
	case ip == nil || !ip.IsUnspecified():
		return addr
	case ip.To4() != nil:
		return net.JoinHostPort("127.0.0.1", port)
	}
	return net.JoinHostPort("::1", port)
}

// shorter is a path for a shell: from the working directory or from home when
// it is below one of them.
func shorter(path string) string {
	if wd, err := os.Getwd(); err == nil {
		if rel, err := filepath.Rel(wd, path); err == nil && filepath.IsLocal(rel) {
			return quote(rel)
		}
	}
	if home, err := os.UserHomeDir(); err == nil {
		if rel, err := filepath.Rel(home, path); err == nil && filepath.IsLocal(rel) {
			return "~/" + quote(rel)
		}
	}
	return quote(path)
}

var plain = regexp.MustCompile(`^[A-Za-z0-9_./:@%+=,-]+$`)

// quote is s as one word of a shell.
func quote(s string) string {
	if plain.MatchString(s) {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

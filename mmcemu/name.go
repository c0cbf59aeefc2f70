package mmcemu

import "spindle/scsi"

// Options returns what the drive was made with, defaults filled in. As JSON they
// make a drive of the same kind elsewhere: a transcript holds them.
func (d *Drive) Options() Options { return d.o }

// CommandName returns the standard's name of a command that the drive knows,
// or "". It is what traces call it.
func (d *Drive) CommandName(cdb scsi.CDB) string {
	if c := d.commands[cdb[0]]; c != nil {
		return c.name
	}
	return ""
}

package mmcemu

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"

	"spindle/scsi"
)

var modeSelectCommands = []command{
	{0x15, "MODE SELECT(6)", 0, alloc{}, checkModeSelect, (*Drive).modeSelect6},
	{0x55, "MODE SELECT(10)", 0, alloc{}, checkModeSelect, (*Drive).modeSelect10},
}

func checkModeSelect(cdb *scsi.CDB) error {
	if cdb[1]&1 != 0 {
		return scsi.FieldInCDB(1, 0) // nothing can be saved
	}
	return nil
}

// modeSelect6 answers MODE SELECT(6): mode pages as MODE SENSE(6) returns
// them, and the block length for every nexus: 2048, or 512 for hosts that read
// CDs as disks. The page format bit is taken either way, and so is the density
// code.
//
//	CDB  byte 4 parameter list length
//	data 4-byte header, block descriptor of 0 or 8 bytes, pages
//
// It fails with PARAMETER LIST LENGTH ERROR for a list that is cut, and with
// INVALID FIELD IN PARAMETER LIST for an unknown page or another length of a
// page, and then changes nothing. A bit that cannot be changed keeps its value
// without an error: tools write back what they read.
// Source: SPC-4, MODE SELECT(6).
func (d *Drive) modeSelect6(_ context.Context, cmd *scsi.Command, _ *medium) error {
	list, err := parameterList(cmd, int(cmd.CDB[4]))
	if err != nil || len(list) == 0 {
		return err
	}
	if len(list) < 4 {
		return scsi.ErrParameterListLength
	}
	return d.selectPages(cmd.Nexus, list, 4, int(list[3]))
}

// modeSelect10 answers MODE SELECT(10): as MODE SELECT(6), with a header of 8
// bytes and the list's length in bytes 7-8.
func (d *Drive) modeSelect10(_ context.Context, cmd *scsi.Command, _ *medium) error {
	list, err := parameterList(cmd, int(binary.BigEndian.Uint16(cmd.CDB[7:])))
	if err != nil || len(list) == 0 {
		return err
	}
	if len(list) < 8 {
		return scsi.ErrParameterListLength
	}
	return d.selectPages(cmd.Nexus, list, 8, int(binary.BigEndian.Uint16(list[6:])))
}

// parameterList reads the n bytes of data-out that the CDB announces.
func parameterList(cmd *scsi.Command, n int) ([]byte, error) {
	list := make([]byte, n)
	_, err := io.ReadFull(cmd.Out, list)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, scsi.ErrParameterListLength
	}
	return list, err
}

// selectPages applies the pages of a parameter list with a header of so many
// bytes, all or none.
func (d *Drive) selectPages(n *scsi.Nexus, list []byte, header, descriptor int) error {
	length, err := blockDescriptor(list, header, descriptor)
	if err != nil {
		return err
	}
	at := header + descriptor
	for at < len(list) {
		if len(list)-at < 2 {
			return scsi.ErrParameterListLength
		}
		i := pageIndex(list[at] & 0x3F)
		if i < 0 || list[at]&0x40 != 0 {
			return scsi.FieldInParameterList(at, 5)
		}
		if list[at+1] != modePages[i].value[1] {
			return scsi.FieldInParameterList(at+1, -1)
		}
		if at += len(modePages[i].value); at > len(list) {
			return scsi.ErrParameterListLength
		}
	}
	changed := d.applyPages(list[header+descriptor:])
	if length != 0 && d.setBlockLength(length) {
		changed = true
	}
	if changed {
		d.raiseModeChanged(n)
	}
	return nil
}

// blockDescriptor returns the block length of a parameter list, 0 when it has
// no block descriptor. Lengths of other sectors, by which hosts before MMC read
// audio and mode 2, are INVALID FIELD IN PARAMETER LIST: READ CD does that.
func blockDescriptor(list []byte, header, descriptor int) (length uint32, err error) {
	if descriptor != 0 && descriptor != 8 {
		return 0, scsi.FieldInParameterList(header-1, -1)
	}
	if len(list) < header+descriptor {
		return 0, scsi.ErrParameterListLength
	}
	if descriptor == 0 {
		return 0, nil
	}
	length = binary.BigEndian.Uint32(list[header+4:]) & 0xFFFFFF
	if !blockLengthOK(int(length)) {
		return 0, scsi.FieldInParameterList(header+5, -1)
	}
	return length, nil
}

// applyPages sets the changeable bits of pages that were checked, and reports
// whether any bit is another now.
func (d *Drive) applyPages(list []byte) (changed bool) {
	d.mu.Lock()
	defer d.unlock()
	for len(list) > 0 {
		i := pageIndex(list[0] & 0x3F)
		page := bytes.Clone(d.pages[i])
		for b := 2; b < len(page); b++ {
			mask := modePages[i].changeable[b]
			page[b] = page[b]&^mask | list[b]&mask
		}
		changed = changed || !bytes.Equal(page, d.pages[i])
		d.pages[i] = page
		list = list[len(page):]
	}
	return changed
}

// raiseModeChanged tells every nexus but the one that did it.
func (d *Drive) raiseModeChanged(by *scsi.Nexus) {
	d.mu.Lock()
	defer d.unlock()
	for n := range d.nexuses {
		if n != by {
			n.Raise(scsi.ErrModeParametersChanged)
		}
	}
}

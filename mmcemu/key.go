package mmcemu

import (
	"context"
	"encoding/binary"
	"math/bits"

	"spindle/scsi"
)

var keyCommands = []command{
	{0xA4, "REPORT KEY", concurrent, alloc16(8), checkReportKey, (*Drive).reportKey},
	{0xA3, "SEND KEY", 0, alloc{}, checkSendKey, (*Drive).sendKey},
}

// Key formats that need no protected disc: of REPORT KEY the RPC state, of SEND
// KEY the region. All others exchange keys, for which the drive does not claim
// feature 0106h, and are refused: there is nothing to exchange.
const (
	rpcState   = 8
	sendRegion = 6
)

// Counts of a drive whose region was never set.
const (
	vendorResets  = 4
	regionChanges = 5
)

// A region is the region of DVD-Video that hosts set. Nothing depends on it: no
// disc here is encrypted. The zero value is a drive where none was set.
type region struct {
	mask byte // a 0 bit is a region that is played
	sets int  // how often it was set
}

func checkReportKey(cdb *scsi.CDB) error {
	if cdb[7] != 0 {
		return scsi.FieldInCDB(7, -1)
	}
	if cdb[10]&0x3F != rpcState {
		return scsi.FieldInCDB(10, 5)
	}
	return nil
}

// reportKey answers REPORT KEY, format RPC state. Windows asks every drive that
// reads DVDs.
//
//	CDB  byte 7 key class: 0; bytes 8-9 allocation length; byte 10 bits 5-0 format
//	data length (2), 2 zeros; type of region (bits 7-6: 0 none, 1 set, 2 last
//	     chance, 3 for good), vendor resets, changes left; region mask; RPC
//	     scheme; 0
//
// Source: MMC-6, REPORT KEY.
func (d *Drive) reportKey(_ context.Context, cmd *scsi.Command, _ *medium) error {
	d.mu.Lock()
	r := d.region
	d.unlock()
	left := byte(regionChanges - r.sets)
	kind, mask := byte(1), r.mask
	switch {
	case r.sets == 0:
		kind, mask = 0, 0xFF
	case left == 0:
		kind = 3
	case left == 1:
		kind = 2
	}
	return cmd.In.Reply([]byte{0, 6, 0, 0, kind<<6 | vendorResets<<3 | left, mask, 1, 0})
}

// reportOpcodes is the service action of MAINTENANCE IN, which has SEND KEY's
// operation code on other devices.
const reportOpcodes = 0x0C

func checkSendKey(cdb *scsi.CDB) error {
	switch {
	case cdb[1]&0x1F == reportOpcodes:
		return scsi.FieldInCDB(1, 4)
	case cdb[7] != 0:
		return scsi.FieldInCDB(7, -1)
	case cdb[10]&0x3F != sendRegion:
		return scsi.FieldInCDB(10, 5)
	}
	return nil
}

// errRegionFinal is DRIVE REGION MUST BE PERMANENT/REGION RESET COUNT ERROR.
var errRegionFinal = scsi.Sense{Key: scsi.IllegalRequest, Code: 0x6F05}

// sendKey answers SEND KEY, format RPC structure: it sets the region of the
// drive, five times at most and until it is made anew.
//
//	CDB  byte 7 key class: 0; bytes 8-9 parameter list length: 8, or 0 for
//	     nothing; byte 10 bits 5-0 format
//	list length (2), 2 zeros; region mask, of which one bit is 0; 3 zeros
//
// It fails with INVALID FIELD IN PARAMETER LIST for no or several regions.
// Source: MMC-6, SEND KEY.
func (d *Drive) sendKey(_ context.Context, cmd *scsi.Command, _ *medium) error {
	const size = 8
	n := int(binary.BigEndian.Uint16(cmd.CDB[8:]))
	list, err := parameterList(cmd, n)
	switch {
	case err != nil || n == 0:
		return err
	case n < size:
		return scsi.ErrParameterListLength
	case bits.OnesCount8(list[4]) != 7:
		return scsi.FieldInParameterList(4, -1)
	}
	d.mu.Lock()
	defer d.unlock()
	switch {
	case d.region.sets > 0 && d.region.mask == list[4]:
		return nil
	case d.region.sets == regionChanges:
		return errRegionFinal
	}
	d.region = region{list[4], d.region.sets + 1}
	return nil
}

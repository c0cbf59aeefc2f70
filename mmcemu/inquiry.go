package mmcemu

import (
	"context"
	"encoding/binary"
	"fmt"
	"strings"

	"spindle/scsi"
)

var inquiryCommands = []command{
	{0x12, "INQUIRY", skipsUA | concurrent, alloc16(3), checkInquiry, (*Drive).inquiry},
}

// Lengths in bytes of standard INQUIRY data. A USB host reads 36 and no more.
const (
	inquiryLenUSB   = 36
	inquiryLenISCSI = 96
)

func checkInquiry(cdb *scsi.CDB) error {
	if cdb[1]&1 == 0 && cdb[2] != 0 {
		return scsi.FieldInCDB(2, -1)
	}
	return nil
}

// inquiry answers INQUIRY.
//
//	CDB  byte 1 bit 0 EVPD; byte 2 page; bytes 3-4 allocation length
//	data 36 bytes on USB, 96 on iSCSI; or a vital product data page
//
// Version and version descriptors are those of the port's transport: a version
// of 4 and more makes Linux ask an optical drive on USB for pages that many a
// real one has not. Source: SPC-4, INQUIRY.
func (d *Drive) inquiry(_ context.Context, cmd *scsi.Command, _ *medium) error {
	if cmd.CDB[1]&1 != 0 {
		return d.vitalProductData(cmd)
	}
	b := make([]byte, inquiryLenUSB, inquiryLenISCSI)
	b[0] = 0x05 // peripheral device type: CD/DVD device
	b[1] = 0x80 // removable: macOS takes an unremovable one for no drive
	b[3] = 0x02 // response data format
	copy(b[8:], d.identity())
	copy(b[32:], padded(d.o.Revision, 4))
	if cmd.Nexus.Port.Protocol != scsi.USB {
		b = b[:inquiryLenISCSI]
		b[2] = 0x06                                                          // SPC-4
		b[7] = 0x02                                                          // CMDQUE
		copy(b[58:], []byte{0x00, 0xA0, 0x09, 0x60, 0x04, 0x60, 0x04, 0xE0}) // SAM-5, iSCSI, SPC-4, MMC-6
	}
	b[4] = byte(len(b) - 5)
	return cmd.In.Reply(b)
}

// identity is vendor and product, padded.
func (d *Drive) identity() string { return padded(d.o.Vendor, 8) + padded(d.o.Product, 16) }

// padded is s in n characters of printable ASCII, with blanks at the end.
func padded(s string, n int) string {
	s = strings.Map(func(r rune) rune {
		if r < 0x20 || r > 0x7E {
			return '?'
		}
		return r
	}, s)
	return fmt.Sprintf("%-*.*s", n, n, s)
}

// vitalProductData answers INQUIRY for page 00h, 80h or 83h.
// Source: SPC-4, 7.8.
func (d *Drive) vitalProductData(cmd *scsi.Command) error {
	page := cmd.CDB[2]
	b := []byte{0x05, page, 0, 0}
	switch page {
	case 0x00:
		b = append(b, 0x00, 0x80, 0x83)
	case 0x80:
		b = append(b, d.o.Serial...)
	case 0x83:
		b = d.appendDesignators(b, cmd.Nexus.Port)
	default:
		return scsi.FieldInCDB(2, -1)
	}
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)-4))
	return cmd.In.Reply(b)
}

// Parts of a designation descriptor: code set, then association and type.
const (
	binaryCode, asciiCode, utf8Code = 1, 2, 3
	ofPort                          = 0x80 | 0x10 // PIV, association target port
	protocolISCSI                   = 0x50
)

// appendDesignators appends what names the logical unit, and for iSCSI what
// names the port that was asked. Source: SPC-4, 7.8.6; SAM-5, annex A.
func (d *Drive) appendDesignators(b []byte, port scsi.Port) []byte {
	b = appendDesignator(b, binaryCode, 3, binary.BigEndian.AppendUint64(nil, d.o.NAA))
	b = appendDesignator(b, asciiCode, 1, []byte(d.identity()+d.o.Serial))
	if port.Protocol != scsi.ISCSI {
		return b
	}
	if target, _, ok := strings.Cut(port.Name, ",t,"); ok {
		b = appendDesignator(b, utf8Code, 8, nameString(fmt.Sprintf("%s,L,0x%016X", target, d.o.NAA)))
		b = appendDesignator(b, protocolISCSI|utf8Code, ofPort|8, nameString(port.Name))
	}
	be := binary.BigEndian
	b = appendDesignator(b, protocolISCSI|binaryCode, ofPort|4, be.AppendUint32(nil, uint32(port.RelativeID)))
	return appendDesignator(b, protocolISCSI|binaryCode, ofPort|5, be.AppendUint32(nil, uint32(port.Group)))
}

func appendDesignator(b []byte, code, kind byte, p []byte) []byte {
	p = p[:min(len(p), 255)]
	return append(append(b, code, kind, 0, byte(len(p))), p...)
}

// nameString is a SCSI name string: NUL-terminated, padded to a multiple of
// four bytes.
func nameString(s string) []byte {
	return append([]byte(s), make([]byte, 4-len(s)%4)...)
}

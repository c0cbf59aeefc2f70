package mmcemu

import (
	"encoding/binary"

	"spindle/scsi"
	"spindle/scsi/scsitest/host"
)

// breakages has a row for each rule of each host model.
var breakages = []breakage{
	{"Linux", host.LinuxInquiry, inquiryByte(0, 0x25), circumstances{}},
	{"Linux", host.LinuxPages, both(inquiryByte(2, 6), fail(opInquiry, scsi.ErrInvalidFieldInCDB, isPage(0x83))), circumstances{}},
	{"Linux", host.LinuxRemovable, inquiryByte(1, 0), circumstances{}},
	{"Linux", host.LinuxAttention, attentions(opTUR), circumstances{}},
	{"Linux", host.LinuxMode2A, mode2A(longPage), circumstances{}},
	{"Linux", host.LinuxTray, mode2A(func(d []byte, header int) []byte { d[header+6] &^= 8; return d }), circumstances{}},
	{"Linux", host.LinuxWritable, addFeature(0x0020), circumstances{}},
	{"Linux", host.LinuxSessions, on(opTOC, func(cdb scsi.CDB, d []byte) []byte {
		if cdb[9]>>6 == 1 { // as a drive that gives 4 bytes of nothing
			d = []byte{0, 2, 1, 1}
		}
		return d
	}), circumstances{}},
	{"Linux", host.LinuxReady, fail(opTOC, scsi.ErrBecomingReady, func(cdb scsi.CDB) bool { return cdb[9] != 0 }), circumstances{}},
	{"Linux", host.LinuxCapacity, fail(opCapacity, scsi.ErrUnrecoveredRead, nil), circumstances{}},
	{"Linux", host.LinuxBlocks, blockLength(1000), circumstances{}},
	{"Linux", host.LinuxEvents, set(opEvents, 0, 0, 2, 0x80), circumstances{meets: polls}},
	{"Linux", host.LinuxAgreement, set(opEvents, 4, newMediaEvent), circumstances{meets: polls}},
	{"Linux", host.LinuxStale, nil, circumstances{meets: swapsAtOnce, hides: true}},

	{"Windows", host.WindowsInquiry, inquiryByte(4, 0xFA), circumstances{}},
	{"Windows", host.WindowsInquiry, inquiryByte(4, 0), circumstances{}},
	{"Windows", host.WindowsClasses, fail(opEvents, scsi.ErrInvalidOpcode, nil), circumstances{}},
	{"Windows", host.WindowsClasses, set(opEvents, 3, 0), circumstances{}},
	{"Windows", host.WindowsEvent, set(opEvents, 0, 0, 4), circumstances{}},
	{"Windows", host.WindowsEvent, on(opEvents, func(_ scsi.CDB, d []byte) []byte { return d[:4] }), circumstances{meets: polls}},
	{"Windows", host.WindowsClass, on(opEvents, func(cdb scsi.CDB, d []byte) []byte {
		d[3] = 0x52 // operational change, media, busy
		if cdb[4] != 0 {
			d[2] = 3
		}
		return d
	}), circumstances{}},
	{"Windows", host.WindowsEvents, set(opEvents, 4, mediaRemovalEvent), circumstances{meets: polls}},
	{"Windows", host.WindowsMMC, fail(opConfig, scsi.ErrMediumNotPresent, nil), circumstances{}},
	{"Windows", host.WindowsMMC, fail(opConfig, scsi.ErrInvalidOpcode, nil), circumstances{empty: true}},
	{"Windows", host.WindowsOneFeature, on(opConfig, func(cdb scsi.CDB, d []byte) []byte {
		if cdb[1]&3 == oneFeature {
			d = lengthened(d, 0, 1, 3, 0)
		}
		return d
	}), circumstances{}},
	{"Windows", host.WindowsConfiguration, on(opConfig, func(cdb scsi.CDB, d []byte) []byte {
		if cdb[1]&3 == allFeatures {
			d = lengthened(d, 0, 0)
		}
		return d
	}), circumstances{}},
	{"Windows", host.WindowsProfile, set(opConfig, 6, 0, profileCDROM), circumstances{empty: true}},
	{"Windows", host.WindowsMode2A, mode2A(func(d []byte, header int) []byte { d[header] = 0x0D; return d }), circumstances{}},
	{"Windows", host.WindowsPerformance, on(opPerformance, func(_ scsi.CDB, d []byte) []byte {
		return lengthened(d, 0, 0, 0, 0, 0, 0, 0, 0)
	}), circumstances{meets: seesSwap}},
	{"Windows", host.WindowsPerformance, set(opPerformance, 4, 3), circumstances{meets: seesSwap}},
	{"Windows", host.WindowsProtection, addFeature(0x0106), circumstances{}},
	{"Windows", host.WindowsProtection, addFeature(0x010D), circumstances{disc: host.BD}},
	{"Windows", host.WindowsTOC, set(opTOC, 3, 9), circumstances{}},

	{"macOS", host.MacRemovable, inquiryByte(1, 0), circumstances{}},
	{"macOS", host.MacReady, fail(opTUR, scsi.ErrBecomingReady, nil), circumstances{}},
	{"macOS", host.MacMode2A, mode2A(withDescriptor), circumstances{}},
	{"macOS", host.MacEjects, fail(opTUR, scsi.Sense{Key: scsi.NotReady, Code: 0x3000}, nil), circumstances{}},
	{"macOS", host.MacEjects, fail(opTUR, scsi.ErrUnrecoveredRead, nil), circumstances{}},
	{"macOS", host.MacEjects, fail(opTUR, scsi.ErrInternal, nil), circumstances{}},
	{"macOS", host.MacEjects, fail(opTUR, scsi.Sense{Key: scsi.BlankCheck, Code: 0x0001}, nil), circumstances{}},
	{"macOS", host.MacCapacity, fail(opCapacity, scsi.ErrUnrecoveredRead, nil), circumstances{}},
	{"macOS", host.MacTOC, on(opTOC, func(cdb scsi.CDB, d []byte) []byte {
		for at := 4; cdb[2]&0xF == 2 && at+11 <= len(d); at += 11 {
			if d[at+3] == 0xA2 {
				d[at+8] = d[at+8]/10<<4 | d[at+8]%10 // BCD
			}
		}
		return d
	}), circumstances{}},
	{"macOS", host.MacStructure, fail(opStructure, scsi.ErrInvalidOpcode, nil), circumstances{disc: host.DVD}},
	{"macOS", host.MacUnannounced, nil, circumstances{meets: swapsAtOnce, hides: true}},

	{"EDK2", host.EDK2Inquiry, inquiryByte(0, 0x65), circumstances{}},
	{"EDK2", host.EDK2Ready, fail(opTUR, scsi.ErrBecomingReady, nil), circumstances{}},
	{"EDK2", host.EDK2Capacity, fail(opCapacity, scsi.ErrUnrecoveredRead, nil), circumstances{}},
	{"EDK2", host.EDK2Blocks, blockLength(2352), circumstances{}},
	{"EDK2", host.EDK2Catalogue, both(bootable, fail(opRead, scsi.ErrUncorrectable, blockIs(20))), circumstances{meets: boots}},

	{"SeaBIOS", host.SeaBIOSInquiry, inquiryByte(0, 0x00), circumstances{}},
	{"SeaBIOS", host.SeaBIOSReady, fail(opTUR, scsi.ErrBecomingReady, nil), circumstances{}},
	{"SeaBIOS", host.SeaBIOSRecord, both(bootable, fail(opRead, scsi.ErrUncorrectable, blockIs(17))), circumstances{meets: boots}},
	{"SeaBIOS", host.SeaBIOSImage, both(bootable, fail(opRead, scsi.ErrUncorrectable, blockIs(24))), circumstances{meets: boots}},

	{"iPXE", host.IPXEReady, attentions(opTUR), circumstances{}},
	{"iPXE", host.IPXECapacity, fail(opCapacity, scsi.ErrUnrecoveredRead, nil), circumstances{}},
	{"iPXE", host.IPXEDescriptor, fail(opRead, scsi.ErrUncorrectable, blockIs(16)), circumstances{}},

	{"QEMU", host.QEMUAttention, attentions(opTUR), circumstances{}},
	{"QEMU", host.QEMUInquiry, fail(opInquiry, scsi.ErrInvalidFieldInCDB, func(cdb scsi.CDB) bool { return cdb[4] > 64 }), circumstances{}},
	{"QEMU", host.QEMUCapacity, fail(opCapacity, scsi.ErrUnrecoveredRead, nil), circumstances{}},
	{"QEMU", host.QEMUPages, fail(opInquiry, scsi.ErrInvalidFieldInCDB, isPage(0x00)), circumstances{}},

	{"FreeBSD", host.FreeBSDRemovable, inquiryByte(1, 0), circumstances{}},
	{"FreeBSD", host.FreeBSDCapacity, fail(opCapacity, scsi.ErrUnrecoveredRead, nil), circumstances{}},
	{"FreeBSD", host.FreeBSDTOC, on(opTOC, func(_ scsi.CDB, d []byte) []byte { return d[:min(len(d), 12)] }), circumstances{}},
}

func isPage(page byte) func(cdb scsi.CDB) bool {
	return func(cdb scsi.CDB) bool { return cdb[1]&1 != 0 && cdb[2] == page }
}

// lengthened appends to an answer that begins with its length in four bytes.
func lengthened(d []byte, b ...byte) []byte {
	d = append(d, b...)
	binary.BigEndian.PutUint32(d, uint32(len(d)-4))
	return d
}

// withModeLength sets the length of mode data.
func withModeLength(d []byte, header int) []byte {
	if header == 4 {
		d[0] = byte(len(d) - 1)
	} else {
		binary.BigEndian.PutUint16(d, uint16(len(d)-2))
	}
	return d
}

// longPage lengthens page 2Ah by write speeds.
func longPage(d []byte, header int) []byte {
	d = append(d, make([]byte, 24*4)...)
	d[header+1] += 24 * 4
	return withModeLength(d, header)
}

// withDescriptor puts a block descriptor before the page.
func withDescriptor(d []byte, header int) []byte {
	d[header-1] = 8
	d = append(d[:header:header], append([]byte{0, 0, 0, 0, 0, 0, 8, 0}, d[header:]...)...)
	return withModeLength(d, header)
}

package mmcemu

// statusRows are answers of TEST UNIT READY, REQUEST SENSE and INQUIRY.
var statusRows = []row{
	{"VPD 00", "empty", "12 01 00 00 ff", "05 00 00 03 00 80 83"},
	{"VPD 80", "empty", "12 01 80 00 ff", "05 80 00 0C 30 31 32 33 34 35 36 37 38 39 41 42"},
	{"VPD 83", "empty", "12 01 83 00 ff", "05 83 00 34 01 03 00 08 30 01 02 03 04 05 06 07 | 02 01 00 2456454E444F522020 5649525455414C204F44442020202020 303132333435363738394142"},
	{"REQUEST SENSE", "empty", "03 00 00 00 12", "70 00 00 00 00 00 00 0A 00 00 00 00 00 00 00 00 00 00"},
	{"INQUIRY page without EVPD", "small", "12 00 80 00 ff", "5/24/00 byte 2"},
	{"INQUIRY unknown page", "small", "12 01 b0 00 ff", "5/24/00 byte 2"},
	// The reference's product is VIRTUAL ODD; the rest of its bytes are these.
	{"INQUIRY", "empty", "12 00 00 00 60", "05 80 00 02 1F 00 00 00 | 56454E444F522020 | 5649525455414C204F44442020202020 | 312E3030"},
	{"no medium", "empty", "00", "2/3A/01"},
	{"tray open", "open", "00", "2/3A/02"},
	{"ready", "cd", "00", ""},
	{"descriptor format", "empty", "03 01 00 00 ff", "72 00 00 00 00 00 00 00"},
	{"allocation length 0", "empty", "03 00 00 00 00", ""},
	{"INQUIRY, LUN bits", "empty", "12 e0 00 00 08", "05 80 00 02 1F 00 00 00"},
}

// modeRows are answers of MODE SENSE and MODE SELECT.
var modeRows = []row{
	// The reference's bytes 5 and 7 are 03h and 00h: this drive also has R-W, C2, ISRC and MCN, and plays.
	{
		"MODE SENSE(10) 2A", "empty", "5a 08 2a 00 00 00 00 00 80",
		"00 26 00 00 00 00 00 00 2A 1E 0B 00 71 7F 29 03 21 00 01 00 08 00 21 00 00 00 00 00 00 00 00 01 00 00 00 00" +
			" 00 00 00 00",
	},
	{"MODE SENSE(6) 2A", "empty", "1a 00 2a 00 80", "23 00 00 00 2A 1E 0B 00 71 7F 29 03 21 00 01 00 08 00 21 00 00 00 00 00 00 00 00 01 00 00 00 00 00 00 00 00"},
	{"MODE SENSE subpage", "small", "1a 00 3f 01 ff", "5/24/00 byte 3"},
	{"Apple's mode page", "small", "5a 00 31 00 00 00 00 00 10", "5/24/00 byte 2 bit 5"},
	{"MODE SELECT saving", "small", "15 11 00 00 00", "5/24/00 byte 1 bit 0"},
	{"a page is selected", "empty", "15 10 00 00 0c < 00 00 00 00 0d 06 00 0f 00 3c 00 4b", ""},
	{"a page is selected, 10 bytes", "empty", "55 10 00 00 00 00 00 00 10 < 00 00 00 00 00 00 00 00 0d 06 00 0f 00 3c 00 4b", ""},
	{"nothing is selected", "empty", "15 10 00 00 00", ""},
	{"unknown page selected", "empty", "15 10 00 00 06 < 00 00 00 00 31 00", "5/26/00 byte 4 bit 5"},
	{"page with a subpage", "empty", "15 10 00 00 0c < 00 00 00 00 4d 06 00 0f 00 3c 00 4b", "5/26/00 byte 4 bit 5"},
	{"page of another length", "empty", "15 10 00 00 08 < 00 00 00 00 0d 02 00 00", "5/26/00 byte 5"},
	{"list cut", "empty", "55 10 00 00 00 00 00 00 10 < 00 00", "5/1A/00"},
	{"saving, 10 bytes", "empty", "55 11 00 00 00 00 00 00 00", "5/24/00 byte 1 bit 0"},
	{"changeable bits", "empty", "1a 00 4d 00 ff", "0B 00 00 00 0D 06 00 0F 00 00 00 00"},
	{"saved values, 6 bytes", "empty", "1a 00 cd 00 ff", "5/39/00"},
	{"subpage of no page", "empty", "5a 00 3f 02 00 00 00 00 ff", "5/24/00 byte 3"},
}

// configurationRows are answers of GET CONFIGURATION and GET EVENT STATUS NOTIFICATION.
var configurationRows = []row{
	{"GESN, no class", "empty", "4a 01 00 00 00 00 00 00 08", "00 02 80 10"},
	{"GESN, other classes", "empty", "4a 01 00 00 4e 00 00 00 08", "00 02 80 10"},
	{"GESN, no disc", "empty", "4a 01 00 00 10 00 00 00 08", "00 06 04 10 00 00 00 00"},
	{"GESN, disc", "cd", "4a 01 00 00 10 00 00 00 08", "00 06 04 10 00 02 00 00"},
	// The reference's feature 001Eh says nothing of DAP, C2 and CD-TEXT: this
	// drive has all three, so its first byte is 83h. Its feature 0103h can do nothing:
	// this drive scans, and has volumes and muting, so its first byte is 07h.
	{
		"GET CONFIGURATION, no medium", "empty", "46 00 00 00 00 00 00 ff ff",
		"0000009C00000000 0000030C 00400000 00100000 00080000 00010B08 00000008 01000000 00020704 0000000000030B04" +
			" 39000000 00100008 00000800 00010100 001D0000 001E0804 83000000 001F0404 010001000040001C 00000000" +
			" 0000000000000000 0000000000000000 FFFF00000000000001000300 01030004 07000100 01050704 00000000 01071004" +
			" 00000000 0108030C 303132333435363738394142",
	},
	{
		"GET CONFIGURATION, CD", "cd", "46 00 00 00 00 00 00 ff ff",
		"0000009C00000008 0000030C 00400000 00100000 00080100 00010B08 00000008 01000000 00020704 0000000000030B04" +
			" 39000000 00100108 00000800 00010100 001D0100 001E0904 83000000 001F0404 010001000040001C 00000000" +
			" 0000000000000000 0000000000000000 FFFF00000000000001000300 01030104 07000100 01050704 00000000 01071104" +
			" 00000000 0108030C 303132333435363738394142",
	},
	{"GET CONFIGURATION, unsupported", "cd", "46 02 00 20 00 00 00 00 ff", "00 00 00 04 00 00 00 08"},
	{"GET CONFIGURATION, past the last", "cd", "46 00 ff ff 00 00 00 00 ff", "00 00 00 04 00 00 00 08"},
	{
		"GET CONFIGURATION, current, CD", "cd", "46 01 00 10 00 00 00 00 ff",
		"000000 48 0000000800100108 00000800 00010100 001D0100 001E0904 83000000 01000300 01030104 0700010001050704" +
			" 00000000 01071104 00000000 0108030C 303132333435363738394142",
	},
	{"GET CONFIGURATION, current, DVD", "dvd", "46 01 00 10 00 00 00 00 0c", "0000003C 00000010 00100108"},
	{"GET CONFIGURATION, DVD read", "dvd", "46 02 00 1f 00 00 00 00 ff", "0000000C 00000010 001F0504 01000100"},
	{"GET CONFIGURATION, BD blocking", "bd", "46 02 00 10 00 00 00 00 ff", "00000010 00000040 00100108 00000800 00200100"},
	{"GET CONFIGURATION, BD read", "bd", "46 02 00 40 00 00 00 00 0c", "00000024 00000040 0040011C"},
	{"GET CONFIGURATION, profiles with a BD", "bd", "46 02 00 00 00 00 00 00 ff", "00000014 00000040 0000030C 00400100 00100000 00080000"},
	{"asynchronous GESN", "small", "4a 00 00 00 10 00 00 00 08", "5/24/00 byte 1 bit 0"},
	{"GET CONFIGURATION RT 3", "small", "46 03 00 00 00 00 00 00 ff", "5/24/00 byte 1 bit 1"},
	{"a feature that is not there, empty", "empty", "46 02 00 20 00 00 00 00 ff", "00 00 00 04 00 00 00 00"},
	{"CD read", "cd", "46 02 00 1e 00 00 00 00 ff", "00 00 00 0C 00 00 00 08 001E 0904 83000000"},
	{"profiles, empty", "empty", "46 02 00 00 00 00 00 00 ff", "00000014 00000000 0000030C 00400000 00100000 00080000"},
	{
		"current, BD", "bd", "46 01 00 10 00 00 00 00 ff",
		"00 00 00 54 00 00 00 40 00 10 01 08 00 00 08 00 00 20 01 00 00 40 01 1C 00 00 00 00 00 00 00 00 00 00 00 00" +
			" 00 00 00 00 00 00 00 00 FF FF 00 00 00 00 00 00 01 00 03 00 01 05 07 04 00 00 00 00 01 07 11 04 00 00 00 00" +
			" 01 08 03 0C 30 31 32 33 34 35 36 37 38 39 41 42",
	},
	{
		"current, empty", "empty", "46 01 00 00 00 00 00 00 ff",
		"00 00 00 4C 00 00 00 00 00 00 03 0C 00 40 00 00 00 10 00 00 00 08 00 00 00 01 0B 08 00 00 00 08 01 00 00 00" +
			" 00 02 07 04 00 00 00 00 00 03 0B 04 39 00 00 00 01 00 03 00 01 05 07 04 00 00 00 00 01 08 03 0C 30 31 32 33" +
			" 34 35 36 37 38 39 41 42",
	},
}

// trayRows are answers of START STOP UNIT and PREVENT ALLOW MEDIUM REMOVAL.
var trayRows = []row{
	{"START, empty", "empty", "1b 00 00 00 01", "2/3A/01"},
	{"prevent", "empty", "1e 00 00 00 01", ""},
	{"allow", "empty", "1e 00 00 00 00", ""},
	{"stop", "empty", "1b 00 00 00 00", ""},
	{"load of an empty tray", "empty", "1b 00 00 00 03", ""},
	{"standby", "empty", "1b 00 00 00 30", ""},
	{"stop", "cd", "1b 00 00 00 00", ""},
	{"start", "cd", "1b 00 00 00 01", ""},
	{"eject", "cd", "1b 00 00 00 02", ""},
	{"load of an open tray", "open", "1b 00 00 00 03", ""},
	{"persistent prevent", "empty", "1e 00 00 00 03", ""},
	{"active, LOEJ ignored", "cd", "1b 00 00 00 12", ""},
}

// refusedRows are answers of commands that the drive does not have.
var refusedRows = []row{
	{"WRITE(10)", "small", "2a 00 00 00 00 00 00 00 01", "5/20/00"},
	{"WRITE(12)", "small", "aa", "5/20/00"},
	{"RESERVE(6)", "small", "16", "5/20/00"},
	{"RELEASE(10)", "empty", "57", "5/20/00"},
	{"PERSISTENT RESERVE IN", "small", "5e", "5/20/00"},
	{"PERSISTENT RESERVE OUT", "small", "5f", "5/20/00"},
	{"REPORT LUNS", "small", "a0", "5/20/00"},
	{"LOAD/UNLOAD", "small", "a6", "5/20/00"},
	{"LOG SENSE", "cd", "4d 00 40 00 00 00 00 00 ff", "5/20/00"},
	{"SECURITY PROTOCOL IN", "cd", "a2", "5/20/00"},
	{"SECURITY PROTOCOL OUT", "cd", "b5", "5/20/00"},
	{"FORMAT UNIT", "cd", "04", "5/20/00"},
	{"READ MASTER CUE", "cd", "59", "5/20/00"},
	{"SEND OPC INFORMATION", "cd", "54", "5/20/00"},
}

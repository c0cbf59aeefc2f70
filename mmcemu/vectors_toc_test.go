package mmcemu

// tocRows are answers of READ TOC/PMA/ATIP.
var tocRows = []row{
	{"READ TOC, LBA", "cd", "43 00 00 00 00 00 00 03 24", "00 12 01 01 00 14 01 00 00 00 00 00 00 14 AA 00 00 01 86 A0"},
	{"READ TOC, MSF", "cd", "43 02 00 00 00 00 00 03 24", "00 12 01 01 00 14 01 00 00 00 02 00 00 14 AA 00 00 16 0F 19"},
	{"READ TOC, lead-out", "cd", "43 00 00 00 00 00 aa 03 24", "00 0A 01 01 00 14 AA 00 00 01 86 A0"},
	{"READ TOC, sessions", "cd", "43 00 01 00 00 00 00 03 24", "00 0A 01 01 00 14 01 00 00 00 00 00"},
	{"READ TOC, sessions, legacy", "cd", "43 00 00 00 00 00 00 00 0c 40", "00 0A 01 01 00 14 01 00 00 00 00 00"},
	{
		"READ TOC, full", "cd", "43 02 02 00 00 00 00 ff fe",
		"00 2E 01 0101 14 00 A0 00 00 00 00 01 00 00 01 14 00 A1 00 00 00 00 01 00 00 01 14 00 A2 00 00 00 00 16 0F 19" +
			" 01 14 00 01 00 00 00 00 00 02 00",
	},
	{"READ TOC, full, legacy", "cd", "43 02 00 00 00 00 00 00 04 80", "00 2E 01 01"},
	{
		"READ TOC, full, Enhanced CD", "enhanced", "43 02 02 00 00 00 00 ff fe",
		"00 86 01 0201 10 00 A0 00 00 00 00 01 00 00 01 10 00 A1 00 00 00 00 02 00 00 01 10 00 A2 00 00 00 00 08 37" +
			" 1901 10 00 01 00 00 00 00 00 02 00 01 10 00 02 00 00 00 00 04 1C 3201 50 00 B0 0B 19 19 02 4F 3B 4A 01 50 00" +
			" C0 00 00 00 00 61 22 1702 14 00 A0 00 00 00 00 03 20 00 02 14 00 A1 00 00 00 00 03 00 00 02 14 00 A2 00 00" +
			" 00 00 12 07 1902 14 00 03 00 00 00 00 0B 1B 19 02 54 00 B0 FF FF FF 01 4F 3B 4A",
	},
	{"READ TOC, sessions, Enhanced CD", "enhanced", "43 00 01 00 00 00 00 00 ff", "00 0A 01 02 00 14 03 00 00 00 C8 C8"},
	{"READ TOC, DVD", "dvd", "43 00 00 00 00 00 00 00 ff", "00 12 01 01 00 14 01 00 00 00 00 00 00 14 AA 00 00 1E 84 80"},
	{"READ TOC, DVD beyond 255 minutes", "dvd", "43 02 00 00 00 00 aa 00 ff", "00 0A 01 01 00 14 AA 00 00 FF 3B 4A"},
	{"READ TOC PMA", "small", "43 00 03 00 00 00 00 00 ff", "5/24/00 byte 2 bit 3"},
	{"READ TOC ATIP", "small", "43 00 04 00 00 00 00 00 ff", "5/24/00 byte 2 bit 3"},
	{"READ TOC CD-TEXT, empty", "empty", "43 00 05 00 00 00 00 00 ff", "2/3A/01"},
	{"READ TOC no such track", "small", "43 00 00 00 00 00 02 00 ff", "5/24/00 byte 6"},
	{"READ TOC no such session", "small", "43 00 02 00 00 00 02 00 ff", "5/24/00 byte 6"},
	{"READ TOC full of a DVD", "dvd", "43 00 02 00 00 00 00 00 ff", "5/24/00 byte 2 bit 3"},
	{"READ TOC, empty", "empty", "43 00 00 00 00 00 02 00 ff", "2/3A/01"},
	{
		"full, three sessions", "three", "43 02 02 00 00 00 00 00 ff",
		"00 B2 01 03" +
			" 01 14 00 A0 00 00 00 00 01 00 00 01 14 00 A1 00 00 00 00 01 00 00 01 14 00 A2 00 00 00 00 00 0F 19 01 14 00 01 00 00 00 00 00 02 00" +
			" 01 54 00 B0 02 2D 19 02 4F 3B 4A 01 54 00 C0 00 00 00 00 61 22 17" +
			" 02 14 00 A0 00 00 00 00 02 00 00 02 14 00 A1 00 00 00 00 02 00 00 02 14 00 A2 00 00 00 00 02 37 19 02 14 00 02 00 00 00 00 02 2F 19" +
			" 02 54 00 B0 04 19 19 01 4F 3B 4A" +
			" 03 14 00 A0 00 00 00 00 03 00 00 03 14 00 A1 00 00 00 00 03 00 00 03 14 00 A2 00 00 00 00 04 23 19 03 14 00 03 00 00 00 00 04 1B 19" +
			" 03 54 00 B0 FF FF FF 01 4F 3B 4A",
	},
	{
		"CD-TEXT", "audio", "43 00 05 00 00 00 00 ff ff",
		"00 4A 00 00 80 00 00 00 44 69 73 63 00 4F 6E 65 00 00 00 00 BA 68 8F 00 01 00 00 01 01 00 01 00 00 00 00 00" +
			" 00 00 05 2A 8F 01 02 00 00 00 00 00 00 00 00 03 03 00 00 00 A3 A4 8F 02 03 00 00 00 00 00 09 00 00 00 00 00" +
			" 00 00 17 E7",
	},
	{"CD-TEXT, 4 bytes", "audio", "43 00 05 00 00 00 00 00 04", "00 4A 00 00"},
	// A header alone is allowed by the reference, too: see readTOC.
	{"no CD-TEXT", "cd", "43 00 05 00 00 00 00 00 ff", "5/24/00 byte 2 bit 3"},
	{"CD-TEXT of a DVD", "dvd", "43 00 05 00 00 00 00 00 ff", "5/24/00 byte 2 bit 3"},
	{"format without meaning", "cd", "43 00 06 00 00 00 00 00 ff", "5/24/00 byte 2 bit 3"},
	{"from track 2", "enhanced", "43 00 00 00 00 00 02 00 ff", "00 1A 01 03 00 10 02 00 00 00 4E 20 00 14 03 00 00 00 C8 C8 00 14 AA 00 00 01 3D F8"},
	{"full, from session 2", "enhanced", "43 00 02 00 00 00 02 00 04", "00 39 01 02"},
	{"full, from session 3", "enhanced", "43 00 02 00 00 00 03 00 04", "5/24/00 byte 6"},
	{"full of a BD", "bd", "43 00 02 00 00 00 00 00 ff", "5/24/00 byte 2 bit 3"},
	{"sessions of a DVD", "dvd", "43 00 01 00 00 00 00 00 ff", "00 0A 01 01 00 14 01 00 00 00 00 00"},
	{"BD", "bd", "43 00 00 00 00 00 01 00 ff", "00 12 01 01 00 14 01 00 00 00 00 00 00 14 AA 00 01 31 2D 00"},
	{"sessions, MSF", "enhanced", "43 02 01 00 00 00 00 00 ff", "00 0A 01 02 00 14 03 00 00 0B 1B 19"},
	{"PMA", "audio", "43 00 03 00 00 00 00 00 ff", "5/24/00 byte 2 bit 3"},
	{"ATIP, empty", "empty", "43 00 04 00 00 00 00 00 ff", "5/24/00 byte 2 bit 3"},
}

// informationRows are answers of READ DISC INFORMATION, READ TRACK INFORMATION, READ SUB-CHANNEL, READ HEADER and MECHANISM STATUS.
var informationRows = []row{
	{"READ DISC INFORMATION", "cd", "51 00 00 00 00 00 00 00 ff", "00 20 0E 01 01 01 01 20 00 00 00 00 00 00 00 00 FF FF FF FF FF FF FF FF 00 00 00 00 00 00 00 00 00 00"},
	{"READ DISC INFORMATION, AL 2", "cd", "51 00 00 00 00 00 00 00 02", "00 20"},
	{"READ TRACK INFORMATION", "cd", "52 01 00 00 00 01 00 00 ff", "00 22 01 01 00 04 01 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 01 86 A0 00 00 00 00 00 00 00 00"},
	{"READ TRACK INFORMATION, audio", "enhanced", "52 01 00 00 00 01 00 00 ff", "00220101 00000F00 00000000 00000000 00000000 00000000 00004E20 00000000 00000000"},
	{"READ TRACK INFORMATION, LBA", "enhanced", "52 00 00 00 c8 c8 00 00 0c", "00 22 03 02 00 04 02 00 00 00 C8 C8"},
	{"READ TRACK INFORMATION, session", "enhanced", "52 02 00 00 00 02 00 00 0c", "00 22 03 02 00 04 02 00 00 00 C8 C8"},
	{"READ DISC INFORMATION, Enhanced CD", "enhanced", "51 00 00 00 00 00 00 00 09", "00 20 0E 01 02 03 03 20 00"},
	{"READ SUB-CHANNEL, status", "cd", "42 00 00 01 00 00 00 00 ff", "00 15 00 00"},
	{"READ SUB-CHANNEL, position", "cd", "42 00 40 01 00 00 00 00 ff", "00 15 00 0C 01 14 01 01 00 00 00 00 00 00 00 00"},
	{"READ SUB-CHANNEL, position, MSF", "cd", "42 02 40 01 00 00 00 00 ff", "00 15 00 0C 01 14 01 01 00 00 02 00 00 00 00 00"},
	{"READ SUB-CHANNEL, no catalogue number", "cd", "42 00 40 02 00 00 00 00 ff", "00 15 00 14 02 00 00 00 00000000000000000000000000000000"},
	{"READ SUB-CHANNEL, catalogue number", "enhanced", "42 00 40 02 00 00 00 00 ff", "00 15 00 14 02 00 00 00 80 31323334353637383930313233 00 00"},
	{"READ SUB-CHANNEL, ISRC", "enhanced", "42 00 40 03 00 00 01 00 ff", "00 15 00 14 03 10 01 00 80 555341424332363030303031 00 00 00"},
	{"READ HEADER", "cd", "44 00 00 00 00 10 00 00 08", "01 00 00 00 00 00 00 10"},
	{"READ HEADER, MSF, XA", "enhanced", "44 02 00 00 c8 c8 00 00 08", "02 00 00 00 00 0B 1B 19"},
	{"MECHANISM STATUS", "empty", "bd 00 00 00 00 00 00 00 00 08", "00 00 00 00 00 00 00 00"},
	{"READ DISC INFORMATION resources", "small", "51 01 00 00 00 00 00 00 ff", "5/24/00 byte 1 bit 2"},
	{"READ TRACK INFORMATION incomplete track", "small", "52 01 00 00 00 ff 00 00 ff", "5/24/00 byte 2"},
	{"READ TRACK INFORMATION beyond", "small", "52 00 00 01 00 00 00 00 ff", "5/24/00 byte 2"},
	{"READ TRACK INFORMATION type", "small", "52 03 00 00 00 00 00 00 ff", "5/24/00 byte 1 bit 1"},
	{"READ SUB-CHANNEL format", "small", "42 00 40 00 00 00 00 00 ff", "5/24/00 byte 3"},
	{"READ SUB-CHANNEL, ISRC of no track", "small", "42 00 40 03 00 00 02 00 ff", "5/24/00 byte 6"},
	{"READ SUB-CHANNEL, empty", "empty", "42 00 40 01 00 00 00 00 ff", "2/3A/01"},
	{"READ HEADER beyond", "small", "44 00 00 00 03 e8 00 00 08", "5/21/00 at 1000"},
	{"READ HEADER of audio", "enhanced", "44 00 00 00 00 00 00 00 08", "5/64/00 ILI at 0"},
	{"READ HEADER between sessions", "enhanced", "44 00 00 00 a0 00 00 00 08", "5/21/00 at 40960"},
	{"READ HEADER of a hidden track", "hidden", "44 00 00 00 00 10 00 00 08", "5/64/00 ILI at 16"},
	{"READ HEADER, Mode 1", "hidden", "44 00 00 00 23 be 00 00 08", "01 00 00 00 00 00 23 BE"},
	{"READ HEADER, formless", "pregap", "44 02 00 00 02 8a 00 00 08", "02 00 00 00 00 00 0A 32"},
	{"READ HEADER, no medium", "empty", "44 00 00 00 00 10 00 00 08", "2/3A/01"},
	{"READ HEADER of a DVD", "dvd", "44 00 00 00 00 10 00 00 08", "01 00 00 00 00 00 00 10"},
	{"READ DISC INFORMATION of a DVD", "dvd", "51 00 00 00 00 00 00 00 08", "00 20 0E 01 01 01 01 20"},
	{
		"READ TRACK INFORMATION of a BD", "bd", "52 01 00 00 00 01 00 00 ff",
		"00 22 01 01 00 04 01 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 01 31 2D 00 00 00 00 00 00 00 00 00",
	},
	{"READ TRACK INFORMATION of the lead-in", "cd", "52 01 00 00 00 00 00 00 ff", "5/24/00 byte 2"},
	{"READ TRACK INFORMATION of no session", "cd", "52 02 00 00 00 02 00 00 ff", "5/24/00 byte 2"},
	{"READ TRACK INFORMATION, pregap", "sessions", "52 00 00 00 c8 33 00 00 08", "00 22 03 02 00 04 02 00"},
	{"READ TRACK INFORMATION, between sessions", "sessions", "52 00 00 00 9c 40 00 00 08", "5/24/00 byte 2"},
	{"MECHANISM STATUS, tray open", "open", "bd 00 00 00 00 00 00 00 00 08", "00 10 00 00 00 00 00 00"},
}

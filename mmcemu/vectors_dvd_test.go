package mmcemu

// dvdRows are answers of READ DISC STRUCTURE.
var dvdRows = []row{
	{"DVD physical format", "dvd", "ad 00 00 00 00 00 00 00 00 18", "08 02 00 00 01 02 01 00 00 03 00 00 00 21 84 7F 00 00 00 00 00 00 00 00"},
	{"DVD copyright", "dvd", "ad 00 00 00 00 00 00 01 00 ff", "00 06 00 00 00 00 00 00"},
	{"DVD of two layers", "dual", "ad 00 00 00 00 00 01 00 00 14", "08 02 00 00 01 02 31 00 00 03 00 00 00 FC FF FF 00 21 84 7F"},
	{"DVD of two layers, break known", "uneven", "ad 00 00 00 00 00 01 00 00 14", "08 02 00 00 01 02 31 00 00 03 00 00 00 FC FF C7 00 03 02 0F"},
	{"DVD structure of the image", "structured", "ad 00 00 00 00 00 00 01 00 ff", "00 06 00 00 01 FD 00 00"},
	{"DVD structure of the image, layer 1", "structured", "ad 00 00 00 00 00 01 01 00 ff", "00 06 00 00 01 FC 00 00"},
	{"DVD structure that the image lacks", "structured", "ad 00 00 00 00 00 00 04 00 06", "08 02 00 00 00 00"},
	{"DVD manufacturing", "dvd", "ad 00 00 00 00 00 00 04 00 06", "08 02 00 00 00 00"},
	{"DVD structures", "empty", "ad 00 00 00 00 00 00 ff 00 ff", "00 16 00 00 00 40 08 04 01 40 00 08 04 40 08 04 10 40 08 04 FF 40 00 00"},
	{"BD disc information", "bd", "ad 01 00 00 00 00 00 00 00 24", "10 02 00 00 44 49 01 08 00 00 20 00 42 44 4F 01 21 00 00 00 00 00 00 00 01 41 2C FF 00 02 00 00 00 28 25 9F"},
	{"DVD structure of a CD", "small", "ad 00 00 00 00 00 00 00 00 08", "5/30/02"},
	{"BD structure of a DVD", "dvd", "ad 01 00 00 00 00 00 00 00 08", "5/30/02"},
	{"DVD structure, empty", "empty", "ad 00 00 00 00 00 00 00 00 08", "2/3A/01"},
	{"DVD structure of layer 1", "dvd", "ad 00 00 00 00 00 01 00 00 08", "5/24/00 byte 6"},
	{"DVD BCA", "dvd", "ad 00 00 00 00 00 00 03 00 08", "5/24/00 byte 7"},
	{"control data zone", "dvd", "ad 00 00 00 00 00 00 10 00 14", "08 02 00 00 01 02 01 00 00 03 00 00 00 21 84 7F 00 00 00 00"},
	{"control data zone of the image, which is the physical format", "physical", "ad 00 00 00 00 00 01 10 00 0a", "08 02 00 00 01 FC 00 00 00 00"},
	{"control data zone, empty", "empty", "ad 00 00 00 00 00 00 10 00 14", "2/3A/01"},
	{"format of no meaning", "dvd", "ad 00 00 00 00 00 00 66 00 14", "5/24/00 byte 7"},
	{"key of a disc", "dvd", "ad 00 00 00 00 00 00 02 00 14", "5/24/00 byte 7"},
	{"medium of no meaning", "dvd", "ad 02 00 00 00 00 00 00 00 14", "5/24/00 byte 1 bit 3"},
	{"layer 2", "dual", "ad 00 00 00 00 00 02 00 00 08", "5/24/00 byte 6"},
	{"BD structures", "bd", "ad 01 00 00 00 00 00 ff 00 ff", "00 0A 00 00 00 40 10 04 FF 40 00 00"},
	{"BD of 100 GB", "bd 100", "ad 01 00 00 00 00 00 00 00 24", "10 02 00 00 44 49 01 08 00 00 20 00 42 44 4F 01 31 00 00 00 00 00 00 00 02 F9 D3 FF 00 02 00 00 00 5F 3A 7F"},
	{"BD of 128 GB", "bd 128", "ad 01 00 00 00 00 03 00 00 24", "10 02 00 00 44 49 01 0B 00 00 20 00 42 44 4F 01 41 00 00 00 00 00 00 00 03 C9 AF FF 00 02 00 00 00 79 35 FF"},
	{"BD layer 4", "bd 128", "ad 01 00 00 00 00 04 00 00 24", "5/24/00 byte 6"},
	{"BD cartridge", "bd", "ad 01 00 00 00 00 00 09 00 24", "5/24/00 byte 7"},
	{"DVD structure of a BD", "bd", "ad 00 00 00 00 00 00 00 00 08", "5/30/02"},
	{"BD structure of a CD", "cd", "ad 01 00 00 00 00 00 00 00 08", "5/30/02"},
}

// keyRows are answers of REPORT KEY and SEND KEY.
var keyRows = []row{
	{"REPORT KEY, region", "empty", "a4 00 00 00 00 00 00 00 00 08 08", "00 06 00 00 25 FF 01 00"},
	{"REPORT KEY challenge", "dvd", "a4 00 00 00 00 00 00 00 00 0c 00", "5/24/00 byte 10 bit 5"},
	// The reference has 5/30/02 for media that are no DVD, too: the drive has no
	// key exchange at all, whatever the medium.
	{"AGID", "dvd", "a4 00 00 00 00 00 00 00 00 08 00", "5/24/00 byte 10 bit 5"},
	{"title key", "dvd", "a4 00 00 00 00 00 00 00 08 00 04", "5/24/00 byte 10 bit 5"},
	{"key class 2", "dvd", "a4 00 00 00 00 00 00 02 00 08 08", "5/24/00 byte 7"},
	{"set region 2", "empty", "a3 00 00 00 00 00 00 00 00 08 06 < 00 06 00 00 FD 00 00 00", ""},
	{"set nothing", "empty", "a3 00 00 00 00 00 00 00 00 00 06", ""},
	{"set all regions", "empty", "a3 00 00 00 00 00 00 00 00 08 06 < 00 06 00 00 00 00 00 00", "5/26/00 byte 4"},
	{"list cut", "empty", "a3 00 00 00 00 00 00 00 00 08 06 < 00 06 00 00", "5/1A/00"},
	{"list too short", "empty", "a3 00 00 00 00 00 00 00 00 04 06 < 00 06 00 00", "5/1A/00"},
	{"challenge", "dvd", "a3 00 00 00 00 00 00 00 00 10 01 < 00 0E 00 00 00 00 00 00 00 00 00 00 00 00 00 00", "5/24/00 byte 10 bit 5"},
	{"key class 1", "dvd", "a3 00 00 00 00 00 00 01 00 08 06 < 00 06 00 00 FD 00 00 00", "5/24/00 byte 7"},
	{"REPORT SUPPORTED OPCODES", "cd", "a3 0c 00 00 00 00 00 00 00 ff", "5/24/00 byte 1 bit 4"},
}

// speedRows are answers of GET PERFORMANCE, SET STREAMING, SET CD SPEED and the buffer.
var speedRows = []row{
	{"SET READ AHEAD", "empty", "a7 00 00 00 00 10 00 00 00 20", ""},
	{"GET PERFORMANCE", "cd", "ac 00 00 00 00 00 00 00 00 c8 00", "00000014 00000000 00000000 00002100 0001869F 00002100"},
	{"GET PERFORMANCE, write speeds", "cd", "ac 00 00 00 00 00 00 00 00 c8 03", "00000004 00000000"},
	{"GET PERFORMANCE, no descriptor wanted", "cd", "ac 00 00 00 00 00 00 00 00 00 00", "00000014 00000000"},
	{"GET PERFORMANCE type 1", "dvd", "ac 00 00 00 00 00 00 00 00 ff 01", "5/24/00 byte 10"},
	{"SET STREAMING", "dvd", "b6 00 00 00 00 00 00 00 00 00 1c < 00000000 00000000 001E847F 00002B48 000003E8 00000000 00000000", ""},
	{"SET STREAMING, no time", "dvd", "b6 00 00 00 00 00 00 00 00 00 1c < 00000000 00000000 001E847F 00002B48 00000000 00000000 00000000", "5/26/00 byte 16"},
	{"SET STREAMING, too short", "dvd", "b6 00 00 00 00 00 00 00 00 00 08 < 00000000 00000000", "5/1A/00"},
	{"SET STREAMING, other type", "dvd", "b6 00 00 00 00 00 00 00 05 00 1c < 00000000 00000000 001E847F 00002B48 000003E8 00000000 00000000", "5/24/00 byte 8"},
	{"SET CD SPEED", "cd", "bb 00 ff ff ff ff", ""},
	{"GET PERFORMANCE, writing", "dvd", "ac 04 00 00 00 00 00 00 00 c8 00", "00000004 02000000"},
	{"GET PERFORMANCE, exceptions", "dvd", "ac 01 00 00 00 00 00 00 00 c8 00", "00000004 01000000"},
	{"GET PERFORMANCE, exceptions of writing", "dvd", "ac 05 00 00 00 00 00 00 00 c8 00", "00000004 03000000"},
	{"GET PERFORMANCE, DVD", "dvd", "ac 10 00 00 00 00 00 00 00 01 00", "00000014 00000000 00000000 00005690 001E847F 00005690"},
	{"GET PERFORMANCE, defects", "dvd", "ac 00 00 00 00 00 00 00 00 01 02", "5/24/00 byte 10"},
	{"GET PERFORMANCE, DBI", "dvd", "ac 00 00 00 00 00 00 00 00 01 04", "5/24/00 byte 10"},
	{"GET PERFORMANCE, cache zone", "dvd", "ac 00 00 00 00 00 00 00 00 01 05", "5/24/00 byte 10"},
	{"READ BUFFER, descriptor", "empty", "3c 03 00 00 00 00 00 00 04", "00 20 00 00"},
	{"READ BUFFER, no such buffer", "empty", "3c 03 01 00 00 00 00 00 04", "00 00 00 00"},
	{"READ BUFFER, data", "empty", "3c 02 00 00 00 00 00 00 04", "5/24/00 byte 1 bit 4"},
	// The reference's example is of 4 MiB: page 2Ah says 2 MiB here.
	{"READ BUFFER CAPACITY", "cd", "5c 00 00 00 00 00 00 00 0c", "00 0A 00 00 00 20 00 00 00 20 00 00"},
	{"READ BUFFER CAPACITY, blocks", "cd", "5c 01 00 00 00 00 00 00 0c", "5/24/00 byte 1 bit 0"},
	{"READ BUFFER CAPACITY, no medium", "empty", "5c 00 00 00 00 00 00 00 0c", "2/3A/01"},
}

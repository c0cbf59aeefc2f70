package mmcemu

// changerRows are LOAD/UNLOAD MEDIUM, and what slots add to other answers.
var changerRows = []row{
	{"LOAD", "changer", loadOf(1), ""},
	{"LOAD, IMMED", "changer", loadImmed(2), ""},
	{"LOAD of what is there", "changer", loadOf(0), ""},
	{"UNLOAD", "changer", unload, ""},
	{"a load is stopped", "changer", stopLoad, ""},
	{"LOAD of an empty slot", "changer", loadOf(3), "2/3A/00"},
	{"LOAD, no such slot", "changer", loadOf(4), "5/24/00 byte 8"},
	{"START alone", "changer", "a6 00 00 00 01", "5/24/00 byte 4 bit 1"},
	{"LOAD in a plain drive", "cd", loadOf(0), "5/20/00"},
	{"MECHANISM STATUS of a changer", "changer", mechanism, "00 00 00 00 00 04 00 10 80 00 00 00 80 00 00 00 80 00 00 00 00 00 00 00"},
}

package mmcemu

// audioRows are the commands that play. What they make of time is in
// player_test.go, more of what they refuse in audio_test.go.
var audioRows = []row{
	{"PLAY AUDIO(10)", "audio", "45 00 00 00 00 10 00 00 4b", ""},
	{"PLAY AUDIO(10), to the lead-out", "audio", "45 00 00 00 00 00 00 0b b8", ""},
	{"PLAY AUDIO(10), past the lead-out", "audio", "45 00 00 00 00 00 00 0b b9", "5/21/00 at 3000"},
	{"PLAY AUDIO(10) of nothing, anywhere", "audio", "45 00 00 ff ff ff", ""},
	{"PLAY AUDIO(10) of data", "cd", "45 00 00 00 00 10 00 00 4b", "5/64/00 ILI at 16"},
	{"PLAY AUDIO(10) of a DVD", "dvd", "45 00 00 00 00 10 00 00 4b", "5/64/00 ILI at 16"},
	{"PLAY AUDIO(12)", "audio", "a5 00 00 00 00 10 00 00 00 4b", ""},
	{"PLAY AUDIO(12), the hidden track", "audio", "a5 00 ff ff ff 6a 00 00 00 4b", ""},
	{"PLAY AUDIO(12), past the lead-out", "audio", "a5 00 00 00 00 00 00 01 00 00", "5/21/00 at 3000"},
	{"PLAY AUDIO MSF", "audio", "47 00 00 00 02 00 00 03 00", ""},
	{"PLAY AUDIO MSF, backwards", "audio", "47 00 00 00 03 00 00 02 00", "5/24/00 byte 6"},
	{"PLAY AUDIO MSF, 60 seconds", "audio", "47 00 00 00 3c 00 01 02 00", "5/24/00 byte 4"},
	{"PLAY AUDIO MSF, 75 frames", "audio", "47 00 00 00 02 00 00 03 4b", "5/24/00 byte 8"},
	{"PLAY AUDIO TRACK INDEX", "audio", "48 00 00 00 01 01 00 01 01", ""},
	{"PLAY AUDIO TRACK INDEX, track 0", "audio", "48 00 00 00 00 01 00 01 01", "5/24/00 byte 4"},
	{"PLAY AUDIO TRACK INDEX, backwards", "audio", "48 00 00 00 02 01 00 01 01", "5/24/00 byte 7"},
	{"PAUSE", "playing", "4b", ""},
	{"RESUME", "playing", "4b 00 00 00 00 00 00 00 01", ""},
	{"PAUSE of nothing", "audio", "4b", "5/2C/00"},
	{"STOP PLAY/SCAN", "playing", "4e", ""},
	{"STOP PLAY/SCAN of nothing", "audio", "4e", ""},
	{"SCAN", "audio", "ba 00 00 00 00 10", ""},
	{"SCAN in reverse from an MSF", "audio", "ba 10 00 00 03 00 00 00 00 40", ""},
	{"SCAN, type 3", "audio", "ba 00 00 00 00 10 00 00 00 c0", "5/24/00 byte 9 bit 7"},
	{"SCAN of data", "cd", "ba 00 00 00 00 10", "5/64/00 ILI at 16"},
	{"READ SUB-CHANNEL, playing", "playing", "42 00 00 01 00 00 00 00 ff", "00 11 00 00"},
	{"REQUEST SENSE, playing", "playing", "03 00 00 00 12", "70 00 00 00 00 00 00 0A 00 00 00 00 00 11 00 00 00 00"},
}

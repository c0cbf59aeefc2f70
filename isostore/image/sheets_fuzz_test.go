package image

import "testing"

// fuzzFiller is what a fuzzed file is made longer with: what opens reads on.
func fuzzFiller(b []byte, n uint16) []byte { return append(b, make([]byte, int(n))...) }

// FuzzOpenCUE opens a sheet of arbitrary text beside a file of sectors and one
// of sound, both arbitrary.
func FuzzOpenCUE(f *testing.F) {
	f.Add([]byte("FILE a.bin BINARY\nTRACK 01 MODE1/2352\nINDEX 01 00:00:00\nTRACK 02 AUDIO\nPREGAP 0:2:0\nINDEX 01 0:0:2\n"), cueSectors(1, 100, 0), uint16(9000))
	f.Add([]byte("REM SESSION 01\nCATALOG 1234567890123\nTITLE \"A\"\nFILE a.wav WAVE\nTRACK 01 AUDIO\nINDEX 00 00:00:00\nINDEX 01 00:00:01\nREM SESSION 02\nTRACK 02 AUDIO\nISRC DEABC2600001\nFLAGS DCP\nINDEX 01 0:0:2\n"), cueWave(cueSectors(1, 20, 0), 44100, 2, 16), uint16(9000))
	f.Add([]byte("CDTEXTFILE a.bin\nFILE a.wav FLAC\nTRACK 01 AUDIO\nINDEX 01 00:00:00\nPOSTGAP 0:0:1"), fuzzFLAC, uint16(100))
	f.Add([]byte("FILE a.wav AIFF\nTRACK 01 CDG\nINDEX 01 00:00:00"), cueAIFF(cueSectors(1, 20, 0)), uint16(9000))
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, sheet, content []byte, more uint16) {
		b := fuzzFiller(content, more)
		fuzzOpen(t, dir, "x.cue", map[string][]byte{"x.cue": sheet, "a.bin": b, "a.wav": b})
	})
}

// fuzzFLAC is a FLAC file of 588 samples of silence: stream information, and a
// frame of constant subframes.
var fuzzFLAC = []byte("fLaC\x80\x00\x00\x22\x02\x4C\x02\x4C\x00\x00\x00\x00\x00\x00\x0A\xC4\x42\xF0\x00\x00\x02\x4C" +
	"\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00" +
	"\xFF\xF8\x79\x18\x00\x02\x4B\x00\x00\x00\x00\x00\x00\x00\x00\x00")

//go:build linux

package e2e

import (
	"os"

	"spindle/internal/lab"
	"spindle/testdata/fixture"
)

// The discs of the battery of tools, by their names in the library.
const (
	mixedDisc = "mixed.ccd"
	songsDisc = "songs.cue"
	extraDisc = "extra.ccd"
	videoDisc = "video.mds"
	largeDisc = "large.iso"
)

// largeBlocks are those of largeDisc: 9.2 GB, nearly all a hole behind dataImage.
const largeBlocks = 4_500_000

// dataImage is the file system of the mixed-mode disc and of largeDisc.
var dataImage = lab.Image{Size: 400_000, Seed: 90, Label: "BATTERY"}

// batteryDiscs makes the discs in the maker's directory, and returns what is on
// them: mixed mode, audio with CD-TEXT, two sessions, a DVD of 4 MB with
// DVD-Video, and one so large that it is a BD.
func batteryDiscs(m *maker) map[string]*content {
	m.t.Helper()
	iso, err := os.ReadFile(lab.ISO(m.t, dataImage))
	m.must(err)
	mixed, songs := fixture.DataFirst(iso), fixture.Songs()
	extra := fixture.MixedMode(sessionISO(m, fixture.MixedModeStart))
	video := fixture.DVD(2048, videoISO(m))
	m.must(fixture.WriteCCD(m.dir, "mixed", mixed, fixture.CCDOptions{}))
	m.must(fixture.WriteCUE(m.dir, "songs", songs, fixture.CUEOptions{CDText: true}))
	m.must(fixture.WriteCCD(m.dir, "extra", extra, fixture.CCDOptions{}))
	m.must(fixture.WriteMDS(m.dir, "video", video, fixture.MDSOptions{}))
	m.write(largeDisc, iso)
	m.must(os.Truncate(m.path(largeDisc), largeBlocks*fixture.UserSize))
	return map[string]*content{
		mixedDisc: {Source: mixed}, songsDisc: {Source: songs}, extraDisc: {Source: extra},
		videoDisc: {Source: video}, largeDisc: {Source: fixture.DVD(largeBlocks, iso)},
	}
}

// videoISO is a DVD-Video volume of one title of 4 s in two chapters, with some
// files beside it.
func videoISO(m *maker) []byte {
	m.t.Helper()
	work := &maker{m.t, m.t.TempDir()}
	work.write("film.mpg", fixture.DVDFilm(4))
	work.write("dvd.xml", []byte(`<dvdauthor dest="tree" format="pal"><vmgm/><titleset><titles>
		<pgc><vob file="film.mpg" chapters="0,2"/></pgc></titles></titleset></dvdauthor>`))
	work.tool("env", "VIDEO_FORMAT=PAL", lab.Tool(m.t, "dvdauthor"), "-x", "dvd.xml")
	sums(work, work.path("tree"), "DATA")
	work.tool("genisoimage", "-quiet", "-dvd-video", "-udf", "-r", "-V", "FILM", "-o", "video.iso", "tree")
	return work.read("video.iso")
}

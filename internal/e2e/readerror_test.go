//go:build linux

package e2e

import (
	"bytes"
	"encoding/binary"
	"os"
	"testing"

	"spindle/testdata/fixture"
)

// TestReadErrors reads images that are cut short or damaged inside. What is
// there is read; what is not is MEDIUM ERROR with its LBA, never zeros and never
// something else's bytes.
func TestReadErrors(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cut := func(m *maker, name string, size int) {
		m.must(os.Truncate(m.path(name), int64(size)))
	}
	tests := []struct {
		name string
		bad  int // the first sector that is not there
		raw  bool
		make func(m *maker) (string, *content)
	}{
		{"cue with a file of data that ends within a sector", 123, false, func(m *maker) (string, *content) {
			name, c := source("disc.cue", dataDisc, func(dir string, s *fixture.Source) error {
				return fixture.WriteCUE(dir, "disc", s, fixture.CUEOptions{})
			})(m)
			cut(m, "disc.bin", 123*fixture.RawSize+100)
			return name, c
		}},
		{"cue with a file of audio that ends", 1500, true, func(m *maker) (string, *content) {
			name, c := source("disc.cue", mixedMode, func(dir string, s *fixture.Source) error {
				return fixture.WriteCUE(dir, "disc", s, fixture.CUEOptions{Layout: fixture.FilePerSession})
			})(m)
			cut(m, "disc (Session 1).bin", 1500*fixture.RawSize)
			return name, c
		}},
		{"mds of a DVD", 444, false, func(m *maker) (string, *content) {
			name, c := source("disc.mds", smallDVD, func(dir string, s *fixture.Source) error {
				return fixture.WriteMDS(dir, "disc", s, fixture.MDSOptions{})
			})(m)
			cut(m, "disc.mdf", 444*fixture.UserSize)
			return name, c
		}},
		{"ccd", fixture.MixedModeStart + 10, false, func(m *maker) (string, *content) {
			name, c := source("disc.ccd", mixedMode, func(dir string, s *fixture.Source) error {
				return fixture.WriteCCD(dir, "disc", s, fixture.CCDOptions{})
			})(m)
			cut(m, "disc.img", 1610*fixture.RawSize)
			return name, c
		}},
		{"zst with a damaged frame", 128, false, func(m *maker) (string, *content) {
			name, c := source("disc.iso.zst", dataDisc, func(dir string, s *fixture.Source) error {
				return fixture.WriteZstd(dir, "disc", s, fixture.ZstdOptions{})
			})(m)
			m.damage(name, c.block(129)) // noise is in the file as it is
			return name, c
		}},
	}
	d := formatsDaemon(t, dir)
	for _, tt := range tests {
	}
}

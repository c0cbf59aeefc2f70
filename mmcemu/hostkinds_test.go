package mmcemu

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"spindle/scsi/scsitest/host"
)

// kindOfHost is what `host =` of a drive calls a model.
func kindOfHost(m host.Model) string {
	switch os, _, _ := strings.Cut(m.Name, ","); os {
	case "Linux":
		return "linux"
	case "Windows":
		return "windows"
	case "macOS":
		return "macos"
	case "FreeBSD":
		return "generic"
	}
	return "firmware"
}

// TestHostsWithTheirSequence is TestHosts with the sequence that is made for the
// host, beginning with a CD and with none.
func TestHostsWithTheirSequence(t *testing.T) {
	used := map[string]bool{}
	for _, m := range host.All() {
		sequence := kindOfHost(m)
		used[sequence] = true
		for _, kind := range []host.Kind{host.CD, ""} {
			t.Run(sequence+"/"+m.Name+"/"+string(kind), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { testHost(t, newBenchFor(t, sequence), m, kind) })
			})
		}
	}
	got, want := slices.Sorted(maps.Keys(used)), slices.Sorted(slices.Values(Hosts()))
	if !slices.Equal(got, want) {
		t.Errorf("sequences under test are %v; want %v", got, want)
	}
}

// TestSwapsWithTheirSequence is TestSwapsUnderHosts with hosts of one kind, and
// the sequence that is made for it.
func TestSwapsWithTheirSequence(t *testing.T) {
	for seed, group := range []struct {
		hosts []string
		load  time.Duration
	}{
		{[]string{"Linux, iSCSI", "Linux, USB"}, 0},
		{[]string{"Linux, iSCSI", "Linux, USB"}, time.Second},
		{[]string{"Windows, iSCSI", "Windows, USB"}, 0},
		{[]string{"Windows, iSCSI", "Windows, USB"}, time.Second},
		{[]string{"macOS, USB"}, 0},
		{[]string{"EDK2, iSCSI", "EDK2, USB"}, 0},
	} {
		sequence := kindOfHost(host.ByName(group.hosts[0]))
		t.Run(sequence, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				newSwapper(newBenchFor(t, sequence), uint64(100+seed), group.hosts, group.load).run(25)
			})
		})
	}
}

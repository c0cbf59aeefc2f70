package disc

import "testing"

// enhanced has two sessions: audio tracks 1 and 2, data track 3.
var enhanced = &Layout{
	Kind: CD,
	Sessions: []Session{
		{Number: 1, Tracks: []Track{{Number: 1}, {Number: 2, Pregap: 19850, Start: 20000}}, LeadOut: 40000},
		{Number: 2, Tracks: []Track{{Number: 3, Control: 4, Mode: Mode2XA, Pregap: 51250, Start: 51400}}, LeadOut: 81400},
	},
}

func TestTrackAt(t *testing.T) {
	tests := []struct {
		lba            LBA
		session, track byte
	}{
		{-1, 0, 0},
		{0, 1, 1},
		{19849, 1, 1},
		{19850, 1, 2},
		{39999, 1, 2},
		{40000, 0, 0},
		{51249, 0, 0},
		{51250, 2, 3},
		{81399, 2, 3},
		{81400, 0, 0},
		{1<<31 - 1, 0, 0},
	}
	for _, tt := range tests {
		s, tr := enhanced.TrackAt(tt.lba)
		if s == nil && tt.session != 0 || s != nil && (s.Number != tt.session || tr.Number != tt.track) {
			t.Errorf("TrackAt(%d) = %+v, %+v; want session %d, track %d", tt.lba, s, tr, tt.session, tt.track)
		}
	}
}

func TestLayoutWalks(t *testing.T) {
	var got []LBA
	for tr := range enhanced.From(2) {
		got = append(got, LBA(tr.Number), enhanced.End(tr))
	}
	if len(got) != 4 || got[0] != 2 || got[1] != 40000 || got[2] != 3 || got[3] != 81400 {
		t.Errorf("From(2) with ends = %v", got)
	}
	if enhanced.First().Number != 1 || enhanced.Last().Number != 3 || enhanced.LeadOut() != 81400 || enhanced.Layers() != 1 {
		t.Errorf("first %d, last %d, lead-out %d", enhanced.First().Number, enhanced.Last().Number, enhanced.LeadOut())
	}
	if end := enhanced.End(enhanced.First()); end != 19850 {
		t.Errorf("track 1 ends at %d", end)
	}
}

func TestKind(t *testing.T) {
	for n, want := range map[int64]Kind{1: CD, MaxCDBlocks: CD, MaxCDBlocks + 1: DVD, MaxDVDBlocks: DVD, MaxDVDBlocks + 1: BD} {
		if got := KindFor(n); got != want {
			t.Errorf("KindFor(%d) = %v, want %v", n, got, want)
		}
	}
	for _, k := range []Kind{CD, DVD, BD} {
		if got, ok := ParseKind(k.String()); !ok || got != k {
			t.Errorf("ParseKind(%v) = %v, %v", k, got, ok)
		}
	}
	if _, ok := ParseKind("tape"); ok {
		t.Error("ParseKind takes a tape")
	}
}

func TestLayers(t *testing.T) {
	for _, tt := range []struct {
		kind            Kind
		blocks, breakAt LBA
		want            int
	}{
		{CD, 1000, 0, 1},
		{CD, 1000, 500, 1},
		{DVD, 1000, 0, 1},
		{DVD, 1000, 512, 2},
		{DVD, MaxDVDLayerBlocks, 0, 1},
		{DVD, MaxDVDLayerBlocks + 1, 0, 2},
		{BD, MaxDVDBlocks + 1, 0, 1},
	} {
		l := &Layout{Kind: tt.kind, LayerBreak: tt.breakAt, Sessions: []Session{{LeadOut: tt.blocks}}}
		if got := l.Layers(); got != tt.want {
			t.Errorf("%v of %d blocks with a break at %d: %d layers, want %d", tt.kind, tt.blocks, tt.breakAt, got, tt.want)
		}
	}
}

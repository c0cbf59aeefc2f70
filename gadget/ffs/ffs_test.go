package ffs

import (
	"encoding/binary"
	"encoding/hex"
	"testing"
)

func TestDescriptors(t *testing.T) {
	const want = "03000000" + "69000000" + "07000000" + "03000000" + "03000000" + "05000000" +
		"090400000208065001" + "07058102400000" + "07050202400000" +
		"090400000208065001" + "07058102000200" + "07050202000200" +
		"090400000208065001" + "07058102000400" + "06300f000000" + "07050202000400" + "06300f000000"
	got := appendDescriptors(nil, SubclassSCSI)
	if hex.EncodeToString(got) != want {
		t.Errorf("descriptors\n%x, want\n%s", got, want)
	}
	if n := binary.LittleEndian.Uint32(got[4:]); int(n) != len(got) {
		t.Errorf("length says %d; want %d", n, len(got))
	}
	if got := appendDescriptors(nil, SubclassMMC)[24+6]; got != 0x02 {
		t.Errorf("subclass %#x; want 2", got)
	}
}

func TestStrings(t *testing.T) {
	const want = "02000000" + "15000000" + "01000000" + "01000000" + "0904" + "616200"
	if got := appendStrings(nil, "ab"); hex.EncodeToString(got) != want {
		t.Errorf("strings %x, want %s", got, want)
	}
}

func TestEvents(t *testing.T) {
	none := setup{}
	tests := []struct {
		name, in string
		want     []event
	}{
		{"none", "", nil},
		{"enable", "0000000000000000 02 000000", []event{{eventEnable, none}}},
		{"several", "0000000000000000 05 000000 0000000000000000 01 000000", []event{{eventSuspend, none}, {eventUnbind, none}}},
		{"not whole", "0000000000000000 00 000000 0000", []event{{eventBind, none}}},
		{"reset", "21ff000000000000 04 000000", []event{{eventSetup, setup{0x21, 0xFF, 0, 0, 0}}}},
		{"max LUN", "a1fe000000000100 04 000000", []event{{eventSetup, setup{0xA1, 0xFE, 0, 0, 1}}}},
		{"fields", "a1fe010203040506 04 000000", []event{{eventSetup, setup{0xA1, 0xFE, 0x0201, 0x0403, 0x0605}}}},
		{"unknown", "0000000000000000 09 000000", []event{{eventType(9), none}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := appendEvents(nil, unhex(t, tt.in))
			if len(got) != len(tt.want) {
				t.Fatalf("%s = %+v; want %+v", tt.in, got, tt.want)
			}
			for i, e := range got {
				if e != tt.want[i] {
					t.Errorf("event %d is %+v; want %+v", i, e, tt.want[i])
				}
			}
		})
	}
}

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	var b []byte
	for i := 0; i < len(s); {
		if s[i] == ' ' {
			i++
			continue
		}
		p, err := hex.DecodeString(s[i : i+2])
		if err != nil {
			t.Fatal(err)
		}
		b, i = append(b, p...), i+2
	}
	return b
}

func TestRequests(t *testing.T) {
	tests := []struct {
		name          string
		s             setup
		reset, maxLUN bool
	}{
		{"reset", setup{0x21, 0xFF, 0, 0, 0}, true, false},
		{"reset with a value", setup{0x21, 0xFF, 1, 0, 0}, false, false},
		{"reset of another interface", setup{0x21, 0xFF, 0, 1, 0}, false, false},
		{"reset with data", setup{0x21, 0xFF, 0, 0, 1}, false, false},
		{"reset, data to the host", setup{0xA1, 0xFF, 0, 0, 0}, false, false},
		{"max LUN", setup{0xA1, 0xFE, 0, 0, 1}, false, true},
		{"max LUN with a value", setup{0xA1, 0xFE, 1, 0, 1}, false, false},
		{"max LUN of two bytes", setup{0xA1, 0xFE, 0, 0, 2}, false, false},
		{"other", setup{0x21, 0xFD, 0, 0, 0}, false, false},
	}
	for _, tt := range tests {
		if tt.s.isReset() != tt.reset || tt.s.isMaxLUN() != tt.maxLUN {
			t.Errorf("%s: reset %t, max LUN %t; want %t, %t", tt.name, tt.s.isReset(), tt.s.isMaxLUN(), tt.reset, tt.maxLUN)
		}
	}
}

func FuzzEvents(f *testing.F) {
	f.Add([]byte{0x21, 0xFF, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0})
	f.Add(make([]byte, 5*eventSize+3))
	f.Fuzz(func(t *testing.T, b []byte) {
		list := appendEvents(nil, b)
		if len(list) != len(b)/eventSize {
			t.Errorf("%d events of %d bytes", len(list), len(b))
		}
		for _, e := range list {
			if e.String() == "" {
				t.Errorf("%+v has no name", e)
			}
			if e.setup.isReset() && e.setup.isMaxLUN() {
				t.Errorf("%+v is two requests", e)
			}
		}
	})
}

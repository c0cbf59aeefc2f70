package disc

import "testing"

func TestMSF(t *testing.T) {
	tests := []struct {
		lba  LBA
		msf  MSF
		back bool // MSF.LBA gives lba again
	}{
		{0, MSF{0, 2, 0}, true},
		{-150, MSF{0, 0, 0}, true},
		{-151, MSF{99, 59, 74}, true},
		{-45150, MSF{90, 0, 0}, true},
		{16, MSF{0, 2, 16}, true},
		{74, MSF{0, 2, 74}, true},
		{75, MSF{0, 3, 0}, true},
		{100000, MSF{22, 15, 25}, true},
		{40000, MSF{8, 55, 25}, true},
		{359849, MSF{79, 59, 74}, true},
		{404849, MSF{89, 59, 74}, true},
		{404850, MSF{90, 0, 0}, false},
		{MaxCDBlocks - 1, MSF{99, 59, 74}, false}, // an address of the lead-in has the same MSF
		{1151849, MSF{255, 59, 74}, false},
		{1151850, MSF{0xFF, 0x3B, 0x4A}, false},
		{1<<31 - 1, MSF{0xFF, 0x3B, 0x4A}, false},
		{-450150, MSF{0, 0, 0}, false},
		{-1 << 31, MSF{}, false},
	}
	for _, tt := range tests {
		if got := tt.lba.MSF(); got != tt.msf {
			t.Errorf("LBA(%d).MSF() = %v, want %v", tt.lba, got, tt.msf)
		}
		if got := tt.msf.LBA(); (got == tt.lba) != tt.back {
			t.Errorf("%v.LBA() = %d; want %d: %v", tt.msf, got, tt.lba, tt.back)
		}
	}
	if got := (MSF{1, 2, 3}).String(); got != "01:02:03" {
		t.Errorf("String = %q", got)
	}
}

// FuzzMSF goes there and back over every address below 90 minutes.
func FuzzMSF(f *testing.F) {
	for _, lba := range []int32{0, -150, -151, -45150, 404849, 1 << 30, -1 << 31} {
		f.Add(lba)
	}
	f.Fuzz(func(t *testing.T, n int32) {
		lba := LBA(n)
		m := lba.MSF()
		if m.S > 59 || m.F > 74 {
			t.Errorf("LBA(%d).MSF() = %v", lba, m)
		}
		if lba >= -45150 && lba < 404850 && m.LBA() != lba {
			t.Errorf("LBA(%d) becomes %v and then %d", lba, m, m.LBA())
		}
	})
}

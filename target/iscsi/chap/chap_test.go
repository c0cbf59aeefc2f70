package chap_test

import (
	"bytes"
	"encoding/hex"
	"strings"
	"testing"

	"spindle/target/iscsi/chap"
)

// Responses that Python's hashlib computed:
//
//	hashlib.new(name, bytes([id]) + secret + challenge).hexdigest()
func TestResponse(t *testing.T) {
	count := make([]byte, 16)
	for i := range count {
		count[i] = byte(i)
	}
	tests := []struct {
		algorithm chap.Algorithm
		id        byte
		secret    string
		challenge []byte
		want      string
	}{
		{chap.MD5, 1, "cdsecret12345678", count, "ac6c90ba82d7a3404c808231e93b93be"},
		{chap.SHA1, 1, "cdsecret12345678", count, "a4c2b37c03129f0f8de98686ebd0157102887712"},
		{chap.SHA256, 1, "cdsecret12345678", count, "33f006ef0814033738d433c95fe081fd92d2e236834b97e5fbe91a95aec4d26b"},
		{chap.SHA3256, 1, "cdsecret12345678", count, "c548df348246e9e38fdfcc0268cab02bb5e486e4d9fc4a071288396df281bc4c"},
		{chap.MD5, 255, "pässwörter-sind-lang", bytes.Repeat([]byte{0xA5}, 1024), "feaad29a5432fe74a6c31c5529b07d0c"},
		{chap.SHA1, 255, "pässwörter-sind-lang", bytes.Repeat([]byte{0xA5}, 1024), "e280d14fb7566b07d58e7d4811fd24838bc0814a"},
		{chap.SHA256, 255, "pässwörter-sind-lang", bytes.Repeat([]byte{0xA5}, 1024), "80f7b038029fa76fba68f44d71ec4c948b080e20ef962903f6ff2f887c0632f5"},
		{chap.SHA3256, 255, "pässwörter-sind-lang", bytes.Repeat([]byte{0xA5}, 1024), "6069ceba63146c2edeaea283550d3139e85733f568e863b89cd99fb0134ae880"},
	}
	for _, tt := range tests {
		want, _ := hex.DecodeString(tt.want)
		if got := tt.algorithm.Response(tt.id, []byte(tt.secret), tt.challenge); !bytes.Equal(got, want) {
			t.Errorf("%v: %x, want %x", tt.algorithm, got, want)
		}
		if !tt.algorithm.Verify(tt.id, []byte(tt.secret), tt.challenge, want) {
			t.Errorf("%v: the right response is not taken", tt.algorithm)
		}
		for what, wrong := range map[string][]byte{
			"empty": nil, "short": want[:len(want)-1], "long": append(want[:len(want):len(want)], 0),
			"one bit": append([]byte{want[0] ^ 1}, want[1:]...),
		} {
			if tt.algorithm.Verify(tt.id, []byte(tt.secret), tt.challenge, wrong) {
				t.Errorf("%v: a response that is wrong, %s, is taken", tt.algorithm, what)
			}
		}
	}
}

func TestNames(t *testing.T) {
	for _, a := range chap.Algorithms() {
		if got, err := chap.Parse(a.String()); got != a || err != nil {
			t.Errorf("Parse(%q) = %v, %v", a, got, err)
		}
	}
	if _, err := chap.Parse("md5"); err == nil || !strings.Contains(err.Error(), "hint") {
		t.Errorf("Parse(md5): %v", err)
	}
	if got, want := chap.Names("7,9,MD5,0x8"), "7 (SHA-256), 9, MD5, 0x8 (SHA3-256)"; got != want {
		t.Errorf("Names = %q, want %q", got, want)
	}
	if long := strings.Repeat("7,", 4096); chap.Names(long) != long {
		t.Error("Names makes a long offer longer")
	}
	if got := chap.Algorithm(9).String(); got != "algorithm 9" {
		t.Error(got)
	}
}

func TestDecode(t *testing.T) {
	long := strings.Repeat("ab", chap.MaxBinary)
	tests := []struct {
		text string
		want string // hexadecimal; empty is an error
	}{
		{"0x00ff", "00ff"},
		{"0XaBcD", "abcd"},
		{"0bAP8=", "00ff"},
		{"0BAP8=", "00ff"},
		{"0x" + long, long},
		{"0x" + long + "00", ""},
		{"0b" + strings.Repeat("AAAA", 342), ""}, // 1026 bytes
		{"0x", ""},
		{"0b", ""},
		{"", ""},
		{"0", ""},
		{"0x0", ""},
		{"0x0g", ""},
		{"00ff", ""},
		{"1234", ""},
		{"0bAP8", ""},
		{"0bAP9=", ""}, // bits beyond the last byte
		{"0bAP\n8=", ""},
		{"0bA_8=", ""},
		{"0x 00", ""},
	}
	for _, tt := range tests {
		got, err := chap.Decode(tt.text)
		if hex.EncodeToString(got) != tt.want || (err == nil) != (tt.want != "") {
			t.Errorf("Decode(%.40q) = %x, %v; want %q", tt.text, got, err, tt.want)
		}
	}
}

func TestChoose(t *testing.T) {
	tests := []struct {
		ours  []chap.Algorithm
		offer string
		want  chap.Algorithm // 0 is none
	}{
		{chap.Algorithms(), "5", chap.MD5},
		{chap.Algorithms(), "7,5", chap.SHA256},
		{chap.Algorithms(), "5,7", chap.SHA256}, // our order, not theirs
		{chap.Algorithms(), "5,6,7,8", chap.SHA3256},
		{[]chap.Algorithm{chap.MD5, chap.SHA256}, "7,5", chap.MD5},
		{[]chap.Algorithm{chap.SHA256}, "5,6", 0},
		{chap.Algorithms(), "0x5", chap.MD5},
		{chap.Algorithms(), "MD5", 0},
		{chap.Algorithms(), "5 ", 0},
		{chap.Algorithms(), "261", 0}, // 5 in eight bits
		{chap.Algorithms(), "", 0},
		{chap.Algorithms(), ",,", 0},
		{[]chap.Algorithm{9}, "9", 0}, // none that there is
	}
	for _, tt := range tests {
		if got, ok := chap.Choose(tt.ours, tt.offer); got != tt.want || ok != (tt.want != 0) {
			t.Errorf("Choose(%v, %q) = %v, %v; want %v", tt.ours, tt.offer, got, ok, tt.want)
		}
	}
}

func TestChallenger(t *testing.T) {
	ours, other := chap.NewChallenger(), chap.NewChallenger()
	seen := map[string]bool{}
	var last byte
	for i := range 300 {
		id, c := ours.Next()
		if len(c) != 32 || seen[string(c)] || i > 0 && id == last {
			t.Fatalf("challenge %d is %x with identifier %d, after %d", i, c, id, last)
		}
		seen[string(c)], last = true, id
		if !ours.Made(c) || other.Made(c) {
			t.Fatalf("challenge %x is taken for another's", c)
		}
		c[i%32] ^= 1
		if ours.Made(c) || ours.Made(c[:31]) || ours.Made(nil) {
			t.Fatalf("%x was not made here", c)
		}
	}
}

// FuzzDecode holds what Decode takes against its bounds and against Encode.
func FuzzDecode(f *testing.F) {
	for _, s := range []string{"0x00ff", "0bAP8=", "0x", "0xabc", "255", "0x10", "5,6,7"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, v string) {
		if b, err := chap.Decode(v); err == nil {
			again, err := chap.Decode(chap.Encode(b))
			if len(b) == 0 || len(b) > chap.MaxBinary || err != nil || !bytes.Equal(again, b) {
				t.Errorf("Decode(%q) = %x; encoded and decoded %x, %v", v, b, again, err)
			}
		}
		chap.DecodeID(v)
		if a, ok := chap.Choose(chap.Algorithms(), v); ok {
			a.Response(0, nil, nil)
		}
	})
}

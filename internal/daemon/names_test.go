package daemon

import (
	"strings"
	"testing"

	"spindle/internal/api/client"
)

// Two drives of one iSCSI name would hide one of them: a file that makes such is
// not used, at start and later.
func TestOneTargetForTwoDrives(t *testing.T) {
	for _, tt := range []struct{ name, file, want string }{
		{"names in capitals", "[drive.CD0]\n[drive.cd0]\n", `drive.cd0: its target would be "` + TargetName("cd0") + `", and that is drive CD0's (hint: give one`},
		{"names with other signs", "[drive.a-b]\n[drive.a_b]\n", `drive.a_b: its target would be "` + TargetName("a-b")},
		{"a default as target", "[drive.cd0]\n[drive.cd1.iscsi]\ntarget = \"" + TargetName("cd0") + "\"\n", `drive.cd1.iscsi.target: its target would be "` + TargetName("cd0")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t)
			r.write(tt.file)
			if err := r.tryStart(); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("start: %v, want %s", err, tt.want)
			}
			r.start(cd0HasA)
			r.write(tt.file)
			s := r.await("alarm", func(s *client.Status) bool { return alarmAbout(s, "config") != "" })
			if text := alarmAbout(&s, "config"); !strings.Contains(text, tt.want) || len(s.Drives) != 1 {
				t.Errorf("alarm %q with %d drives, want %s with one", text, len(s.Drives), tt.want)
			}
		})
	}
}

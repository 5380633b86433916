package machine

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
)

// TestOnlyACDROMNeedsSATA looks at the command line that QEMU gets;
// TestEveryDeviceIsOneThatQEMUHas starts one with each kind of disk.
func TestOnlyACDROMNeedsSATA(t *testing.T) {
	for bus, want := range map[string]string{
		"":       "q35,sata=off",
		"virtio": "q35,sata=off",
		"nvme":   "q35,sata=off",
		"usb":    "q35,sata=off",
		"cdrom":  "q35",
	} {
		if got := argument(t, Config{Disks: []Disk{{Bus: bus}}}, "-machine"); got != want {
			t.Errorf("a disk on %q: -machine %s, want %s", bus, got, want)
		}
	}
	if got, want := argument(t, Config{}, "-machine"), "q35,sata=off"; got != want {
		t.Errorf("no disk: -machine %s, want %s", got, want)
	}
}

func TestProcessor(t *testing.T) {
	for _, test := range []struct {
		name string
		give Config
		want string
	}{
		{"TCG by default", Config{}, "max,-erms,-cx16"},
		{"TCG", Config{Accelerator: TCG}, "max,-erms,-cx16"},
		{"the host's own", Config{Accelerator: KVM}, "max"},
		{"asked for", Config{CPU: "qemu64"}, "qemu64"},
	} {
		if got := argument(t, test.give, "-cpu"); got != test.want {
			t.Errorf("%s: -cpu %s, want %s", test.name, got, test.want)
		}
	}
}

// argument is what stands behind an option, which must be there once.
func argument(t *testing.T, c Config, option string) string {
	t.Helper()
	line := commandLine(c)
	i := slices.Index(line, option)
	if i < 0 || slices.Contains(line[i+1:], option) {
		t.Fatalf("%s is not there once: %s", option, strings.Join(line, " "))
	}
	return line[i+1]
}

func TestKeystroke(t *testing.T) {
	for r, want := range map[rune]string{
		'a': "a, a up", '7': "7, 7 up", '\r': "ret, ret up", '/': "slash, slash up",
		'A': "shift, a, a up, shift up", ':': "shift, semicolon, semicolon up, shift up", '_': "shift, minus, minus up, shift up",
	} {
		events, err := keystroke(r)
		var got []string
		for _, e := range events {
			var event struct {
				Data struct {
					Down bool
					Key  struct{ Type, Data string }
				}
			}
			text, failed := json.Marshal(e)
			if err := errors.Join(failed, json.Unmarshal(text, &event)); err != nil {
				t.Fatal(err)
			}
			name := event.Data.Key.Data
			if !event.Data.Down {
				name += " up"
			}
			got = append(got, name)
		}
		if text := strings.Join(got, ", "); err != nil || text != want {
			t.Errorf("%q: %s, %v, want %s", r, text, err, want)
		}
	}
	if _, err := keystroke('é'); err == nil {
		t.Error("an American keyboard types é")
	}
}

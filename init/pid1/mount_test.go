package pid1

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestMountFlags wants no set-uid bits anywhere, no programs anywhere, and
// device nodes only where they belong.
func TestMountFlags(t *testing.T) {
	for _, m := range append(mounts(), lateMounts()...) {
		if m.Flags&unix.MS_NOSUID == 0 {
			t.Errorf("%s honours set-uid bits", m.Target)
		}
		if m.Flags&unix.MS_NOEXEC == 0 {
			t.Errorf("%s holds programs", m.Target)
		}
		devices := m.Flags&unix.MS_NODEV == 0
		if want := m.Target == "/dev" || m.Target == "/dev/pts"; devices != want {
			t.Errorf("%s: device nodes %v, want %v", m.Target, devices, want)
		}
		if m.Type == "tmpfs" && !strings.Contains(m.Data, "size=") {
			t.Errorf("%s can fill the memory", m.Target)
		}
		if m.Type == "efivarfs" && m.Flags&unix.MS_RDONLY == 0 {
			t.Errorf("%s: firmware variables are writable", m.Target)
		}
	}
}

// TestMountOrder wants parents before what is mounted below them, and what the
// kernel might not have only late.
func TestMountOrder(t *testing.T) {
	var targets []string
	for _, m := range append(mounts(), lateMounts()...) {
		for dir := filepath.Dir(m.Target); dir != "/"; dir = filepath.Dir(dir) {
			if isTarget(dir) && !slices.Contains(targets, dir) {
				t.Errorf("%s is mounted before %s", m.Target, dir)
			}
		}
		targets = append(targets, m.Target)
	}
	for _, m := range mounts() {
		if m.IfPresent {
			t.Errorf("%s: the children need it", m.Target)
		}
	}
}

func isTarget(dir string) bool {
	return slices.ContainsFunc(mounts(), func(m Mount) bool { return m.Target == dir })
}

func TestDeviceMounts(t *testing.T) {
	const table = `21 1 0:2 / / rw - rootfs rootfs rw
22 21 0:5 / /dev rw,nosuid - devtmpfs devtmpfs rw
30 21 254:1 / /state rw,nosuid,nodev shared:1 - ext4 /dev/vda1 rw
31 30 254:2 / /state/with\040blank\134 rw - vfat /dev/vda2 rw
32 21 254:0 / / rw - ext4 /dev/root rw
33 21 0:9 / /run/dipper rw - tmpfs tmpfs rw
broken line
34 21 0:9 / - ext4
`
	want := []string{`/state/with blank\`, "/state"}
	if got := deviceMounts([]byte(table)); !slices.Equal(got, want) {
		t.Errorf("deviceMounts: %q, want %q", got, want)
	}
}

func FuzzDeviceMounts(f *testing.F) {
	f.Add([]byte("30 21 254:1 / /a\\040b rw - ext4 /dev/vda1 rw\n"))
	f.Add([]byte("30 21 254:1 / /a\\ rw - ext4 /dev/vda1 rw\n"))
	f.Add([]byte(" - "))
	f.Fuzz(func(t *testing.T, table []byte) {
		for _, dir := range deviceMounts(table) {
			if dir == "/" {
				t.Error("the root is never unmounted")
			}
		}
	})
}

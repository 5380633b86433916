package bootconfig

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"
)

func TestNamedVolume(t *testing.T) {
	m := newMachine(t)
	m.commandLine("dipper.config=label:my-volume")
	m.volume("sda1", "MY-VOLUME", map[string]string{VolumeFile: "role: director\n"})
	result, err := m.acquire()
	if err != nil {
		t.Fatal(err)
	}
	wantSteps(t, result.Steps, `
kernel command line: /dev/sda1 (ext4, label MY-VOLUME): dipper.yaml: found
`)
}

// TestNamedVolumeComesLate has a drive that appears three seconds after init.
func TestNamedVolumeComesLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMachine(t)
		m.commandLine("dipper.config=label:STICK")
		go func() {
			time.Sleep(3 * time.Second)
			m.volume("sda", "STICK", map[string]string{VolumeFile: "role: director\n"})
		}()
		result, err := m.acquire()
		took := result.Steps[0].Took
		if err != nil || took < 3*time.Second || took > 3*time.Second+2*scanInterval {
			t.Errorf("%v\n%s", err, steps(result.Steps))
		}
	})
}

func TestNamedVolumeDoesNotCome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMachine(t)
		m.commandLine("dipper.config=label:STICK")
		m.volume("vda", "OTHER", nil)
		result, _ := m.acquire()
		step := result.Steps[0]
		want := "no volume is labelled STICK after 10s; there are /dev/vda (ext4, label OTHER)"
		if step.Outcome != Failed || step.Detail != want {
			t.Errorf("step is %+v", step)
		}
	})
}

// TestNamedVolumeIsBlank: absence where somebody named a place is a fault.
func TestNamedVolumeIsBlank(t *testing.T) {
	for content, want := range map[string]string{"\n": "it is empty", "": "it is empty", "-": "the volume has no file dipper.yaml"} {
		m := newMachine(t)
		m.commandLine("dipper.config=label:STICK")
		if content == "-" {
			m.volume("vda", "STICK", nil)
		} else {
			m.volume("vda", "STICK", map[string]string{VolumeFile: content})
		}
		result, _ := m.acquire()
		if step := result.Steps[0]; step.Outcome != Failed || step.Detail != want {
			t.Errorf("step is %s, want failed: %s", step, want)
		}
	}
}

func TestVolumes(t *testing.T) {
	config := map[string]string{VolumeFile: "role: director\n"}
	for _, test := range []struct {
		name  string
		setUp func(*fakeMachine)
		want  string
	}{
		{"a broken one does not hide the next", func(m *fakeMachine) {
			m.disk("vda", extImage("DIPPER"))
			m.volume("vdb", "DIPPER", config)
		}, "volume: /dev/vdb (ext4, label DIPPER): dipper.yaml: found"},
		{"DIPPER goes before cidata", func(m *fakeMachine) {
			m.volume("vda", "cidata", config)
			m.volume("vdb", "dipper", config)
		}, "volume: /dev/vdb (ext4, label dipper): dipper.yaml: found"},
		{"a fixed disk goes before USB", func(m *fakeMachine) {
			m.usbDisk("sda", "DIPPER", config)
			m.volume("vda", "DIPPER", config)
		}, "volume: /dev/vda (ext4, label DIPPER): dipper.yaml: found"},
		{"capitals, as plain ISO 9660", func(m *fakeMachine) {
			m.volume("sr0", "DIPPER", map[string]string{"DIPPER.YAML": "role: director\n"})
		}, "volume: /dev/sr0 (ext4, label DIPPER): dipper.yaml: found"},
		{"the fault is told, not the absence", func(m *fakeMachine) {
			m.volume("vda", "DIPPER", nil)
			m.disk("vdb", extImage("DIPPER"))
		}, "volume: /dev/vdb (ext4, label DIPPER): dipper.yaml: failed: mount /dev/vdb: bad superblock"},
		{"too large", func(m *fakeMachine) {
			m.volume("vda", "DIPPER", map[string]string{VolumeFile: strings.Repeat("#", MaxSize+1)})
		}, "volume: /dev/vda (ext4, label DIPPER): dipper.yaml: failed: read dipper.yaml: " + errTooLarge.Error()},
		{"an empty drive and a loop device", func(m *fakeMachine) {
			m.disk("sr0", nil)
			m.disk("loop0", extImage("DIPPER"))
		}, "volume: absent: no volume is labelled DIPPER or cidata"},
		{"a name with a slash", func(m *fakeMachine) {
			m.volume("cciss/c0d0", "DIPPER", config)
			m.file("sys/class/block/cciss!c0d0/size", "8\n")
		}, "volume: /dev/cciss/c0d0 (ext4, label DIPPER): dipper.yaml: found"},
	} {
		t.Run(test.name, func(t *testing.T) {
			m := newMachine(t)
			test.setUp(m)
			result, _ := m.acquire()
			if got := steps(result.Steps[4:5]); got != test.want+"\n" {
				t.Errorf("got  %swant %s", got, test.want)
			}
		})
	}
}

// TestVolumeCannotReachOut has a link on the volume to a file of the machine.
func TestVolumeCannotReachOut(t *testing.T) {
	m := newMachine(t)
	m.volume("vda", "DIPPER", nil)
	secret := filepath.Join(t.TempDir(), "secret")
	link := filepath.Join(m.mounted("vda"), VolumeFile)
	if err := errors.Join(os.WriteFile(secret, []byte("role: director\n"), 0o600), os.Symlink(secret, link)); err != nil {
		t.Fatal(err)
	}
	result, err := m.acquire()
	if step := result.Steps[4]; !errors.Is(err, ErrNone) || step.Outcome != Failed {
		t.Errorf("step is %+v", step)
	}
}

// TestKernelMounts lets the kernel mount a real ext4, as PID 1 would.
func TestKernelMounts(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("mounting needs root")
	}
	source := t.TempDir()
	if err := os.WriteFile(filepath.Join(source, VolumeFile), []byte("role: director\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	image := made(t, 4*mebi, "mkfs.ext4", "-q", "-L", "DIPPER", "-d", source, "FILE")
	out, err := exec.CommandContext(t.Context(), "losetup", "--find", "--show", image).Output()
	if err != nil {
		t.Skipf("no loop device to be had: %v", err)
	}
	device := strings.TrimSpace(string(out))
	t.Cleanup(func() {
		if out, err := exec.Command("losetup", "--detach", device).CombinedOutput(); err != nil {
			t.Errorf("losetup --detach %s: %v\n%s", device, err, out)
		}
	})
	mounts := kernelMounter{filepath.Join(t.TempDir(), "volumes")}
	m := newMachine(t)
	a := newAcquisition(Machine{Root: m.root, Mounter: mounts})
	data, err := a.readVolume(volume{device: device, filesystem: Filesystem{Type: "ext4"}}, VolumeFile)
	if err != nil || string(data) != "role: director\n" {
		t.Errorf("got %q, %v", data, err)
	}
	left, err := os.ReadDir(mounts.directory)
	if err != nil || len(left) != 0 {
		t.Errorf("mount points left behind: %v, %v", left, err)
	}
	if _, err := a.readVolume(volume{device: device, filesystem: Filesystem{Type: "nosuchfs"}}, VolumeFile); err == nil {
		t.Error("mounting an unknown file system succeeds")
	}
	readWhileWritten(t, a, device)
}

// readWhileWritten reads a volume that the control plane has mounted already,
// and does not write to it.
func readWhileWritten(t *testing.T, a *acquisition, device string) {
	t.Helper()
	written := t.TempDir()
	if err := unix.Mount(device, written, "ext4", 0, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(written, 0); err != nil {
			t.Error(err)
		}
	})
	directory, unmount, err := a.Mounter.Mount(device, "ext4")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(directory, "file"), nil, 0o600); !errors.Is(err, unix.EROFS) {
		t.Errorf("write to it: %v, want a read-only file system", err)
	}
	if err := unmount(); err != nil {
		t.Fatal(err)
	}
	if data, err := a.readVolume(volume{device: device, filesystem: Filesystem{Type: "ext4"}}, VolumeFile); err != nil || string(data) != "role: director\n" {
		t.Errorf("got %q, %v", data, err)
	}
}

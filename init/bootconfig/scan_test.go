package bootconfig

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"
)

// usbHub adds a USB host controller, whose root hub has a state of runtime
// power management.
func (m *fakeMachine) usbHub(status string) {
	m.file("sys/bus/usb/devices/usb1/power/runtime_status", status+"\n")
}

// usbInterface adds a device on USB with one interface of a class.
func (m *fakeMachine) usbInterface(class string) {
	m.file("sys/bus/usb/devices/1-1:1.0/bInterfaceClass", class+"\n")
}

// usbDisk adds a volume whose place in sysfs is behind USB.
func (m *fakeMachine) usbDisk(name, label string, files map[string]string) {
	m.volume(name, label, files)
	class := filepath.Join(m.root, "sys/class/block", name)
	device := filepath.Join(m.root, "sys/devices/pci0000:00/usb1/1-1/1-1:1.0/host0/target0:0:0/0:0:0:0/block", name)
	disk := filepath.Join(m.root, "sys/bus/usb/devices/1-1:1.0/host0/target0:0:0/0:0:0:0/block", name)
	err := errors.Join(os.MkdirAll(filepath.Dir(device), 0o755), os.MkdirAll(disk, 0o755),
		os.Rename(class, device), os.Symlink(device, class))
	if err != nil {
		m.t.Fatal(err)
	}
}

// TestUSBPatience asks how long sources 2 and 4 wait in machines with USB.
func TestUSBPatience(t *testing.T) {
	for _, test := range []struct {
		name   string
		setUp  func(*fakeMachine)
		waited time.Duration
		found  bool
	}{
		{"no USB", func(*fakeMachine) {}, 0, false},
		{"USB without anything in it", func(m *fakeMachine) { m.usbHub("suspended") }, 0, false},
		{"a keyboard", func(m *fakeMachine) { m.usbHub("active"); m.usbInterface("03") }, usbEnumeration, false},
		{"a stick that comes after two seconds", func(m *fakeMachine) {
			m.usbHub("active")
			m.usbInterface("08")
			time.Sleep(2 * time.Second)
			m.usbDisk("sda", "DIPPER", map[string]string{VolumeFile: "role: director\n"})
		}, 2 * time.Second, true},
		{"a stick that never gets ready", func(m *fakeMachine) { m.usbHub("active"); m.usbInterface("08") }, usbPatience, false},
		{"a kernel without power management", func(m *fakeMachine) { m.file("sys/bus/usb/devices/usb1/speed", "480") }, usbEnumeration, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := newMachine(t)
				go test.setUp(m)
				synctest.Wait()
				started := time.Now()
				_, err := m.acquire()
				waited := time.Since(started)
				if waited < test.waited || waited > test.waited+2*scanInterval {
					t.Errorf("waited %s, want %s", waited, test.waited)
				}
				if found := err == nil; found != test.found {
					t.Errorf("found: %t, want %t (%v)", found, test.found, err)
				}
			})
		})
	}
}

// TestUnreadableDisk has a device that cannot be opened: the others count.
func TestUnreadableDisk(t *testing.T) {
	m := newMachine(t)
	m.file("sys/class/block/sda/size", "8\n")
	m.volume("sdb", "DIPPER", map[string]string{VolumeFile: "role: director\n"})
	if result, err := m.acquire(); err != nil {
		t.Errorf("%v\n%s", err, steps(result.Steps))
	}
}

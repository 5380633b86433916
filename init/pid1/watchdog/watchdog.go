// Package watchdog owns the machine's watchdog devices: which to take, how
// long they wait, and petting them. When to pet is its caller's decision.
//
// A device stays armed when the machine ends: a shutdown that hangs is bitten
// too. The kernel's drivers stop it themselves at reboot(2), where they must.
package watchdog

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// ErrNone is what Choose says on a machine without any watchdog.
var ErrNone = errors.New("no watchdog device")

// Device is a watchdog that the kernel offers.
type Device struct {
	Name     string // "watchdog0"
	Identity string // "i6300ESB timer"
	Software bool   // the kernel's own timer, which dies with the kernel
}

// software is the identity of the kernel's own timer (drivers/watchdog/softdog.c).
// That a device is virtual in sysfs says nothing: so are those of drivers that
// name no parent, i6300esb's for one.
const software = "Software Watchdog"

// Devices lists the watchdogs below sysfs, normally /sys/class/watchdog. It
// opens none: to open a watchdog is to arm it.
func Devices(sysfs string) ([]Device, error) {
	links, err := filepath.Glob(filepath.Join(sysfs, "watchdog*"))
	if err != nil {
		return nil, fmt.Errorf("watchdogs: %w", err)
	}
	var all []Device
	for _, link := range links {
		text, err := os.ReadFile(filepath.Join(link, "identity"))
		if err != nil {
			text = []byte("unknown") // and so taken for hardware
		}
		identity := strings.TrimSpace(string(text))
		all = append(all, Device{
			Name: filepath.Base(link), Identity: identity, Software: identity == software,
		})
	}
	return all, nil
}

// Choose takes all hardware: some chip sets offer a watchdog whose reset line
// the board left unconnected, and there may be another that bites. The kernel's
// own timer is for machines without any.
func Choose(devices []Device) ([]Device, error) {
	var hardware []Device
	for _, d := range devices {
		if !d.Software {
			hardware = append(hardware, d)
		}
	}
	switch {
	case len(hardware) > 0:
		return hardware, nil
	case len(devices) > 0:
		return devices[:1], nil
	}
	return nil, ErrNone
}

// Dog is an armed watchdog.
type Dog struct {
	Device
	Timeout time.Duration // what the driver made of the wish
	// Bit tells that the last reset of the machine was this watchdog's, as far
	// as its hardware remembers.
	Bit bool

	f *os.File
}

// Arm opens a watchdog below dev, normally /dev, which arms it, and asks for a
// timeout. A driver that refuses the timeout keeps its own.
func Arm(dev string, d Device, timeout time.Duration) (*Dog, error) {
	f, err := os.OpenFile(filepath.Join(dev, d.Name), os.O_WRONLY, 0)
	if err != nil {
		return nil, fmt.Errorf("watchdog %s: %w", d.Name, err)
	}
	dog := &Dog{Device: d, f: f}
	fd := int(f.Fd())
	if status, err := unix.IoctlGetInt(fd, unix.WDIOC_GETBOOTSTATUS); err == nil {
		dog.Bit = status&unix.WDIOF_CARDRESET != 0
	}
	// Out of the driver's range: what is in force is asked next.
	_ = unix.IoctlSetPointerInt(fd, unix.WDIOC_SETTIMEOUT, int(timeout/time.Second))
	seconds, err := unix.IoctlGetInt(fd, unix.WDIOC_GETTIMEOUT)
	if err != nil {
		return dog, fmt.Errorf("watchdog %s: timeout: %w", d.Name, err)
	}
	dog.Timeout = time.Duration(seconds) * time.Second
	return dog, nil
}

// Pet holds the watchdog off for another Timeout. Any byte does but 'V', which
// would disarm it (Documentation/watchdog/watchdog-api.rst).
func (d *Dog) Pet() error {
	if _, err := d.f.Write([]byte{0}); err != nil {
		return fmt.Errorf("watchdog %s: %w", d.Name, err)
	}
	return nil
}

// String is the watchdog as the log has it.
func (d *Dog) String() string { return fmt.Sprintf("%s (%s), %v", d.Name, d.Identity, d.Timeout) }

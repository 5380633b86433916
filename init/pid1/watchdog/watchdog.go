// Package watchdog owns the machine's watchdog device: which one to take, how
// long it waits, and petting it. When to pet is its caller's decision.
//
// The device stays armed when the machine ends: a shutdown that hangs is
// bitten too. The kernel's drivers stop it themselves at reboot(2), where they
// must.
package watchdog

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/u-root/u-root/pkg/watchdog"
	"golang.org/x/sys/unix"
)

// ErrNone is what Open says on a machine without any watchdog.
var ErrNone = errors.New("no watchdog device")

// Device is a watchdog that the kernel offers.
type Device struct {
	Name     string // "watchdog0"
	Identity string // "i6300ESB timer"
	Software bool   // the kernel's own timer, which dies with the kernel
}

// Devices lists the watchdogs below sysfs, normally /sys/class/watchdog. It
// opens none: to open a watchdog is to arm it.
func Devices(sysfs string) ([]Device, error) {
	links, err := filepath.Glob(filepath.Join(sysfs, "watchdog*"))
	if err != nil {
		return nil, fmt.Errorf("watchdogs: %w", err)
	}
	var all []Device
	for _, link := range links {
		target, err := filepath.EvalSymlinks(link)
		if err != nil {
			return nil, fmt.Errorf("watchdogs: %w", err)
		}
		identity, err := os.ReadFile(filepath.Join(link, "identity"))
		if err != nil {
			identity = []byte("unknown") // a name for the log, nothing more
		}
		all = append(all, Device{
			Name:     filepath.Base(link),
			Identity: strings.TrimSpace(string(identity)),
			Software: strings.Contains(target, "/devices/virtual/"),
		})
	}
	return all, nil
}

// Choose prefers hardware, which also bites when the kernel hangs.
func Choose(devices []Device) (Device, error) {
	for _, d := range devices {
		if !d.Software {
			return d, nil
		}
	}
	if len(devices) > 0 {
		return devices[0], nil
	}
	return Device{}, ErrNone
}

// Dog is an armed watchdog.
type Dog struct {
	Device
	Timeout time.Duration // what the driver made of the wish
	// Bit tells that the last reset of the machine was this watchdog's, as far
	// as its hardware remembers.
	Bit bool

	wd *watchdog.Watchdog
}

// Arm opens a watchdog, which arms it, and asks for a timeout. A driver that
// refuses the timeout keeps its own.
func Arm(d Device, timeout time.Duration) (*Dog, error) {
	wd, err := watchdog.Open(filepath.Join("/dev", d.Name))
	if err != nil {
		return nil, fmt.Errorf("watchdog %s: %w", d.Name, err)
	}
	dog := &Dog{Device: d, wd: wd}
	if status, err := wd.BootStatus(); err == nil {
		dog.Bit = status&unix.WDIOF_CARDRESET != 0
	}
	if err := wd.SetTimeout(timeout); err != nil {
		// Petted often enough for any timeout; the one in force is asked below.
		timeout = 0
	}
	dog.Timeout, err = wd.Timeout()
	if err != nil {
		dog.Timeout = timeout
	}
	return dog, nil
}

// Pet holds the watchdog off for another Timeout.
func (d *Dog) Pet() error {
	if err := d.wd.KeepAlive(); err != nil {
		return fmt.Errorf("watchdog %s: %w", d.Name, err)
	}
	return nil
}

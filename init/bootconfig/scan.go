package bootconfig

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// How long volumes are waited for.
const (
	// probePatience is for a disk to give up its superblock: a dying one may
	// take minutes, and must not keep the machine from its boot.
	probePatience = 5 * time.Second
	// usbPatience is for all USB drives to appear. A stick needs about 2 s:
	// the port's debounce, enumeration, and usb-storage's delay_use of 1 s.
	usbPatience = 8 * time.Second
	// usbEnumeration is how long a USB port with something in it may look empty
	// after the kernel has started init.
	usbEnumeration = time.Second
	scanInterval   = 100 * time.Millisecond
)

// scan knows the volumes of the machine. Disks are there when init starts, as
// the kernel waits for their probes; USB drives are not. It looks at the disks
// when first asked and again only to wait for a label that is missing.
type scan struct {
	root    string
	log     *slog.Logger
	started time.Time
	volumes []volume
	probed  map[string]bool // devices by path: done with, or (false) to be tried again
	settled bool            // no USB drive is on its way
}

// find lists the volumes with one of the labels: in the order of the labels,
// fixed disks before USB. If there is none it waits for USB drives, once, and
// only in a machine with USB.
func (s *scan) find(ctx context.Context, labels ...string) []volume {
	s.refresh(ctx)
	deadline := s.started.Add(usbPatience)
	for {
		if found := s.labelled(labels...); len(found) > 0 || s.settled {
			return found
		}
		s.settled = usbSettled(s.root, time.Since(s.started)) || time.Now().After(deadline)
		if !s.settled && !sleep(ctx, scanInterval) {
			return nil
		}
		s.refresh(ctx)
	}
}

// await waits until there is a volume with the label.
func (s *scan) await(ctx context.Context, label string, patience time.Duration) ([]volume, error) {
	for deadline := time.Now().Add(patience); ; {
		s.refresh(ctx)
		if found := s.labelled(label); len(found) > 0 {
			return found, nil
		}
		if time.Now().After(deadline) {
			return nil, fmt.Errorf("no volume is labelled %s after %s; there are %s", label, patience, s)
		}
		if !sleep(ctx, scanInterval) {
			return nil, context.Cause(ctx)
		}
	}
}

func (s *scan) labelled(labels ...string) []volume {
	var found []volume
	for _, label := range labels {
		for _, v := range s.volumes {
			if v.hasLabel(label) {
				found = append(found, v)
			}
		}
	}
	return found
}

// String lists the volumes, for an error that names none of them.
func (s *scan) String() string {
	if len(s.volumes) == 0 {
		return "no volumes at all"
	}
	names := make([]string, len(s.volumes))
	for i, v := range s.volumes {
		names[i] = v.String()
	}
	return strings.Join(names, ", ")
}

// refresh probes the block devices that were not there the last time, or could
// not be read: sysfs may show a drive before it has a node in /dev.
func (s *scan) refresh(ctx context.Context) {
	devices, err := blockDevices(s.root)
	if err != nil {
		s.log.ErrorContext(ctx, "list the block devices", "error", err)
	}
	if s.probed == nil {
		s.probed = map[string]bool{}
	}
	var fresh []blockDevice
	for _, device := range devices {
		if !s.probed[device.path] {
			fresh = append(fresh, device)
		}
	}
	s.volumes = append(s.volumes, s.probeAll(ctx, fresh)...)
}

// probedDevice is what came of one device.
type probedDevice struct {
	index      int
	filesystem Filesystem
	ok         bool
	err        error
}

// probeAll probes devices side by side, and leaves behind those that do not
// answer in time: their goroutines end when the kernel gives up on the disk.
func (s *scan) probeAll(ctx context.Context, devices []blockDevice) []volume {
	results := make(chan probedDevice, len(devices))
	for i, device := range devices {
		go func() {
			filesystem, ok, err := probeDevice(filepath.Join(s.root, device.path))
			results <- probedDevice{i, filesystem, ok, err}
		}()
	}
	answers := make([]*probedDevice, len(devices))
	timeout := time.After(probePatience)
	for range devices {
		select {
		case answer := <-results:
			answers[answer.index] = &answer
		case <-timeout:
			return s.collect(ctx, devices, answers)
		case <-ctx.Done():
			return nil
		}
	}
	return s.collect(ctx, devices, answers)
}

func (s *scan) collect(ctx context.Context, devices []blockDevice, answers []*probedDevice) []volume {
	var volumes []volume
	for i, answer := range answers {
		device := devices[i]
		_, again := s.probed[device.path]
		s.probed[device.path] = answer == nil || answer.err == nil
		switch {
		case answer == nil:
			s.log.ErrorContext(ctx, "disk does not answer, it is left out", "device", device.path, "after", probePatience)
		case answer.err != nil && !again:
			s.log.WarnContext(ctx, "disk cannot be read", "device", device.path, "error", answer.err)
		case answer.ok:
			volumes = append(volumes, volume{device.path, answer.filesystem, device.usb})
		}
	}
	return volumes
}

func probeDevice(path string) (found Filesystem, ok bool, err error) {
	file, err := os.Open(path)
	if err != nil {
		return Filesystem{}, false, err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	found, ok = probe(file)
	return found, ok, nil
}

// usbSettled tells whether no more USB drive is to be expected: there is no USB;
// or there was time to enumerate, and every storage interface has its disk.
// Root hubs that the kernel has suspended are enumerated and empty, which is
// known at once (drivers/usb/core/hub.c, hub_init_func3).
func usbSettled(root string, sinceStart time.Duration) bool {
	hubs, _ := filepath.Glob(filepath.Join(root, "sys/bus/usb/devices/usb*")) // the pattern is well-formed
	if allSuspended(hubs) {
		return true
	}
	if sinceStart < usbEnumeration {
		return false
	}
	interfaces, _ := filepath.Glob(filepath.Join(root, "sys/bus/usb/devices/*:*")) // as above
	for _, directory := range interfaces {
		if isStorage(directory) && !hasDisk(directory) {
			return false
		}
	}
	return true
}

func allSuspended(hubs []string) bool {
	for _, hub := range hubs {
		status, err := os.ReadFile(filepath.Join(hub, "power/runtime_status"))
		if err != nil || strings.TrimSpace(string(status)) != "suspended" {
			return false
		}
	}
	return true
}

// isStorage tells whether a USB interface is of the mass storage class (08).
func isStorage(directory string) bool {
	class, err := os.ReadFile(filepath.Join(directory, "bInterfaceClass"))
	return err == nil && strings.TrimSpace(string(class)) == "08"
}

func hasDisk(directory string) bool {
	disks, _ := filepath.Glob(filepath.Join(directory, "host*/target*/*/block/*")) // as above
	return len(disks) > 0
}

// sleep waits, and says whether it did so to the end.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

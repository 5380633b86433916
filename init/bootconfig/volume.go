package bootconfig

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"
)

// The volumes that hold a boot config, by the label of their file system, and
// the file on them. Labels are compared without regard to case.
const (
	// StateLabel is the label of the appliance's own volume.
	StateLabel = "DIPPER-STATE"
	// StateFile is the committed configuration on it.
	StateFile = "config/dipper.yaml"
	// VolumeLabel is the label of a volume made for a boot config.
	VolumeLabel = "DIPPER"
	// CloudLabel is the label of the volume that clouds and hypervisors attach
	// for cloud-init's NoCloud.
	CloudLabel = "cidata"
	// VolumeFile is the boot config on either.
	VolumeFile = "dipper.yaml"
)

// labelPatience is how long a volume named on the command line is waited for.
const labelPatience = 10 * time.Second

// Mounter makes the files of a block device readable.
type Mounter interface {
	// Mount mounts device, a path in /dev, read-only and without trust in what
	// it holds, and returns the directory and what undoes it.
	Mount(device, fsType string) (directory string, unmount func() error, err error)
}

// fromStateVolume is source 2: what an administrator committed on this machine.
func (a *acquisition) fromStateVolume(ctx context.Context) (finding, error) {
	volumes := a.scan.find(ctx, StateLabel)
	if len(volumes) == 0 {
		return finding{}, absentError{"no volume is labelled " + StateLabel}
	}
	return a.readFirst(volumes, StateFile)
}

// fromVolume is source 4: a volume that somebody attached.
func (a *acquisition) fromVolume(ctx context.Context) (finding, error) {
	volumes := a.scan.find(ctx, VolumeLabel, CloudLabel)
	if len(volumes) == 0 {
		return finding{}, absentError{"no volume is labelled " + VolumeLabel + " or " + CloudLabel}
	}
	return a.readFirst(volumes, VolumeFile)
}

// fromNamedVolume is label:NAME of source 1. It waits, because somebody says
// that the volume exists.
func (a *acquisition) fromNamedVolume(ctx context.Context, label string) (finding, error) {
	found := finding{place: "label:" + label}
	if label == "" {
		return found, errors.New("label: is without a name")
	}
	volumes, err := a.scan.await(ctx, label, labelPatience)
	if err != nil {
		return found, err
	}
	return a.readFirst(volumes, VolumeFile)
}

// readFirst reads name from the first of the volumes that has it. A volume that
// cannot be read does not hide the next one; its error counts if none has it.
func (a *acquisition) readFirst(volumes []volume, name string) (finding, error) {
	var first finding
	var firstErr error
	for _, v := range volumes {
		data, err := a.readVolume(v, name)
		found := finding{place: v.String() + ": " + name, data: data}
		if err == nil {
			return found, nil
		}
		if firstErr == nil || (errors.As(firstErr, new(absentError)) && !errors.As(err, new(absentError))) {
			first, firstErr = found, err
		}
	}
	return first, firstErr
}

func (a *acquisition) readVolume(v volume, name string) (data []byte, err error) {
	directory, unmount, err := a.Mounter.Mount(v.device, v.filesystem.Type)
	if err != nil {
		return nil, fmt.Errorf("mount %s: %w", v.device, err)
	}
	defer func() {
		if e := unmount(); e != nil {
			err = errors.Join(err, fmt.Errorf("unmount %s: %w", v.device, e))
		}
	}()
	return readBelow(directory, name)
}

// readBelow reads a file of a volume, and follows no symbolic link out of it.
// The file's name may be in capitals, as ISO 9660 without extensions has it.
func readBelow(directory, name string) (data []byte, err error) {
	root, err := os.OpenRoot(directory)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, root.Close()) }()
	file, err := root.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		file, err = root.Open(strings.ToUpper(name))
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil, absentError{"the volume has no file " + name}
	}
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	return readOpen(file)
}

// volume is a block device with a file system.
type volume struct {
	device     string // below the root: "/dev/vda1"
	filesystem Filesystem
	usb        bool
}

// String is what an administrator calls the volume.
func (v volume) String() string {
	return fmt.Sprintf("%s (%s, label %s)", v.device, v.filesystem.Type, v.filesystem.Label)
}

// hasLabel tells whether the volume has one of the labels.
func (v volume) hasLabel(label string) bool {
	return strings.EqualFold(v.filesystem.Label, label)
}

// blockDevice is an entry of /sys/class/block that can hold a file system.
type blockDevice struct {
	path string // "/dev/vda1"
	usb  bool
}

// blockDevices lists the disks and partitions of the machine, the ones on USB
// last, else by name.
func blockDevices(root string) ([]blockDevice, error) {
	class := filepath.Join(root, "sys/class/block")
	entries, err := os.ReadDir(class)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var fixed, usb []blockDevice
	for _, entry := range entries {
		name := entry.Name()
		if !holdsVolume(filepath.Join(class, name), name) {
			continue
		}
		device := blockDevice{path: path.Join("/dev", strings.ReplaceAll(name, "!", "/"))}
		target, err := filepath.EvalSymlinks(filepath.Join(class, name))
		if device.usb = err == nil && strings.Contains(target, "/usb"); device.usb {
			usb = append(usb, device)
		} else {
			fixed = append(fixed, device)
		}
	}
	return append(fixed, usb...), nil
}

// holdsVolume leaves out empty drives and what the kernel makes up. A floppy
// drive without a floppy takes seconds to say so.
func holdsVolume(directory, name string) bool {
	for _, prefix := range []string{"loop", "ram", "zram", "nbd", "fd"} {
		if strings.HasPrefix(name, prefix) {
			return false
		}
	}
	size, err := os.ReadFile(filepath.Join(directory, "size"))
	return err == nil && strings.TrimSpace(string(size)) != "0"
}

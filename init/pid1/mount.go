package pid1

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Mount is one file system that the machine needs.
type Mount struct {
	Source, Target, Type string
	Flags                uintptr
	Data                 string
	// IfPresent is for a directory that only some kernels and firmwares have.
	IfPresent bool
}

// Nothing below these is a program, a device or worth a set-uid bit.
const inert = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC

// mounts is what the children need, parents before their directories.
//
// /proc hides processes from users who do not own them: everything here is
// root today, but a real server's own program need not be. Sizes of tmpfs are
// shares of the memory, and add up to less than half of it; what is not used
// costs nothing. There is no /dev/shm, which is for shm_open(3) of a C library
// that nothing here has: /tmp is the one place that everybody may write to.
func mounts() []Mount {
	return []Mount{
		{Source: "devtmpfs", Target: "/dev", Type: "devtmpfs", Flags: unix.MS_NOSUID | unix.MS_NOEXEC, Data: "mode=0755"},
		{Source: "devpts", Target: "/dev/pts", Type: "devpts", Flags: unix.MS_NOSUID | unix.MS_NOEXEC, Data: "mode=0600,ptmxmode=0666"},
		{Source: "proc", Target: "/proc", Type: "proc", Flags: inert, Data: "hidepid=2"},
		{Source: "sysfs", Target: "/sys", Type: "sysfs", Flags: inert},
		{Source: "tmpfs", Target: "/run", Type: "tmpfs", Flags: inert, Data: "mode=0755,size=15%,nr_inodes=16k"},
		{Source: "tmpfs", Target: "/tmp", Type: "tmpfs", Flags: inert, Data: "mode=1777,size=15%,nr_inodes=16k"},
	}
}

// lateMounts is what nobody waits for. Firmware variables are read-only: the
// only thing that writing them could do today is to break the firmware. debugfs
// and tracefs are not here, they are for the attacker; bpffs is not, because
// nothing is pinned.
func lateMounts() []Mount {
	return []Mount{
		{Source: "cgroup2", Target: "/sys/fs/cgroup", Type: "cgroup2", Flags: inert, IfPresent: true},
		{Source: "pstore", Target: "/sys/fs/pstore", Type: "pstore", Flags: inert, IfPresent: true},
		{Source: "securityfs", Target: "/sys/kernel/security", Type: "securityfs", Flags: inert, IfPresent: true},
		{Source: "efivarfs", Target: "/sys/firmware/efi/efivars", Type: "efivarfs", Flags: inert | unix.MS_RDONLY, IfPresent: true},
	}
}

// mountAll mounts what it can, and answers how many are mounted and what could
// not be.
func mountAll(all []Mount) (mounted int, err error) {
	var problems []error
	for _, m := range all {
		done, err := m.mount()
		if err != nil {
			problems = append(problems, err)
		}
		if done {
			mounted++
		}
	}
	return mounted, errors.Join(problems...)
}

// mount mounts one, or gives one that is mounted already the flags it should
// have.
func (m Mount) mount() (done bool, err error) {
	if m.IfPresent {
		if _, err := os.Stat(m.Target); errors.Is(err, fs.ErrNotExist) {
			return false, nil
		}
	} else if err := os.MkdirAll(m.Target, 0o755); err != nil {
		return false, fmt.Errorf("mount %s: %w", m.Target, err)
	}
	flags := m.Flags
	if isMountPoint(m.Target) {
		flags |= unix.MS_REMOUNT
	}
	err = unix.Mount(m.Source, m.Target, m.Type, flags, m.Data)
	if m.IfPresent && errors.Is(err, unix.ENODEV) {
		return false, nil // the directory is there, the file system is not
	}
	if err != nil {
		return false, fmt.Errorf("mount %s: %w", m.Target, err)
	}
	return true, nil
}

// isMountPoint tells whether something is mounted on a directory: it lies on
// another device than the directory above it.
func isMountPoint(dir string) bool {
	var here, above unix.Stat_t
	if unix.Stat(dir, &here) != nil || unix.Stat(filepath.Dir(dir), &above) != nil {
		return false
	}
	return here.Dev != above.Dev
}

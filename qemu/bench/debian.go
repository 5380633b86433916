package bench

import (
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"dipper/kernel-config/cache"
	"dipper/qemu/machine"
)

// debianFiles are what makes a Debian the director of examples/s2-dr.
//
//go:embed debian
var debianFiles embed.FS

// debianPackages are what it is built from, with what they depend on.
const debianPackages = "systemd,systemd-sysv,udev,dbus,keepalived,linux-image-cloud-amd64,iproute2,kmod,initramfs-tools,zstd"

// debianRelease is what the figures are compared with.
const debianRelease = "bookworm"

// reference is how a Debian is set up: as its packages make it, or as somebody
// would who wants it to boot fast.
type reference string

const (
	packaged reference = "packaged"
	tuned    reference = "tuned"
)

// options are the reference's on the kernel's command line. Where systemd does
// not print what it does, it saves the time that takes on a serial console.
func (r reference) options() string {
	if r == tuned {
		return " fsck.mode=skip systemd.show_status=false"
	}
	return ""
}

// debian is the reference: Debian with systemd and keepalived, on a disk.
type debian struct {
	reference
	kernel, initramfs, disk string
	software                []string
	installed               int64 // bytes, kernel and initramfs included
}

// buildDebian builds a reference, once for each state of its description.
func buildDebian(ctx context.Context, r reference, log func(string)) (*debian, error) {
	home, err := os.UserCacheDir()
	if err != nil {
		return nil, err
	}
	key, err := debianKey()
	if err != nil {
		return nil, err
	}
	built := filepath.Join(home, "dipper", "debian-reference", key+"."+string(r)) // each kind has its own last few
	if _, err := os.Stat(built); errors.Is(err, fs.ErrNotExist) {
		log("building the Debian reference (" + string(r) + "), once: minutes")
		if err := buildDebianIn(ctx, r, built); err != nil {
			return nil, fmt.Errorf("debian reference: %w", err)
		}
	}
	if err := cache.Use(built, time.Now()); err != nil {
		return nil, err
	}
	return openDebian(r, built)
}

// debianKey is of everything of ours that goes into it.
func debianKey() (string, error) {
	sum := sha256.New()
	fmt.Fprintln(sum, debianRelease, debianPackages)
	err := fs.WalkDir(debianFiles, "debian", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := debianFiles.ReadFile(path)
		fmt.Fprintf(sum, "%s %q\n", path, content)
		return err
	})
	return hex.EncodeToString(sum.Sum(nil)[:8]), err
}

// debianArtefacts are the files that customize.sh leaves in the system's root.
var debianArtefacts = []string{"kernel", "initramfs", "disk", "software", "installed"}

// buildDebianIn leaves the artefacts in dir, all of them or none.
func buildDebianIn(ctx context.Context, r reference, dir string) error {
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return err
	}
	unfinished, err := os.MkdirTemp(filepath.Dir(dir), "unfinished-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(unfinished) // gone when all went well
	if err := os.CopyFS(unfinished, debianFiles); err != nil {
		return err
	}
	hook := filepath.Join(unfinished, "debian", "customize.sh")
	if err := os.Chmod(hook, 0o755); err != nil {
		return err
	}
	if err := mmdebstrap(ctx, r, unfinished, hook); err != nil {
		return err
	}
	if err := bootOnce(ctx, r, unfinished); err != nil {
		return fmt.Errorf("its first boot: %w", err)
	}
	return os.Rename(unfinished, dir)
}

func mmdebstrap(ctx context.Context, r reference, dir, hook string) error {
	arguments := []string{"--quiet", "--variant=minbase", "--include=" + debianPackages,
		`--aptopt=APT::Install-Recommends "0"`, "--format=null", "--customize-hook=" + hook}
	for _, name := range debianArtefacts {
		arguments = append(arguments, fmt.Sprintf("--customize-hook=download /%s '%s'", name, filepath.Join(dir, name)))
	}
	command := exec.CommandContext(ctx, "mmdebstrap", append(arguments, debianRelease, os.DevNull)...)
	command.Env = append(os.Environ(), "DIPPER_REFERENCE="+string(r))
	out, err := command.CombinedOutput()
	if err != nil {
		return fmt.Errorf("mmdebstrap: %w:\n%s", err, out)
	}
	return makeSparse(ctx, filepath.Join(dir, "disk"))
}

// makeSparse gives back what a file's zeros take.
func makeSparse(ctx context.Context, path string) error {
	if out, err := exec.CommandContext(ctx, "fallocate", "--dig-holes", path).CombinedOutput(); err != nil {
		return fmt.Errorf("fallocate: %w: %s", err, out)
	}
	return nil
}

// firstBootPatience is for a boot without KVM on a host that has other things
// to do.
const firstBootPatience = 10 * time.Minute

// bootOnce boots the new system and shuts it down: what only a first boot has
// to do is not measured.
func bootOnce(ctx context.Context, r reference, dir string) (err error) {
	ctx, cancel := context.WithTimeout(ctx, firstBootPatience)
	defer cancel()
	d, err := openDebian(r, dir)
	if err != nil {
		return err
	}
	c := d.machine()
	c.Name, c.Dir, c.Run = "first-boot", dir, dir
	c.Disks = []machine.Disk{{Path: d.disk}}
	m, err := machine.Start(ctx, c)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, m.Close()) }()
	if _, err := debianMemory(ctx, m); err != nil {
		return err
	}
	return shutDown(ctx, m)
}

// powerButtonInterval is how often the button is pressed: the press is lost on
// a system that has not come so far that it listens.
const powerButtonInterval = 10 * time.Second

func shutDown(ctx context.Context, m *machine.Machine) error {
	ticker := time.NewTicker(powerButtonInterval)
	defer ticker.Stop()
	for {
		if err := m.PowerButton(ctx); err != nil {
			return err
		}
		select {
		case <-ticker.C:
		case <-m.Ended():
			return nil
		case <-ctx.Done():
			return fmt.Errorf("it does not shut down: %w", ctx.Err())
		}
	}
}

func openDebian(r reference, dir string) (*debian, error) {
	software, err := os.ReadFile(filepath.Join(dir, "software"))
	if err != nil {
		return nil, err
	}
	installed, err := os.ReadFile(filepath.Join(dir, "installed"))
	if err != nil {
		return nil, err
	}
	size, err := strconv.ParseInt(strings.TrimSpace(string(installed)), 10, 64)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Join(dir, "installed"), err)
	}
	return &debian{
		reference: r,
		kernel:    filepath.Join(dir, "kernel"), initramfs: filepath.Join(dir, "initramfs"), disk: filepath.Join(dir, "disk"),
		software: strings.Split(strings.TrimSpace(string(software)), "\n"), installed: size,
	}, nil
}

// machine boots it, but for its disk.
func (d *debian) machine() machine.Config {
	return machine.Config{
		Kernel: d.kernel, Initrds: []string{d.initramfs}, Memory: guestMemory,
		CommandLine: machineCommandLine + " root=/dev/vda rw net.ifnames=0" + d.options(),
	}
}

// freshDisk is a copy of the disk for one boot.
func (d *debian) freshDisk(ctx context.Context, path string) (machine.Disk, error) {
	out, err := exec.CommandContext(ctx, "cp", "--sparse=always", d.disk, path).CombinedOutput()
	if err != nil {
		return machine.Disk{}, fmt.Errorf("%w: %s", err, out)
	}
	return machine.Disk{Path: path}, nil
}

// meminfoInterval is how long an answer on the console may take until it is
// asked for again: the system may not listen yet, or a character be garbled.
const meminfoInterval = 5 * time.Second

// debianMemory asks for /proc/meminfo on the console.
func debianMemory(ctx context.Context, m *machine.Machine) (Memory, error) {
	var err error
	for ctx.Err() == nil {
		if err := m.Console().Send("\r"); err != nil {
			return Memory{}, err
		}
		var memory Memory
		if memory, err = awaitMemory(ctx, m); err == nil {
			return memory, nil
		}
	}
	return Memory{}, err
}

func awaitMemory(ctx context.Context, m *machine.Machine) (Memory, error) {
	ctx, cancel := context.WithTimeout(ctx, meminfoInterval)
	defer cancel()
	total, err := m.Console().Expect(ctx, memTotal)
	if err != nil {
		return Memory{}, err
	}
	available, err := m.Console().Expect(ctx, memAvailable)
	if err != nil {
		return Memory{}, err
	}
	return parseMemory(total+"\n"+available, guestMemory)
}

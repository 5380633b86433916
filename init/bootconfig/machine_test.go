package bootconfig

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"testing"
)

// fakeMachine is a Machine whose /proc, /sys, /dev and /etc are a directory.
type fakeMachine struct {
	t       *testing.T
	root    string
	network *fakeNetwork
	log     bytes.Buffer
}

func newMachine(t *testing.T) *fakeMachine {
	m := &fakeMachine{t: t, root: t.TempDir(), network: &fakeNetwork{}}
	m.file("proc/cmdline", "console=ttyS0\n")
	return m
}

func (m *fakeMachine) machine() Machine {
	return Machine{
		Root:    m.root,
		Mounter: fakeMounter{m.root},
		Network: m.network,
		Log:     slog.New(slog.NewTextHandler(&m.log, nil)),
	}
}

func (m *fakeMachine) acquire() (Result, error) {
	m.t.Helper()
	return Acquire(m.t.Context(), m.machine())
}

// file writes a file below the machine's root.
func (m *fakeMachine) file(name, content string) {
	m.t.Helper()
	path := filepath.Join(m.root, name)
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(content), 0o644)); err != nil {
		m.t.Fatal(err)
	}
}

func (m *fakeMachine) commandLine(line string) { m.file("proc/cmdline", line+"\n") }

func (m *fakeMachine) initrd(content string) { m.file(initrdFile, content) }

// link adds a network interface that is hardware.
func (m *fakeMachine) link(name, mac string) {
	m.file("sys/class/net/"+name+"/address", mac+"\n")
	m.file("sys/class/net/"+name+"/device/uevent", "")
}

// firmware adds a file to fw_cfg.
func (m *fakeMachine) firmware(content string) {
	m.file(firmwareFile+"/size", strconv.Itoa(len(content))+"\n")
	m.file(firmwareFile+"/raw", content)
}

// oemStrings makes an SMBIOS table with these type 11 strings.
func (m *fakeMachine) oemStrings(texts ...string) {
	m.file(smbiosTable, string(smbiosWith(texts...)))
}

// disk adds a block device with these bytes.
func (m *fakeMachine) disk(name string, image []byte) {
	m.file("dev/"+name, string(image))
	m.file("sys/class/block/"+name+"/size", strconv.Itoa(len(image)/512)+"\n")
}

// volume adds a disk with an ext4 superblock, and what mounting it shows.
func (m *fakeMachine) volume(name, label string, files map[string]string) {
	if err := os.MkdirAll(m.mounted(name), 0o755); err != nil {
		m.t.Fatal(err)
	}
	for file, content := range files {
		m.file(filepath.Join("mounted/dev", name, file), content)
	}
	m.disk(name, extImage(label))
}

// mounted is the directory that fakeMounter shows for a volume.
func (m *fakeMachine) mounted(name string) string {
	return filepath.Join(m.root, "mounted/dev", name)
}

// fakeMounter has the directories that mounting gives below mounted. A device
// without one is broken.
type fakeMounter struct{ root string }

var errBadSuperblock = errors.New("bad superblock")

func (f fakeMounter) Mount(device, _ string) (string, func() error, error) {
	directory := filepath.Join(f.root, "mounted", device)
	if _, err := os.Stat(directory); err != nil {
		return "", nil, errBadSuperblock
	}
	return directory, func() error { return nil }, nil
}

// fakeNetwork answers with its lease, or never if it has none.
type fakeNetwork struct {
	lease *Lease
	asked int
}

func (f *fakeNetwork) Connect(ctx context.Context) (Lease, error) {
	f.asked++
	if f.lease == nil {
		<-ctx.Done()
		return Lease{}, ctx.Err()
	}
	return *f.lease, nil
}

// extImage is as much of an ext4 file system as its label takes.
func extImage(label string) []byte {
	image := make([]byte, 4096)
	image[1024+0x38], image[1024+0x39] = 0x53, 0xef
	copy(image[1024+0x78:1024+0x88], label)
	return image
}

// smbiosWith is a table as firmware makes it: system information, OEM strings,
// end of table.
func smbiosWith(texts ...string) []byte {
	var table bytes.Buffer
	table.Write(append([]byte{1, 27, 0, 1}, make([]byte, 23)...))
	table.WriteString("QEMU\x00Standard PC\x00\x00")
	table.Write([]byte{smbiosOEMStrings, 5, 0, 14, byte(len(texts))})
	for _, text := range texts {
		table.WriteString(text + "\x00")
	}
	if len(texts) == 0 {
		table.WriteByte(0)
	}
	table.WriteByte(0)
	table.Write([]byte{smbiosEndOfTable, 4, 0, 127, 0, 0})
	return table.Bytes()
}

package scenario

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"dipper/qemu/lab"
	"dipper/qemu/machine"
)

// giver is the type of bootMachine.give.
type giver = func(t *testing.T, path string, m *machine.Config)

func both(all ...giver) giver {
	return func(t *testing.T, path string, m *machine.Config) {
		t.Helper()
		for _, give := range all {
			give(t, path, m)
		}
	}
}

// withParameter adds to the kernel command line.
func withParameter(parameter string) giver {
	return func(_ *testing.T, _ string, m *machine.Config) { m.CommandLine += " " + parameter }
}

// made runs commands of docs/boot.md in a directory where the boot config is
// lb1.yaml, and answers the path of the file that they make.
func made(t *testing.T, config, file string, commands string) string {
	t.Helper()
	dir := t.TempDir()
	text, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(dir, "lb1.yaml"), string(text))
	shell := exec.CommandContext(t.Context(), "sh", "-ec", commands)
	shell.Dir = dir
	out, err := shell.CombinedOutput()
	const notFound = 127 // of sh
	if shell.ProcessState != nil && shell.ProcessState.ExitCode() == notFound && os.Getenv("DIPPER_LAB") != "require" {
		t.Skipf("a program is not installed: %s", out)
	}
	if err != nil {
		t.Fatalf("%s: %v\n%s", commands, err, out)
	}
	return filepath.Join(dir, file)
}

// The commands of docs/boot.md.
const (
	packString = "gzip -9 < lb1.yaml | base64 -w0"
	makeStick  = "mkfs.vfat -C -n DIPPER config.img 1440"
	fillStick  = "mcopy -i config.img lb1.yaml ::dipper.yaml"
	makeCD     = "cp lb1.yaml dipper.yaml\ngenisoimage -V cidata -rock -joliet -o config.iso dipper.yaml"
	makeInitrd = "mkdir -p etc/dipper && cp lb1.yaml etc/dipper/dipper.yaml\n" +
		"echo etc/dipper/dipper.yaml | cpio -o -H newc -R 0:0 | gzip -9n > config.cpio.gz"
)

// The stick of docs/boot.md that starts the machine, too.
const (
	makeBootStick = "mkfs.vfat -C -n DIPPER stick.img 40960\n" +
		"mcopy -i stick.img vmlinuz initramfs.cpio.zst ::\n" +
		"mcopy -i stick.img lb1.yaml ::dipper.yaml"
	addUEFI = "printf 'linux /vmlinuz\\ninitrd /initramfs.cpio.zst\\noptions console=tty0 console=ttyS0\\n' > dipper.conf\n" +
		"mmd -i stick.img ::EFI ::EFI/BOOT ::loader ::loader/entries\n" +
		"mcopy -i stick.img /usr/lib/systemd/boot/efi/systemd-bootx64.efi ::EFI/BOOT/BOOTX64.EFI\n" +
		"mcopy -i stick.img dipper.conf ::loader/entries/"
	addBIOS = "printf 'default dipper\\nlabel dipper\\nlinux vmlinuz\\ninitrd initramfs.cpio.zst\\nappend console=tty0 console=ttyS0\\n' > syslinux.cfg\n" +
		"mcopy -i stick.img syslinux.cfg ::\n" +
		"syslinux --install stick.img"
)

// TestDocumentedCommands: what these tests run is what users are told to run.
func TestDocumentedCommands(t *testing.T) {
	text, err := os.ReadFile("../../docs/boot.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, command := range []string{packString, makeStick, fillStick, makeCD, makeInitrd, makeBootStick, addUEFI, addBIOS} {
		if !strings.Contains(string(text), command) {
			t.Errorf("docs/boot.md does not have:\n%s", command)
		}
	}
}

func smbios(t *testing.T, path string, m *machine.Config) {
	t.Helper()
	text, err := os.ReadFile(made(t, path, "string", "printf %s dipper.config=$("+packString+") > string"))
	if err != nil {
		t.Fatal(err)
	}
	m.OEMStrings = append(m.OEMStrings, string(text))
}

func vfat(label, bus string) giver {
	return func(t *testing.T, path string, m *machine.Config) {
		t.Helper()
		image := made(t, path, "config.img", strings.Replace(makeStick, "DIPPER", label, 1)+"\n"+fillStick)
		m.Disks = append(m.Disks, machine.Disk{Path: image, Bus: bus})
	}
}

// stick is one from which BIOS and UEFI start the image, with the boot config
// on it.
func stick(t *testing.T, path string, m *machine.Config) {
	t.Helper()
	build, err := lab.FindBuild()
	if err != nil {
		t.Fatal(err)
	}
	files := fmt.Sprintf("cp %q %q .\n", build.Kernel, build.Initramfs)
	image := made(t, path, "stick.img", files+makeBootStick+"\n"+addUEFI+"\n"+addBIOS)
	m.Disks = append(m.Disks, machine.Disk{Path: image, Bus: "usb"})
}

func withUEFI(_ *testing.T, _ string, m *machine.Config) { m.UEFI = true }

// vfatWithout is a volume that lacks the file.
func vfatWithout(label string) giver {
	return func(t *testing.T, path string, m *machine.Config) {
		t.Helper()
		m.Disks = append(m.Disks, machine.Disk{Path: made(t, path, "config.img", strings.Replace(makeStick, "DIPPER", label, 1))})
	}
}

func iso(t *testing.T, path string, m *machine.Config) {
	t.Helper()
	image := made(t, path, "config.iso", makeCD)
	m.Disks = append(m.Disks, machine.Disk{Path: image, Bus: "cdrom", ReadOnly: true})
}

func stateVolume(t *testing.T, path string, m *machine.Config) {
	t.Helper()
	image := made(t, path, "state.img", "mkdir -p state/config; cp lb1.yaml state/config/dipper.yaml; mkfs.ext4 -q -L DIPPER-STATE -d state state.img 8M")
	m.Disks = append(m.Disks, machine.Disk{Path: image})
}

func secondInitrd(t *testing.T, path string, m *machine.Config) {
	t.Helper()
	m.Initrds = append(m.Initrds, made(t, path, "config.cpio.gz", makeInitrd))
}

// credentials are a certificate that signs itself, as PEM.
type credentials struct {
	authority string
	server    string // with the key
}

func newCredentials(t *testing.T) *credentials {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(24 * time.Hour),
		IPAddresses:  []net.IP{net.ParseIP(bootServer)},
		IsCA:         true, BasicConstraintsValid: true,
	}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	private, keyErr := x509.MarshalPKCS8PrivateKey(key)
	if err := errors.Join(err, keyErr); err != nil {
		t.Fatal(err)
	}
	authority := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate}))
	return &credentials{authority, authority + string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}))}
}

// trusted gives the authority's certificate with a second initrd.
func (c *credentials) trusted(parameter string) giver {
	return func(t *testing.T, path string, m *machine.Config) {
		t.Helper()
		pem := filepath.Join(t.TempDir(), "authority.pem")
		writeFile(t, pem, c.authority)
		m.CommandLine += " " + parameter
		commands := strings.NewReplacer("etc/dipper/dipper.yaml", "etc/ssl/certs/authority.pem", "etc/dipper", "etc/ssl/certs").Replace(makeInitrd)
		m.Initrds = append(m.Initrds, made(t, pem, "config.cpio.gz", commands))
	}
}

func writeFile(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

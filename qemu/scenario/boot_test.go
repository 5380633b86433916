package scenario

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"dipper/appliance/api"
	"dipper/qemu/lab"
	"dipper/qemu/machine"
)

// These tests boot machines that differ only in where their boot config comes
// from, in one LAN with a server of Debian's programs: dnsmasq for DHCP and
// TFTP, busybox for HTTP, socat for TLS. The commands that make volumes and
// initrds are those of docs/boot.md.

// bootServer is the server's address; machine i of a bootLAN has bootAddress(i).
const bootServer = "192.168.7.1"

func bootAddress(i int) string { return fmt.Sprintf("192.168.7.%d", 10+i) }

// bootMachine is a machine of a bootLAN.
type bootMachine struct {
	name   string // its serial number too, which a URL may ask for
	config string // its boot config
	// give adds to an empty machine what makes it find the file at path, a copy
	// of config; nil: nothing, as the server has it for those who ask.
	give func(t *testing.T, path string, m *machine.Config)
	// bare is a machine that has no kernel but what its firmware finds.
	bare bool
	// lease is what dnsmasq adds to this machine's leases.
	lease  string
	source string // as its status must say
}

// bootLAN describes the server and the machines.
type bootLAN struct {
	machines []bootMachine
	secure   *credentials // of https; nil: none
}

// lan is the only one.
const lan = "lan"

// describe makes files in a directory of the test.
func (b bootLAN) describe(t *testing.T, name string, ready ...api.State) *lab.Description {
	t.Helper()
	if testing.Short() {
		t.Skip("boots machines: not with -short")
	}
	server := &lab.Node{Name: "server", LANs: []string{lan}, Peer: true, Script: b.script()}
	d := &lab.Description{Name: name, Nodes: []*lab.Node{server}}
	for _, m := range b.machines {
		path := filepath.Join(t.TempDir(), "lb1.yaml")
		writeFile(t, path, m.config)
		var given machine.Config
		if m.give != nil {
			m.give(t, path, &given)
		}
		d.Nodes = append(d.Nodes, &lab.Node{
			Name: m.name, LANs: []string{lan}, Ready: ready,
			// On a busy host a machine could be up first, and it waits for a
			// lease for 30 s only.
			After: []string{server.Name},
			Change: func(c *machine.Config) error {
				if m.bare {
					strip(c)
				}
				add(c, given)
				return nil
			},
		})
	}
	return d
}

// strip leaves a machine to its firmware, which has more to keep in memory than
// the kernel that QEMU loads.
func strip(c *machine.Config) {
	const memory = 256 // MiB
	c.Kernel, c.CommandLine, c.Initrds, c.Memory = "", "", nil, memory
}

// add gives a machine what its source needs.
func add(c *machine.Config, given machine.Config) {
	c.CommandLine += given.CommandLine
	c.Initrds = append(c.Initrds, given.Initrds...)
	c.Disks = append(c.Disks, given.Disks...)
	c.FWCfg, c.OEMStrings, c.UEFI = given.FWCfg, given.OEMStrings, given.UEFI
}

// script makes the server. A machine's config is served by its name and by its
// MAC address.
func (b bootLAN) script() string {
	var s strings.Builder
	fmt.Fprintf(&s, "ip link set eth0 up\nip addr add %s/24 dev eth0\nmkdir -p /srv\ncd /srv\n", bootServer)
	dnsmasq := "dnsmasq --conf-file=/dev/null --user=root --pid-file --port=0 --no-ping" +
		" --dhcp-leasefile=/tmp/leases --dhcp-range=192.168.7.100,192.168.7.200,255.255.255.0,1h" +
		" --enable-tftp --tftp-root=/srv"
	for i, m := range b.machines {
		mac := lab.MAC(i+1, 0)
		fmt.Fprintf(&s, "cat > %s.yaml <<'END'\n%sEND\ncp %s.yaml %s.yaml\n", m.name, m.config, m.name, mac)
		dnsmasq += fmt.Sprintf(" --dhcp-host=%s,set:%s", mac, m.name)
		if m.lease != "" {
			dnsmasq += fmt.Sprintf(" --%s", m.lease)
		}
	}
	if b.secure != nil {
		fmt.Fprintf(&s, "cat > /tmp/server.pem <<'END'\n%sEND\n", b.secure.server)
		s.WriteString("socat OPENSSL-LISTEN:443,fork,reuseaddr,cert=/tmp/server.pem,verify=0 TCP:127.0.0.1:80 >/dev/null 2>&1 &\n")
	}
	return s.String() + "busybox httpd -p 80 -h /srv\n" + dnsmasq + "\n"
}

// page is the configuration of a real server whose page says how it was made.
func page(i int, says string) string {
	return fmt.Sprintf(`role: real-server
network:
  interfaces:
    eth0: {addresses: [%s/24]}
serve:
  - {protocol: http, port: 80, body: "configured by %s\n"}
`, bootAddress(i), says)
}

// everySource is one machine for each source of docs/boot.md.
func everySource(t *testing.T) bootLAN {
	t.Helper()
	b := bootLAN{secure: newCredentials(t)}
	b.machines = []bootMachine{
		{name: "http", give: withParameter("dipper.config=http://" + bootServer + "/${mac}.yaml"),
			source: "kernel command line: http://" + bootServer + "/" + lab.MAC(1, 0) + ".yaml"},
		{name: "tftp", give: withParameter(`dipper.config="tftp://` + bootServer + `/${serial}.yaml"`),
			source: "kernel command line: tftp://" + bootServer + "/tftp.yaml"},
		{name: "https", give: b.secure.trusted("dipper.config=https://" + bootServer + "/https.yaml"),
			source: "kernel command line: https://" + bootServer + "/https.yaml"},
		{name: "label", give: both(withParameter("dipper.config=label:my-config"), vfat("MY-CONFIG", "virtio")),
			source: "kernel command line: /dev/vda (vfat, label MY-CONFIG): dipper.yaml"},
		{name: "state", give: stateVolume,
			source: "state volume: /dev/vda (ext4, label DIPPER-STATE): config/dipper.yaml"},
		{name: "smbios", give: smbios,
			source: "SMBIOS: OEM string dipper.config"},
		{name: "fwcfg", give: func(_ *testing.T, path string, m *machine.Config) {
			m.FWCfg = map[string]string{"opt/dipper/config": path}
		}, source: "fw_cfg: opt/dipper/config"},
		{name: "bios", bare: true, give: stick,
			source: "volume: /dev/sda (vfat, label DIPPER): dipper.yaml"},
		{name: "uefi", bare: true, give: both(stick, withUEFI),
			source: "volume: /dev/sda (vfat, label DIPPER): dipper.yaml"},
		{name: "cdrom", give: iso,
			source: "volume: /dev/sr0 (iso9660, label cidata): dipper.yaml"},
		{name: "initrd", give: secondInitrd,
			source: "initrd: /etc/dipper/dipper.yaml"},
		{name: "option224", lease: "dhcp-option=tag:option224,224,http://" + bootServer + "/option224.yaml",
			source: "DHCP lease: http://" + bootServer + "/option224.yaml"},
		{name: "bootfile", lease: "dhcp-boot=tag:bootfile,http://" + bootServer + "/bootfile.yaml",
			source: "DHCP lease: http://" + bootServer + "/bootfile.yaml"},
	}
	return b
}

// TestBootFromEachSource: a boot config from anywhere puts a machine into service.
func TestBootFromEachSource(t *testing.T) {
	b := everySource(t)
	for i := range b.machines {
		b.machines[i].config = page(i, b.machines[i].name)
	}
	c := lab.StartT(t, b.describe(t, "boot-sources"))
	ctx := patience(t)
	for i, m := range b.machines {
		said, err := c.Peer("server").Run(ctx, "curl -sS --retry 5 --retry-connrefused http://"+bootAddress(i)+"/")
		if want := "configured by " + m.name + "\n"; err != nil || said != want {
			t.Errorf("%s: its page is %q, %v, want %q", m.name, said, err, want)
		}
		status, err := c.Appliance(m.name).Status(ctx)
		if err != nil || status.Source != m.source {
			t.Errorf("%s: its source is %q, %v, want %q", m.name, status.Source, err, m.source)
		}
	}
}

// TestBrokenBootConfig: a misspelled key from any source leads to maintenance,
// which says where the mistake is; a mended configuration leads out of it.
func TestBrokenBootConfig(t *testing.T) {
	b := everySource(t)
	for i := range b.machines {
		b.machines[i].config = strings.Replace(page(i, "mistake"), "role:", "rolle:", 1)
	}
	c := lab.StartT(t, b.describe(t, "boot-mistakes", api.Maintenance))
	ctx := patience(t)
	for i, m := range b.machines {
		status, err := c.Appliance(m.name).Status(ctx)
		if err != nil {
			t.Fatal(err)
		}
		problems := strings.Join(status.Problems, "\n")
		for _, told := range []string{m.source, ":1:1:", `"rolle"`, `did you mean "role"`} {
			if !strings.Contains(problems, told) {
				t.Errorf("%s: its problems do not tell of %s:\n%s", m.name, told, problems)
			}
		}
		if _, err := c.Appliance(m.name).Apply(ctx, []byte(page(i, "hand"))); err != nil {
			t.Errorf("%s: a mended configuration: %v", m.name, err)
			continue
		}
		if said, err := c.Peer("server").Run(ctx, "curl -sS --retry 5 --retry-connrefused http://"+bootAddress(i)+"/"); err != nil || said != "configured by hand\n" {
			t.Errorf("%s: its page is %q, %v", m.name, said, err)
		}
	}
}

// TestUnreadableBootConfig: what cannot be read is told, and the next source is
// used; with none left the machine is in maintenance, and has an address.
func TestUnreadableBootConfig(t *testing.T) {
	broken := both(
		withParameter("dipper.config=http://"+bootServer+"/missing.yaml"),
		vfatWithout("DIPPER"),
		func(t *testing.T, path string, m *machine.Config) {
			damaged := filepath.Join(t.TempDir(), "damaged")
			writeFile(t, damaged, "\x1f\x8b\x08\x00damaged")
			m.FWCfg = map[string]string{"opt/dipper/config": damaged}
			m.OEMStrings = []string{"dipper.config=%%%"}
		})
	b := bootLAN{machines: []bootMachine{
		{name: "next", config: page(0, "the next source"), give: both(broken, secondInitrd)},
		{name: "unreadable", give: broken},
		{name: "none", config: page(2, "SMBIOS"), give: both(withParameter("dipper.config=none"), smbios)},
		{name: "nothing"},
	}}
	d := b.describe(t, "boot-unreadable", api.Maintenance)
	d.Node("next").Ready = nil
	c := lab.StartT(t, d)
	ctx := patience(t)
	wantBoot(ctx, t, c.Appliance("next"), `
config: kernel command line: http://192.168.7.1/missing.yaml: failed: fetch: the server answered 404 Not Found
config: state volume: absent: no volume is labelled DIPPER-STATE
config: SMBIOS: OEM string dipper.config: failed: decode base64: illegal base64 data at input byte 0
config: fw_cfg: opt/dipper/config: failed: unpack gzip: unexpected EOF
config: volume: /dev/vda (vfat, label DIPPER): dipper.yaml: absent: the volume has no file dipper.yaml
config: initrd: /etc/dipper/dipper.yaml: found
`)
	wantBoot(ctx, t, c.Appliance("none"), `
config: kernel command line: dipper.config=none: stopped: maintenance was asked for
`)
	wantBoot(ctx, t, c.Appliance("nothing"), `
config: kernel command line: absent: dipper.config= is not given
config: state volume: absent: no volume is labelled DIPPER-STATE
config: SMBIOS: OEM string dipper.config: absent: no such string
config: fw_cfg: opt/dipper/config: absent: no such file
config: volume: absent: no volume is labelled DIPPER or cidata
config: initrd: /etc/dipper/dipper.yaml: absent: no such file
config: DHCP lease: absent: the lease names no boot config
`)
	for name, told := range map[string]string{
		"unreadable": "SMBIOS: OEM string dipper.config: decode base64",
		"none":       "dipper.config=none",
		"nothing":    "no boot config",
	} {
		status := awaitAddress(ctx, t, c.Appliance(name))
		if problems := strings.Join(status.Problems, "\n"); !strings.Contains(problems, told) {
			t.Errorf("%s: its problems do not tell of %s:\n%s", name, told, problems)
		}
	}
}

// wantBoot compares the steps that looked for the boot config.
func wantBoot(ctx context.Context, t *testing.T, client *api.Client, want string) {
	t.Helper()
	steps, err := client.Boot(ctx)
	if err != nil {
		t.Fatal(err)
	}
	var got strings.Builder
	for _, s := range steps {
		if !strings.HasPrefix(s.Name, "config: ") {
			continue
		}
		got.WriteString(s.Name + ": " + s.Outcome)
		if s.Detail != "" {
			got.WriteString(": " + s.Detail)
		}
		got.WriteByte('\n')
	}
	if diff := cmp.Diff(strings.TrimPrefix(want, "\n"), got.String()); diff != "" {
		t.Errorf("boot steps (-want +got):\n%s", diff)
	}
}

// awaitAddress waits until a machine in maintenance can be reached.
func awaitAddress(ctx context.Context, t *testing.T, client *api.Client) api.Status {
	t.Helper()
	for {
		status, err := client.Status(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(strings.Join(status.Addresses, " "), "192.168.7.") {
			return status
		}
		select {
		case <-time.After(200 * time.Millisecond):
		case <-ctx.Done():
			t.Fatalf("no address: %+v", status)
		}
	}
}

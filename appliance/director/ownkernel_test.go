package director

import (
	"maps"
	"os"
	"os/exec"
	"strings"
	"testing"

	"dipper/appliance/config"
	"dipper/appliance/ipvs"
	"dipper/appliance/network"
	"dipper/qemu/lab"
)

// onOwnKernel tells this binary that it runs in a machine of TestOnOwnKernel.
const onOwnKernel = "DIPPER_DIRECTOR_TEST_ON_OWN_KERNEL"

// TestOnOwnKernel makes a machine with the image's kernel what configurations
// say.
func TestOnOwnKernel(t *testing.T) {
	if os.Getenv(onOwnKernel) == "" { // else this is what runs there
		lab.RunOnOwnKernel(t, "^TestKernel", onOwnKernel+"=1")
	}
}

const everything = `
role: director
network:
  interfaces:
    eth0: {addresses: [192.168.4.5/24, 2001:db8:4::5/64]}
services:
  range: {listen: ["192.168.4.15:8000-8010", 192.168.4.15:80, 192.168.5.0/24:80], fwmark: 7, protocol: [tcp, udp, sctp], one-packet: true, forward: nat,
    real-servers: [{address: 192.168.4.100, port: 8080, upper-threshold: 1000, lower-threshold: 800}, {address: 192.168.4.101, forward: dr}]}
  own-mark: {listen: "[2001:db8:4::15]:8000-8010", scheduler: mh, scheduler-flags: [], persistence: {timeout: 90s, prefix-length: 64}, forward: tun, tunnel: {type: gue, port: 6080, remote-checksum: true},
    real-servers: [{address: "2001:db8:4::100"}, {address: "2001:db8:4::101", tunnel: {type: gre, checksum: true}}, {address: 192.168.4.100, tunnel: {type: ipip}}]}
  elsewhere: {fwmark: 8, family: ipv6, scheduler: sh, scheduler-flags: [port], on-down: keep, forward: dr, real-servers: [{address: "2001:db8:4::100"}]}
  all: {listen: 192.168.4.16, persistence: {timeout: 6m, netmask: 255.255.255.0}, forward: dr, real-servers: [{address: 192.168.4.100}]}
  port-of-it: {listen: 192.168.4.16:443, forward: dr, real-servers: [{address: 192.168.4.100, weight: 2147483647}]}
  sip: {listen: 192.168.4.17:5060, protocol: udp, one-packet: true, persistence: {engine: sip}, forward: dr, real-servers: [{address: 192.168.4.100}]}
  vpn: {listen: 192.168.4.17, protocol: esp, forward: dr, real-servers: [{address: 192.168.4.100}]}
  ah: {listen: 192.168.4.17, protocol: ah, forward: dr}
  sctp: {listen: 192.168.4.17:2905, protocol: sctp, scheduler: twos, forward: nat, real-servers: [{address: 192.168.4.100, port: 2906}]}
  caches: {listen: 192.168.4.18:80, scheduler: lblc, forward: dr, real-servers: [{address: 192.168.4.100}]}
  more-caches: {listen: 192.168.4.19:80, scheduler: lblcr, forward: dr, real-servers: [{address: 192.168.4.100}]}
  quiet: {listen: 192.168.4.20:80, scheduler: none, forward: dr, real-servers: [{address: 192.168.4.100}]}
  self: {listen: 127.0.0.1:80, assign: false, forward: nat, real-servers: [{address: 192.168.4.5, port: 8080, verify: false}]}
ipvs:
  settings:
    expire-nodest-conn: false
    expire-quiescent-template: false
    conn-reuse-mode: 2
    conntrack: true
    snat-reroute: false
    nat-icmp-send: true
    schedule-icmp: true
    ignore-tunneled: true
    pmtu-disc: false
    sloppy-tcp: true
    sloppy-sctp: true
    cache-bypass: true
    backup-only: true
    drop-entry: automatic
    drop-packet: automatic
    secure-tcp: always
    memory-threshold: 100
    drop-rate: 20
    sync-threshold: 5
    sync-period: 100
    sync-refresh: 10s
    sync-retries: 3
    sync-ports: 4
    sync-persist-mode: true
    sync-queue: 5000
    sync-socket: 65536
    sync-version: 0
    run-estimation: false
    estimation-cpus: 0
    estimation-nice: 5
    lblc-expiration: 1h
    lblcr-expiration: 2h
`

// TestKernelHasNoOtherSettings compares the sysctls that the kernel has for
// IPVS, and what they are at first, with the settings and their defaults.
func TestKernelHasNoOtherSettings(t *testing.T) {
	if os.Getenv(onOwnKernel) == "" {
		t.Skip("it reads what only a kernel with IPVS has: TestOnOwnKernel runs this test in a machine with one")
	}
	const show = "cd /proc/sys/net/ipv4/vs && for name in *; do echo net/ipv4/vs/$name $(cat $name); done"
	out, err := exec.CommandContext(t.Context(), "unshare", "-n", "sh", "-c", show).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	kernel := make(map[string]string)
	for line := range strings.Lines(string(out)) {
		path, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		kernel[path] = value
	}
	settable := make(map[string]bool)
	for _, s := range parse(t, everything).IPVS.Settings.Sysctls() {
		if _, exists := kernel[s.Path]; !exists {
			t.Errorf("the kernel has no %s", s.Path)
		}
		settable[s.Path] = true
	}
	for path := range kernel {
		if !settable[path] {
			t.Errorf("the kernel has %s, for which there is no setting", path)
		}
	}
	want := map[string]string{"net/ipv4/vs/expire_nodest_conn": "0 1", "net/ipv4/vs/expire_quiescent_template": "0 1"}
	other := make(map[string]string) // the kernel's default and ours
	for _, s := range parse(t, everything[:strings.Index(everything, "services:")]).IPVS.Settings.Sysctls() {
		if value := kernel[s.Path]; value != s.Value {
			other[s.Path] = value + " " + s.Value
		}
	}
	if !maps.Equal(other, want) {
		t.Errorf("defaults that are not the kernel's: %v, documented are %v", other, want)
	}
}

// TestKernelBecomesDesired applies a configuration with everything in it, one
// of other values, and one with nothing: each time the kernel then needs no
// further edit, and adopting its table changes nothing.
func TestKernelBecomesDesired(t *testing.T) {
	if os.Getenv(onOwnKernel) == "" {
		t.Skip("it changes the machine's tables: TestOnOwnKernel runs this test in a machine made for it")
	}
	for _, line := range []string{"ip link add eth0 type veth peer name peer0", "ip link set peer0 up"} {
		words := strings.Fields(line)
		if out, err := exec.CommandContext(t.Context(), words[0], words[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v: %s", line, err, out)
		}
	}
	other := strings.NewReplacer("drop-entry: automatic", "drop-entry: always", "8000-8010", "8000-8020", "192.168.5.0/24", "192.168.6.0/24",
		"fwmark: 7", "fwmark: 70", "scheduler: twos", "scheduler: ovf", "timeout: 6m", "timeout: 7m", "sync-queue: 5000", "sync-queue: 6000")
	nothing := everything[:strings.Index(everything, "services:")]
	for _, src := range []string{everything, other.Replace(everything), everything, nothing, everything} {
		becomes(t, parse(t, src))
	}
}

func becomes(t *testing.T, cfg *config.Config) {
	t.Helper()
	net, err := network.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer net.Close()
	table, err := ipvs.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = table.Close() }() // nothing is written by it
	state, want := Desired(cfg, nil)
	// What lblc and lblcr have of sysctls is there once a service uses them:
	// the second round sets it.
	for range 2 {
		plan := planNetwork(t, net, state)
		apply(t, net, plan.Hide, plan.Prepare)
		if err := table.Apply(t.Context(), ipvs.Plan(observe(t, table), want)); err != nil {
			t.Fatal(err)
		}
		apply(t, net, plan.Expose, plan.Withdraw)
	}
	for _, op := range ipvs.Plan(observe(t, table), want) {
		t.Errorf("still to do: %s", op)
	}
	plan := planNetwork(t, net, state)
	for _, op := range plan.Ops() {
		t.Errorf("still to do: %s", op)
	}
	adopted, err := Adopt(cfg, observe(t, table))
	if err != nil {
		t.Fatal(err)
	}
	for _, change := range config.Diff(cfg, adopted) {
		t.Errorf("adopting what is there: %s", change)
	}
}

func planNetwork(t *testing.T, k *network.Kernel, desired network.State) network.Plan {
	t.Helper()
	observed, err := k.Observe(t.Context(), desired)
	if err != nil {
		t.Fatal(err)
	}
	return network.MakePlan(observed, desired)
}

func apply(t *testing.T, k *network.Kernel, plans ...[]network.Op) {
	t.Helper()
	for _, ops := range plans {
		if err := k.Apply(t.Context(), ops); err != nil {
			t.Fatal(err)
		}
	}
}

func observe(t *testing.T, k *ipvs.Kernel) ipvs.Table {
	t.Helper()
	table, err := k.Observe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return table
}

package capture

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"golang.org/x/net/bpf"
)

// ipPacket is an IPv4 or IPv6 packet, and a number that tells it from others.
func ipPacket(protocol byte, from, to netip.AddrPort, fragment uint16, mark byte) []byte {
	payload := binary.BigEndian.AppendUint16(nil, from.Port())
	payload = binary.BigEndian.AppendUint16(payload, to.Port())
	payload = append(payload, make([]byte, 16)...)
	payload = append(payload, mark)
	var header []byte
	if from.Addr().Is4() {
		header = []byte{0x45, 0, 0, 0, 0, mark, 0, 0, 64, protocol, 0, 0}
		binary.BigEndian.PutUint16(header[2:], uint16(20+len(payload)))
		binary.BigEndian.PutUint16(header[6:], fragment)
	} else {
		header = []byte{0x60, 0, 0, 0, 0, byte(len(payload)), protocol, 64}
	}
	header = append(append(header, from.Addr().AsSlice()...), to.Addr().AsSlice()...)
	return append(header, payload...)
}

// packets are one of many kinds each, without an Ethernet header.
func packets() [][]byte {
	ap := netip.MustParseAddrPort
	client, vip := ap("192.0.2.10:40000"), ap("192.168.4.15:80")
	client6, vip6 := ap("[2001:db8::10]:40000"), ap("[2001:db8:4::15]:443")
	var all [][]byte
	add := func(protocol byte, from, to netip.AddrPort, fragment uint16) {
		all = append(all, ipPacket(protocol, from, to, fragment, byte(len(all)+1)))
	}
	for _, protocol := range []byte{6, 17, 132, 1, 112, 50, 51, 47, 4, 2} {
		add(protocol, client, vip, 0)
		add(protocol, vip, client, 0)
	}
	for _, protocol := range []byte{6, 17, 132, 58, 112} {
		add(protocol, client6, vip6, 0)
		add(protocol, vip6, client6, 0)
	}
	add(6, client, ap("192.168.4.16:8080"), 0)
	add(17, ap("10.9.8.7:53"), ap("10.255.0.1:8443"), 0)
	add(17, client, vip, 0x2000) // the first fragment
	add(17, client, vip, 0x0010) // another one, which has no ports
	return all
}

// frames are the packets on Ethernet, and two ARP requests.
func frames() [][]byte {
	var all [][]byte
	ethernet := func(kind uint16, payload []byte) {
		header := append(bytes.Repeat([]byte{2}, 12), 0, 0)
		binary.BigEndian.PutUint16(header[12:], kind)
		all = append(all, append(header, payload...))
	}
	for _, p := range packets() {
		kind := uint16(etherIPv4)
		if p[0]>>4 == 6 {
			kind = etherIPv6
		}
		ethernet(kind, p)
	}
	for _, asked := range []string{"192.168.4.15", "192.168.4.99"} {
		arp := []byte{0, 1, 8, 0, 6, 4, 0, 1, 2, 2, 2, 2, 2, 2, 192, 0, 2, 10, 0, 0, 0, 0, 0, 0}
		ethernet(etherARP, append(arp, netip.MustParseAddr(asked).AsSlice()...))
	}
	return all
}

// filters are those on which tcpdump must agree.
var filters = [...]string{
	"", "ip", "ip6", "arp", "tcp", "udp", "sctp", "icmp", "icmp6", "esp", "ah", "igmp",
	"host 192.168.4.15", "src host 192.168.4.15", "dst host 192.168.4.15", "src 192.168.4.15", "host 2001:db8::10", "dst host 2001:db8::10",
	"net 192.168.4.0/24", "src net 192.0.2.0/24", "dst net 2001:db8:4::/48", "net 10.0.0.0/8", "net 0.0.0.0/0",
	"port 80", "src port 80", "dst port 80", "tcp port 80", "udp port 80", "sctp dst port 80", "portrange 79-81", "udp portrange 8000-9000", "tcp dst portrange 80-443",
	"not port 80", "not (tcp port 80)", "! tcp", "tcp and host 192.168.4.15", "tcp or arp", "port 80 or port 443",
	"(port 80 or port 443) and host 192.168.4.15", "host 192.168.4.15 and not tcp or arp", "arp or host 192.168.4.16 and tcp",
	"not arp and not port 53", "arp host 192.168.4.99", "ip host 192.168.4.15", "not not tcp", "tcp&&port 80||arp", "ip proto 47", "ip6 proto 58",
	"icmp or icmp6 or esp or ah or sctp", "!(host 192.168.4.15||host 2001:db8:4::15)",
}

func TestFilterAgreesWithTcpdump(t *testing.T) {
	tcpdump, err := exec.LookPath("tcpdump")
	if err != nil {
		t.Skip("tcpdump is not there to agree with:", err)
	}
	for name, kind := range map[string]struct {
		ethernet bool
		frames   [][]byte
	}{"ethernet": {true, frames()}, "raw": {false, packets()}} {
		t.Run(name, func(t *testing.T) {
			file := pcap(t, kind.ethernet, kind.frames)
			for _, filter := range filters {
				if !kind.ethernet && bytes.Contains([]byte(filter), []byte("arp")) {
					continue // tcpdump refuses what such a link cannot have
				}
				want := theirs(t, tcpdump, file, filter)
				if got := ours(t, filter, kind.ethernet, kind.frames); !slices.Equal(got, want) {
					t.Errorf("%q: frames %v, tcpdump says %v", filter, got, want)
				}
			}
		})
	}
}

// pcap writes frames into a file.
func pcap(t *testing.T, ethernet bool, frames [][]byte) string {
	t.Helper()
	var b bytes.Buffer
	w := newWriter(&b, linkOf(ethernet))
	err := w.header()
	for i, f := range frames {
		err = errors.Join(err, w.packet(time.Unix(int64(i), 0), frame{f, len(f)})) // its number is its time
	}
	file := filepath.Join(t.TempDir(), "all.pcap")
	if err = errors.Join(err, os.WriteFile(file, b.Bytes(), 0o644)); err != nil {
		t.Fatal(err)
	}
	return file
}

// theirs are the numbers of the frames that tcpdump passes.
func theirs(t *testing.T, tcpdump, file, filter string) []int {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), tcpdump, "-r", file, "-w", "-", "-Z", "root", filter).Output()
	if err != nil {
		t.Fatalf("tcpdump %q: %v", filter, err)
	}
	var numbers []int
	for rest := out[24:]; len(rest) > 0; {
		numbers = append(numbers, int(binary.LittleEndian.Uint32(rest)))
		rest = rest[16+binary.LittleEndian.Uint32(rest[8:]):]
	}
	return numbers
}

func linkOf(ethernet bool) LinkType {
	if ethernet {
		return linkEthernet
	}
	return linkRaw
}

// ours are the numbers of the frames that our filter passes.
func ours(t *testing.T, filter string, ethernet bool, frames [][]byte) []int {
	t.Helper()
	program, err := Filter(filter, linkOf(ethernet), 0)
	if err != nil {
		t.Fatalf("%q: %v", filter, err)
	}
	vm, err := bpf.NewVM(program)
	if err != nil {
		t.Fatalf("%q: %v", filter, err)
	}
	if _, err := bpf.Assemble(program); err != nil {
		t.Fatalf("%q: %v", filter, err)
	}
	var numbers []int
	for i, f := range frames {
		n, err := vm.Run(f)
		if err != nil {
			t.Fatalf("%q: %v", filter, err)
		}
		if n > 0 {
			numbers = append(numbers, i)
		}
	}
	return numbers
}

// TestVRRPIsOfBothFamilies is where tcpdump knows only IPv4 (RFC 5798 has both).
func TestVRRPIsOfBothFamilies(t *testing.T) {
	if got, want := ours(t, "vrrp", true, frames()), []int{8, 9, 28, 29}; !slices.Equal(got, want) {
		t.Errorf("frames %v, want %v", got, want)
	}
}

func TestFilterRefuses(t *testing.T) {
	tests := []struct {
		filter string
		word   int
	}{
		{"frobnicate", 0}, {"tcp and", 2}, {"host web1", 1}, {"port http", 1}, {"port 70000", 1}, {"portrange 9-8", 1},
		{"(tcp", 2}, {"tcp)", 1}, {"net 192.168.4.0/33", 1}, {"tcp udp", 1}, {"not", 1}, {"proto 256", 1}, {"host", 1}, {"src", 1},
	}
	for _, tt := range tests {
		_, err := Filter(tt.filter, linkEthernet, 0)
		var no *Error
		if !errors.As(err, &no) || no.Word != tt.word {
			t.Errorf("%q: got %v, want word %d at fault", tt.filter, err, tt.word)
		}
	}
}

func FuzzFilter(f *testing.F) {
	for _, filter := range filters {
		f.Add(filter, true)
	}
	all := frames()
	f.Fuzz(func(t *testing.T, filter string, ethernet bool) {
		program, err := Filter(filter, linkOf(ethernet), 0)
		if err != nil {
			return
		}
		vm, err := bpf.NewVM(program)
		if err != nil {
			t.Fatalf("%q: %v", filter, err)
		}
		for _, frame := range append(all, nil, []byte{0x45}) {
			if _, err := vm.Run(frame); err != nil {
				t.Fatalf("%q: %v", filter, err)
			}
		}
	})
}

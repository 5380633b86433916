package packet

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
)

// bytesOf reads packets as they are written in RFCs: hexadecimal with blanks.
func bytesOf(t testing.TB, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(text), ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Headers that the packets are put together from.
const (
	toIPv4 = "525400aa0001 525400123456 0800 "
	toIPv6 = "525400aa0001 525400123456 86dd "
	// 10.0.0.1:40000 > 192.168.4.15:80
	synIPv4 = "4500 0028 0000 4000 4006 0000 0a000001 c0a8040f " + syn
	syn     = "9c40 0050 0000000a 00000000 5002 faf0 0000 0000 "
	// 2001:db8::1 > 2001:db8:4::15
	fromIPv6 = "20010db8000000000000000000000001 20010db8000400000000000000000015 "
)

func TestDescribe(t *testing.T) {
	for _, tt := range []struct{ name, packet, want string }{
		{"SYN", toIPv4 + synIPv4, "10.0.0.1:40000 > 192.168.4.15:80 TCP SYN seq 10 ack 0 win 64240, 0 bytes"},
		{"padded by Ethernet", toIPv4 + synIPv4 + "0000 0000 0000", "10.0.0.1:40000 > 192.168.4.15:80 TCP SYN seq 10 ack 0 win 64240, 0 bytes"},
		{"VLAN", "525400aa0001 525400123456 8100 000a 0800 " + synIPv4, "vlan 10 10.0.0.1:40000 > 192.168.4.15:80 TCP SYN seq 10 ack 0 win 64240, 0 bytes"},
		{"IPv6", toIPv6 + "60000000 0014 06 40 " + fromIPv6 + syn, "[2001:db8::1]:40000 > [2001:db8:4::15]:80 TCP SYN seq 10 ack 0 win 64240, 0 bytes"},
		{"extension header", toIPv6 + "60000000 001c 3c 40 " + fromIPv6 + "06 00 0000 00000000 " + syn, "[2001:db8::1]:40000 > [2001:db8:4::15]:80 TCP SYN seq 10 ack 0 win 64240, 0 bytes"},
		{"UDP", toIPv4 + "4500 0020 0000 4000 4011 0000 0a000001 c0a8040f 9c40 0035 000c 0000 01020304", "10.0.0.1:40000 > 192.168.4.15:53 UDP, 4 bytes"},
		{"IPIP", toIPv4 + "4500 003c 0000 4000 4004 0000 c0a80a76 c0a80a70 " + synIPv4, "192.168.10.118 > 192.168.10.112 IPIP: 10.0.0.1:40000 > 192.168.4.15:80 TCP SYN seq 10 ack 0 win 64240, 0 bytes"},
		{"GUE", toIPv4 + "4500 0048 0000 4000 4011 0000 c0a80a76 c0a80a70 9c40 17c0 0034 0000 00 04 0000 " + synIPv4, "192.168.10.118:40000 > 192.168.10.112:6080 UDP GUE: 10.0.0.1:40000 > 192.168.4.15:80 TCP SYN seq 10 ack 0 win 64240, 0 bytes"},
		{"GRE with checksum", toIPv4 + "4500 0044 0000 4000 402f 0000 c0a80a76 c0a80a70 8000 0800 0000 0000 " + synIPv4, "192.168.10.118 > 192.168.10.112 GRE: 10.0.0.1:40000 > 192.168.4.15:80 TCP SYN seq 10 ack 0 win 64240, 0 bytes"},
		{"fragment", toIPv4 + "4500 0018 0000 00b9 4011 0000 0a000001 c0a8040f 01020304", "10.0.0.1 > 192.168.4.15 fragment at 1480, 4 bytes"},
		{"ping", toIPv4 + "4500 001c 0000 4000 4001 0000 0a000001 c0a8040f 0800 0000 0007 0001", "10.0.0.1 > 192.168.4.15 ICMP echo request 7.1, 0 bytes"},
		{"unreachable", toIPv4 + "4500 0044 0000 4000 4001 0000 c0a8040f 0a000001 0303 0000 0000 0000 " + synIPv4, "192.168.4.15 > 10.0.0.1 ICMP unreachable code 3 about (10.0.0.1:40000 > 192.168.4.15:80 TCP SYN seq 10 ack 0 win 64240, 0 bytes)"},
		{"neighbour", toIPv6 + "60000000 0018 3a ff " + fromIPv6 + "8700 0000 00000000 20010db8000400000000000000000015", "2001:db8::1 > 2001:db8:4::15 ICMP neighbour solicitation of 2001:db8:4::15"},
		{"who has", "ffffffffffff 525400123456 0806 0001 0800 06 04 0001 525400123456 c0a80405 000000000000 c0a80464", "ARP who has 192.168.4.100? tell 192.168.4.5"},
		{"is at", "525400123456 525400aa0001 0806 0001 0800 06 04 0002 525400aa0001 c0a80464 525400123456 c0a80405", "ARP 192.168.4.100 is at 52:54:00:aa:00:01"},
		{"gratuitous", "ffffffffffff 525400123456 0806 0001 0800 06 04 0001 525400123456 c0a8040f 000000000000 c0a8040f", "ARP announcement: 192.168.4.15 is at 52:54:00:12:34:56"},
		{"VRRP", toIPv4 + "4500 001c 0000 4000 ff70 0000 c0a80405 e0000012 31 07 64 01 0064 0000", "192.168.4.5 > 224.0.0.18 VRRPv3 router 7 priority 100"},
		{"LLDP", "0180c200000e 525400123456 88cc 0207", "52:54:00:12:34:56 > 01:80:c2:00:00:0e ethertype 0x88cc, 2 bytes"},
		{"cut short", "525400aa0001 5254", "cut short"},
		{"cut in TCP", toIPv4 + "4500 0028 0000 4000 4006 0000 0a000001 c0a8040f 9c40 0050", "10.0.0.1:40000 > 192.168.4.15:80 TCP"},
	} {
		if got := Describe(linkEthernet, bytesOf(t, tt.packet)); got != tt.want {
			t.Errorf("%s:\n got %s\nwant %s", tt.name, got, tt.want)
		}
	}
}

// stream is a pcap file with one SYN, in either byte order.
func stream(t testing.TB, little bool) []byte {
	head := "a1b2c3d4 0002 0004 00000000 00000000 00040000 00000001 65920080 000186a0 00000036 00000036 "
	if little {
		head = "d4c3b2a1 0200 0400 00000000 00000000 00000400 01000000 80009265 a0860100 36000000 36000000 "
	}
	return bytesOf(t, head+toIPv4+synIPv4)
}

func TestPrinter(t *testing.T) {
	want := "00:00:00.100000 10.0.0.1:40000 > 192.168.4.15:80 TCP SYN seq 10 ack 0 win 64240, 0 bytes\n"
	for _, little := range []bool{true, false} {
		var out bytes.Buffer
		p := NewPrinter(&out)
		in := iotest.OneByteReader(bytes.NewReader(stream(t, little)))
		for b := make([]byte, 1); ; {
			if _, err := in.Read(b); err != nil {
				break
			}
			if _, err := p.Write(b); err != nil {
				t.Fatal(err)
			}
		}
		if diff := cmp.Diff(want, out.String()); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	}
	if _, err := NewPrinter(&bytes.Buffer{}).Write(bytes.Repeat([]byte("no pcap "), 8)); err == nil {
		t.Error("what is no pcap was taken")
	}
}

// TestAnyLink: of packets of any link, each says where it was seen, and on which
// way.
func TestAnyLink(t *testing.T) {
	head := "a1b23c4d 0002 0004 00000000 00000000 00040000 00000114 "
	record := func(header, packet string) string {
		return fmt.Sprintf("65920080 00000001 %08[1]x %08[1]x ", (len(strings.Join(strings.Fields(header+packet), "")))/2) + header + packet
	}
	arp := "0001 0800 06 04 0001 525400123456 c0a80405 000000000000 c0a80464 "
	text := head + record("0800 0000 00000002 0001 04 06 525400123456 0000 ", synIPv4) +
		record("0806 0000 00000003 0001 01 06 525400123456 0000 ", arp) +
		record("88cc 0000 00000009 0001 00 06 525400123456 0000 ", "0207 ") + record("0800 ", "")
	var out bytes.Buffer
	p := NewPrinter(&out)
	p.Links = map[int]string{2: "eth0", 3: "eth0.10"}
	if _, err := p.Write(bytesOf(t, text)); err != nil {
		t.Fatal(err)
	}
	want := `00:00:00.000000 eth0 out 10.0.0.1:40000 > 192.168.4.15:80 TCP SYN seq 10 ack 0 win 64240, 0 bytes
00:00:00.000000 eth0.10 in ARP who has 192.168.4.100? tell 192.168.4.5
00:00:00.000000 #9 in ethertype 0x88cc, 2 bytes
00:00:00.000000 cut short
`
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// FuzzPrinter holds that no packet does harm, nor steers the terminal.
func FuzzPrinter(f *testing.F) {
	f.Add(stream(f, true))
	f.Add(stream(f, false))
	f.Fuzz(func(t *testing.T, in []byte) {
		var out bytes.Buffer
		_, _ = NewPrinter(&out).Write(in) // may say that it is no pcap
		for _, link := range []uint32{linkEthernet, linkRaw, linkCooked, 7} {
			out.WriteString(Describe(link, in))
		}
		if i := strings.IndexFunc(out.String(), func(r rune) bool { return r < ' ' && r != '\n' || r > '~' }); i >= 0 {
			t.Fatalf("output has %q", out.String()[i:])
		}
	})
}

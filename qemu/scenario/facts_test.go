package scenario

import (
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"

	"dipper/qemu/ether"
)

// wire is a capture made up for a test: what a cluster would have sent.
type wire struct {
	t      testing.TB
	frames []ether.Frame
}

// cards are the addresses of the machines in these tests.
var cards = map[string]string{
	"client": "52:54:00:00:01:00", "director": "52:54:00:00:02:00",
	"web1": "52:54:00:00:03:00", "web2": "52:54:00:00:04:00",
	"rs1": "52:54:00:00:05:00", "rs2": "52:54:00:00:06:00",
}

func (w *wire) packets() []Packet {
	names := make(map[string]string)
	for name, card := range cards {
		names[card] = name
	}
	return decode(names, "lan", w.frames)
}

// send puts layers into a frame of one machine to another, or to all.
func (w *wire) send(from, to string, kind layers.EthernetType, inside ...gopacket.SerializableLayer) {
	w.t.Helper()
	source, err := net.ParseMAC(cards[from])
	if err != nil {
		w.t.Fatal(err)
	}
	destination := layers.EthernetBroadcast
	if to != "" {
		if destination, err = net.ParseMAC(cards[to]); err != nil {
			w.t.Fatal(err)
		}
	}
	buffer := gopacket.NewSerializeBuffer()
	all := append([]gopacket.SerializableLayer{&layers.Ethernet{SrcMAC: source, DstMAC: destination, EthernetType: kind}}, inside...)
	if err := gopacket.SerializeLayers(buffer, gopacket.SerializeOptions{FixLengths: true}, all...); err != nil {
		w.t.Fatal(err)
	}
	w.frames = append(w.frames, ether.Frame{Port: from + ".eth0", Sent: true, Data: slices.Clone(buffer.Bytes())})
}

func ip(source, destination netip.Addr, ttl uint8, protocol layers.IPProtocol) *layers.IPv4 {
	return &layers.IPv4{Version: 4, Id: 7, TTL: ttl, Protocol: protocol, SrcIP: source.AsSlice(), DstIP: destination.AsSlice()}
}

func segment(to uint16) gopacket.SerializableLayer {
	return &layers.TCP{SrcPort: 40000, DstPort: layers.TCPPort(to), SYN: true, Window: 1000}
}

// says lets a machine answer the client's question for an address.
func (w *wire) says(who string, a netip.Addr) {
	w.arp("client", layers.ARPRequest, netip.MustParseAddr("192.168.4.10"), a)
	w.arp(who, layers.ARPReply, a, netip.MustParseAddr("192.168.4.10"))
}

func (w *wire) arp(from string, operation uint16, source, destination netip.Addr) {
	card, err := net.ParseMAC(cards[from])
	if err != nil {
		w.t.Fatal(err)
	}
	w.send(from, "", layers.EthernetTypeARP, &layers.ARP{
		AddrType: layers.LinkTypeEthernet, Protocol: layers.EthernetTypeIPv4, HwAddressSize: 6, ProtAddressSize: 4,
		Operation: operation, SourceHwAddress: card, SourceProtAddress: source.AsSlice(),
		DstHwAddress: make([]byte, 6), DstProtAddress: destination.AsSlice(),
	})
}

// nat is a request by NAT to each real server, and its reply.
func (w *wire) nat(s Scenario) {
	for _, server := range s.Servers {
		w.send("client", "director", layers.EthernetTypeIPv4, ip(s.Client, s.VIP, 64, layers.IPProtocolTCP), segment(80))
		w.send("director", server.Name, layers.EthernetTypeIPv4, ip(s.Client, server.RIP, 63, layers.IPProtocolTCP), segment(80))
		w.send(server.Name, "director", layers.EthernetTypeIPv4, ip(server.RIP, s.Client, 64, layers.IPProtocolTCP), segment(40000))
		w.send("director", "client", layers.EthernetTypeIPv4, ip(s.VIP, s.Client, 63, layers.IPProtocolTCP), segment(40000))
	}
}

// direct is the same by DR, without and with a second IP header by TUN.
func (w *wire) direct(s Scenario) {
	w.says("director", s.VIP)
	w.says("director", s.VIP)
	for _, server := range s.Servers {
		w.send("client", "director", layers.EthernetTypeIPv4, ip(s.Client, s.VIP, 64, layers.IPProtocolTCP), segment(80))
		inner := ip(s.Client, s.VIP, 63, layers.IPProtocolTCP)
		if s.Forward == TUN {
			w.send("director", server.Name, layers.EthernetTypeIPv4, ip(s.DIP, server.RIP, 64, layers.IPProtocolIPv4), inner, segment(80))
		} else {
			w.send("director", server.Name, layers.EthernetTypeIPv4, inner, segment(80))
		}
		w.send(server.Name, "client", layers.EthernetTypeIPv4, ip(s.VIP, s.Client, 64, layers.IPProtocolTCP), segment(40000))
	}
}

// right are the answers that the weights ask for.
func right(s Scenario) Report {
	r := Report{Scenario: s, Answers: make(map[string]int)}
	for _, server := range s.Servers {
		r.Answers[server.Name] = rounds * server.Weight
	}
	return r
}

// denied are the claims that do not hold.
func denied(s Scenario, r Report, packets []Packet) []string {
	var claims []string
	for _, f := range s.facts(r, packets) {
		if f.Denial != nil {
			claims = append(claims, f.Claim+": "+f.Denial.Error())
		}
	}
	return claims
}

// TestFactsCanBeDenied makes captures of clusters that work, each with one
// thing wrong, and wants that thing found and nothing else.
func TestFactsCanBeDenied(t *testing.T) {
	nat, dr, tun := find(t, "s1-nat"), find(t, "s2-dr"), find(t, "s3-tun")
	web1 := nat.Servers[0]
	for _, test := range []struct {
		name     string
		scenario Scenario
		wrong    func(w *wire, r *Report)
		want     string // in the one claim denied; "": none is
	}{
		{"NAT works", nat, nil, ""},
		{"DR works", dr, nil, ""},
		{"TUN works", tun, nil, ""},
		{"weights are ignored", dr, func(_ *wire, r *Report) { r.Answers = map[string]int{"web1": 6, "web2": 6} }, "as the weights say"},
		{"a page of nobody", dr, func(_ *wire, r *Report) { r.Answers[""] = 1 }, "as the weights say"},
		{"a reply past the director", nat, func(w *wire, _ *Report) {
			w.send("web1", "client", layers.EthernetTypeIPv4, ip(nat.VIP, nat.Client, 64, layers.IPProtocolTCP), segment(40000))
		}, "web1 > client"},
		{"a reply through the director", dr, func(w *wire, _ *Report) {
			w.send("director", "client", layers.EthernetTypeIPv4, ip(dr.VIP, dr.Client, 63, layers.IPProtocolTCP), segment(40000))
		}, "director > client"},
		{"a RIP shown", nat, func(w *wire, _ *Report) {
			w.send("director", "client", layers.EthernetTypeIPv4, ip(web1.RIP, nat.Client, 63, layers.IPProtocolTCP), segment(40000))
		}, "never sees a real server's address"},
		{"the client's address hidden", nat, func(w *wire, _ *Report) {
			w.send("director", "web1", layers.EthernetTypeIPv4, ip(nat.DIP, web1.RIP, 63, layers.IPProtocolTCP), segment(80))
		}, "the client's own address"},
		{"a real server answers ARP for the VIP", dr, func(w *wire, _ *Report) { w.says("web2", dr.VIP) }, "web2 says that the VIP is its own"},
		{"nobody asked for the VIP", dr, func(w *wire, _ *Report) { w.frames = w.frames[4:] }, "asked 0 times"},
		{"an address changed on the way", dr, func(w *wire, _ *Report) {
			w.send("client", "director", layers.EthernetTypeIPv4, ip(dr.Client, dr.VIP, 64, layers.IPProtocolTCP), segment(81))
			w.send("director", "web1", layers.EthernetTypeIPv4, ip(dr.Client, dr.VIP, 63, layers.IPProtocolTCP), segment(82))
		}, "the director sent what the client did not"},
		{"a packet that never left the director", dr, func(w *wire, _ *Report) {
			w.send("client", "director", layers.EthernetTypeIPv4, ip(dr.Client, dr.VIP, 64, layers.IPProtocolTCP), segment(80))
		}, "the client sent 3 packets, the director 2"},
		{"no tunnel", tun, func(w *wire, _ *Report) {
			w.send("client", "director", layers.EthernetTypeIPv4, ip(tun.Client, tun.VIP, 64, layers.IPProtocolTCP), segment(80))
			w.send("director", "rs1", layers.EthernetTypeIPv4, ip(tun.Client, tun.VIP, 63, layers.IPProtocolTCP), segment(80))
		}, "1 IP headers"},
		{"a tunnel from elsewhere", tun, func(w *wire, _ *Report) {
			w.send("client", "director", layers.EthernetTypeIPv4, ip(tun.Client, tun.VIP, 64, layers.IPProtocolTCP), segment(80))
			w.send("director", "rs1", layers.EthernetTypeIPv4, ip(tun.VIP, tun.Servers[0].RIP, 64, layers.IPProtocolIPv4),
				ip(tun.Client, tun.VIP, 63, layers.IPProtocolTCP), segment(80))
		}, "outside from " + tun.VIP.String()},
		{"another kind of tunnel", tun, func(w *wire, _ *Report) {
			w.send("client", "director", layers.EthernetTypeIPv4, ip(tun.Client, tun.VIP, 64, layers.IPProtocolTCP), segment(80))
			w.send("director", "rs1", layers.EthernetTypeIPv4, ip(tun.DIP, tun.Servers[0].RIP, 64, layers.IPProtocolGRE),
				&layers.GRE{Protocol: layers.EthernetTypeIPv4}, ip(tun.Client, tun.VIP, 63, layers.IPProtocolTCP), segment(80))
		}, "not inside a second IP header"},
	} {
		t.Run(test.name, func(t *testing.T) {
			w, r := &wire{t: t}, right(test.scenario)
			if test.scenario.Forward == NAT {
				w.nat(test.scenario)
			} else {
				w.direct(test.scenario)
			}
			if test.wrong != nil {
				test.wrong(w, &r)
			}
			got := denied(test.scenario, r, w.packets())
			switch {
			case test.want == "" && len(got) > 0:
				t.Errorf("denied: %q", got)
			case test.want != "" && (len(got) != 1 || !strings.Contains(got[0], test.want)):
				t.Errorf("denied: %q, want one with %q", got, test.want)
			}
		})
	}
}

// TestGUE reads the header that gopacket does not know.
func TestGUE(t *testing.T) {
	s := find(t, "s3-tun-gue")
	w := &wire{t: t}
	w.send("director", "rs1", layers.EthernetTypeIPv4, ip(s.DIP, s.Servers[0].RIP, 64, layers.IPProtocolUDP),
		&layers.UDP{SrcPort: 5000, DstPort: guePort}, gopacket.Payload{0x00, 4, 0, 0},
		ip(s.Client, s.VIP, 63, layers.IPProtocolTCP), segment(80))
	p := w.packets()[0]
	if h := p.headers(); len(h) != 2 || h[1].destination != s.VIP {
		t.Fatalf("headers %+v, want two, the second to %s", h, s.VIP)
	}
	if p.tcp() == nil || p.tcp().DstPort != 80 {
		t.Errorf("TCP %+v", p.tcp())
	}
	if !s.outerIsRight(p) || find(t, "s3-tun").outerIsRight(p) {
		t.Error("GUE is not told from IPIP")
	}
}

// FuzzDecode: a capture may hold anything.
func FuzzDecode(f *testing.F) {
	w := &wire{t: f}
	w.direct(All()[1])
	for _, frame := range w.frames {
		f.Add(frame.Data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, p := range decode(nil, "lan", []ether.Frame{{Port: "a.eth0", Data: data}}) {
			p.headers()
			p.tcp()
			p.announced()
			p.asked()
		}
	})
}

package network

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

func mark(prefix string, protocol uint8, first, last uint16, value uint32) Mark {
	return Mark{netip.MustParsePrefix(prefix), protocol, first, last, value}
}

func TestPlanMarks(t *testing.T) {
	web, range6 := mark("192.168.4.15/32", 6, 80, 80, 7), mark("2001:db8:5::/64", 17, 8000, 8010, 1<<31)
	ready := func(marks ...Mark) State { return State{MarkTable: true, Marks: marks} }
	for _, tt := range []struct {
		name              string
		observed, desired State
		want              string
	}{
		{"nothing", State{}, State{}, ""},
		{"the same", ready(web, range6), State{Marks: []Mark{range6, web}}, ""},
		{"the last goes", ready(web), State{}, "then nft delete table inet dipper_marks"},
		{"another value", ready(web, range6), State{Marks: []Mark{mark("192.168.4.15/32", 6, 80, 80, 8), range6}},
			"nft 'delete element inet dipper_marks ipv4 { 192.168.4.15 . 6 . 80 }; add element inet dipper_marks ipv4 { 192.168.4.15 . 6 . 80 : 0x8 }'"},
		{"one comes, one goes", ready(web), State{Marks: []Mark{range6}}, `
nft 'add element inet dipper_marks ipv6 { 2001:db8:5::/64 . 17 . 8000-8010 : 0x80000000 }'
then nft 'delete element inet dipper_marks ipv4 { 192.168.4.15 . 6 . 80 }'`},
		{"one is in the way, another goes", ready(web, mark("192.168.4.16/32", 6, 80, 80, 7)), State{Marks: []Mark{mark("192.168.4.0/28", 6, 80, 90, 7)}}, `
nft 'delete element inet dipper_marks ipv4 { 192.168.4.15 . 6 . 80 }; add element inet dipper_marks ipv4 { 192.168.4.0/28 . 6 . 80-90 : 0x7 }'
then nft 'delete element inet dipper_marks ipv4 { 192.168.4.16 . 6 . 80 }'`},
		{"first", State{}, State{Marks: []Mark{web}}, `
nft 'add table inet dipper_marks; delete table inet dipper_marks; add table inet dipper_marks; ` +
			`add map inet dipper_marks ipv4 { type ipv4_addr . inet_proto . inet_service : mark; flags interval; }; ` +
			`add map inet dipper_marks ipv6 { type ipv6_addr . inet_proto . inet_service : mark; flags interval; }; ` +
			`add chain inet dipper_marks prerouting { type filter hook prerouting priority mangle; }; ` +
			`add rule inet dipper_marks prerouting meta mark set ip daddr . meta l4proto . th dport map @ipv4; ` +
			`add rule inet dipper_marks prerouting meta mark set ip6 daddr . meta l4proto . th dport map @ipv6; ` +
			`add chain inet dipper_marks output { type filter hook output priority mangle; }; ` +
			`add rule inet dipper_marks output meta mark set ip daddr . meta l4proto . th dport map @ipv4; ` +
			`add rule inet dipper_marks output meta mark set ip6 daddr . meta l4proto . th dport map @ipv6'
nft 'add element inet dipper_marks ipv4 { 192.168.4.15 . 6 . 80 : 0x7 }'`},
	} {
		var got []string
		p := planMarks(tt.observed, tt.desired)
		for _, op := range p.set {
			got = append(got, op.String())
		}
		for _, op := range p.remove {
			got = append(got, "then "+op.String())
		}
		if diff := cmp.Diff(strings.TrimSpace(tt.want), strings.Join(got, "\n")); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
	}
}

func TestPlanMarksInBatches(t *testing.T) {
	var many []Mark
	for i := range 1000 {
		many = append(many, mark(fmt.Sprintf("10.0.%d.%d/32", i/256, i%256), 6, 80, 90, 7))
	}
	if ops := planMarks(State{MarkTable: true}, State{Marks: many}).set; len(ops) != 4 {
		t.Errorf("%d transactions, want 4 of up to 256", len(ops))
	}
}

func TestMarkElements(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 1000 {
		m := randomMark(r)
		family := markFamilyOf(m.Prefix.Addr())
		back, ok := family.parse(m.element())
		if !ok || back != m {
			t.Fatalf("%+v comes back as %+v, %v", m, back, ok)
		}
	}
	for _, odd := range [][]byte{nil, {1, 2, 3, 4}} {
		e := mark("192.168.4.15/32", 6, 80, 80, 7).element()
		e.Val = odd[:min(3, len(odd))]
		if _, ok := markFamilies()[0].parse(e); ok {
			t.Errorf("an element with the value %v is taken for a mark", e.Val)
		}
	}
}

func randomMark(r *rand.Rand) Mark {
	address := netip.AddrFrom4([4]byte{10, byte(r.IntN(4)), byte(r.IntN(256)), byte(r.IntN(256))})
	if r.IntN(2) == 0 {
		address = netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 15: byte(r.IntN(256))})
	}
	bits := address.BitLen() - r.IntN(9)
	first := uint16(r.IntN(1 << 16))
	last := first + uint16(r.IntN(1<<16-int(first)))
	return Mark{netip.PrefixFrom(address, bits).Masked(), pick(r, uint8(6), 17, 132, 50), first, last, r.Uint32() | 1}
}

func pick[T any](r *rand.Rand, from ...T) T { return from[r.IntN(len(from))] }

// TestMarksSettleInNamespace goes through random states: what was applied is
// read back the same, and nft lists it as our words say.
func TestMarksSettleInNamespace(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	k := open(t)
	r := rand.New(rand.NewPCG(3, 4))
	for range 20 {
		var state State
		for range r.IntN(40) {
			m := randomMark(r)
			if !slices.ContainsFunc(state.Marks, m.overlaps) {
				state.Marks = append(state.Marks, m)
			}
		}
		reach(t, k, state)
		settled(t, k, state)
		for i := range state.Marks {
			if r.IntN(2) == 0 {
				state.Marks[i].Mark++
			}
		}
		reach(t, k, state)
		settled(t, k, state)
	}
	reach(t, k, State{})
	settled(t, k, State{})
}

// TestMarkTableIsMendedInNamespace damages the table as others might.
func TestMarkTableIsMendedInNamespace(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	tool(t, "nft", "nftables")
	k := open(t)
	state := State{Marks: []Mark{mark("192.168.5.0/24", 6, 80, 90, 7), mark("2001:db8:5::15/128", 50, 0, 65535, 8)}}
	reach(t, k, state)
	whole := run(t, "nft -n list table inet dipper_marks")
	for _, want := range []string{
		// In reverse order, as the map's comment says.
		"192.168.5.0/24 . 6 . 80-90 : 0x07000000", "2001:db8:5::15 . 50 . 0-65535 : 0x08000000", "in reverse order",
		`meta mark set ip daddr . meta l4proto . th dport map @ipv4 comment "ipv4"`,
		`meta mark set ip6 daddr . meta l4proto . th dport map @ipv6 comment "ipv6"`,
	} {
		if !strings.Contains(whole, want) {
			t.Errorf("nft does not list %q:\n%s", want, whole)
		}
	}
	for _, damage := range []string{
		"nft delete table inet dipper_marks",
		"nft flush chain inet dipper_marks output",
		"nft delete element inet dipper_marks ipv4 { 192.168.5.0/24 . tcp . 80-90 }",
		"nft add element inet dipper_marks ipv4 { 192.168.6.0/24 . udp . 80-90 : 0x9 }",
	} {
		run(t, damage)
		if len(text(planFor(t, k, state))) == 0 {
			t.Errorf("not seen: %s", damage)
		}
		reach(t, k, state)
		settled(t, k, state)
		if diff := cmp.Diff(whole, run(t, "nft -n list table inet dipper_marks")); diff != "" {
			t.Errorf("after %s (-before +after):\n%s", damage, diff)
		}
	}
}

// TestMarksOnPacketsInNamespace sends packets and lets nftables count what
// carries which mark when it is delivered; it also shows that a whole network
// of VIPs is delivered here.
func TestMarksOnPacketsInNamespace(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	tool(t, "nft", "nftables")
	n := newNeighbour(t, "eth0")
	n.run("ip addr add 192.168.4.10/24 dev peer")
	n.run("ip -6 addr add 2001:db8:4::10/64 dev peer nodad")
	n.run("ip route add 192.168.5.0/24 via 192.168.4.5")
	n.run("ip -6 route add 2001:db8:5::/64 via 2001:db8:4::5")
	k := open(t)
	state := State{
		Links: []Link{{Name: "eth0", Kind: Physical}, {Name: "lo", Kind: Fallback}},
		Addresses: []Address{
			{Link: "eth0", Prefix: netip.MustParsePrefix("192.168.4.5/24")},
			{Link: "eth0", Prefix: netip.MustParsePrefix("2001:db8:4::5/64")},
		},
		Routes: []Route{
			{To: netip.MustParsePrefix("192.168.5.0/24"), Local: true},
			{To: netip.MustParsePrefix("2001:db8:5::/64"), Local: true},
		},
		Marks: []Mark{
			mark("192.168.5.0/24", unix.IPPROTO_TCP, 8080, 8090, 7), mark("192.168.5.0/24", unix.IPPROTO_UDP, 0, 65535, 8),
			mark("2001:db8:5::/64", unix.IPPROTO_TCP, 8080, 8080, 9),
		},
	}
	got := strings.Join(reach(t, k, state), "\n")
	for _, want := range []string{"ip route replace local 192.168.5.0/24 dev lo proto 68", "ip route replace local 2001:db8:5::/64 dev lo proto 68"} {
		if !strings.Contains(got, want) {
			t.Errorf("the plan has no %q:\n%s", want, got)
		}
	}
	settled(t, k, state)
	run(t, "nft add table inet seen")
	run(t, "nft add chain inet seen input { type filter hook input priority 0; }")
	for _, value := range []string{"0", "7", "8", "9"} {
		run(t, "nft add rule inet seen input meta mark "+value+" tcp flags syn counter comment tcp"+value)
	}
	run(t, "nft add rule inet seen input meta mark 8 meta l4proto udp counter comment udp8")
	listen(t, 8080)
	listen(t, 8081)
	for _, address := range []string{"192.168.5.1:8080", "192.168.5.254:8081", "[2001:db8:5::77]:8080", "192.168.4.5:8080", "[2001:db8:5::77]:8081"} {
		n.send("tcp", address)
	}
	n.send("udp", "192.168.5.9:53")
	counters := run(t, "nft list chain inet seen input")
	for comment, want := range map[string]string{"tcp7": "packets 2", "tcp9": "packets 1", "tcp0": "packets 2", "tcp8": "packets 0", "udp8": "packets 1"} {
		if !slices.ContainsFunc(strings.Split(counters, "\n"), func(line string) bool {
			return strings.Contains(line, want+" ") && strings.Contains(line, `"`+comment+`"`)
		}) {
			t.Errorf("%s has not %s:\n%s", comment, want, counters)
		}
	}
	reach(t, k, State{Links: state.Links, Addresses: state.Addresses})
	if routes := run(t, "ip route show table local proto 68"); strings.Contains(routes, "192.168.5.0") {
		t.Errorf("the local route stays:\n%s", routes)
	}
}

// listen accepts on a TCP port of every address until the process ends.
func listen(t *testing.T, port int) {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET6, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Bind(fd, &syscall.SockaddrInet6{Port: port}); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Listen(fd, 16); err != nil {
		t.Fatal(err)
	}
}

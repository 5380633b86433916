package scenario

import (
	"fmt"
	"maps"
	"testing"

	"dipper/qemu/lab"
)

// greeter is a real server of Debian's programs, which answers each connection
// and each datagram on port 9 with its name.
const greeter = `
ip addr add %[1]s dev eth0 nodad
ip link set eth0 up
ip route add default via %[2]s
socat %[3]s-LISTEN:9,fork SYSTEM:'echo %[4]s' > /dev/null 2>&1 &
`

// greeting asks eight times, each time from another port, as asker does.
const greeting = `for _ in $(seq 8); do %s; done | sort | uniq -c`

// asker waits for what the other side says. A datagram must be sent for that,
// and the wait must be for the answer: of a pipe that has ended, socat waits half
// a second. On an SCTP association nothing is sent, for the end of it would end
// the association (RFC 9260 section 9: there is no half-closed state).
func asker(protocol, to string) string {
	if protocol == "sctp" {
		return "timeout 60 socat -u " + to + " -"
	}
	return "timeout 60 socat " + to + " SYSTEM:'echo hello; read line; echo $line >&2' 2>&1"
}

// TestUDPAndSCTP balances what is no TCP over NAT, between peers that nobody
// here wrote: the checksums of both must be mended on the way.
func TestUDPAndSCTP(t *testing.T) {
	for _, protocol := range []string{"udp", "sctp"} {
		for _, example := range []string{"s1-nat", "s1-nat-v6"} {
			t.Run(protocol+" "+example, func(t *testing.T) {
				t.Parallel()
				s := find(t, example)
				address := socatAddress(protocol, s.VIP.Is6())
				d := s.load(t)
				director := d.Node("director")
				director.Config = fmt.Appendf(director.Config, `
  greeting:
    listen: "%s"
    protocol: %s
    scheduler: rr
    forward: nat
    real-servers: [{address: "%s"}, {address: "%s"}]
`, bracketed(s.VIP.String(), s.VIP.Is6())+":9", protocol, s.Servers[0].RIP, s.Servers[1].RIP)
				for _, server := range s.Servers {
					*d.Node(server.Name) = lab.Node{
						Name: server.Name, LANs: d.Node(server.Name).LANs, Peer: true,
						Script: fmt.Sprintf(greeter, server.RIP.String()+prefix(s.VIP.Is6()), s.DIP, address, server.Name),
					}
				}
				c := lab.StartT(t, d)
				answers, err := c.Peer("client").Run(patience(t), fmt.Sprintf(greeting, asker(protocol, address+":"+bracketed(s.VIP.String(), s.VIP.Is6())+":9")))
				if err != nil {
					t.Fatal(err)
				}
				if got, want := counts(t, answers), map[string]int{"web1": 4, "web2": 4}; !maps.Equal(got, want) {
					t.Errorf("got %v, want %v", got, want)
				}
			})
		}
	}
}

// socatAddress is socat's word for a protocol in a family.
func socatAddress(protocol string, six bool) string {
	names := map[string]string{"udp": "UDP4", "sctp": "SCTP4"}
	if six {
		names = map[string]string{"udp": "UDP6", "sctp": "SCTP6"}
	}
	return names[protocol]
}

func bracketed(address string, six bool) string {
	if six {
		return "[" + address + "]"
	}
	return address
}

func prefix(six bool) string {
	if six {
		return "/64"
	}
	return "/24"
}

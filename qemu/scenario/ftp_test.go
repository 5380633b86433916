package scenario

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"

	"dipper/qemu/lab"
)

// ftpService is appended to a director's configuration.
const ftpService = `
  ftp:
    listen: "%s"
    scheduler: rr
    forward: %s
    real-servers: [{address: "%s"}, {address: "%s"}]
`

// ftpPersistence is put behind the scheduler.
const ftpPersistence = "scheduler: rr\n    persistence: {timeout: 5m}\n"

// ftpServer is a real server with Debian's vsftpd, whose files say its
// name, and which takes uploads.
const ftpServer = `
ip addr add %[1]s dev eth0 nodad
ip link set eth0 up
ip route add default via %[2]s
echo 'ftp:x:21:65534:ftp:/srv:/bin/false' >> /etc/passwd
mkdir -p /srv/in /run/vsftpd/empty
chown ftp /srv/in
echo %[3]s | tee /srv/first > /srv/second
cat > /tmp/vsftpd.conf <<'END'
listen=NO
listen_ipv6=YES
anonymous_enable=YES
no_anon_password=YES
write_enable=YES
anon_upload_enable=YES
connect_from_port_20=YES
seccomp_sandbox=NO
secure_chroot_dir=/run/vsftpd/empty
END
vsftpd /tmp/vsftpd.conf < /dev/null > /tmp/vsftpd.log 2>&1 &
until ss -Hltn 'sport = :21' | grep -q :21; do sleep 0.1; done
`

// ftpSessions are four sessions: two that fetch two files each, by one control
// connection, and two that store one. What follows a data connection's address
// on a control connection has its sequence numbers adjusted, for the VIP that
// is written there may be shorter or longer.
const ftpSessions = `
talk() { curl -sS --max-time 60 --no-ftp-skip-pasv-ip %[1]s "$@"; }
for _ in 1 2; do talk 'ftp://%[2]s/first' 'ftp://%[2]s/second'; done | sort | uniq -c
for _ in 1 2; do echo upload | talk -T - "ftp://%[2]s/in/$(cat /proc/sys/kernel/random/uuid)"; done
`

// ftpModes are how curl asks for data connections, by the command that it sends.
// EPSV and EPRT are what it uses by itself (RFC 2428).
func ftpModes(six bool) map[string]string {
	modes := map[string]string{"EPSV": "", "EPRT": "--ftp-port -"}
	if !six {
		modes["PASV"] = "--disable-epsv"
		modes["PORT"] = "--disable-eprt --ftp-port -"
	}
	return modes
}

// TestFTP has Debian's FTP server behind NAT, and a client that asks for data
// connections in either direction: with no settings but the service itself.
func TestFTP(t *testing.T) {
	for _, example := range []string{"s1-nat", "s1-nat-v6"} {
		t.Run(example, func(t *testing.T) {
			t.Parallel()
			s := find(t, example)
			d := s.load(t)
			s.serveFTP(d)
			c := lab.StartT(t, d)
			b := &ftpBench{s, patience(t), c}
			b.everyMode(t, map[string]int{"web1": 2, "web2": 2})

			director := d.Node("director")
			director.Config = replace(t, director.Config, "scheduler: rr\n", ftpPersistence)
			reconfigure(b.ctx, t, b.c, d)
			b.everyMode(t, map[string]int{b.homeOf(t): 4})

			director.Config = replace(t, director.Config, ftpPersistence, "scheduler: rr\n")
			director.Config = replace(t, director.Config, fmt.Sprintf("listen: %q", b.vip()+":21"), fmt.Sprintf("listen: [%q, %q]", b.vip()+":21", b.vip()+":2121"))
			reconfigure(b.ctx, t, b.c, d)
			b.behindMark(t)
		})
	}
}

// behindMark: of a service with a firewall mark the helper rewrites nothing. It
// finds data connections nevertheless, but a client that is told an address by
// PASV is told the real server's.
func (b *ftpBench) behindMark(t *testing.T) {
	t.Helper()
	for command, options := range ftpModes(b.s.VIP.Is6()) {
		if command != "PASV" {
			b.mode(t, command, options, map[string]int{"web1": 2, "web2": 2})
			continue
		}
		out, err := b.c.Peer("client").Run(b.ctx, fmt.Sprintf("curl -sS -v --max-time 60 --quote PASV --head ftp://%s/first 2>&1", b.vip()))
		if err != nil {
			t.Fatal(err)
		}
		told := strings.ReplaceAll(b.s.Servers[0].RIP.String(), ".", ",")
		if i := strings.LastIndexByte(told, ','); !strings.Contains(out, "Entering Passive Mode ("+told[:i]) {
			t.Errorf("PASV behind a mark: want an address of a real server's network\n%s", out)
		}
	}
}

// withVIP gives a real server the VIP for direct routing: on lo, and announced
// by nobody.
const withVIP = `
sysctl -q -w net.ipv4.conf.all.arp_ignore=1 net.ipv4.conf.all.arp_announce=2
ip addr add %s dev lo
`

// TestFTPByDR: no helper reads along, and passive data connections go to ports
// of no service. The kernel takes them for the persistent service at port 21
// (ip_vs_ctl.c, ip_vs_service_find).
func TestFTPByDR(t *testing.T) {
	for _, example := range []string{"s2-dr", "s2-dr-v6"} {
		t.Run(example, func(t *testing.T) {
			t.Parallel()
			s := find(t, example)
			d := s.load(t)
			s.serveFTP(d)
			for _, server := range s.Servers {
				d.Node(server.Name).Script += fmt.Sprintf(withVIP, s.VIP)
			}
			director := d.Node("director")
			director.Config = replace(t, director.Config, "scheduler: rr\n", ftpPersistence)
			c := lab.StartT(t, d)
			b := &ftpBench{s, patience(t), c}
			b.everyMode(t, map[string]int{b.homeOf(t): 4})
		})
	}
}

// serveFTP makes the real servers peers with an FTP server, and the director
// theirs.
func (s Scenario) serveFTP(d *lab.Description) {
	director := d.Node("director")
	director.Config = fmt.Appendf(director.Config, ftpService, bracketed(s.VIP.String(), s.VIP.Is6())+":21", s.Forward, s.Servers[0].RIP, s.Servers[1].RIP)
	for _, server := range s.Servers {
		*d.Node(server.Name) = lab.Node{
			Name: server.Name, LANs: d.Node(server.Name).LANs, Peer: true,
			Script: fmt.Sprintf(ftpServer, server.RIP.String()+prefix(s.VIP.Is6()), s.DIP, server.Name),
		}
	}
}

// ftpBench is a client of the FTP service.
type ftpBench struct {
	s   Scenario
	ctx context.Context
	c   *lab.Cluster
}

func (b *ftpBench) vip() string { return bracketed(b.s.VIP.String(), b.s.VIP.Is6()) }

// homeOf is the real server that a persistent client is sent to.
func (b *ftpBench) homeOf(t *testing.T) string {
	t.Helper()
	name, err := b.c.Peer("client").Run(b.ctx, fmt.Sprintf("curl -sS --max-time 60 'ftp://%s/first'", b.vip()))
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(name)
}

// everyMode wants so many files of each real server, and half as many uploads.
func (b *ftpBench) everyMode(t *testing.T, want map[string]int) {
	t.Helper()
	for command, options := range ftpModes(b.s.VIP.Is6()) {
		b.mode(t, command, options, want)
	}
}

// mode does so for the data connections of one command.
func (b *ftpBench) mode(t *testing.T, command, options string, want map[string]int) {
	t.Helper()
	from, err := markAll(b.c)
	if err != nil {
		t.Fatal(err)
	}
	before := b.uploads(t)
	out, err := b.c.Peer("client").Run(b.ctx, fmt.Sprintf(ftpSessions, options, b.vip()))
	if err != nil {
		t.Errorf("%s: %v", command, err)
		return
	}
	packets, err := packetsSince(b.c, from)
	if err != nil {
		t.Fatal(err)
	}
	if got := counts(t, out); !maps.Equal(got, want) {
		t.Errorf("%s: fetched files of %v, want %v", command, got, want)
	}
	for server, n := range b.uploads(t) {
		if got := n - before[server]; got != want[server]/2 {
			t.Errorf("%s: %s has %d new files, want %d", command, server, got, want[server]/2)
		}
	}
	b.check(t, command, packets)
}

// uploads counts the files that each real server was given, all of them whole.
func (b *ftpBench) uploads(t *testing.T) map[string]int {
	t.Helper()
	uploads := make(map[string]int)
	for _, server := range b.s.Servers {
		out, err := b.c.Peer(server.Name).Run(b.ctx, "cat /srv/in/* /dev/null | grep -cx upload || true")
		if err != nil {
			t.Fatal(err)
		}
		n, err := strconv.Atoi(strings.TrimSpace(out))
		if err != nil {
			t.Fatal(err)
		}
		uploads[server.Name] = n
	}
	return uploads
}

// check: data connections were asked for by this command and no other, and the
// client never saw a real server's address.
func (b *ftpBench) check(t *testing.T, command string, packets []Packet) {
	t.Helper()
	asked := make(map[string]bool)
	for _, p := range packets {
		if tcp := p.tcp(); tcp != nil && p.From == "client" && tcp.DstPort == 21 && len(tcp.Payload) > 4 {
			if word := string(tcp.Payload[:4]); slices.Contains([]string{"EPSV", "EPRT", "PASV", "PORT"}, word) {
				asked[word] = true
			}
		}
	}
	if len(asked) != 1 || !asked[command] {
		t.Errorf("%s: the client asked by %v", command, slices.Sorted(maps.Keys(asked)))
	}
	if fact := b.s.hidden(packets); b.s.Forward == NAT && fact.Denial != nil {
		t.Errorf("%s: not so: %s: %v", command, fact.Claim, fact.Denial)
	}
}

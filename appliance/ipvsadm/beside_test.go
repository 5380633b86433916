package ipvsadm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"dipper/appliance/ipvs"
)

// The tests of this file run the same command lines by Debian's ipvsadm and by
// this package, beside each other, on one kernel. They change the IPVS table,
// the loopback's addresses and /etc of the machine that they run on: they only
// run in a machine made for it.

// beside returns the kernel, with an empty table and all that the rules of
// this file need to be.
func beside(t *testing.T) *ipvs.Kernel {
	t.Helper()
	if os.Getenv(onOwnKernel) == "" {
		t.Skip("it changes the machine's IPVS table and /etc: TestOnOwnKernel runs this test in a machine made for it")
	}
	k, err := ipvs.Open()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = k.Close() })
	real(t, "", "-C")
	return k
}

// outcome is what a program did.
type outcome struct {
	status      int
	out, errOut string
}

// runReal runs Debian's ipvsadm.
func runReal(in string, argv ...string) (outcome, error) {
	program := exec.Command("ipvsadm", argv...)
	var out, errOut bytes.Buffer
	program.Stdin, program.Stdout, program.Stderr = strings.NewReader(in), &out, &errOut
	err := program.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return outcome{}, err
	}
	return outcome{program.ProcessState.ExitCode(), out.String(), errOut.String()}, nil
}

// real runs Debian's ipvsadm, which must succeed, and returns what it prints.
func real(t *testing.T, in string, argv ...string) string {
	t.Helper()
	o, err := runReal(in, argv...)
	if err != nil || o.status != 0 || o.errOut != "" {
		t.Fatalf("ipvsadm %q: %v: %+v", argv, err, o)
	}
	return o.out
}

// kernelDirector is a Director over a kernel, with nothing in between.
type kernelDirector struct{ *ipvs.Kernel }

func (d kernelDirector) Connections(ctx context.Context) iter.Seq2[ipvs.Connection, error] {
	return d.Kernel.Connections(ctx, ipvs.ConnectionFilter{})
}

func (d kernelDirector) Edit(ctx context.Context, change func(*Editor) error) error {
	table, err := d.Observe(ctx)
	if err != nil {
		return err
	}
	timeouts, err := d.Timeouts(ctx)
	if err != nil {
		return err
	}
	daemons, err := d.Daemons(ctx)
	if err != nil {
		return err
	}
	e := NewEditor(State{Table: table, Timeouts: timeouts, Daemons: daemons})
	if err := change(e); err != nil {
		return err
	}
	if err := d.Apply(ctx, ipvs.Plan(table, e.State().Table)); err != nil {
		return err
	}
	return d.control(ctx, daemons, e)
}

// control puts into force what is not in the table.
func (d kernelDirector) control(ctx context.Context, before []ipvs.Daemon, e *Editor) error {
	var errs []error
	after := e.State().Daemons
	for _, daemon := range before {
		if !slices.Contains(after, daemon) {
			errs = append(errs, d.StopDaemon(ctx, daemon.State))
		}
	}
	for _, daemon := range after {
		if !slices.Contains(before, daemon) {
			errs = append(errs, d.StartDaemon(ctx, daemon))
		}
	}
	errs = append(errs, d.SetTimeouts(ctx, e.State().Timeouts))
	for _, key := range e.Zeroed {
		errs = append(errs, d.Zero(ctx, key))
	}
	return errors.Join(errs...)
}

// etcNames are the names of /etc/hosts, as the C library reads them.
type etcNames struct{ hosts string }

func (n etcNames) find(matches func(address netip.Addr, names []string) bool) (netip.Addr, string) {
	for line := range strings.Lines(n.hosts) {
		words := strings.Fields(line)
		if a := netip.MustParseAddr(words[0]); matches(a, words[1:]) {
			return a, words[1]
		}
	}
	return netip.Addr{}, ""
}

func (n etcNames) Address(host string) (netip.Addr, error) {
	a, _ := n.find(func(a netip.Addr, names []string) bool { return a.Is4() && slices.Contains(names, host) })
	if !a.IsValid() {
		return a, fmt.Errorf("names no host: %q", host)
	}
	return a, nil
}

func (n etcNames) Host(address netip.Addr) string {
	_, name := n.find(func(a netip.Addr, _ []string) bool { return a == address })
	return name
}

// writeEtc gives the C library the names that this package is given.
func writeEtc(t *testing.T, hosts string) {
	t.Helper()
	var services strings.Builder
	for line := range strings.Lines(registeredPorts) {
		services.WriteString(line)
	}
	for name, text := range map[string]string{
		"/etc/hosts":         "127.0.0.1 localhost\n::1 localhost\n" + hosts,
		"/etc/services":      services.String(),
		"/etc/nsswitch.conf": "hosts: files\nservices: files\n",
	} {
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// runOurs runs this package over the kernel.
func runOurs(t *testing.T, k *ipvs.Kernel, names Names, in string, argv ...string) outcome {
	t.Helper()
	var out, errOut bytes.Buffer
	status := Run(t.Context(), kernelDirector{k}, names, argv, strings.NewReader(in), &out, &errOut)
	return outcome{status, out.String(), errOut.String()}
}

// everything holds every kind of entry that ipvsadm can make. Addresses more
// than 2^31 apart show how it sorts.
const everything = `
-A -t 10.9.9.9:80 -s wrr
-a -t 10.9.9.9:80 -r 10.2.1.2:80 -m -w 1
-a -t 10.9.9.9:80 -r 10.2.1.3:8080 -m -w 3 -x 100 -y 50
-a -t 10.9.9.9:80 -r 192.168.4.100 -g -w 65535
-a -t 10.9.9.9:80 -r 172.16.0.1 -i -w 0
-a -t 10.9.9.9:80 -r 9.1.1.1 -i --tun-type gue --tun-port 6080 --tun-nocsum
-a -t 10.9.9.9:80 -r 9.1.1.2 -i --tun-type gue --tun-port 65535 --tun-csum
-a -t 10.9.9.9:80 -r 9.1.1.3 -i --tun-type gue --tun-port 1 --tun-remcsum
-a -t 10.9.9.9:80 -r 9.1.1.4 -i --tun-type gre
-a -t 10.9.9.9:80 -r 9.1.1.5 -i --tun-type gre --tun-csum
-a -t 10.9.9.9:80 -r 2001:db8::44 -i
-A -t 10.9.9.9:81 -s rr -p 600 -M 255.255.255.0
-a -t 10.9.9.9:81 -r 10.2.1.2:81 -m
-A -t 10.9.9.9:0 -s lc -p
-A -t 192.168.4.5:3306 -s lc
-A -t 172.16.4.5:443 -s sh -b sh-fallback,sh-port
-A -t 203.0.113.255:65535 -s sh -b sh-port
-A -t 10.255.255.254:443 -s mh -b mh-fallback,mh-port
-A -t 10.0.0.4:443 -s mh -b flag-3
-A -t 10.0.0.5:443 -s rr -b flag-1,flag-2,flag-3
-A -u 10.9.9.9:53 -s rr -o
-a -u 10.9.9.9:53 -r 10.2.1.2:53 -m
-A -u 10.9.9.9:5060 -s mh -p 60 --pe sip -o -b mh-port
-a -u 10.9.9.9:5060 -r 10.2.1.2:5060 -m
-A -u 10.9.9.9:5061 -s rr -p 60 --pe sip
-a -u 10.9.9.9:5061 -r 10.2.1.2:5061 -m
-A --sctp-service 10.9.9.9:2905 -s twos
-a --sctp-service 10.9.9.9:2905 -r 10.2.1.2:2905 -g
-A -t [2001:db8::9]:80 -s wlc -p 30 -M 64
-a -t [2001:db8::9]:80 -r [2001:db8::12]:80 -m -w 5
-a -t [2001:db8::9]:80 -r [2001:db8:ffff:ffff:ffff:ffff:ffff:12]:65535 -m
-a -t [2001:db8::9]:80 -r 10.2.1.2 -i --tun-type gue --tun-port 6080
-A -t [2001:db8:ffff:ffff:ffff:ffff:ffff:9]:65535 -s sed
-A -u [::9:9]:53 -s nq
-A --sctp-service [2001:db8::9]:2905 -s dh
-A -f 7 -s fo -p 30
-a -f 7 -r 10.2.1.2:0 -g
-a -f 7 -r 10.2.1.3:99 -m
-A -f 7 -6 -s fo -p 30 -M 64
-a -f 7 -6 -r [2001:db8::99]:80 -i --tun-type gue --tun-port 6080
-A -f 4294967295 -s ovf
-A -f 2147483648 -s lblcr
-A -f 65536 -6 -s lblc
`

// hostNames are names for some of the addresses of everything: of one letter,
// of more than a column has room for, of more than ipvsadm has room for.
const hostNames = `10.9.9.9 vip
10.2.1.2 web1.example.org web1
10.2.1.3 a-real-server-with-a-long-name.example.org
9.1.1.1 nine-and-fifty-letters-are-all-that-ipvsadm-has-room-for-in-a-name.example.org
2001:db8::9 six.example.org
2001:db8::12 nine-and-fifty-letters-are-all-that-ipvsadm-has-room-for-in-six.example.org
`

// listings are all that lists.
var listings = []string{
	"", "-L", "-Ln", "-l", "-ln", "-L -n --sort", "-Ln --nosort", "-L --nosort",
	"-Ln --stats", "-L --stats", "-Ln --stats --exact", "-Ln --stats -X --nosort",
	"-Ln --rate", "-L --rate", "-Ln --rate --exact", "-Ln --stats --rate",
	"-Ln --thresholds", "-L --thresholds", "-Ln --persistent-conn", "-L --persistent-conn",
	"-Ln --tun-info", "-L --tun-info", "-Ln --tun-info --thresholds", "-Ln --thresholds --persistent-conn",
	"-Ln --rate --tun-info --persistent-conn --thresholds --nosort",
	"-Lc", "-Lcn", "-Lnc --persistent-conn", "-Lc --persistent-conn", "-Lcn --exact --sort", "-Lcn --nosort", "-Lcn --tun-info",
	"-L --timeout", "-Ln --timeout", "-L --daemon", "-Ln --daemon",
	"-Ln -t 10.9.9.9:80", "-L -t 10.9.9.9:80", "-L -t vip:http", "-Ln -t 10.9.9.9:80 --stats", "-Ln -t 10.9.9.9:80 --rate",
	"-Ln -t 10.9.9.9:80 --tun-info", "-Ln -t 10.9.9.9:80 --nosort", "-Ln -t 10.9.9.9:80 --thresholds",
	"-Ln -u 10.9.9.9:5060", "-Ln --sctp-service 10.9.9.9:2905", "-Ln -t [2001:db8::9]:80", "-L -t [2001:db8::9]:80",
	"-Ln -f 7", "-Ln -f 7 -6", "-Ln -f 7 -6 --persistent-conn", "-Ln -f 4294967295",
	"-Ln -t 10.9.9.9:79", "-Ln -f 8", "-Ln -u 10.9.9.9:80",
	"-Sn", "-S", "-S -n",
}

func TestBesideListings(t *testing.T) {
	k := beside(t)
	writeEtc(t, hostNames)
	addresses(t)
	real(t, everything, "-R")
	real(t, "", "--set", "900", "120", "300")
	traffic(t)
	names := etcNames{hostNames}
	for _, line := range listings {
		sameListing(t, k, names, strings.Fields(line)...)
	}
	for line, part := range map[string]string{"-Lcn": "\nTCP ", "-Lcn --persistent-conn": " call-0@example.org\n", "-Ln --stats": "K"} {
		if listed := real(t, "", strings.Fields(line)...); !strings.Contains(listed, part) {
			t.Errorf("ipvsadm %s shows no %q:\n%s", line, part, listed)
		}
	}
}

// TestBesideSorting lists random tables of addresses all over the space, of
// which no order of ipvsadm's is one.
func TestBesideSorting(t *testing.T) {
	k := beside(t)
	random := rand.New(rand.NewPCG(7, 8))
	address := func(six bool) string {
		if six {
			return fmt.Sprintf("[%x:%x::%x]", 0x2000+random.IntN(0x1000), random.Uint32()&0xffff, 1+random.IntN(0xfffe))
		}
		return fmt.Sprintf("%d.%d.%d.%d", 1+random.IntN(223), random.IntN(256), random.IntN(256), 1+random.IntN(254))
	}
	for range 12 {
		var rules strings.Builder
		for i := range 1 + random.IntN(60) {
			six := random.IntN(4) == 0
			service := fmt.Sprintf("%s %s:%d", []string{"-t", "-u", "--sctp-service"}[random.IntN(3)], address(six), i+1)
			if random.IntN(5) == 0 {
				service = fmt.Sprintf("-f %d", random.Uint32()|1)
				six = false
			}
			fmt.Fprintf(&rules, "-A %s -s rr\n", service)
			for j := range random.IntN(25) {
				fmt.Fprintf(&rules, "-a %s -r %s:%d -i\n", service, address(random.IntN(6) == 0), j+1)
			}
		}
		real(t, "", "-C")
		real(t, rules.String(), "-R")
		for _, line := range []string{"-Ln", "-Ln --nosort"} {
			sameListing(t, k, nil, strings.Fields(line)...)
		}
		if saved, err := runReal("", "-Sn"); err != nil || !slices.Equal(signless(saved.out), signless(runOurs(t, k, nil, "", "-Sn").out)) {
			t.Errorf("saved rules differ: %v", err)
		}
	}
}

// signless are saved rules without their marks, which ipvsadm writes as
// negative numbers.
func signless(saved string) []string {
	var without []string
	for line := range strings.Lines(saved) {
		words := strings.Fields(line)
		if words[1] == "-f" {
			words[2] = "mark"
		}
		without = append(without, strings.Join(words, " "))
	}
	return without
}

// sameListing lists by this package, between two listings by Debian's program,
// until those are the same: what is counted and what expires changes meanwhile.
func sameListing(t *testing.T, k *ipvs.Kernel, names Names, argv ...string) {
	t.Helper()
	for range 200 {
		before, err := runReal("", argv...)
		if err != nil {
			t.Fatal(err)
		}
		got := runOurs(t, k, names, "", argv...)
		after, err := runReal("", argv...)
		if err != nil {
			t.Fatal(err)
		}
		if before != after {
			continue
		}
		want := before
		if slices.Contains(argv, "-Sn") || slices.Contains(argv, "-S") {
			want.out = withOwnWords(want.out)
		}
		if want.status != got.status || want.out != got.out || !strings.HasPrefix(got.errOut, strings.TrimSpace(want.errOut)) {
			t.Errorf("ipvsadm %s (-Debian's +ours):\n%s", strings.Join(argv, " "), cmp.Diff(lines(want), lines(got)))
		}
		return
	}
	t.Errorf("ipvsadm %s never printed the same thing twice", strings.Join(argv, " "))
}

func lines(o outcome) []string {
	return append([]string{fmt.Sprint("status ", o.status), o.errOut}, strings.Split(o.out, "\n")...)
}

// withOwnWords is what saved rules have here, and not in ipvsadm: thresholds,
// large marks, and the third flag of mh.
func withOwnWords(saved string) string {
	return strings.NewReplacer(
		"10.2.1.3:8080 -m -w 3\n", "10.2.1.3:8080 -m -w 3 -x 100 -y 50\n",
		"-r a-real-server-with-a-long-name.example.org:http-alt -m -w 3\n", "-r a-real-server-with-a-long-name.example.org:http-alt -m -w 3 -x 100 -y 50\n",
		"-f -1 ", "-f 4294967295 ", "-f -2147483648 ", "-f 2147483648 ",
		"-A -t 10.0.0.4:443 -s mh -b \n", "-A -t 10.0.0.4:443 -s mh -b flag-3\n",
		"-A -t 10.0.0.4:https -s mh -b \n", "-A -t 10.0.0.4:https -s mh -b flag-3\n",
	).Replace(saved)
}

// addresses gives the loopback those that traffic goes to.
func addresses(t *testing.T) {
	t.Helper()
	for _, a := range []string{"10.9.9.9/32", "10.2.1.2/32", "10.2.1.3/32", "2001:db8::9/128", "2001:db8::12/128"} {
		if out, err := exec.Command("ip", "address", "replace", a, "dev", "lo").CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
}

// traffic makes connections of every kind, and counters that are large.
func traffic(t *testing.T) {
	t.Helper()
	for _, to := range []string{"10.9.9.9:80", "10.9.9.9:81", "[2001:db8::9]:80"} {
		for range 10 {
			d := net.Dialer{Timeout: 50 * time.Millisecond}
			if c, err := d.DialContext(t.Context(), "tcp", to); err == nil {
				_ = c.Close()
			} // that nobody answers is as good
		}
	}
	for i := range 3 {
		send(t, "10.9.9.9:5060", fmt.Appendf(nil, "INVITE sip:bob@example.org SIP/2.0\r\nCall-ID: call-%d@example.org\r\n\r\n", i), 1)
		send(t, "10.9.9.9:5061", fmt.Appendf(nil, "INVITE sip:bob@example.org SIP/2.0\r\nCall-ID: a-call-with-a-long-name-%d@example.org\r\n\r\n", i), 1)
	}
	send(t, "10.9.9.9:53", make([]byte, 60000), 2000) // 120 MB, which is shown in K
}

func send(t *testing.T, to string, datagram []byte, times int) {
	t.Helper()
	c, err := net.Dial("udp", to)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for range times {
		_, _ = c.Write(datagram) // refused ones have been counted too
	}
}

// commandLines are those whose outcome is looked at one by one: what is
// accepted, what is refused, in which words, and with which status.
var commandLines = []string{
	"-A -t 192.168.4.5:80 -s wrr", "-A -t 192.168.4.5:80", "-A -t 192.168.4.6:80 -s lcss", "-A -t 192.168.4.6:80 -s averyveryverylongname",
	"-A -t 192.168.4.6:80 -s none", "-E -t 192.168.4.6:80 -s twos", "-A -t 192.168.4.7:80 -p --pe nosuch", "-A -t 192.168.4.7:80 -p --pe sip",
	"-A", "-A -t", "-At", "-A -t 192.168.4.5", "-A -t 80", "-A -t 192.168.4.5:99999", "-A -t 192.168.4.5:-1", "-A -t :80", "-A -t 192.168.4.5:",
	"-A -t nosuchhost:80", "-A -t 192.168.4.8:nosuchport", "-A -t 192.168.4.8:http", "-A -t localhost:http", "-A -u 192.168.4.8:http", "-A -u 192.168.4.8:domain",
	"-A -t [::1]", "-A -t [::1", "-A -t [::1]80", "-A -t [::1]:81 -s rr", "-A -t ::1 -s rr", "-A -t ::2 -s rr -p", "-A -t [192.168.4.9]:80", "-A -t [fe80::1%lo]:80",
	"-A -t 10.1:80 -s rr", "-A -t 0x0a000002:80 -s rr", "-A -t 0300.1:80 -s rr", "-A -t 10.0.0.256:80", "-A -t 1.2.3.4.5:80", "-A -t 4294967296:80", "-A -t 3232236037:82",
	"-A -t 192.168.4.5:0", "-A -t 192.168.4.5:0 -p", "-A -t 192.168.4.5 -p 10", "-A -t 192.168.4.5:+83", "-A -t 192.168.4.5:0084",
	"-A -t 192.168.4.5:85 -o", "-A -u 192.168.4.5:85 -o", "-A -f 3 -o", "-A -f 0", "-A -f -1", "-A -f 4294967296", "-A -f 4294967294", "-A -f x", "-A -f 3 -6", "-A -f 3 -6", "-A -6 -f 4", "-A -t 1.2.3.4:5 -6",
	"-A -t 192.168.4.5:86 -p 0", "-A -t 192.168.4.5:86 -p 2678400", "-E -t 192.168.4.5:86 -p 2678401", "-A -t 192.168.4.5:87 -p x", "-A -t 192.168.4.5:87 -p -M 255.255.0.0",
	"-E -t 192.168.4.5:87 -p=11", "-E -t 192.168.4.5:87 -p12", "-E -t 192.168.4.5:87 --persistent=13", "-E -t 192.168.4.5:87 --persistent=", "-E -t 192.168.4.5:87 --persistent 14", "-E -t 192.168.4.5:87 -p -s rr",
	"-A -t 192.168.4.5:88 -p 5 -M x", "-A -t [2001:db8::1]:88 -p 5 -M 0", "-A -t [2001:db8::1]:88 -p 5 -M 129", "-A -t [2001:db8::1]:88 -p 5 -M 64", "-A -p 5 -M 255.255.255.0 -t [2001:db8::1]:89",
	"-A -t 192.168.4.5:90 -s sh -b sh-port", "-A -t 192.168.4.5:91 -s rr -b sh-port", "-A -t 192.168.4.5:91 -b sh-port", "-A -t 192.168.4.5:91 -b nosuch", "-A -t 192.168.4.5:91 -s mh -b mh-port,,mh-fallback",
	"-A -t 192.168.4.5:92 -b flag-1,flag-3", "-A -b mh-port -t 192.168.4.5:93 -s mh", "-A -t 192.168.4.5:94 -s mh -b sh-port", "-A -t 192.168.4.5:94 -s sh -b mh-port", "-A -t 192.168.4.5:94 -s sh -b flag-3",
	"-E -t 192.168.4.5:80 -s rr", "-E -t 192.168.4.5:79 -s rr", "-E -t 192.168.4.5:80 -s lcss", "-E -t 192.168.4.5:80 -s rr --pe nosuch", "-E -t 192.168.4.5:80",
	"-a -t 192.168.4.5:80 -r 192.168.2.100", "-a -t 192.168.4.5:80 -r 192.168.2.100", "-a -t 192.168.4.5:80 -r 192.168.2.200 -m -w 2", "-a -t 192.168.4.5:80 -r 192.168.2.201 -m -w 3",
	"-a -t 192.168.4.5:80 -r 192.168.2.202:8080 -g", "-a -t 192.168.4.5:80 -r 192.168.2.203:8080 -m", "-a -r 192.168.2.204 -t 192.168.4.5:80 -m", "-a -r 192.168.2.205:http -t 192.168.4.5:80 -m", "-a -t 192.168.4.5:80 -m -r 192.168.2.205:http",
	"-a -t 192.168.4.5:80", "-a -r 192.168.2.100", "-a -t 192.168.4.5:80 -r", "-a -t 192.168.4.5:80 -r x", "-a -t 192.168.4.5:80 -r 80", "-a -t 192.168.4.5:79 -r 192.168.2.100",
	"-a -t 192.168.4.5:80 -r 192.168.2.206 -w -1", "-a -t 192.168.4.5:80 -r 192.168.2.206 -w x", "-a -t 192.168.4.5:80 -r 192.168.2.206 -w 2147483648", "-a -t 192.168.4.5:80 -r 192.168.2.206 -w 0", "-a -t 192.168.4.5:80 -r 192.168.2.207 -w 65535",
	"-a -t 192.168.4.5:80 -r 192.168.2.208 -x 10 -y 20", "-a -t 192.168.4.5:80 -r 192.168.2.208 -x 20 -y 10", "-e -t 192.168.4.5:80 -r 192.168.2.208 -x 5 -y 6", "-a -t 192.168.4.5:80 -r 192.168.2.209 -y 1", "-a -t 192.168.4.5:80 -r 192.168.2.209 -x -1", "-a -t 192.168.4.5:80 -r 192.168.2.209 -x 2147483647",
	"-a -t 192.168.4.5:80 -r 224.0.0.1", "-a -t 192.168.4.5:80 -r 0.0.0.0", "-a -t 192.168.4.5:80 -r 255.255.255.255", "-a -t 192.168.4.5:80 -r 240.0.0.1", "-a -t [::1]:81 -r [fe80::1]:81", "-a -t [::1]:81 -r [ff02::1]:81", "-a -t [::1]:81 -r [::]:81", "-a -t [::1]:81 -r 2001:db8::5",
	"-a -t 192.168.4.5:80 -r 2001:db8::6", "-a -t 192.168.4.5:80 -r 2001:db8::6 -m", "-a -t 192.168.4.5:80 -r 2001:db8::6 -i", "-d -t 192.168.4.5:80 -r 2001:db8::6", "-a -t [::1]:81 -r 10.0.0.1 -i", "-e -t [::1]:81 -r 10.0.0.1 -g",
	"-a -t 192.168.4.5:80 -r 192.168.2.210 -i --tun-type gue", "-a -t 192.168.4.5:80 -r 192.168.2.210 -i --tun-type gue --tun-port 0", "-a -t 192.168.4.5:80 -r 192.168.2.210 -i --tun-type gue --tun-port 6080", "-e -t 192.168.4.5:80 -r 192.168.2.210 -i -w 5",
	"-a -t 192.168.4.5:80 -r 192.168.2.211 -i --tun-type gre --tun-port 6080", "-a -t 192.168.4.5:80 -r 192.168.2.211 -i --tun-type gre --tun-remcsum", "-a -t 192.168.4.5:80 -r 192.168.2.211 -i --tun-type gre --tun-csum --tun-nocsum", "-a -t 192.168.4.5:80 -r 192.168.2.211 -i --tun-type gre --tun-csum",
	"-a -t 192.168.4.5:80 -r 192.168.2.212 -i --tun-csum", "-a -t 192.168.4.5:80 -r 192.168.2.212 -i --tun-port 5", "-a -t 192.168.4.5:80 -r 192.168.2.212 -g --tun-type gre", "-a -t 192.168.4.5:80 -r 192.168.2.212 --tun-csum", "-a -t 192.168.4.5:80 -r 192.168.2.212 -i --tun-type vxlan", "-a -t 192.168.4.5:80 -r 192.168.2.212 -i --tun-type ipip",
	"-e -t 192.168.4.5:80 -r 192.168.2.202 -g", "-e -t 192.168.4.5:80 -r 192.168.2.201 -i", "-e -t 192.168.4.5:80 -r 192.168.2.199", "-e -t 192.168.4.5:79 -r 192.168.2.199", "-e -t 192.168.4.5:80 -r 192.168.2.203:8080 -g",
	"-d -t 192.168.4.5:80 -r 192.168.2.199", "-d -t 192.168.4.5:79 -r 192.168.2.199", "-d -t 192.168.4.5:80 -r 192.168.2.203", "-d -t 192.168.4.5:80 -r 192.168.2.203:8080", "-d -t 192.168.4.5:80", "-d -t 192.168.4.5:80 -r 192.168.2.202:81",
	"-a -f 3 -r 10.0.0.1:99 -m", "-a -f 3 -r 10.0.0.2:99 -g", "-a -f 3 -r 10.0.0.3 -g", "-a -f 3 -6 -r 2001:db8::7", "-d -f 3 -r 10.0.0.1", "-d -f 3 -r 10.0.0.1:99", "-a -f 3 -r 2001:db8::7",
	"-D -t 192.168.4.5:92", "-D -t 192.168.4.5:92", "-D -f 3 -6", "-D", "-D -t 192.168.4.5:93 -s rr", "-D -u 192.168.4.5:80",
	"-Z", "-Z -t 192.168.4.5:80", "-Z -t 192.168.4.5:79", "-Z -f 3", "-Z -t 0.0.0.0:0", "-Z -u [::]:0", "-Z -n", "-Z x",
	"--set 900 120 300", "--set 1 2", "--set 1 2 3 4", "--set 0 0 0", "--set x 1 1", "--set -- -1 1 1", "--set 1 1 -1", "--set 2678401 1 1", "--set", "--set 901 0 0", "--set 900 120 300 -n", "--set=900 120 300",
	"--start-daemon", "--start-daemon x", "--start-daemon=master --syncid 256", "--start-daemon master --syncid x", "--start-daemon master --mcast-group 10.0.0.1", "--start-daemon master --mcast-group ::1", "--start-daemon master --mcast-group x", "--start-daemon master --mcast-port 0", "--start-daemon master --mcast-ttl 256", "--start-daemon master --sync-maxlen 65508", "--start-daemon master -n",
	"--stop-daemon", "--stop-daemon x", "--stop-daemon master", "--stop-daemon backup --syncid 3", "--stop-daemon master --mcast-port 1",
	"-L -A", "-LA", "-LL", "-Ln -n", "-Lnn", "-Lx", "-Lx 5", "-L --nosuch", "-L --num", "-L --numeric=5", "-Ln=5", "-Lq", "-n -L", "-n", "--numeric", "x", "-", "--", "-- -L", "-L x", "-L -", "-L -- -n", "-L --", "-L -c -t 192.168.4.5:80", "-L --timeout --daemon", "-L --daemon --timeout", "-Lc --stats", "-L --timeout --rate", "-L --daemon --thresholds", "-L --timeout --persistent-conn", "-L -c --rate", "-L --stats --stats", "-L -s rr", "-L -w 1", "-L --ops", "-L -o",
	"-S -c", "-S --nosort", "-S -X", "-S -t 192.168.4.5:80", "-S -n x", "-C -n", "-C x", "-C=1", "-R -n", "-R x", "-q", "--nosuch", "-A --nosuch", "-A -t 192.168.4.5:99 --weight 5", "-A -t 192.168.4.5:99 -r 1.2.3.4", "-A -t 1.2.3.4:5 -t 1.2.3.4:5", "-A -t 1.2.3.4:5 -u 1.2.3.4:5", "-A -t 1.2.3.4:5 -f 5", "-a -t 192.168.4.5:80 -r 192.168.2.213 -g -m", "-a -t 192.168.4.5:80 -r 192.168.2.213 -w 1 -w 2", "-A -t 1.2.3.4:5 -s rr -s rr", "-A -t=1.2.3.4:6 -s=rr", "-At1.2.3.4:7 -srr", "--add-service --tcp-service 1.2.3.4:8 --scheduler=rr", "--add-service --tcp-service=1.2.3.4:9 --sched-flags flag-1 --ipv6", "-A -t 1.2.3.4:10 -s rr extra", "-A extra -t 1.2.3.4:10 -s rr", "-A -t 1.2.3.4:10 -s", "-A -t 1.2.3.4:10 -M",
}

// TestBesideCommandLines runs each command line by Debian's program on the
// kernel, and by this package on a table in memory: the table of the kernel
// must be as the one in memory, after each.
func TestBesideCommandLines(t *testing.T) {
	beside(t)
	writeEtc(t, hostNames)
	model := newModel(t)
	for _, line := range commandLines {
		model.same(t, strings.Fields(line)...)
	}
	model.sameTable(t)
	model.same(t, "--clear")
	model.sameTable(t)
}

// TestBesideRandomCommandLines does the same with command lines that nobody
// thought of.
func TestBesideRandomCommandLines(t *testing.T) {
	beside(t)
	writeEtc(t, hostNames)
	model := newModel(t)
	random := rand.New(rand.NewPCG(1, 31))
	for range 8 {
		for range 50 {
			model.same(t, respelled(random, anyCommandLine(random))...)
		}
		model.sameTable(t)
	}
}

// model is a table in memory that goes through what the kernel's goes through.
type model struct {
	editor *Editor
	names  Names
}

func newModel(t *testing.T) *model {
	t.Helper()
	real(t, "", "--set", "900", "120", "300")
	return &model{editor: NewEditor(State{Timeouts: ipvs.Timeouts{TCP: 900, TCPFin: 120, UDP: 300}}), names: etcNames{hostNames + "127.0.0.1 localhost\n"}}
}

func (m *model) same(t *testing.T, argv ...string) {
	t.Helper()
	want, err := runReal("", argv...)
	if err != nil {
		t.Fatal(err)
	}
	status, message := m.run(argv)
	said, _, _ := strings.Cut(strings.TrimSpace(want.errOut), "\n")
	if status != want.status || !strings.Contains(message, said) || (said == "") != (message == "") {
		t.Errorf("ipvsadm %s:\nDebian's %d %q\nours     %d %q", strings.Join(argv, " "), want.status, want.errOut, status, message)
	}
}

func (m *model) run(argv []string) (status int, message string) {
	command, err := Parse(argv, m.names)
	if err == nil && command.Kind.Edits() {
		err = m.editor.Do(command)
	}
	if err == nil && command.Kind == List && command.Listing.Service != nil {
		_, err = find(m.statistics(), *command.Listing.Service)
	}
	if err != nil {
		return statusOf(err), err.Error()
	}
	return StatusDone, ""
}

func (m *model) statistics() []ipvs.ServiceStatistics {
	var all []ipvs.ServiceStatistics
	for _, s := range m.editor.State().Table.Services {
		one := ipvs.ServiceStatistics{Service: s}
		for _, r := range s.RealServers {
			one.RealServers = append(one.RealServers, ipvs.RealServerStatistics{RealServer: r})
		}
		all = append(all, one)
	}
	return all
}

// sameTable compares the whole table with the kernel's, as Debian's program
// reads it: rules and thresholds.
func (m *model) sameTable(t *testing.T) {
	t.Helper()
	for _, line := range []string{"-Ln --thresholds", "-Ln --tun-info", "-Ln --timeout"} {
		var ours bytes.Buffer
		command, err := Parse(strings.Fields(line), nil)
		if err != nil {
			t.Fatal(err)
		}
		if command.Listing.Subject == ListTimeouts {
			err = command.Listing.PrintTimeouts(&ours, m.editor.State().Timeouts)
		} else {
			err = command.Listing.Print(&ours, Snapshot{Services: m.statistics()}, nil)
		}
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(blocks(real(t, "", strings.Fields(line)...)), blocks(ours.String())); diff != "" {
			t.Errorf("ipvsadm %s (-Debian's +ours):\n%s", line, diff)
		}
	}
}

// blocks are the services of a listing, each with its real servers, in one
// order. ipvsadm's own depends on the order in which the kernel has them, which
// is another after each boot (ip_vs_ctl.c, ip_vs_svc_hashkey, mixes the network
// namespace's address in): TestBesideSorting looks at it.
func blocks(listing string) []string {
	if strings.HasPrefix(listing, "IP Virtual Server") {
		_, listing, _ = strings.Cut(listing, "\n")
	}
	var all []string
	for line := range strings.Lines(listing) {
		if strings.HasPrefix(line, " ") && len(all) > 0 {
			all[len(all)-1] += line
		} else {
			all = append(all, line)
		}
	}
	slices.Sort(all)
	return all
}

// anyCommandLine makes one of pieces that fit now and then.
func anyCommandLine(random *rand.Rand) []string {
	pick := func(of ...string) string { return of[random.IntN(len(of))] }
	var argv []string
	add := func(percent int, words ...string) {
		if random.IntN(100) < percent {
			argv = append(argv, words...)
		}
	}
	address := func() string {
		return pick("10.0.0.1", "10.0.0.2", "192.168.0.1", "172.16.0.1", "vip", "web1", "[2001:db8::1]", "[2001:db8::2]", "2001:db8::1", "224.0.0.1", "x")
	}
	endpoint := func() string { return address() + pick(":80", ":80", ":80", ":81", ":http", ":0", "", ":x") }
	service := func() {
		switch random.IntN(10) {
		case 0:
			add(100, "-f", pick("1", "2", "4294967295", "0"))
			add(40, "-6")
		case 1, 2:
			add(100, pick("-u", "--udp-service", "--sctp-service"), endpoint())
		default:
			add(97, pick("-t", "-t", "--tcp-service"), endpoint())
		}
	}
	server := func() {
		add(97, "-r", endpoint())
		add(70, pick("-m", "-m", "-g", "-i", "-i", "-i"))
		add(30, "-w", pick("0", "1", "100", "65535", "-1", "x", "2147483648"))
		add(15, "-x", pick("0", "10", "100", "x"))
		add(15, "-y", pick("0", "5", "50", "200"))
		add(20, "--tun-type", pick("ipip", "gue", "gue", "gre", "gre", "x"))
		add(15, "--tun-port", pick("6080", "1", "0"))
		add(10, pick("--tun-csum", "--tun-nocsum", "--tun-remcsum"))
	}
	options := func() {
		add(80, "-s", pick(append(schedulers[:], "x", "", "sh", "mh")...))
		add(30, "-p")
		if len(argv) > 0 && argv[len(argv)-1] == "-p" {
			add(50, pick("1", "360", "0", "x"))
		}
		add(20, "-M", pick("255.255.255.0", "64", "128", "255.0.0.0"))
		add(20, "-b", pick("sh-port", "sh-fallback,sh-port", "mh-port", "mh-fallback", "flag-1", "flag-3,flag-2", "x"))
		add(15, "-o")
		add(10, "--pe", pick("sip", "x"))
	}
	switch random.IntN(12) {
	case 0, 1:
		add(100, "-A")
		service()
		options()
	case 2:
		add(100, "-E")
		service()
		options()
	case 3:
		add(100, "-D")
		service()
	case 4, 5, 6, 7:
		add(100, "-a")
		service()
		server()
	case 8:
		add(100, "-e")
		service()
		server()
	case 9:
		add(100, "-d")
		service()
		add(95, "-r", endpoint())
	case 10:
		add(100, pick("-L", "-L", "-S", "-Z", "-C", "-R", "--set", "--stop-daemon", "-x"))
		add(30, "-n")
		add(30, pick("-c", "--stats", "--timeout", "--daemon", "x", "-t", "1", "master"))
		add(30, pick("--rate", "--thresholds", "--persistent-conn", "--exact", "-X", "2"))
		add(20, "3")
	default:
		add(100, pick("-A", "-a", "-e", "-E"))
		service()
		options()
		server()
		random.Shuffle(len(argv), func(i, j int) { argv[i], argv[j] = argv[j], argv[i] })
	}
	for i, word := range argv {
		// Here and there this package differs on purpose: it takes no netmask
		// that is none.
		if i > 0 && argv[i-1] == "-M" && !strings.HasPrefix(word, "255.") && !slices.ContainsFunc(argv[:i], isSix) {
			argv[i] = "255.255.255.0"
		}
	}
	return argv
}

// respelled writes the options of a command line in other ways that popt takes,
// and now and then in one that it does not: long for short, the argument beside
// its letter or after "=", letters bundled.
func respelled(random *rand.Rand, argv []string) []string {
	var words []string
	bundled := false // whether another letter may stand beside the last word
	for i := 0; i < len(argv); i++ {
		o := optionOf(argv[i])
		if o == nil {
			words, bundled = append(words, argv[i]), false
			continue
		}
		word, how := argv[i], random.IntN(10)
		if o.short != 0 && how < 3 {
			word = "--" + o.long
		} else if o.short != 0 && how < 6 {
			word = "-" + string(o.short)
		}
		short := !strings.HasPrefix(word, "--")
		if short && bundled && random.IntN(2) == 0 {
			words[len(words)-1] += word[1:]
		} else {
			words = append(words, word)
		}
		bundled = short && o.argument == without
		if o.argument != without && i+1 < len(argv) && optionOf(argv[i+1]) == nil || random.IntN(100) == 0 {
			value := ""
			if i+1 < len(argv) {
				i++
				value = argv[i]
			}
			switch how := random.IntN(6); {
			case how < 2:
				words[len(words)-1] += "=" + value
			case how == 2 && short:
				words[len(words)-1] += value
			default:
				words = append(words, value)
			}
			bundled = false
		}
	}
	return words
}

func optionOf(word string) *option {
	if name, long := strings.CutPrefix(word, "--"); long {
		return longOption(name)
	}
	if len(word) == 2 && word[0] == '-' {
		return shortOption(word[1])
	}
	return nil
}

func isSix(word string) bool { return word == "-6" || strings.Contains(word, "::") }

// TestBesideRestore loads what Debian's program saved, and what this package
// saved, by this package, and saves it again.
func TestBesideRestore(t *testing.T) {
	k := beside(t)
	writeEtc(t, hostNames)
	addresses(t)
	if o := runOurs(t, k, nil, everything, "-R"); o.status != 0 {
		t.Fatal(o)
	}
	saved := runOurs(t, k, nil, "", "-Sn").out
	for _, rules := range []string{everything, saved} {
		real(t, "", "-C")
		real(t, rules, "-R")
		if diff := cmp.Diff(rulesOf(saved), rulesOf(runOurs(t, k, nil, "", "-Sn").out)); diff != "" {
			t.Errorf("what this package (-) and Debian's program (+) make of the same rules:\n%s", diff)
		}
	}
}

// TestBesideDaemons starts and stops connection synchronisation by this
// package, and lists and saves what runs.
func TestBesideDaemons(t *testing.T) {
	k := beside(t)
	for _, line := range []string{"link add sync0 type dummy", "link set sync0 up", "address add 10.77.0.1/24 dev sync0", "route add 224.0.0.0/4 dev sync0"} {
		if out, err := exec.Command("ip", strings.Fields(line)...).CombinedOutput(); err != nil {
			t.Fatalf("ip %s: %v: %s", line, err, out)
		}
	}
	real(t, "", "--set", "900", "120", "300")
	sameListing(t, k, nil, "-L", "--daemon")
	for _, line := range []string{
		"--start-daemon master --mcast-interface sync0 --syncid 5",
		"--start-daemon backup --mcast-interface sync0 --mcast-group 224.0.0.99 --mcast-port 9000 --mcast-ttl 3 --sync-maxlen 1400",
		"--stop-daemon master",
		"--start-daemon master --mcast-interface sync0 --mcast-group ff05::1:2 --syncid 255",
	} {
		if o := runOurs(t, k, nil, "", strings.Fields(line)...); o != (outcome{}) {
			t.Errorf("ipvsadm %s: %+v", line, o)
		}
		sameListing(t, k, nil, "-L", "--daemon")
	}
	refused := runOurs(t, k, nil, "", "--start-daemon", "backup", "--mcast-interface", "sync0")
	if want, _ := runReal("", "--start-daemon", "backup", "--mcast-interface", "sync0"); refused.status != want.status || !strings.HasPrefix(refused.errOut, strings.TrimSpace(want.errOut)) {
		t.Errorf("a second daemon: Debian's %+v, ours %+v", want, refused)
	}
	whole := runOurs(t, k, nil, "", "-Sn", "--all").out
	listed := real(t, "", "-L", "--daemon")
	for _, state := range []string{"master", "backup"} {
		real(t, "", "--stop-daemon", state)
	}
	real(t, "", "--set", "1", "2", "3")
	real(t, whole, "-R") // Debian's program reads what only this one writes
	if got := real(t, "", "-L", "--daemon"); got != listed {
		t.Errorf("saved %q, and restored by Debian's program:\n%swant:\n%s", whole, got, listed)
	}
	if got := real(t, "", "-L", "--timeout"); got != "Timeout (tcp tcpfin udp): 900 120 300\n" {
		t.Error(got)
	}
	for _, state := range []string{"master", "backup"} {
		if o := runOurs(t, k, nil, "", "--stop-daemon", state); o != (outcome{}) {
			t.Errorf("stop %s: %+v", state, o)
		}
	}
	sameListing(t, k, nil, "-L", "--daemon")
}

// rulesOf are the lines of saved rules in an order that says nothing: that of
// ipvsadm depends on the kernel's.
func rulesOf(saved string) []string { return slices.Sorted(strings.Lines(saved)) }

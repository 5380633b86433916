package ipvsadm

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"dipper/appliance/ipvs"
	"dipper/appliance/ipvsadm/ipvsadmtest"
)

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
-A -u 10.9.9.9:5060 -s mh -p 86400 --pe sip -o -b mh-port
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
		listed := ""
		for !strings.Contains(listed, part) { // counters are summed up every two seconds
			if listed = real(t, "", strings.Fields(line)...); t.Context().Err() != nil {
				t.Fatalf("ipvsadm %s shows no %q:\n%s", line, part, listed)
			}
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
// and again if those differ in more than what is counted and what expires.
func sameListing(t *testing.T, k *ipvs.Kernel, names Names, argv ...string) {
	t.Helper()
	diff := ""
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
		if diff = differs(before, got, after); diff == "" {
			return
		}
		if before == after {
			break
		}
	}
	t.Errorf("ipvsadm %s (-Debian's +ours):\n%s", strings.Join(argv, " "), diff)
}

// differs tells how an outcome of ours differs from two of Debian's program.
func differs(before, got, after outcome) string {
	if before.status != got.status || !strings.HasPrefix(got.errOut, strings.TrimSpace(before.errOut)) {
		return cmp.Diff(lines(before), lines(got))
	}
	return ipvsadmtest.Between(withOwnWords(before.out), got.out, withOwnWords(after.out))
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

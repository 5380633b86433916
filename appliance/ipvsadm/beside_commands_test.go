package ipvsadm

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"dipper/appliance/ipvs"
)

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

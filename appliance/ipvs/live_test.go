package ipvs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	moby "github.com/moby/ipvs"
	"golang.org/x/sys/unix"
)

// The tests of this file need a kernel with IPVS and the right to make a
// network namespace, in which they leave no trace. The binary of "go test -c"
// runs alone, so that it can be taken into a machine that has such a kernel:
//
//	CGO_ENABLED=0 go test -c -o ipvs.test ./appliance/ipvs
//	./ipvs.test -test.run TestKernel -test.v

// skip skips the test, except where it must run.
func skip(t *testing.T, reason string) {
	t.Helper()
	if os.Getenv(onOwnKernel) != "" {
		t.Fatal(reason)
	}
	t.Skip(reason)
}

// namespace makes an empty network namespace and returns an open file of it.
func namespace(t *testing.T) *os.File {
	t.Helper()
	type result struct {
		file *os.File
		err  error
	}
	made := make(chan result)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		file, err := makeNamespace()
		made <- result{file, err}
	}()
	r := <-made
	if errors.Is(r.err, unix.EPERM) {
		skip(t, "no right to make a network namespace")
	}
	if r.err != nil {
		t.Fatal(r.err)
	}
	t.Cleanup(func() { _ = r.file.Close() })
	return r.file
}

// makeNamespace moves the calling thread into a new network namespace, and
// puts its loopback link up: without a local routing table the kernel takes
// no address for unicast.
func makeNamespace() (*os.File, error) {
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		return nil, fmt.Errorf("unshare: %w", err)
	}
	socket, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("socket: %w", err)
	}
	defer unix.Close(socket)
	up, err := unix.NewIfreq("lo")
	if err != nil {
		return nil, err
	}
	up.SetUint16(unix.IFF_UP)
	if err := unix.IoctlIfreq(socket, unix.SIOCSIFFLAGS, up); err != nil {
		return nil, fmt.Errorf("set lo up: %w", err)
	}
	return os.Open(fmt.Sprintf("/proc/self/task/%d/ns/net", unix.Gettid()))
}

// live opens the IPVS table of a new network namespace.
func live(t *testing.T) (*Kernel, *os.File) {
	t.Helper()
	probe, err := Open()
	if errors.Is(err, ErrNoIPVS) {
		skip(t, "this kernel has no IPVS: TestOnOwnKernel runs this test on one that has")
	}
	if err != nil {
		t.Fatal(err)
	}
	_ = probe.Close()
	space := namespace(t)
	k, err := openIn(int(space.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	k.openTable = func(name string) (file io.ReadCloser, err error) {
		err = within(space, func() error {
			file, err = os.Open(fmt.Sprintf("/proc/self/task/%d/net/%s", unix.Gettid(), name))
			return err
		})
		return file, err
	}
	t.Cleanup(func() { _ = k.Close() })
	return k, space
}

// load makes the table desired, and reads it back.
func load(t *testing.T, k *Kernel, desired Table) Table {
	t.Helper()
	observed, err := k.Observe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := k.Apply(t.Context(), Plan(observed, desired)); err != nil {
		t.Fatalf("from\n%sto\n%s%v", observed, desired, err)
	}
	reached, err := k.Observe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return reached
}

func TestKernelReadsBackWhatWasWritten(t *testing.T) {
	k, _ := live(t)
	random := rand.New(rand.NewPCG(3, 4))
	tables := []Table{entries(), {}}
	for range 50 {
		tables = append(tables, anyTable(random))
	}
	for _, want := range append(tables, Table{}) {
		got := load(t, k, want)
		if diff := cmp.Diff(want.Canonical(), got, netipComparer); diff != "" {
			t.Fatalf("read back (-want +got):\n%s", diff)
		}
		if again := Plan(got, want); len(again) > 0 {
			t.Fatalf("a second plan is not empty: %v", again)
		}
	}
}

// anyTable makes a table of everything that the kernel takes.
func anyTable(random *rand.Rand) Table {
	var t Table
	for i := range random.IntN(12) {
		six := random.IntN(2) == 0
		s := Service{Key: anyKey(random, six, uint16(i+1)), Scheduler: schedulers[random.IntN(len(schedulers))]}
		s.Flags = Flags(random.Uint32()) & (OnePacket | SchedulerFlag1 | SchedulerFlag2 | SchedulerFlag3)
		if random.IntN(2) == 0 {
			s.Flags |= Persistent
			s.Timeout = random.Uint32N(1 << 20)
			s.Netmask = math.MaxUint32 << random.IntN(33)
			if six {
				s.Netmask = 1 + random.Uint32N(128)
			}
			if random.IntN(2) == 0 {
				s.Engine = "sip"
			}
		}
		for host := range byte(random.IntN(6)) {
			s.RealServers = append(s.RealServers, anyRealServer(random, six, host))
		}
		t.Services = append(t.Services, s)
	}
	return t.Canonical()
}

// anyKey makes a key that differs from those with another number.
func anyKey(random *rand.Rand, six bool, number uint16) Key {
	address := netip.AddrFrom4([4]byte{192, 0, 2, byte(random.Uint32())})
	unspecified := netip.IPv4Unspecified()
	if six {
		address = netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 15: byte(random.Uint32())})
		unspecified = netip.IPv6Unspecified()
	}
	if random.IntN(4) == 0 {
		return Key{FWMark: uint32(number) << 16, Address: unspecified}
	}
	protocols := []Protocol{TCP, UDP, SCTP, AH, ESP}
	if random.IntN(8) == 0 { // all ports: the address tells such services apart
		address = netip.AddrFrom4([4]byte{198, 51, 100, byte(number)})
		if six {
			address = netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 1, 15: byte(number)})
		}
		number = 0
	}
	return Key{Protocol: protocols[random.IntN(len(protocols))], Address: address, Port: number << 8}
}

func anyRealServer(random *rand.Rand, six bool, host byte) RealServer {
	r := randomRealServer(random, six, host)
	r.Port = uint16(random.Uint32())
	r.Weight = random.Uint32N(1 << 31)
	if random.IntN(2) == 0 {
		r.UpperThreshold = random.Uint32N(1 << 31)
		r.LowerThreshold = random.Uint32N(r.UpperThreshold + 1)
	}
	if r.Forward == TUN && random.IntN(3) == 0 { // the other family
		r.Address = randomRealServer(random, !six, host).Address
	}
	if r.Tunnel.Type == GUE {
		r.Tunnel = Tunnel{Type: GUE, Port: 1 + uint16(random.Uint32N(65535)), RemoteChecksum: random.IntN(2) == 0}
	}
	return r
}

func TestKernelRefusesWithReasons(t *testing.T) {
	k, _ := live(t)
	known := web("rr", rs("192.168.4.100:80", 1))
	load(t, k, tableOf(known))
	other := web("rr")
	other.Port = 443
	tests := []struct {
		op   Op
		want string
	}{
		{Op{Kind: AddService, Service: known},
			"ipvsadm -A -t 192.168.4.15:80 -s rr: exists already"},
		{Op{Kind: EditService, Service: web("lcss")},
			`ipvsadm -E -t 192.168.4.15:80 -s lcss: the kernel has no scheduler "lcss"`},
		{Op{Kind: DeleteService, Service: other},
			"ipvsadm -D -t 192.168.4.15:443: no such virtual service"},
		{Op{Kind: AddRealServer, Service: known, RealServer: rs("192.168.4.100:80", 1)},
			"ipvsadm -a -t 192.168.4.15:80 -r 192.168.4.100:80 -g -w 1: exists already"},
		{Op{Kind: EditRealServer, Service: known, RealServer: rs("192.168.4.200:80", 1)},
			"ipvsadm -e -t 192.168.4.15:80 -r 192.168.4.200:80 -g -w 1: no such real server"},
		{Op{Kind: DeleteRealServer, Service: other, RealServer: rs("192.168.4.100:80", 1)},
			"ipvsadm -d -t 192.168.4.15:443 -r 192.168.4.100:80: no such virtual service"},
		{Op{Kind: AddRealServer, Service: known, RealServer: rs("224.0.0.1:80", 1)},
			"ipvsadm -a -t 192.168.4.15:80 -r 224.0.0.1:80 -g -w 1: the kernel takes no such real server: is its address unicast, and not link-local?"},
		{Op{Kind: AddRealServer, Service: known, RealServer: rs("[2001:db8::1]:80", 1)},
			"ipvsadm -a -t 192.168.4.15:80 -r [2001:db8::1]:80 -g -w 1: a real server of the other address family takes forwarding by tunnel, and no connection synchronisation"},
		{Op{Kind: EditRealServer, Service: known, RealServer: rs("192.168.4.100:80", 1<<31)},
			"ipvsadm -e -t 192.168.4.15:80 -r 192.168.4.100:80 -g -w 2147483648: weight above 2147483647, or lower threshold above the upper"},
		{Op{Kind: AddService, Service: Service{Key: other.Key, Scheduler: "a-name-that-is-too-long"}},
			`ipvsadm -A -t 192.168.4.15:443 -s a-name-that-is-too-long: the kernel takes no such virtual service`},
	}
	for _, tt := range tests {
		err := k.Apply(t.Context(), []Op{tt.op})
		if err == nil || err.Error() != tt.want {
			t.Errorf("got  %v\nwant %v", err, tt.want)
		}
	}
	if got := load(t, k, tableOf(known)); got.String() != tableOf(known).String() {
		t.Errorf("table after the refusals:\n%s", got)
	}
}

// TestKernelBesideRefusals has one bad operation in the middle of good ones.
func TestKernelBesideRefusals(t *testing.T) {
	k, _ := live(t)
	want := tableOf(web("wrr", rs("192.168.4.100:80", 1), rs("192.168.4.200:80", 1)))
	ops := slices.Insert(Plan(Table{}, want), 1, Op{Kind: AddService, Service: web("lcss")})
	if err := k.Apply(t.Context(), ops); !errors.Is(err, unix.EEXIST) && !errors.Is(err, unix.ENOENT) {
		t.Errorf("got error %v, want that of the one", err)
	}
	if got, err := k.Observe(t.Context()); err != nil || got.String() != want.String() {
		t.Errorf("got\n%s%v\nwant\n%s", got, err, want)
	}
}

// TestKernelAtOnce reads and writes from many goroutines, some of which give
// up at any moment.
func TestKernelAtOnce(t *testing.T) {
	k, _ := live(t)
	want := tableOf(web("wrr", rs("192.168.4.100:80", 1), rs("192.168.4.200:80", 1)))
	load(t, k, want)
	var readers sync.WaitGroup
	for i := range 8 {
		readers.Go(func() {
			for range 20 {
				ctx, cancel := context.WithCancel(t.Context())
				if i%2 == 0 {
					go cancel()
				}
				got, err := k.Observe(ctx)
				switch {
				case errors.Is(err, context.Canceled):
				case err != nil:
					t.Error(err)
				case got.String() != want.String():
					t.Errorf("got\n%s", got)
				}
				cancel()
			}
		})
	}
	readers.Wait()
	if got, err := k.Observe(t.Context()); err != nil || got.String() != want.String() {
		t.Errorf("afterwards: got\n%s%v", got, err)
	}
}

// TestKernelAsIpvsadmReadsIt has Debian's ipvsadm print random tables. It
// leaves the thresholds out of what it saves.
func TestKernelAsIpvsadmReadsIt(t *testing.T) {
	k, space := live(t)
	if _, err := exec.LookPath("ipvsadm"); err != nil {
		skip(t, "ipvsadm is not installed")
	}
	thresholds := regexp.MustCompile(` -[xy] \d+`)
	random := rand.New(rand.NewPCG(5, 6))
	for range 30 {
		want := anyTable(random)
		want.Services = slices.DeleteFunc(want.Services, func(s Service) bool {
			return s.Protocol == AH || s.Protocol == ESP // ipvsadm has no words for them
		})
		for i, s := range want.Services {
			if s.Scheduler == "sh" || s.Scheduler == "mh" {
				want.Services[i].Flags &^= SchedulerFlag3 // ipvsadm 1.31 forgets to print it
			}
		}
		load(t, k, want)
		wanted := sortedLines(thresholds.ReplaceAllString(want.String(), ""))
		if diff := cmp.Diff(wanted, sortedLines(ipvsadm(t, space, "-Sn"))); diff != "" {
			t.Fatalf("ipvsadm -Sn (-want +got):\n%s", diff)
		}
	}
}

// ipvsadm runs the real one in a network namespace.
func ipvsadm(t *testing.T, space *os.File, arguments ...string) string {
	t.Helper()
	return command(t, space, "ipvsadm", arguments...)
}

// command runs a program in a network namespace: in that of the thread that
// starts it.
func command(t *testing.T, space *os.File, program string, arguments ...string) string {
	t.Helper()
	var out []byte
	err := within(space, func() (err error) {
		out, err = exec.CommandContext(t.Context(), program, arguments...).CombinedOutput()
		return err
	})
	if err != nil {
		t.Fatalf("%s %v: %v\n%s", program, arguments, err, out)
	}
	return string(out)
}

// within does something on a thread in a network namespace.
func within(space *os.File, do func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		err := unix.Setns(int(space.Fd()), unix.CLONE_NEWNET)
		if err == nil {
			err = do()
		}
		done <- err
	}()
	return <-done
}

func sortedLines(text string) []string {
	lines := strings.FieldsFunc(text, func(r rune) bool { return r == '\n' })
	for i := range lines {
		lines[i] = strings.TrimSpace(lines[i])
	}
	slices.Sort(lines)
	return lines
}

// TestKernelAsMobyReadsIt has a client that nobody here wrote read random
// tables, as far as it reads right: no firewall marks, no real servers of the
// other family, weights below 65536.
func TestKernelAsMobyReadsIt(t *testing.T) {
	k, space := live(t)
	reader, err := moby.New(fmt.Sprintf("/proc/self/fd/%d", space.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	random := rand.New(rand.NewPCG(19, 20))
	for range 20 {
		table := anyTable(random)
		table.Services = slices.DeleteFunc(table.Services, func(s Service) bool { return s.FWMark != 0 })
		for i := range table.Services {
			s := &table.Services[i]
			s.RealServers = slices.DeleteFunc(s.RealServers, func(r RealServer) bool { return r.otherFamily(s.Key) })
			for j := range s.RealServers {
				s.RealServers[j].Weight &= math.MaxUint16
			}
		}
		load(t, k, table)
		if diff := cmp.Diff(mobyLines(table), readByMoby(t, reader)); diff != "" {
			t.Fatalf("moby/ipvs reads (-want +got):\n%s", diff)
		}
	}
}

// mobyLines are the lines that readByMoby is to read.
func mobyLines(t Table) []string {
	var lines []string
	for _, s := range t.Services {
		lines = append(lines, fmt.Sprintf("%d %s %d %s %#x timeout %d", s.Protocol, s.Address, s.Port, s.Scheduler, s.Flags, s.Timeout))
		for _, r := range s.RealServers {
			lines = append(lines, fmt.Sprintf("%d %s %d -> %s %d method %d weight %d thresholds %d %d",
				s.Protocol, s.Address, s.Port, r.Address, r.Port, r.Forward, r.Weight, r.UpperThreshold, r.LowerThreshold))
		}
	}
	slices.Sort(lines)
	return lines
}

func readByMoby(t *testing.T, reader *moby.Handle) []string {
	t.Helper()
	services, err := reader.GetServices()
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, s := range services {
		if s.Flags&uint32(Persistent) == 0 {
			s.Timeout = 0
		}
		lines = append(lines, fmt.Sprintf("%d %s %d %s %#x timeout %d", s.Protocol, s.Address, s.Port, s.SchedName, s.Flags&^uint32(flagHashed), s.Timeout))
		servers, err := reader.GetDestinations(s)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range servers {
			lines = append(lines, fmt.Sprintf("%d %s %d -> %s %d method %d weight %d thresholds %d %d",
				s.Protocol, s.Address, s.Port, d.Address, d.Port, d.ConnectionFlags, d.Weight, d.UpperThreshold, d.LowerThreshold))
		}
	}
	slices.Sort(lines)
	return lines
}

func TestKernelControl(t *testing.T) {
	k, space := live(t)
	command(t, space, "ip", "link", "add", "eth0", "type", "dummy")
	command(t, space, "ip", "address", "add", "192.168.4.10/24", "dev", "eth0")
	command(t, space, "ip", "link", "set", "eth0", "up")
	testControl(t, k, "eth0")
}

// TestKernelConnections makes connections, and reads them.
func TestKernelConnections(t *testing.T) {
	k, space := live(t)
	at := netip.MustParseAddrPort
	service := func(endpoint string, flags Flags) Service {
		e := at(endpoint)
		s := Service{Key: Key{Protocol: TCP, Address: e.Addr(), Port: e.Port()}, Scheduler: "rr", Flags: flags,
			RealServers: []RealServer{with(rs(endpoint, 1), func(r *RealServer) { r.Port, r.Forward = 8080, NAT })}}
		if flags&Persistent != 0 {
			s.Timeout, s.Netmask = 300, 0xffffff00
		}
		return s
	}
	load(t, k, tableOf(service("127.0.0.1:80", 0), service("127.0.0.1:443", Persistent), service("[::1]:80", 0)))
	err := within(space, func() error {
		for _, listener := range []string{"127.0.0.1:8080", "[::1]:8080"} {
			l, err := net.Listen("tcp", listener)
			if err != nil {
				return err
			}
			t.Cleanup(func() { _ = l.Close() })
		}
		for _, vip := range []string{"127.0.0.1:80", "127.0.0.1:443", "[::1]:80"} {
			c, err := net.Dial("tcp", vip)
			if err != nil {
				return err
			}
			t.Cleanup(func() { _ = c.Close() })
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	read := func(f ConnectionFilter) []string {
		var lines []string
		for c, err := range k.Connections(t.Context(), f) {
			if err != nil {
				t.Fatal(err)
			}
			if c.Client.Port() != 0 {
				c.Client = netip.AddrPortFrom(c.Client.Addr(), 1)
			}
			if c.Expires == 0 || c.Expires > 900 {
				t.Errorf("expires in %d seconds", c.Expires)
			}
			lines = append(lines, fmt.Sprintf("%s %s %s %s %s %s", c.Protocol, c.Client, c.Virtual, c.Destination, c.State, c.Origin))
		}
		slices.Sort(lines)
		return lines
	}
	want := []string{
		"tcp 127.0.0.0:0 127.0.0.1:443 127.0.0.1:8080 ASSURED ",
		"tcp 127.0.0.1:1 127.0.0.1:443 127.0.0.1:8080 ESTABLISHED ",
		"tcp 127.0.0.1:1 127.0.0.1:80 127.0.0.1:8080 ESTABLISHED ",
		"tcp [::1]:1 [::1]:80 [::1]:8080 ESTABLISHED ",
	}
	if diff := cmp.Diff(want, read(ConnectionFilter{})); diff != "" {
		t.Errorf("all (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(want[3:], read(ConnectionFilter{Client: netip.MustParsePrefix("::/64")})); diff != "" {
		t.Errorf("of a client (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{want[2] + "LOCAL"}, read(ConnectionFilter{WithOrigin: true, Virtual: at("127.0.0.1:80")})); diff != "" {
		t.Errorf("with origin (-want +got):\n%s", diff)
	}
}

// TestKernelWatch edits the table beside a watch, with the real ipvsadm.
func TestKernelWatch(t *testing.T) {
	k, space := live(t)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	m := NewMirror(k)
	changed, err := m.Watch(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Apply(ctx, Plan(Table{}, tableOf(web("rr")))); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Observe(ctx); err != nil {
		t.Fatal(err)
	}
	for _, edit := range []string{
		"-a -t 192.168.4.15:80 -r 192.168.4.100:80 -g -w 1",
		"-e -t 192.168.4.15:80 -r 192.168.4.100:80 -g -w 2",
		"-D -t 192.168.4.15:80",
		"-A -f 7 -s wlc",
		"-C",
	} {
		start := time.Now()
		ipvsadm(t, space, strings.Fields(edit)...)
		<-changed
		t.Logf("%-55s told after %v", edit, time.Since(start))
		remembered, err := m.Observe(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if read, err := k.Observe(ctx); err != nil || read.String() != remembered.String() {
			t.Errorf("the mirror shows\n%sthe kernel has\n%s%v", remembered, read, err)
		}
	}
	t.Logf("by nlmon: %t", strings.Contains(command(t, space, "ip", "link"), tapLink))
	stop()
	for range changed {
	}
}

// TestKernelHashesAgree compares which real servers clients get from two
// directors that came to the same table by different ways.
func TestKernelHashesAgree(t *testing.T) {
	const clients = 2048
	tests := []struct {
		scheduler, name string
		history         func(service func(servers ...int) Table) []Table
		least, most     int // clients that get another real server
	}{
		{"mh", "loaded alike", func(service func(...int) Table) []Table { return []Table{service(allHosts...)} }, 0, 0},
		{"mh", "one added later", func(service func(...int) Table) []Table {
			return []Table{service(1, 2, 3, 4, 6, 7, 8, 9, 10), service(allHosts...)}
		}, 0, 10},
		{"mh", "added one by one, from the end", oneByOne, 0, 20},
		{"mh", "one drained, and back", drained, 0, 0},
		{"sh", "loaded alike", func(service func(...int) Table) []Table { return []Table{service(allHosts...)} }, 0, 0},
		{"sh", "one added later", func(service func(...int) Table) []Table {
			return []Table{service(1, 2, 3, 4, 6, 7, 8, 9, 10), service(allHosts...)}
		}, clients / 2, clients},
		{"sh", "one drained, and back", drained, 0, 0},
	}
	loaded := make(map[string]map[netip.Addr]netip.Addr)
	for _, tt := range tests {
		service := func(hosts ...int) Table { return hashed(tt.scheduler, hosts) }
		if loaded[tt.scheduler] == nil {
			loaded[tt.scheduler], _ = destinations(t, clients, []Table{service(allHosts...)})
		}
		got, asLoaded := destinations(t, clients, tt.history(service))
		differ := 0
		for client, server := range got {
			if server != loaded[tt.scheduler][client] {
				differ++
			}
		}
		t.Logf("%s, %-30s %4d of %d clients get another real server", tt.scheduler, tt.name, differ, clients)
		if differ < tt.least || differ > tt.most {
			t.Errorf("%d clients differ, want %d to %d", differ, tt.least, tt.most)
		}
		if want := !strings.Contains(tt.name, "added"); asLoaded != want {
			t.Errorf("%s: in the order of a load: got %t, want %t", tt.name, asLoaded, want)
		}
	}
}

var allHosts = []int{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}

func oneByOne(service func(hosts ...int) Table) []Table {
	var history []Table
	for first := len(allHosts) - 1; first >= 0; first-- {
		history = append(history, service(allHosts[first:]...))
	}
	return history
}

func drained(service func(hosts ...int) Table) []Table {
	drained := service(allHosts...)
	drained.Services[0].RealServers[4].Weight = 0
	return []Table{service(allHosts...), drained, service(allHosts...)}
}

// hashedVIP is where the clients of destinations send to.
var hashedVIP = netip.MustParseAddrPort("127.0.0.1:53")

func hashed(scheduler string, hosts []int) Table {
	s := Service{Key: Key{Protocol: UDP, Address: hashedVIP.Addr(), Port: hashedVIP.Port()}, Scheduler: scheduler, Flags: SchedulerFlag1}
	for _, host := range hosts {
		s.RealServers = append(s.RealServers, RealServer{
			Address: netip.AddrFrom4([4]byte{127, 1, 0, byte(host)}), Port: 53, Forward: NAT, Weight: 1,
		})
	}
	return tableOf(s)
}

// destinations has a table go through a history, in a network namespace of its
// own, and tells which real server each of many clients then gets, and whether
// its real servers are in the order of a load.
func destinations(t *testing.T, clients int, history []Table) (servers map[netip.Addr]netip.Addr, asLoaded bool) {
	t.Helper()
	k, space := live(t)
	for _, table := range history {
		load(t, k, table)
	}
	statistics, err := k.Statistics(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	asLoaded = statistics[0].AsLoaded()
	err = within(space, func() error {
		for i := range clients {
			client := &net.UDPAddr{IP: net.IPv4(127, 2, byte(i>>8), byte(i))}
			c, err := net.DialUDP("udp4", client, net.UDPAddrFromAddrPort(hashedVIP))
			if err != nil {
				return err
			}
			_, err = c.Write([]byte{0})
			if err := errors.Join(err, c.Close()); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	servers = make(map[netip.Addr]netip.Addr)
	for c, err := range k.Connections(t.Context(), ConnectionFilter{Virtual: hashedVIP}) {
		if err != nil {
			t.Fatal(err)
		}
		servers[c.Client.Addr()] = c.Destination.Addr()
	}
	if len(servers) != clients {
		t.Fatalf("%d of %d clients have a connection", len(servers), clients)
	}
	return servers, asLoaded
}

// applyHalf, if set, makes this binary load a table until it is killed.
const applyHalf = "DIPPER_IPVS_TEST_APPLY_UNTIL_KILLED"

// TestKernelApplyUntilKilled is what TestKernelConvergesAfterKill kills.
func TestKernelApplyUntilKilled(t *testing.T) {
	if os.Getenv(applyHalf) == "" {
		return // runs in a child only
	}
	k, err := Open()
	if err != nil {
		t.Fatal(err)
	}
	for {
		for _, desired := range killTables() {
			observed, err := k.Observe(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if err := k.Apply(t.Context(), Plan(observed, desired)); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// killTables are two large tables with little in common.
func killTables() [2]Table {
	var tables [2]Table
	for n := range tables {
		for i := range 200 {
			s := web("wrr")
			s.Port = uint16(n*100 + i + 1)
			for j := range 4 {
				s.RealServers = append(s.RealServers, RealServer{
					Address: netip.AddrFrom4([4]byte{192, 168, byte(n), byte(j + 1)}), Port: 80, Forward: DR, Weight: uint32(1 + (n+j)%3),
				})
			}
			tables[n].Services = append(tables[n].Services, s)
		}
		tables[n].sort()
	}
	return tables
}

// awaitHalfway waits until services of both tables are there.
func awaitHalfway(t *testing.T, k *Kernel) {
	t.Helper()
	for {
		var services []ServiceStatistics
		err := k.converse(t.Context(), func(c *conversation) (err error) {
			services, err = c.services(t.Context())
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		if len(services) > len(killTables()[0].Services) {
			return
		}
	}
}

// TestKernelConvergesAfterKill kills a process that edits the table, wherever
// it is, and has the next one finish.
func TestKernelConvergesAfterKill(t *testing.T) {
	k, space := live(t)
	random := rand.New(rand.NewPCG(11, 12))
	halfway := 0
	for run := range 5 {
		child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestKernelApplyUntilKilled$")
		child.Env = append(os.Environ(), applyHalf+"=1")
		if err := within(space, child.Start); err != nil {
			t.Fatal(err)
		}
		awaitHalfway(t, k)
		for range random.IntN(20) { // a look is as good a clock as any
			if _, err := k.Info(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if err := child.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		if err := child.Wait(); child.ProcessState.Exited() {
			t.Fatalf("the child ended by itself: %v", err)
		}
		desired := killTables()[run%2]
		before, ops, err := Decide(t.Context(), k, desired)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("killed at %d services; %d operations left", len(before.Services), len(ops))
		if len(ops)%1400 != 0 {
			halfway++
		}
		if err := k.Apply(t.Context(), ops); err != nil {
			t.Fatal(err)
		}
		after, err := k.Observe(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if rest := Plan(after, desired); len(rest) > 0 {
			t.Fatalf("%d operations left after the second run: %v", len(rest), rest[0])
		}
	}
	if halfway == 0 {
		t.Error("every kill came between two loads: this proves nothing")
	}
}

// TestKernelConvergesAfterEveryMessage stops the way between random tables
// after some message, by its context or by its end.
func TestKernelConvergesAfterEveryMessage(t *testing.T) {
	k, _ := live(t)
	random := rand.New(rand.NewPCG(13, 14))
	for range 40 {
		load(t, k, anyTable(random))
		desired := anyTable(random)
		_, ops, err := Decide(t.Context(), k, desired)
		if err != nil {
			t.Fatal(err)
		}
		cut := random.IntN(len(ops) + 1)
		if err := k.Apply(t.Context(), ops[:cut]); err != nil {
			t.Fatal(err)
		}
		_, rest, err := Decide(t.Context(), k, desired)
		if err != nil {
			t.Fatal(err)
		}
		if len(rest) != len(ops)-cut {
			t.Fatalf("cut after %d of %d: %d operations left", cut, len(ops), len(rest))
		}
		if got := load(t, k, desired); got.String() != desired.String() {
			t.Fatalf("-want +got:\n%s", cmp.Diff(desired.String(), got.String()))
		}
	}
}

// TestKernelRefusesAsFakeDoes gives both of them operations that are wrong in
// every way.
func TestKernelRefusesAsFakeDoes(t *testing.T) {
	k, _ := live(t)
	var fake Fake
	random := rand.New(rand.NewPCG(17, 18))
	seen := make(map[unix.Errno]int)
	for range 4000 {
		op := wrongOp(random)
		got, want := errno(k.Apply(t.Context(), []Op{op})), errno(fake.Apply(t.Context(), []Op{op}))
		if got != want {
			t.Fatalf("%s: the kernel says %d (%s), the fake %d (%s)", op, int(got), got, int(want), want)
		}
		seen[got]++
	}
	for _, each := range []unix.Errno{0, unix.EEXIST, unix.ESRCH, unix.ENOENT, unix.EINVAL, unix.ERANGE} {
		if seen[each] < 10 {
			t.Errorf("%d answers are %q, too few to tell", seen[each], each)
		}
	}
	got, err := k.Observe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(fake.String(), got.String()); diff != "" {
		t.Errorf("tables (-fake +kernel):\n%s", diff)
	}
}

func errno(err error) unix.Errno {
	var refused unix.Errno
	if err != nil && !errors.As(err, &refused) {
		return unix.ENOSYS // nothing that either of them says
	}
	return refused
}

// wrongOp makes operations about few entries, of which about half are right.
func wrongOp(random *rand.Rand) Op {
	address := func(list ...string) netip.Addr { return netip.MustParseAddr(list[random.IntN(len(list))]) }
	op := Op{Kind: Kind(random.IntN(6))}
	if random.IntN(8) == 0 && op.Kind == DeleteService {
		op.Kind = AddService // so that there is something
	}
	op.Service = Service{
		Key:       Key{Protocol: TCP, Address: address("192.0.2.1", "192.0.2.2", "2001:db8::1"), Port: 80},
		Scheduler: []string{"rr", "wrr", "mh", "none", "lcss", "a-name-that-is-too-long"}[random.IntN(6)],
		Flags:     Flags(random.IntN(2)),
		Engine:    []string{"", "", "", "sip", "pis", "a-name-that-is-too-long"}[random.IntN(6)],
	}
	if op.Service.Flags&Persistent != 0 {
		op.Service.Timeout, op.Service.Netmask = 60, []uint32{0, 1, 128, 129, 0xffffff00}[random.IntN(5)]
	}
	op.RealServer = RealServer{
		Address: address("10.0.0.1", "10.0.0.2", "10.0.0.1", "10.0.0.2", "2001:db8::1:1", "2001:db8::1:2",
			"224.0.0.1", "255.255.255.255", "0.0.0.0", "127.0.0.1", "ff02::1", "fe80::1", "::", "::1"),
		Port:    80,
		Forward: []Forward{NAT, TUN, DR, TUN}[random.IntN(4)],
		Weight:  []uint32{0, 1, 65536, math.MaxInt32, math.MaxInt32 + 1}[random.IntN(5)],
		Tunnel:  Tunnel{Type: TunnelType(random.IntN(3)), Port: uint16(random.IntN(2))},
	}
	if random.IntN(2) == 0 {
		op.RealServer.UpperThreshold = []uint32{0, 10, math.MaxInt32, math.MaxInt32 + 1}[random.IntN(4)]
		op.RealServer.LowerThreshold = []uint32{0, 1, 11}[random.IntN(3)]
	}
	return op
}

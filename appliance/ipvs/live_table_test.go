package ipvs

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	moby "github.com/moby/ipvs"
	"golang.org/x/sys/unix"
)

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
		if diff := cmp.Diff(want.Canonical(), readOneByOne(t, k), netipComparer); diff != "" {
			t.Fatalf("read one service at a time (-want +got):\n%s", diff)
		}
	}
}

// readOneByOne reads the table without keeping more than a service of it.
func readOneByOne(t *testing.T, k *Kernel) Table {
	t.Helper()
	services, err := k.Services(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var order []*ServiceStatistics
	for i := range services {
		order = append(order, &services[i])
	}
	var all []ServiceStatistics
	for s, err := range k.RealServers(t.Context(), order) {
		if err != nil {
			t.Fatal(err)
		}
		one := *s
		one.RealServers = slices.Clone(s.RealServers)
		all = append(all, one)
	}
	return table(all)
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

// TestKernelRefusesAll has every operation of many batches refused: the answers
// must fit the socket's buffer.
func TestKernelRefusesAll(t *testing.T) {
	k, _ := live(t)
	table := killTables()[0]
	load(t, k, table)
	ops := Plan(Table{}, table)
	failed := opErrors(k.Apply(t.Context(), ops))
	if len(failed) != len(ops) {
		t.Fatalf("%d of %d operations are refused", len(failed), len(ops))
	}
	for i, e := range failed {
		if e.Index != i || !errors.Is(e, unix.EEXIST) || !e.Raced() {
			t.Fatalf("%d: got %v of place %d", i, e, e.Index)
		}
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

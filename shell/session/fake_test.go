package session

import (
	"context"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"
	"sync"
	"time"

	"dipper/appliance/api"
)

// noon is when the tests happen.
var noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

// fake is a director in memory, as the control socket shows it. Its
// configuration is a list of set commands.
type fake struct {
	mu         sync.Mutex
	status     api.Status
	changed    chan struct{} // closed when status changes
	services   []api.Service
	running    []string
	candidates map[string]*fakeCandidate
	opened     int
	revisions  []api.Revision
	generation int
	audit      []string
	programs   []string
	captured   []api.CaptureQuery
	verbs      []api.ServerVerb
	ended      api.Power
	events     []api.Event
	news       chan api.Event // what is to come
	calls      map[string]int
	manyNames  []string // of real servers, for completion
	hostKeys   api.HostKeys
	rotated    []api.HostKeyStep
}

func newFake() *fake {
	return &fake{
		status: api.Status{
			Hostname: "lb1", Role: "director", State: api.Serving, Version: "0.4", Source: "label:DIPPER-STATE revision 7",
			Addresses: []string{"eth0 192.168.4.5/24"}, VIPs: []string{"192.168.4.15"}, Revision: 1, Since: noon.Add(-26 * time.Hour),
			HostKey: "SHA256:8Ww1", Edits: 42, PID: 57, Uptime: api.Duration(26*time.Hour + 3*time.Second),
		},
		changed:  make(chan struct{}),
		services: fakeServices(),
		hostKeys: api.HostKeys{
			Keys: []api.ShownHostKey{
				{Type: "ssh-ed25519", Fingerprint: "SHA256:8Ww1", Since: noon.Add(-400 * 24 * time.Hour)},
				{Type: "ssh-ed25519", Fingerprint: "SHA256:Nx7q", Announced: true, Since: noon.Add(-7 * 24 * time.Hour)},
			},
			Clients: []api.HostKeyClient{
				{User: "ann", From: "10.0.0.1", Learned: true, Last: noon.Add(-time.Hour)},
				{User: "robot", From: "10.0.0.9", Last: noon.Add(-time.Minute)},
			},
		},
		running:    []string{"set role director", "set hostname lb1", "set services web listen 192.168.4.15:80", "set services web scheduler wrr"},
		candidates: map[string]*fakeCandidate{},
		generation: 7,
		revisions: []api.Revision{
			{Number: 7, Time: noon.Add(-26 * time.Hour), User: "alice", Fingerprint: "SHA256:abc", Comment: "new web server", Via: "commit"},
			{Number: 6, Time: noon.Add(-100 * time.Hour), Via: "boot: label:DIPPER"},
		},
		events: []api.Event{
			{Number: 1, Time: noon.Add(-26 * time.Hour), Kind: "boot", Text: "serving 1.9 s after the kernel's start"},
			{Number: 2, Time: noon.Add(-time.Hour), Kind: "server", Actor: api.Actor{User: "alice", From: "10.0.0.7"}, Text: "web 192.168.4.200:80 drained for 2h"},
		},
		calls: map[string]int{},
	}
}

func fakeServices() []api.Service {
	return []api.Service{
		{
			Name: "web", Protocol: "tcp", Listen: "192.168.4.15:80", Scheduler: "wrr", Persistence: "6m0s",
			Statistics: api.Statistics{
				Connections: 1_234_567, InPackets: 98_765_432, InBytes: 12_345_678_901, ConnectionRate: 1234, InPacketRate: 98_765, InByteRate: 12_345_678,
			},
			RealServers: []api.RealServer{
				{
					Address: "192.168.4.100:80", Forward: "dr", Weight: 1, Configured: 1, State: "up", ActiveConnections: 4321, InactiveConnections: 87_654, PersistentConnections: 12,
					Statistics: api.Statistics{Connections: 411_522, InPackets: 32_921_810, InBytes: 4_115_226_300, ConnectionRate: 411, InPacketRate: 32_921, InByteRate: 4_115_226},
				},
				{
					Address: "192.168.4.200:80", Forward: "dr", Weight: 0, Configured: 2, State: "drained", Reason: "alice, for 2h", ActiveConnections: 17, UpperThreshold: 1000, LowerThreshold: 800,
					Statistics: api.Statistics{Connections: 823_045, InPackets: 65_843_622, InBytes: 8_230_452_601},
				},
				{Address: "192.168.4.9:80", Forward: "dr", Weight: 0, Configured: 1, State: "down", Reason: "connection refused 3 times"},
			},
		},
		{
			Name: "dns6", Protocol: "udp", Listen: "[2001:db8:4::15]:53", Scheduler: "mh", Flags: []string{"fallback"},
			RealServers: []api.RealServer{{Address: "[2001:db8:4::100]:53", Forward: "tun gue 6080", Weight: 1, Configured: 1, State: "up"}},
		},
	}
}

func (f *fake) called(name string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls[name]++
}

func (f *fake) become(change func(*api.Status)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change(&f.status)
	f.status.Revision++
	close(f.changed)
	f.changed = make(chan struct{})
}

func (f *fake) Status(context.Context) (api.Status, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.status, nil
}

func (f *fake) NextStatus(ctx context.Context, revision int) (api.Status, error) {
	for {
		f.mu.Lock()
		s, changed := f.status, f.changed
		f.mu.Unlock()
		if s.Revision > revision {
			return s, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return s, ctx.Err()
		}
	}
}

func (f *fake) Boot(context.Context) ([]api.BootStep, error) {
	ms := func(n float64) api.Duration { return api.Duration(n * float64(time.Millisecond)) }
	return []api.BootStep{
		{Name: "mounts", At: ms(310), Took: ms(2.13), Outcome: "done"},
		{Name: "config: kernel command line", At: ms(315), Took: ms(0.04), Outcome: "absent"},
		{Name: "config: label:DIPPER-STATE", At: ms(320), Took: ms(14.2), Outcome: "found", Detail: "revision 7, 512 bytes"},
		{Name: "serving", At: ms(1900), Took: ms(41), Outcome: "done"},
	}, nil
}

func (f *fake) Services(context.Context) ([]api.Service, error) { return f.services, nil }

func (f *fake) Log(_ context.Context, n int) ([]string, error) {
	lines := []string{"10:00:00 dipper appliance: serving", "10:00:01 shell: listening", "10:00:02 odd \x1b[2J line"}
	return lines[max(0, len(lines)-n):], nil
}

func (f *fake) FollowLog(ctx context.Context) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		for i := range 3 {
			if !yield(fmt.Sprintf("10:00:1%d appliance: tick", i), nil) {
				return
			}
		}
		<-ctx.Done()
		yield("", ctx.Err())
	}
}

func (f *fake) End(_ context.Context, how api.Power) error { f.ended = how; return nil }

func (f *fake) Audit(ctx context.Context, e api.AuditEntry) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.audit = append(f.audit, fmt.Sprintf("%s: %s: %s", api.ActorOf(ctx).User, e.Text, e.Result))
	return nil
}

func (f *fake) FormatState(context.Context, string, bool) error { return nil }

func (f *fake) HostKeys(context.Context) (api.HostKeys, error) { return f.hostKeys, nil }
func (f *fake) RotateHostKey(_ context.Context, step api.HostKeyStep) (api.HostKeys, error) {
	f.rotated = append(f.rotated, step)
	return f.hostKeys, nil
}

func (f *fake) Program(_ context.Context, argv []string, in io.Reader, out, errOut io.Writer) (int, error) {
	f.programs = append(f.programs, strings.Join(argv, " "))
	text, err := io.ReadAll(in)
	fmt.Fprintf(out, "ran %s with %q\n", strings.Join(argv, " "), text)
	if slices.Contains(argv, "fail") {
		fmt.Fprintln(errOut, "moan")
		return 3, err
	}
	return 0, err
}

func (f *fake) Capture(_ context.Context, q api.CaptureQuery, out io.Writer) error {
	f.captured = append(f.captured, q)
	_, err := fmt.Fprintf(out, "pcap of %+v", q)
	return err
}

func (f *fake) Connections(_ context.Context, q api.ConnectionQuery) iter.Seq2[api.Connection, error] {
	return func(yield func(api.Connection, error) bool) {
		for i := range 5 {
			k := api.Connection{
				Protocol: "tcp", Client: fmt.Sprintf("10.0.0.%d:4%d", 12-i, i), Virtual: "192.168.4.15:80", Server: "192.168.4.100:80",
				State: "ESTABLISHED", Expires: api.Duration(14*time.Minute + time.Duration(i)*time.Second), Service: "web",
			}
			if q.Limit > 0 && i >= q.Limit || q.Service != "" && q.Service != "web" {
				return
			}
			if !yield(k, nil) {
				return
			}
		}
	}
}

func (f *fake) SetServer(_ context.Context, v api.ServerVerb) ([]api.ServerResult, error) {
	f.verbs = append(f.verbs, v)
	r := api.ServerResult{Service: "web", Server: v.Server, Weight: v.Weight, Was: 2, Connections: 17}
	if v.For > 0 {
		r.Until = noon.Add(time.Duration(v.For))
	}
	return []api.ServerResult{r}, nil
}

func (f *fake) Clear(context.Context, api.ClearQuery) (int, error) { return 4, nil }

func (f *fake) Names(_ context.Context, q api.NamesQuery) ([]api.Completion, error) {
	f.called("Names " + q.Kind)
	all := map[string][]api.Completion{
		"service":   {{Word: "dns6", State: "1 of 1"}, {Word: "web", State: "1 of 3"}},
		"server":    {{Word: "192.168.4.100", State: "web: weight 1, 4321 active"}, {Word: "192.168.4.200", State: "web: drained, 17 active"}},
		"interface": {{Word: "eth0", State: "up"}, {Word: "lo", State: "up"}},
		"revision":  {{Word: "7", Help: "alice: new web server"}, {Word: "6", Help: "boot"}},
		"program":   {{Word: "ps"}},
		"scheduler": {{Word: "wlc"}, {Word: "wrr"}},
	}[q.Kind]
	first, _ := slices.BinarySearch(f.manyNames, q.Prefix)
	for _, n := range f.manyNames[first:min(len(f.manyNames), first+q.Limit)] {
		all = append(all, api.Completion{Word: n, State: "weight 1"})
	}
	all = slices.DeleteFunc(slices.Clone(all), func(c api.Completion) bool { return !strings.HasPrefix(c.Word, q.Prefix) })
	return all[:min(len(all), q.Limit)], nil
}

func (f *fake) Interfaces(context.Context) ([]api.Interface, error) {
	return []api.Interface{
		{Name: "lo", Kind: "loopback", MTU: 65536, Up: true, Carrier: true, Addresses: []string{"127.0.0.1/8"}},
		{
			Name: "eth0", Kind: "virtio_net", MAC: "52:54:00:12:34:56", MTU: 1500, Up: true, Carrier: true, Speed: 10_000,
			Addresses: []string{"192.168.4.5/24", "192.168.4.15/32"}, InBytes: 12_345_678_901, OutBytes: 987_654, InDrops: 3,
		},
		{Name: "eth1", Kind: "igb", MAC: "52:54:00:12:34:57", MTU: 9000, Up: true, Lease: "10.0.2.15/24 from 10.0.2.2, 23h left"},
		{Name: "eth2", Kind: "igb", MAC: "52:54:00:12:34:58", MTU: 1500},
	}, nil
}

func (f *fake) Routes(context.Context) ([]api.Route, error) {
	return []api.Route{
		{To: "default", Via: "192.168.4.254", Interface: "eth0", Protocol: "dipper"},
		{To: "192.168.4.0/24", Interface: "eth0", Source: "192.168.4.5", Protocol: "kernel"},
	}, nil
}

func (f *fake) Neighbours(context.Context) ([]api.Neighbour, error) {
	return []api.Neighbour{
		{Address: "192.168.4.100", MAC: "52:54:00:aa:00:01", Interface: "eth0", State: "reachable"},
		{Address: "192.168.4.9", Interface: "eth0", State: "failed"},
		{Address: "fe80::1", MAC: "52:54:00:aa:00:fe", Interface: "eth0", State: "stale"},
	}, nil
}

func (f *fake) Sysctls(context.Context) ([]api.Sysctl, error) {
	return []api.Sysctl{{Name: "net.ipv4.ip_forward", Value: "1", Want: "1"}, {Name: "net.ipv4.vs.conntrack", Value: "0", Want: "1"}}, nil
}

func (f *fake) System(context.Context) (api.System, error) {
	return api.System{
		Hostname: "lb1", Version: "0.4", Kernel: "6.12.57", Machine: "QEMU Standard PC (Q35 + ICH9, 2009)", Processors: 2,
		Load: [3]float64{0.05, 0.1, 0}, MemoryTotal: 134_217_728, MemoryFree: 52_428_800, Uptime: api.Duration(26 * time.Hour), Time: noon,
		Temperatures: []api.Temperature{{Sensor: "coretemp", Celsius: 41.6}},
		State:        api.StateVolume{Device: "/dev/vda", Size: 67_108_864, Free: 60_000_000}, CommandLine: "console=ttyS0 quiet",
	}, nil
}

func (f *fake) Timeouts(context.Context) (api.Timeouts, error) {
	return api.Timeouts{TCP: api.Duration(15 * time.Minute), TCPFin: api.Duration(2 * time.Minute), UDP: api.Duration(5 * time.Minute)}, nil
}

func (f *fake) Events(ctx context.Context, after int, follow bool) iter.Seq2[api.Event, error] {
	return func(yield func(api.Event, error) bool) {
		for _, e := range f.events {
			if e.Number > after && !yield(e, nil) {
				return
			}
		}
		for follow {
			select {
			case e := <-f.news:
				if !yield(e, nil) {
					return
				}
			case <-ctx.Done():
				return
			}
		}
	}
}

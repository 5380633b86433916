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

type fakeCandidate struct {
	api.Candidate
	lines []string
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

func (f *fake) Candidates(context.Context) ([]api.Candidate, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	all := []api.Candidate{}
	for _, k := range f.candidates {
		all = append(all, k.Candidate)
	}
	slices.SortFunc(all, func(a, b api.Candidate) int { return strings.Compare(a.ID, b.ID) })
	return all, nil
}

func (f *fake) OpenCandidate(ctx context.Context, shared bool) (api.Candidate, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.opened++
	k := &fakeCandidate{lines: slices.Clone(f.running), Candidate: api.Candidate{
		ID: fmt.Sprint(f.opened), Shared: shared, Owner: api.ActorOf(ctx), Since: noon, Base: f.generation,
	}}
	f.candidates[k.ID] = k
	return k.Candidate, nil
}

func (f *fake) CloseCandidate(_ context.Context, id string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.candidates, id)
	return nil
}

func (f *fake) EditCandidate(_ context.Context, id string, e api.Edit) (api.Candidate, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	k := f.candidates[id]
	if k == nil {
		return api.Candidate{}, &api.Error{Message: "there is no candidate " + id}
	}
	if i := slices.Index(e.Words, "lcss"); i >= 0 {
		return api.Candidate{}, &api.Error{Message: `unknown scheduler "lcss": did you mean "lc"?`, Word: i + 1}
	}
	line := "set " + strings.Join(e.Words, " ")
	switch e.Kind {
	case api.EditSet:
		k.lines = append(k.lines, line)
	case api.EditDelete:
		k.lines = slices.DeleteFunc(k.lines, func(l string) bool { return strings.HasPrefix(l, line) })
	case api.EditUpdate:
		k.Base = f.generation
	case api.EditDiscard, api.EditRollback:
		k.lines = slices.Clone(f.running)
	case api.EditOverride:
		k.lines = strings.Split(strings.TrimSpace(e.Text), "\n")
	case api.EditMerge, api.EditReplace:
		k.lines = append(k.lines, strings.Split(strings.TrimSpace(e.Text), "\n")...)
	default:
		k.lines = append(k.lines, string(e.Kind)+strings.TrimPrefix(line, "set")+" "+e.Text)
	}
	k.Changed = !slices.Equal(k.lines, f.running)
	return k.Candidate, nil
}

func (f *fake) ShowCandidate(_ context.Context, id string, q api.ShowQuery) (string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return show1(f.candidates[id].lines, q), nil
}

func (f *fake) ShowConfig(_ context.Context, which string, q api.ShowQuery) (string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return show1(f.running, q), nil
}

// show1 writes what is below a path: as commands, or else without "set".
func show1(lines []string, q api.ShowQuery) string {
	var b strings.Builder
	for _, l := range lines {
		l = strings.TrimPrefix(l, "set ")
		if !strings.HasPrefix(l, strings.Join(q.Path, " ")) {
			continue
		}
		if q.Format == api.FormatCommands {
			b.WriteString("set ")
		}
		b.WriteString(l + "\n")
	}
	return b.String()
}

func (f *fake) CompleteCandidate(_ context.Context, id string, q api.CompleteQuery) ([]api.Completion, error) {
	f.called("CompleteCandidate " + id)
	path := strings.Join(q.Words[:len(q.Words)-1], " ")
	switch path {
	case "":
		return filtered(q.Words, []api.Completion{{Word: "hostname", Help: "the machine's name", State: "lb1"}, {Word: "services", Help: "virtual services"}}), nil
	case "services":
		return filtered(q.Words, []api.Completion{{Word: "web", State: "listen 192.168.4.15:80"}, {Help: "<name>: the name of a service"}}), nil
	case "services web":
		return filtered(q.Words, []api.Completion{{Word: "scheduler", Help: "which real server gets the next connection", State: "wrr"}, {Word: "listen", Help: "VIP and port"}}), nil
	}
	return nil, nil
}

// CompleteConfig knows the words of the running configuration.
func (f *fake) CompleteConfig(_ context.Context, which string, q api.CompleteQuery) ([]api.Completion, error) {
	f.called("CompleteConfig " + which)
	f.mu.Lock()
	defer f.mu.Unlock()
	before := q.Words[:len(q.Words)-1]
	var all []api.Completion
	for line := range strings.Lines(show1(f.running, api.ShowQuery{Path: before})) {
		word := strings.Fields(line)[len(before)]
		if len(all) == 0 || all[len(all)-1].Word != word {
			all = append(all, api.Completion{Word: word})
		}
	}
	return filtered(q.Words, all), nil
}

// CandidatePath knows one abbreviation and one mistake.
func (f *fake) CandidatePath(_ context.Context, id string, words []string) ([]string, error) {
	if i := slices.Index(words, "nonsense"); i >= 0 {
		return nil, &api.Error{Message: `unknown key "nonsense"`, Word: i + 1}
	}
	path := slices.Clone(words)
	if path[0] == "servi" {
		path[0] = "services"
	}
	return path, nil
}

func (f *fake) CompareConfigs(_ context.Context, from, to string) (api.Comparison, error) {
	return api.Comparison{Tree: []string{"[edit]", "-  comment of " + from, "+  comment of " + to}}, nil
}

func filtered(words []string, all []api.Completion) []api.Completion {
	return slices.DeleteFunc(all, func(c api.Completion) bool { return c.Word != "" && !strings.HasPrefix(c.Word, words[len(words)-1]) })
}

func (f *fake) difference(lines []string) api.Comparison {
	var k api.Comparison
	for _, l := range f.running {
		if !slices.Contains(lines, l) {
			k.Tree = append(k.Tree, "-  "+strings.TrimPrefix(l, "set "))
		}
	}
	for _, l := range lines {
		if !slices.Contains(f.running, l) {
			k.Tree = append(k.Tree, "+  "+strings.TrimPrefix(l, "set "))
			k.Plan = append(k.Plan, "ipvsadm -E -t 192.168.4.15:80 -s wlc")
		}
	}
	if len(k.Tree) > 0 {
		k.Tree = append([]string{"[edit]"}, k.Tree...)
	}
	return k
}

func (f *fake) CompareCandidate(_ context.Context, id, with string) (api.Comparison, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.difference(f.candidates[id].lines), nil
}

func (f *fake) Commit(_ context.Context, id string, o api.CommitOptions) (api.Committed, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	k := f.candidates[id]
	if k.Base != f.generation && !o.Anyway {
		return api.Committed{}, &api.Error{Message: "the running configuration changed since this candidate was opened", Details: []string{"bob committed revision 8"}, Conflict: true}
	}
	done := api.Committed{Comparison: f.difference(k.lines)}
	if o.CheckOnly || len(done.Tree) == 0 {
		return done, nil
	}
	f.running, k.Changed = slices.Clone(k.lines), false
	f.generation++
	k.Base = f.generation
	if o.Confirm > 0 {
		done.ConfirmBy = noon.Add(time.Duration(o.Confirm))
		return done, nil
	}
	done.Revision = f.generation
	f.revisions = append([]api.Revision{{Number: done.Revision, Time: noon, Comment: o.Comment, Via: "commit"}}, f.revisions...)
	return done, nil
}

func (f *fake) Confirm(context.Context) (api.Revision, error) { return api.Revision{Number: 8}, nil }
func (f *fake) Revert(context.Context) error {
	return &api.Error{Message: "no commit waits to be confirmed"}
}

func (f *fake) Changes(context.Context) (api.Comparison, error) {
	return api.Comparison{
		Tree:      []string{"[edit services web]", "-  scheduler: rr", "+  scheduler: wrr"},
		Plan:      []string{"ipvsadm -E -t 192.168.4.15:80 -s wrr -p 360", "ipvsadm -D -t 192.168.4.14:80  # ends the connections of this virtual service: its address cannot be edited"},
		Disturbed: []string{`service "web": 17 connections end: ipvsadm -D -t 192.168.4.14:80`},
	}, nil
}

func (f *fake) Save(context.Context, string) (api.Revision, error) {
	return api.Revision{Number: 8}, nil
}
func (f *fake) Revisions(context.Context) ([]api.Revision, error) { return f.revisions, nil }
func (f *fake) FormatState(context.Context, string, bool) error   { return nil }

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

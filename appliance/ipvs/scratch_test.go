package ipvs

import (
	"runtime"
	"net"
	"golang.org/x/sys/unix"
	"context"
	"encoding/base64"
	"fmt"

	"net/netip"
	"os"
	"os/exec"
	"testing"
	"time"

	"dipper/qemu/lab"
	"dipper/qemu/machine"
)

func TestScratch(t *testing.T) {
	pattern := os.Getenv("SCRATCH")
	if pattern == "" {
		t.Skip("scratch")
	}
	cluster := lab.StartT(t, &lab.Description{Name: "own-kernel", Nodes: []*lab.Node{{
		Name: "host", Peer: true,
		Change: func(c *machine.Config) error { c.Memory = 1500; c.CountInstructions = os.Getenv("NOCOUNT") == ""; return nil },
	}}})
	path := t.TempDir() + "/p.test"
	build := exec.CommandContext(t.Context(), "go", "test", "-c", "-ldflags=-s -w", "-o", path, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	program, _ := os.ReadFile(path)
	host := cluster.Peer("host")
	ctx, stop := context.WithTimeout(t.Context(), 10*time.Minute)
	defer stop()
	if _, err := host.RunWith(ctx, "base64 -d >/tmp/package.test; chmod +x /tmp/package.test", base64.StdEncoding.EncodeToString(program)); err != nil {
		t.Fatal(err)
	}
	out, err := host.Run(ctx, onOwnKernel+"=1 IN_GUEST=1 /tmp/package.test -test.timeout 100m -test.run='^("+pattern+")$' -test.v 2>&1")
	t.Log(out, err)
}

func scratchTable(services, servers int) Table {
	var t Table
	for i := range services {
		s := Service{Key: Key{Protocol: TCP, Address: netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)}), Port: 80}, Scheduler: "wrr"}
		for j := range servers {
			s.RealServers = append(s.RealServers, RealServer{Address: netip.AddrFrom4([4]byte{10, 2, byte(j >> 8), byte(j)}), Port: 80, Forward: DR, Weight: 1})
		}
		t.Services = append(t.Services, s)
	}
	return t
}

func count(t *testing.T, name string, do func()) {
	start := time.Now()
	do()
	fmt.Printf("%-40s %8.1f M instructions\n", name, float64(time.Since(start))/1e6)
}

func TestMeasureTable(t *testing.T) {
	if os.Getenv("IN_GUEST") == "" {
		t.Skip()
	}
	for _, size := range []int{100, 1000, 2000, 4000} {
		k, _ := live(t)
		want := scratchTable(size, 10)
		ops := Plan(Table{}, want)
		count(t, fmt.Sprintf("apply %d", size), func() {
			if err := k.Apply(t.Context(), ops); err != nil {
				t.Fatal(err)
			}
		})
		del := Plan(want, Table{})
		count(t, fmt.Sprintf("delete %d", size), func() {
			if err := k.Apply(t.Context(), del); err != nil {
				t.Fatal(err)
			}
		})
		count(t, fmt.Sprintf("apply %d", size), func() {
			if err := k.Apply(t.Context(), ops); err != nil {
				t.Fatal(err)
			}
		})
		count(t, "Statistics", func() { k.Statistics(t.Context()) })
		var got Table
		count(t, "observe", func() { got, _ = k.Observe(t.Context()) })
		count(t, "plan nothing", func() { ops = Plan(got, want) })
		count(t, "dests undecoded", func() {
			_ = k.converse(t.Context(), func(c *conversation) error {
				for i := range want.Services {
					if err := c.ask(t.Context(), cmdGetDest, 0x300, want.Services[i].Key.append(nil), func([]byte) error { return nil }); err != nil {
						t.Fatal(err)
					}
				}
				return nil
			})
		})
		count(t, "dests undecoded 8k", func() {
			_ = k.converse(t.Context(), func(c *conversation) error {
				c.in = c.in[:8192]
				defer func() { c.in = c.in[:32768] }()
				for i := range want.Services {
					if err := c.ask(t.Context(), cmdGetDest, 0x300, want.Services[i].Key.append(nil), func([]byte) error { return nil }); err != nil {
						t.Fatal(err)
					}
				}
				return nil
			})
		})
	}
}

func TestMeasureConnections(t *testing.T) {
	if os.Getenv("IN_GUEST") == "" {
		t.Skip()
	}
	k, space := live(t)
	vip := netip.MustParseAddrPort("127.0.0.1:53")
	s := Service{Key: Key{Protocol: UDP, Address: vip.Addr(), Port: vip.Port()}, Scheduler: "rr", RealServers: []RealServer{{Address: netip.MustParseAddr("127.1.0.1"), Port: 53, Forward: NAT, Weight: 1}}}
	load(t, k, tableOf(s))
	have := 0
	for _, n := range []int{10000, 20000, 40000, 80000} {
		within(space, func() error {
			var fd int
			for ; have < n; have++ {
				if have%50000 == 0 {
					fd, _ = unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
				}
				_ = fd
				c, err := net.DialUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 2, byte(have>>8), byte(have)), Port: 1024 + have>>16}, net.UDPAddrFromAddrPort(vip))
				if err != nil {
					return err
				}
				c.Write([]byte{0})
				c.Close()
			}
			return nil
		})
		found := 0
		count(t, fmt.Sprintf("%d connections, one client", n), func() {
			for _, err := range k.Connections(t.Context(), ConnectionFilter{Client: netip.MustParsePrefix("127.2.1.7/32")}) {
				if err != nil {
					t.Fatal(err)
				}
				found++
			}
		})
		fmt.Println("found", found)
		count(t, "ipvsadm -Lcn | grep", func() { fmt.Print(command(t, space, "sh", "-c", "ipvsadm -Lcn | grep ' 127.2.1.7:'")) })
		count(t, "cat", func() {
			within(space, func() error {
				f, _ := os.Open(fmt.Sprintf("/proc/self/task/%d/net/ip_vs_conn", unix.Gettid()))
				b := make([]byte, 65536)
				for {
					n, err := f.Read(b)
					if n == 0 || err != nil {
						break
					}
				}
				return nil
			})
		})
	}
}

func TestMeasureBounds(t *testing.T) {
	if os.Getenv("IN_GUEST") == "" {
		t.Skip()
	}
	for _, size := range []int{1000, 10000} {
		k, _ := live(t)
		want := scratchTable(size, 10)
		var ops []Op
		count(t, fmt.Sprintf("plan %d", size), func() { ops = Plan(Table{}, want) })
		count(t, "apply", func() {
			if err := k.Apply(t.Context(), ops); err != nil {
				t.Fatal(err)
			}
		})
		ops = nil
		runtime.GC()
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		var got Table
		count(t, "observe", func() { got, _ = k.Observe(t.Context()) })
		runtime.ReadMemStats(&after)
		fmt.Println("allocated MB", (after.TotalAlloc-before.TotalAlloc)>>20, "mallocs", after.Mallocs-before.Mallocs)
		count(t, "observe", func() { got, _ = k.Observe(t.Context()) })
		count(t, "plan nothing", func() { ops = Plan(got, want) })
		count(t, "services", func() {
			k.converse(t.Context(), func(c *conversation) error { _, err := c.services(t.Context()); return err })
		})
		count(t, "dests undecoded", func() {
			_ = k.converse(t.Context(), func(c *conversation) error {
				for i := range want.Services {
					if err := c.ask(t.Context(), cmdGetDest, 0x300, want.Services[i].Key.append(nil), func([]byte) error { return nil }); err != nil {
						t.Fatal(err)
					}
				}
				return nil
			})
		})
	}
}

func TestMeasureMirror(t *testing.T) {
	if os.Getenv("IN_GUEST") == "" {
		t.Skip()
	}
	k, _ := live(t)
	m := NewMirror(k)
	if _, err := m.Watch(t.Context()); err != nil {
		t.Fatal(err)
	}
	want := scratchTable(1000, 10)
	count(t, "apply", func() {
		if err := m.Apply(t.Context(), Plan(Table{}, want)); err != nil {
			t.Fatal(err)
		}
	})
	for range 3 {
		count(t, "observe", func() { m.Observe(t.Context()) })
	}
	for i := range 3 {
		want.Services[5].RealServers[5].Weight = uint32(i + 7)
		count(t, "one weight: decide and apply", func() {
			_, ops, err := Decide(t.Context(), m, want)
			if err != nil || len(ops) != 1 {
				t.Fatal(ops, err)
			}
			if err := m.Apply(t.Context(), ops); err != nil {
				t.Fatal(err)
			}
		})
	}
	count(t, "again: nothing", func() { Decide(t.Context(), m, want) })
	count(t, "Statistics", func() { m.Statistics(t.Context()) })
}

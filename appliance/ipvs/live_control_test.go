package ipvs

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

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
	diff := cmp.Diff(want, read(ConnectionFilter{}))
	for strings.Contains(diff, "SYN_RECV") { // the client's end is connected, and its last packet on the way
		diff = cmp.Diff(want, read(ConnectionFilter{}))
	}
	if diff != "" {
		t.Errorf("all (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(want[3:], read(ConnectionFilter{Client: netip.MustParsePrefix("::/64")})); diff != "" {
		t.Errorf("of a client (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{want[2] + "LOCAL"}, read(ConnectionFilter{WithOrigin: true, Virtual: at("127.0.0.1:80")})); diff != "" {
		t.Errorf("with origin (-want +got):\n%s", diff)
	}
}

// TestKernelWatch edits the table, and what the kernel has beside it, beside a
// watch, with the real ipvsadm.
func TestKernelWatch(t *testing.T) {
	k, space := live(t)
	command(t, space, "ip", "link", "add", "eth0", "up", "type", "dummy")
	command(t, space, "ip", "address", "add", "192.168.4.10/24", "dev", "eth0")
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
		"--set 600 0 0",
		"--start-daemon master --mcast-interface eth0",
		"--stop-daemon master",
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

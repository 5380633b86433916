package ipvs

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestDaemonRoundTrip(t *testing.T) {
	for _, want := range []Daemon{
		{State: Master, Interface: "eth0"},
		{State: Backup, Interface: "bond0.100", SyncID: 255, MaxLength: 1472, Group: netip.MustParseAddr("224.0.0.81"), Port: 8848, TTL: 1},
		{State: Backup, Interface: "eth1", SyncID: 7, MaxLength: 65487, Group: netip.MustParseAddr("ff02::81"), Port: 65535, TTL: 255},
	} {
		data, err := want.encode(nil)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := decodeDaemon(data); err != nil || got != want {
			t.Errorf("got %+v, %v, want %+v", got, err, want)
		}
	}
	if _, err := (Daemon{Group: netip.MustParseAddr("ff02::81%eth0")}).encode(nil); err == nil {
		t.Error("a group with a zone is taken")
	}
}

func FuzzDaemon(f *testing.F) {
	data, _ := Daemon{State: Master, Interface: "eth0", Group: netip.MustParseAddr("ff02::81"), MaxLength: 1, Port: 2, TTL: 3}.encode(nil)
	f.Add(data)
	f.Fuzz(func(t *testing.T, data []byte) {
		d, err := decodeDaemon(data)
		if err != nil || strings.Contains(d.Interface, "\x00") {
			return
		}
		again, err := d.encode(nil)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := decodeDaemon(again); err != nil || got != d {
			t.Errorf("%+v became %+v, %v", d, got, err)
		}
	})
}

func TestVersion(t *testing.T) {
	if got, want := Version(0x010201).String(), "1.2.1"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// control is what Kernel and Fake have beside the table.
type control interface {
	Apply(context.Context, []Op) error
	Info(context.Context) (Info, error)
	Zero(context.Context, *Key) error
	Timeouts(context.Context) (Timeouts, error)
	SetTimeouts(context.Context, Timeouts) error
	Daemons(context.Context) ([]Daemon, error)
	StartDaemon(context.Context, Daemon) error
	StopDaemon(context.Context, DaemonState) error
}

func TestFakeControl(t *testing.T) { testControl(t, &Fake{}, "eth0") }

// testControl is what a kernel and its stand-in must both do, on a link with an
// MTU of 1500.
func testControl(t *testing.T, k control, link string) {
	ctx := t.Context()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	refused := func(err error, want unix.Errno) {
		t.Helper()
		if !errors.Is(err, want) {
			t.Errorf("got error %v, want %v", err, want)
		}
	}
	info, err := k.Info(ctx)
	must(err)
	if info.Version.String() != "1.2.1" || info.ConnectionTableSize < 256 {
		t.Errorf("got %+v", info)
	}

	must(k.SetTimeouts(ctx, Timeouts{TCP: 1000, UDP: 30}))
	must(k.SetTimeouts(ctx, Timeouts{TCPFin: 60}))
	refused(k.SetTimeouts(ctx, Timeouts{TCP: 8589935}), unix.EINVAL) // more than a signed 32-bit number of ticks
	timeouts, err := k.Timeouts(ctx)
	must(err)
	if want := (Timeouts{1000, 60, 30}); timeouts != want {
		t.Errorf("timeouts: got %+v, want %+v", timeouts, want)
	}

	service := web("rr")
	must(k.Zero(ctx, nil))
	refused(k.Zero(ctx, &service.Key), unix.ESRCH)
	must(k.Apply(ctx, []Op{{Kind: AddService, Service: service}}))
	must(k.Zero(ctx, &service.Key))

	must(k.StartDaemon(ctx, Daemon{State: Backup, Interface: link, SyncID: 3, MaxLength: 1, Group: netip.MustParseAddr("224.0.0.99"), Port: 9000, TTL: 7}))
	must(k.StartDaemon(ctx, Daemon{State: Master, Interface: link}))
	refused(k.StartDaemon(ctx, Daemon{State: Master, Interface: link}), unix.EEXIST)
	refused(k.StartDaemon(ctx, Daemon{State: Master, Interface: "nosuch"}), unix.ENODEV)
	refused(k.StartDaemon(ctx, Daemon{State: Master, Interface: link, Group: netip.MustParseAddr("192.0.2.1")}), unix.EINVAL)
	other := Op{Kind: AddRealServer, Service: service, RealServer: with(rs("[2001:db8::1]:80", 1), func(r *RealServer) { r.Forward = TUN })}
	refused(k.Apply(ctx, []Op{other}), unix.EINVAL)
	daemons, err := k.Daemons(ctx)
	must(err)
	want := []Daemon{
		{State: Master, Interface: link, MaxLength: 1472, Group: netip.MustParseAddr("224.0.0.81"), Port: 8848, TTL: 1},
		{State: Backup, Interface: link, SyncID: 3, MaxLength: 1024, Group: netip.MustParseAddr("224.0.0.99"), Port: 9000, TTL: 7},
	}
	if len(daemons) != 2 || daemons[0] != want[0] || daemons[1] != want[1] {
		t.Errorf("daemons: got %+v, want %+v", daemons, want)
	}
	must(k.StopDaemon(ctx, Master))
	must(k.StopDaemon(ctx, Backup))
	refused(k.StopDaemon(ctx, Backup), unix.ESRCH)
	must(k.Apply(ctx, []Op{other}))
	refused(k.StartDaemon(ctx, Daemon{State: Master, Interface: link}), unix.EINVAL)
}

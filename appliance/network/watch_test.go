package network

import (
	"context"
	"testing"
	"time"
)

// patience is far longer than anything here takes on the slowest machine: it
// only ends a test that would hang.
const patience = 5 * time.Minute

func TestWatchTellsOfForeignChangesInNamespace(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	newNeighbour(t, "eth0")
	k := open(t)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	changed, err := k.Watch(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, change := range []string{
		"ip link set eth0 up",
		"ip addr add 192.168.4.5/24 dev eth0",
		"ip route add 10.0.0.0/8 via 192.168.4.1",
		"ip -6 addr add 2001:db8::5/64 dev eth0",
		"ip addr del 192.168.4.5/24 dev eth0",
	} {
		drain(changed)
		run(t, change)
		select {
		case <-changed:
		case <-time.After(patience):
			t.Errorf("no notice of %s", change)
		}
	}
	stop()
	for range changed {
	}
}

// drain takes the notices that are there; more may be under way.
func drain(changed <-chan struct{}) {
	for {
		select {
		case <-changed:
		default:
			return
		}
	}
}

func TestCarrierInNamespace(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	up, err := watchCarrier(ctx, "eth0")
	if err != nil {
		t.Fatal(err)
	}
	expect := func(what string, want bool) {
		t.Helper()
		select {
		case got := <-up:
			if got != want {
				t.Errorf("%s: carrier %v, want %v", what, got, want)
			}
		case <-time.After(patience):
			t.Errorf("%s: nothing told", what)
		}
	}
	expect("no such link", false)
	n := newNeighbour(t, "eth0")
	run(t, "ip link set eth0 up")
	expect("link came up", true)
	n.run("ip link set peer down")
	expect("neighbour went down", false)
	n.run("ip link set peer up")
	expect("neighbour came up", true)
	run(t, "ip link set eth0 name lan")
	expect("the name is gone", false)
	stop()
	for range up {
	}
}

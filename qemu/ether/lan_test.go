package ether

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

var broadcast = mac{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}

// address of a test station: "a" is 02:00:00:00:00:61.
func address(name string) mac { return mac{2, 0, 0, 0, 0, name[0]} }

func frame(to, from mac, payload string) []byte {
	f := append(slices.Clone(to[:]), from[:]...)
	return append(f, append([]byte{0x88, 0xb5}, payload...)...) // local experimental EtherType
}

func tagged(vlan uint16, to, from mac, payload string) []byte {
	f := append(slices.Clone(to[:]), from[:]...)
	f = binary.BigEndian.AppendUint16(f, typeVLAN)
	f = binary.BigEndian.AppendUint16(f, 0xe000|vlan) // priority 7, to be masked
	return append(f, append([]byte{0x88, 0xb5}, payload...)...)
}

// bench is a LAN with named stations, inside a synctest bubble.
type bench struct {
	t        *testing.T
	lan      *LAN
	ports    map[string]*Port
	stations map[string]*Station
}

func newBench(t *testing.T, names ...string) *bench {
	return connect(t, NewLAN("test"), names...)
}

func connect(t *testing.T, lan *LAN, names ...string) *bench {
	b := &bench{t, lan, map[string]*Port{}, map[string]*Station{}}
	t.Cleanup(b.lan.Close)
	for _, name := range names {
		b.ports[name] = b.lan.Port(name)
		b.stations[name] = b.ports[name].Station(64)
	}
	return b
}

// hears drains what every station has heard, as "b:hello c:hello".
func (b *bench) hears() string {
	synctest.Wait()
	var heard []string
	for name, s := range b.stations {
		for len(s.heard) > 0 {
			f := <-s.heard
			payload := f[headerSize:]
			if binary.BigEndian.Uint16(f[12:]) == typeVLAN {
				payload = f[taggedSize:]
			}
			heard = append(heard, fmt.Sprintf("%s:%s", name, payload))
		}
	}
	slices.Sort(heard)
	return strings.Join(heard, " ")
}

func (b *bench) expect(want string) {
	b.t.Helper()
	if got := b.hears(); got != want {
		b.t.Errorf("heard %q, want %q", got, want)
	}
}

// introduce lets the switch learn every station.
func (b *bench) introduce() {
	for name, s := range b.stations {
		s.Send(frame(broadcast, address(name), "here"))
	}
	b.hears()
}

func TestForwarding(t *testing.T) {
	a, c := address("a"), address("c")
	multicast := mac{0x33, 0x33, 0, 0, 0, 1}
	lldp := mac{0x01, 0x80, 0xc2, 0, 0, 0x0e}
	for _, test := range []struct {
		name  string
		known bool // stations were heard before
		from  string
		frame []byte
		want  string
	}{
		{"broadcast floods", true, "a", frame(broadcast, a, "x"), "b:x c:x"},
		{"multicast floods", true, "a", frame(multicast, a, "x"), "b:x c:x"},
		{"unknown unicast floods", false, "a", frame(c, a, "x"), "b:x c:x"},
		{"known unicast goes to one", true, "a", frame(c, a, "x"), "c:x"},
		{"same port hears nothing", true, "a", frame(a, address("z"), "x"), ""},
		{"another VLAN is not known", true, "a", tagged(7, c, a, "x"), "b:x c:x"},
		{"bridge addresses stay on their wire", true, "a", frame(lldp, a, "x"), ""},
		{"runt", true, "a", []byte{1, 2, 3}, ""},
		{"runt with a VLAN tag", true, "a", tagged(7, c, a, "")[:16], ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, "a", "b", "c")
				if test.known {
					b.introduce()
				}
				b.stations[test.from].Send(test.frame)
				b.expect(test.want)
			})
		})
	}
}

// TestCable: what a switch keeps to itself passes a cable.
func TestCable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := connect(t, NewCable("test"), "a", "b")
		lacp := mac{0x01, 0x80, 0xc2, 0, 0, 0x02}
		b.stations["a"].Send(frame(lacp, address("a"), "x"))
		b.expect("b:x")
	})
}

func TestLearningFollowsAMove(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "a", "b", "c")
		b.introduce()
		b.stations["b"].Send(frame(broadcast, address("c"), "moved")) // a VIP taken over
		b.expect("a:moved c:moved")
		b.stations["a"].Send(frame(address("c"), address("a"), "x"))
		b.expect("b:x")
	})
}

func TestGroupAddressesAreNotLearnt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "a", "b", "c")
		b.stations["b"].Send(frame(broadcast, broadcast, "forged"))
		b.hears()
		b.stations["a"].Send(frame(broadcast, address("a"), "x"))
		b.expect("b:x c:x")
	})
}

func TestVLANsLearnApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "a", "b", "c")
		b.stations["b"].Send(tagged(1, broadcast, address("z"), "1"))
		b.stations["c"].Send(tagged(2, broadcast, address("z"), "2"))
		b.hears()
		b.stations["a"].Send(tagged(1, address("z"), address("a"), "one"))
		b.stations["a"].Send(tagged(2, address("z"), address("a"), "two"))
		b.expect("b:one c:two")
	})
}

func TestAgeing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "a", "b", "c")
		b.introduce()
		time.Sleep(tableAge)
		b.stations["a"].Send(frame(address("c"), address("a"), "still"))
		b.expect("c:still")
		time.Sleep(time.Second)
		b.stations["a"].Send(frame(address("c"), address("a"), "gone"))
		b.expect("b:gone c:gone")
	})
}

func TestTableIsBounded(t *testing.T) {
	const size = 3
	now := time.Unix(0, 0)
	table := newTable(size, time.Hour)
	port := &Port{name: "p"}
	for i := range 10 {
		now = now.Add(time.Second)
		table.learn(station{0, mac{2, 0, 0, 0, 0, byte(i)}}, port, now)
	}
	if got := len(table.entries); got != size {
		t.Errorf("table holds %d stations, want %d", got, size)
	}
	for i, want := range []*Port{6: nil, 7: port, 8: port, 9: port} {
		if got := table.lookup(station{0, mac{2, 0, 0, 0, 0, byte(i)}}, now); got != want {
			t.Errorf("station %d: got port %v, want %v", i, got, want)
		}
	}
}

func TestPluggingInPullsOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "a", "b")
		before := b.stations["b"]
		b.stations["b"] = b.ports["b"].Station(64)
		b.stations["a"].Send(frame(broadcast, address("a"), "x"))
		b.expect("b:x")
		if _, err := before.Receive(t.Context()); !errors.Is(err, ErrUnplugged) {
			t.Errorf("station replaced: got error %v, want %v", err, ErrUnplugged)
		}
		before.Unplug() // must not touch its successor
		before.Send(frame(broadcast, address("b"), "ghost"))
		b.stations["a"].Send(frame(broadcast, address("a"), "y"))
		b.expect("b:y")
	})
}

func TestClosedLANHandsOutClosedPorts(t *testing.T) {
	lan := NewLAN("test")
	lan.Close()
	s := lan.Port("late").Station(1)
	if _, err := s.Receive(t.Context()); !errors.Is(err, ErrUnplugged) {
		t.Errorf("got error %v, want %v", err, ErrUnplugged)
	}
}

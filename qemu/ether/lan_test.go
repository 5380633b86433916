package ether

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"path/filepath"
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

func TestCutAndRestore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "a", "b", "c")
		b.ports["b"].Cut()
		b.stations["a"].Send(frame(broadcast, address("a"), "1"))
		b.stations["b"].Send(frame(broadcast, address("b"), "2"))
		b.expect("c:1")
		b.ports["b"].Restore()
		b.stations["a"].Send(frame(broadcast, address("a"), "3"))
		b.stations["b"].Send(frame(broadcast, address("b"), "4"))
		b.expect("a:4 b:3 c:3 c:4")
		if got, want := b.ports["b"].Counters().FromStation.Lost, uint64(1); got != want {
			t.Errorf("lost %d frames from b, want %d", got, want)
		}
	})
}

func TestCutCatchesFramesUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "a", "b")
		b.ports["b"].Impair(ToStation, Impairment{Delay: time.Second})
		b.stations["a"].Send(frame(broadcast, address("a"), "late"))
		b.expect("")
		b.ports["b"].Cut()
		time.Sleep(2 * time.Second)
		b.ports["b"].Restore()
		b.expect("")
	})
}

func TestImpairmentIsOneWay(t *testing.T) {
	everything := Impairment{Drop: func([]byte) bool { return true }}
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "a", "b")
		b.ports["b"].Impair(ToStation, everything)
		b.stations["a"].Send(frame(broadcast, address("a"), "1"))
		b.stations["b"].Send(frame(broadcast, address("b"), "2"))
		b.expect("a:2")
		b.ports["b"].Impair(ToStation, Impairment{})
		b.ports["b"].Impair(FromStation, everything)
		b.stations["a"].Send(frame(broadcast, address("a"), "3"))
		b.stations["b"].Send(frame(broadcast, address("b"), "4"))
		b.expect("b:3")
	})
}

func TestDropSeesTheFrame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "a", "b")
		b.ports["b"].Impair(ToStation, Impairment{Drop: func(f []byte) bool { return bytes.HasSuffix(f, []byte("bad")) }})
		for _, payload := range []string{"good", "bad", "fine"} {
			b.stations["a"].Send(frame(broadcast, address("a"), payload))
		}
		b.expect("b:fine b:good")
	})
}

func TestLossRepeats(t *testing.T) {
	run := func() (heard string) {
		synctest.Test(t, func(t *testing.T) {
			b := newBench(t, "a", "b")
			b.ports["b"].Impair(ToStation, Impairment{Loss: 0.5})
			for i := range 40 {
				b.stations["a"].Send(frame(broadcast, address("a"), fmt.Sprint(i)))
			}
			heard = b.hears()
		})
		return heard
	}
	first := run()
	if n := len(strings.Fields(first)); n < 10 || n > 30 {
		t.Errorf("%d of 40 frames came through a wire that loses half", n)
	}
	if second := run(); second != first {
		t.Errorf("a second run lost other frames:\n%s\n%s", first, second)
	}
}

func TestDelayKeepsOrder(t *testing.T) {
	const delay = 50 * time.Millisecond
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "a", "b")
		b.ports["a"].Impair(FromStation, Impairment{Delay: delay})
		start := time.Now()
		for _, payload := range []string{"1", "2", "3"} {
			b.stations["a"].Send(frame(broadcast, address("a"), payload))
		}
		for _, want := range []string{"1", "2", "3"} {
			got, err := b.stations["b"].Receive(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if string(got[headerSize:]) != want {
				t.Errorf("heard %q, want %q", got[headerSize:], want)
			}
		}
		if took := time.Since(start); took != delay {
			t.Errorf("three frames took %v, want %v", took, delay)
		}
	})
}

func TestSlowStationHoldsNobodyUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "a", "b")
		deaf := b.lan.Port("deaf")
		deaf.Station(0) // never receives
		const frames = queueLength + 100
		for i := range frames {
			b.stations["a"].Send(frame(broadcast, address("a"), fmt.Sprint(i)))
			if got, want := b.hears(), fmt.Sprintf("b:%d", i); got != want {
				t.Fatalf("heard %q, want %q", got, want)
			}
		}
		// One is in the wire's hand, queueLength wait.
		if got, want := deaf.Counters().ToStation.Overrun, uint64(frames-queueLength-1); got != want {
			t.Errorf("%d frames overran, want %d", got, want)
		}
	})
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

func TestStreamCarriesFrames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "a")
		near, far := net.Pipe()
		served := make(chan error, 1)
		go func() { served <- b.lan.Port("vm").Serve(t.Context(), near) }()

		sent := frame(broadcast, address("v"), "from the machine")
		if _, err := far.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(sent))), sent...)); err != nil {
			t.Fatal(err)
		}
		b.expect("a:from the machine")

		b.stations["a"].Send(frame(address("v"), address("a"), "to the machine"))
		got, err := readFrame(far)
		if err != nil {
			t.Fatal(err)
		}
		if want := frame(address("v"), address("a"), "to the machine"); !bytes.Equal(got, want) {
			t.Errorf("machine got %q, want %q", got, want)
		}
		far.Close()
		if err := <-served; err != nil {
			t.Errorf("machine switched off: %v", err)
		}
	})
}

func TestStreamRefusesWhatIsNoStream(t *testing.T) {
	for _, test := range []struct {
		name, bytes, want string
	}{
		{"text", "GET / HTTP/1.1\r\n", "not a stream of frames"},
		{"end inside a frame", "\x00\x00\x00\x10short", "unexpected EOF"},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t)
				near, far := net.Pipe()
				go func() {
					_, _ = far.Write([]byte(test.bytes)) // broken off by the other side
					far.Close()
				}()
				err := b.lan.Port("vm").Serve(t.Context(), near)
				if err == nil || !strings.Contains(err.Error(), test.want) {
					t.Errorf("got error %v, want one with %q", err, test.want)
				}
			})
		})
	}
}

func TestListenServesOneMachineAfterTheOther(t *testing.T) {
	lan := NewLAN("test")
	defer lan.Close()
	station := lan.Port("a").Station(16)
	ctx, cancel := context.WithCancel(t.Context())
	path := filepath.Join(t.TempDir(), "port")
	wait, err := lan.Port("vm").Listen(ctx, path)
	if err != nil {
		t.Fatal(err)
	}
	for _, boot := range []string{"first boot", "second boot"} {
		conn, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		f := frame(broadcast, address("v"), boot)
		if _, err := conn.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(f))), f...)); err != nil {
			t.Fatal(err)
		}
		got, err := station.Receive(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if string(got[headerSize:]) != boot {
			t.Errorf("heard %q, want %q", got[headerSize:], boot)
		}
		conn.Close()
	}
	cancel()
	if err := wait(); err != nil {
		t.Errorf("listening ended with %v", err)
	}
}

func TestCaptures(t *testing.T) {
	dir := t.TempDir()
	var wide, narrow *Capture
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "a", "b")
		wide, narrow = capture(t, dir, "lan"), capture(t, dir, "b")
		b.lan.Capture(wide)
		b.ports["b"].Capture(narrow)
		b.introduce()
		b.ports["b"].Impair(ToStation, Impairment{Drop: func([]byte) bool { return true }})
		time.Sleep(1234 * time.Nanosecond)
		b.stations["a"].Send(frame(address("b"), address("a"), "lost"))
		b.hears()
		expectFrames(t, wide, "a> here", "b> here", "a> lost")
		expectFrames(t, narrow, "b< here", "b> here")
		all, err := wide.Frames()
		if err != nil {
			t.Fatal(err)
		}
		if last := all[len(all)-1].Time; !last.Equal(time.Now()) {
			t.Errorf("frame at %v, want %v to the nanosecond", last, time.Now())
		}
	})
	for _, c := range []*Capture{wide, narrow} {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
	expectFrames(t, wide, "a> here", "b> here", "a> lost") // from the closed file
}

func TestEmptyCapture(t *testing.T) {
	c := capture(t, t.TempDir(), "none")
	expectFrames(t, c)
}

func TestFullDiskEndsACaptureOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "a", "b")
		c, err := NewCapture("/dev/full")
		if err != nil {
			t.Skipf("no device to fail on: %v", err)
		}
		b.lan.Capture(c)
		b.stations["a"].Send(frame(broadcast, address("a"), "x"))
		b.expect("b:x")
		if err := c.Flush(); err == nil {
			t.Error("a capture that cannot write says it did")
		}
		b.stations["a"].Send(frame(broadcast, address("a"), "y"))
		b.expect("b:y")
	})
}

func capture(t *testing.T, dir, name string) *Capture {
	t.Helper()
	c, err := NewCapture(filepath.Join(dir, name+".pcapng"))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// expectFrames compares a capture with lines like "a> hello" (a sent) and
// "a< hello" (a got); frames of the same instant in any order.
func expectFrames(t *testing.T, c *Capture, want ...string) {
	t.Helper()
	frames, err := c.Frames()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range frames {
		direction := map[bool]string{true: ">", false: "<"}[f.Sent]
		got = append(got, fmt.Sprintf("%s%s %s", f.Port, direction, f.Data[headerSize:]))
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("capture has %q, want %q", got, want)
	}
}

func TestClosedLANHandsOutClosedPorts(t *testing.T) {
	lan := NewLAN("test")
	lan.Close()
	s := lan.Port("late").Station(1)
	if _, err := s.Receive(t.Context()); !errors.Is(err, ErrUnplugged) {
		t.Errorf("got error %v, want %v", err, ErrUnplugged)
	}
}

func FuzzReadFrame(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{0, 0, 0, 0})
	f.Add([]byte("\x00\x00\x00\x02ab"))
	f.Add([]byte("\x00\x01\x10\x01too long"))
	f.Add([]byte("\x00\x00\x00\x10short"))
	f.Fuzz(func(t *testing.T, stream []byte) {
		r := bytes.NewReader(stream)
		for {
			frame, err := readFrame(r)
			if err != nil {
				return
			}
			if h, ok := parseHeader(frame); ok && h.vlan > vlanIDMask {
				t.Errorf("VLAN %d", h.vlan)
			}
		}
	})
}

package access

import (
	"errors"
	"net/netip"
	"testing"
	"time"
)

// TestGuessesAreBounded tries forty thousand passwords in an hour, from one
// address and from many.
func TestGuessesAreBounded(t *testing.T) {
	const tries = 40_000
	tests := map[string]struct {
		from func(i int) netip.Addr
		most int // that may be looked at
	}{
		"one address":      {func(int) netip.Addr { return away }, 5 + 3600/10 + 1},
		"one IPv6 network": {func(i int) netip.Addr { return v6(0, i) }, 5 + 3600/10 + 1},
		"many addresses":   {func(i int) netip.Addr { return v6(i, 0) }, 20 + 3600 + 1},
	}
	for name, tt := range tests {
		g := NewGuesses()
		looked := 0
		for i := range tries {
			if g.Allow(tt.from(i), noon.Add(time.Duration(i)*time.Hour/tries)) {
				looked++
			}
		}
		if looked > tt.most || looked < tt.most/2 {
			t.Errorf("%s: %d passwords were looked at, want about %d at most", name, looked, tt.most)
		}
		if n := len(g.each.known); n > maxBuckets {
			t.Errorf("%s: %d buckets are kept", name, n)
		}
	}
}

func v6(network, host int) netip.Addr {
	return netip.AddrFrom16([16]byte{0x20, 0x01, 4: byte(network >> 16), 5: byte(network >> 8), 6: byte(network), 14: byte(host >> 8), 15: byte(host)})
}

// TestRightPasswordsAreFree lets a program log in every 100 ms.
func TestRightPasswordsAreFree(t *testing.T) {
	g := NewGuesses()
	for i := range 1000 {
		now := noon.Add(time.Duration(i) * 100 * time.Millisecond)
		if !g.Allow(home, now) {
			t.Fatalf("login %d is refused", i)
		}
		g.Right(home, now)
	}
}

// TestGuessesForget lets an address try again after a while.
func TestGuessesForget(t *testing.T) {
	g := NewGuesses()
	for g.Allow(away, noon) {
	}
	if !g.Allow(home, noon) {
		t.Error("one address shuts out another")
	}
	if g.Allow(away, noon.Add(9*time.Second)) {
		t.Error("the fifth guess is forgotten after 9 s")
	}
	if !g.Allow(away, noon.Add(11*time.Second)) {
		t.Error("no guess is forgotten after 11 s")
	}
}

// visitors enters one after the other and answers who is still in.
type visitors struct {
	t      *testing.T
	door   *Door
	now    time.Time
	inside map[*Visitor]netip.Addr
}

func newVisitors(t *testing.T, l Limits) *visitors {
	d := NewDoor()
	d.SetLimits(l)
	return &visitors{t: t, door: d, now: noon, inside: map[*Visitor]netip.Addr{}}
}

func (vs *visitors) enter(from netip.Addr) (*Visitor, error) {
	vs.now = vs.now.Add(time.Second) // no hurry
	var v *Visitor
	v, err := vs.door.Enter(from, vs.now, func() { delete(vs.inside, v) })
	if err == nil {
		vs.inside[v] = from
	}
	return v, err
}

func (vs *visitors) count(from netip.Addr) (n int) {
	for _, a := range vs.inside {
		if a == from {
			n++
		}
	}
	return n
}

func TestDoorPerAddress(t *testing.T) {
	vs := newVisitors(t, Limits{Connections: 10, PerAddress: 3, Strangers: 10, PerMinute: 60})
	var in []*Visitor
	for i := range 5 {
		v, err := vs.enter(away)
		if err == nil {
			err = v.Known()
		}
		if i < 3 && err != nil || i >= 3 && !errors.Is(err, ErrTooManyHere) {
			t.Errorf("connection %d: %v", i, err)
		}
		in = append(in, v)
	}
	if _, err := vs.enter(home); err != nil {
		t.Errorf("another address: %v", err)
	}
	in[2].Leave()
	in[2].Leave()
	delete(vs.inside, in[2])
	if _, err := vs.enter(away); err != nil {
		t.Errorf("after one left: %v", err)
	}
	if _, err := vs.enter(away); err != nil || vs.count(away) != 3 {
		t.Errorf("a stranger does not make room for another: %v, %d are in", err, vs.count(away))
	}
	if in[0].state != known || in[1].state != known {
		t.Error("somebody known has to make room for a stranger")
	}
}

// TestStrangersMakeRoom has one address take all places before login. Others
// still get in, and push out its oldest ones.
func TestStrangersMakeRoom(t *testing.T) {
	vs := newVisitors(t, Limits{Connections: 10, PerAddress: 8, Strangers: 8, PerMinute: 60})
	first, _ := vs.enter(away)
	for range 7 {
		if _, err := vs.enter(away); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 3 {
		if _, err := vs.enter(home); err != nil {
			t.Fatalf("connection %d of somebody else: %v", i, err)
		}
	}
	if h, a := vs.count(home), vs.count(away); h != 3 || a != 5 {
		t.Errorf("%d and %d are in, want 3 and 5", h, a)
	}
	if err := first.Known(); err == nil {
		t.Error("who was pushed out can still log in")
	}
}

func TestKnownAreLimited(t *testing.T) {
	vs := newVisitors(t, Limits{Connections: 2, PerAddress: 8, Strangers: 8, PerMinute: 60})
	for i := range 3 {
		v, err := vs.enter(home)
		if err != nil {
			t.Fatal(err)
		}
		if err := v.Known(); (err == nil) != (i < 2) {
			t.Errorf("login %d: %v", i, err)
		}
		if err := v.Known(); (err == nil) != (i < 2) {
			t.Errorf("login %d, told twice: %v", i, err)
		}
	}
	if vs.door.known != 2 || len(vs.door.strangers) != 1 {
		t.Errorf("%d are known and %d strangers", vs.door.known, len(vs.door.strangers))
	}
}

func TestArrivalsAreBounded(t *testing.T) {
	d := NewDoor()
	d.SetLimits(Limits{Connections: 10, PerAddress: 10, Strangers: 10, PerMinute: 60})
	in := 0
	for i := range 10_000 { // in 100 s
		v, err := d.Enter(away, noon.Add(time.Duration(i)*10*time.Millisecond), func() {})
		if err == nil {
			in++
			v.Leave()
		}
	}
	if in > 60+100+1 || in < 100 {
		t.Errorf("%d connections came in, want about 160", in)
	}
	if len(d.each) != 0 || len(d.strangers) != 0 {
		t.Errorf("%v and %v are left", d.each, d.strangers)
	}
}

// TestNewcomerAmongMany has many addresses come as often as they can. Somebody
// else is still taken.
func TestNewcomerAmongMany(t *testing.T) {
	d := NewDoor()
	d.SetLimits(Limits{Connections: 64, PerAddress: 16, Strangers: 32, PerMinute: 60})
	for second := range 120 {
		now := noon.Add(time.Duration(second) * time.Second)
		for i := range 1000 {
			if v, err := d.Enter(v6(1+i%40, 0), now, func() {}); err == nil {
				v.Leave()
			}
		}
		if v, err := d.Enter(home, now, func() {}); err != nil {
			t.Errorf("after %d s: %v", second, err)
		} else {
			v.Leave()
		}
	}
}

func TestClosedDoor(t *testing.T) {
	if _, err := NewDoor().Enter(home, noon, func() {}); err == nil {
		t.Error("a door without limits lets somebody in")
	}
}

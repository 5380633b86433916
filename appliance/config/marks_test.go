package config

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
)

func marked(name string) Service {
	return Service{Name: name, Family: IPv4, Protocols: []Protocol{TCP, UDP}}
}

// TestMarksStay holds marks to what the names alone make of them.
func TestMarksStay(t *testing.T) {
	alone := []Service{marked("web")}
	assignMarks(alone)
	among := []Service{marked("a"), {Name: "b", Family: IPv4, FWMark: 7}, marked("web"), marked("z")}
	assignMarks(among)
	if alone[0].FWMark != among[2].FWMark || alone[0].FWMark < FirstMark || !alone[0].MarkAssigned {
		t.Errorf("alone %+v, among others %+v", alone[0], among[2])
	}
	if among[1].FWMark != 7 || among[1].MarkAssigned {
		t.Errorf("the written mark became %+v", among[1])
	}
}

// TestMarksOfAlikeNames finds two names that want the same mark.
func TestMarksOfAlikeNames(t *testing.T) {
	first := make(map[uint32]string)
	var names []string
	for i := 0; names == nil; i++ {
		name := fmt.Sprint("service", i)
		if other, taken := first[markOf(name, 0)]; taken {
			names = []string{other, name}
		}
		first[markOf(name, 0)] = name
	}
	slices.Sort(names)
	both := []Service{marked(names[0]), marked(names[1])}
	assignMarks(both)
	if both[0].FWMark != markOf(names[0], 0) || both[1].FWMark == both[0].FWMark || both[1].FWMark < FirstMark {
		t.Errorf("%s and %s have %d and %d", names[0], names[1], both[0].FWMark, both[1].FWMark)
	}
	// The other family, and a mark that somebody wrote.
	six := marked(names[1])
	six.Family = IPv6
	apart := []Service{marked(names[0]), six, {Name: "written", Family: IPv6, FWMark: markOf(names[1], 0)}}
	assignMarks(apart)
	if apart[0].FWMark != markOf(names[0], 0) || apart[1].FWMark == apart[2].FWMark {
		t.Errorf("marks %d, %d and %d", apart[0].FWMark, apart[1].FWMark, apart[2].FWMark)
	}
}

func TestPrefixMap(t *testing.T) {
	var m prefixMap[string]
	for i, prefix := range []string{"10.0.0.0/8", "10.1.0.0/16", "10.1.1.0/24", "10.1.0.7/16", "2001:db8::/32", "0.0.0.0/0"} {
		m.add(netip.MustParsePrefix(prefix), fmt.Sprint(i))
	}
	for address, want := range map[string]string{"10.1.1.1": "2", "10.1.2.1": "1", "10.2.0.1": "0", "192.0.2.1": "5", "2001:db8::1": "4", "2001:db9::1": ""} {
		if got, found := m.longest(netip.MustParseAddr(address)); got != want || found != (want != "") {
			t.Errorf("%s is in %q, want %q", address, got, want)
		}
	}
	if _, found := m.longest(netip.Addr{}); found {
		t.Error("no address is in a network")
	}
}

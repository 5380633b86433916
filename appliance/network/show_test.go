package network

import (
	"net/netip"
	"testing"
)

func TestSpare(t *testing.T) {
	some := []netip.Prefix{netip.MustParsePrefix("192.168.4.15/32")}
	for _, tt := range []struct {
		link LinkState
		want bool
	}{
		{LinkState{LinkInfo: LinkInfo{Name: "tunl0"}}, true},
		{LinkState{LinkInfo: LinkInfo{Name: "tunl0", Up: true}}, false},
		{LinkState{LinkInfo: LinkInfo{Name: "gre0"}, Addresses: some}, false},
		{LinkState{LinkInfo: LinkInfo{Name: "lo"}}, false},
		{LinkState{LinkInfo: LinkInfo{Name: "eth1"}}, false},
	} {
		if got := tt.link.Spare(); got != tt.want {
			t.Errorf("%+v: %v, want %v", tt.link, got, tt.want)
		}
	}
}

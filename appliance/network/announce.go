package network

import (
	"fmt"
	"net/netip"
)

type packetWire struct{}

type announcer struct{}

func newAnnouncer(packetWire) *announcer { return &announcer{} }

func (a *announcer) close() {}

func (a *announcer) forget(link string, address netip.Addr) {}

// announceAddress is the Op that tells the neighbours of a link where an
// address is now, in the background.
type announceAddress struct {
	link    string
	address netip.Addr
}

func (o announceAddress) String() string {
	if o.address.Is4() {
		return fmt.Sprintf("arping -U -I %s %s", o.link, o.address)
	}
	return fmt.Sprintf("ndsend %s %s", o.address, o.link)
}
func (o announceAddress) subject() string       { return o.link }
func (o announceAddress) apply(k *Kernel) error { return nil }

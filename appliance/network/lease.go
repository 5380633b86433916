package network

import (
	"cmp"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
)

// Lease is what a DHCPv4 server granted to a link.
type Lease struct {
	Link        string
	Address     netip.Prefix
	Gateway     netip.Addr // zero: none
	Routes      []Route    // classless static routes (RFC 3442); they replace Gateway
	NameServers []netip.Addr
	TimeServers []netip.Addr
	Domain      string
	Hostname    string
	// ConfigURL is where the server says a boot config is: option 224, or else
	// a bootfile that ends in .yaml or .yml, with the TFTP server's name before
	// it unless it is a URL. "": nowhere.
	ConfigURL string
	MTU       int        // 0: not said
	Server    netip.Addr // who granted it

	Acquired     time.Time
	T1, T2       time.Duration // after Acquired: when to renew, when to rebind
	ExpiresAfter time.Duration // after Acquired; 0: never
}

// Expires is when the address must no longer be used; zero: never.
func (l Lease) Expires() time.Time {
	if l.ExpiresAfter == 0 {
		return time.Time{}
	}
	return l.Acquired.Add(l.ExpiresAfter)
}

// Options of DHCPv4 without a name in the library.
const (
	optionConfigURL = dhcpv4.GenericOptionCode(224) // site-specific (RFC 3942)
	foreverSeconds  = 0xffffffff                    // a lease that never ends (RFC 2131 3.3)
)

// requested is the parameter request list (RFC 2132 9.8).
var requested = []dhcpv4.OptionCode{
	dhcpv4.OptionSubnetMask, dhcpv4.OptionRouter, dhcpv4.OptionDomainNameServer,
	dhcpv4.OptionHostName, dhcpv4.OptionDomainName, dhcpv4.OptionInterfaceMTU,
	dhcpv4.OptionNTPServers, dhcpv4.OptionIPAddressLeaseTime, dhcpv4.OptionServerIdentifier,
	dhcpv4.OptionRenewTimeValue, dhcpv4.OptionRebindingTimeValue,
	dhcpv4.OptionTFTPServerName, dhcpv4.OptionBootfileName,
	dhcpv4.OptionClasslessStaticRoute, optionConfigURL,
}

// parseLease reads a server's acknowledgement (RFC 2131 table 3) of a request
// that was sent at sent.
func parseLease(link string, ack *dhcpv4.DHCPv4, sent time.Time) (Lease, error) {
	own := address(ack.YourIPAddr)
	if !own.Is4() || own.IsUnspecified() || own.IsMulticast() || own.IsLoopback() {
		return Lease{}, fmt.Errorf("address %v is not for a host", ack.YourIPAddr)
	}
	mask := ack.SubnetMask()
	if mask == nil {
		mask = net.IP(own.AsSlice()).DefaultMask()
	}
	bits, size := mask.Size()
	if size != 32 || bits == 0 {
		return Lease{}, fmt.Errorf("subnet mask %v is none", mask)
	}
	l := Lease{
		Link:        link,
		Address:     netip.PrefixFrom(own, bits),
		Gateway:     first(ack.Router()),
		Routes:      classlessRoutes(link, ack.ClasslessStaticRoute()),
		NameServers: addresses(ack.DNS()),
		TimeServers: addresses(ack.NTPServers()),
		Domain:      ack.DomainName(),
		Hostname:    ack.HostName(),
		ConfigURL:   configURL(ack),
		MTU:         linkMTU(ack),
		Server:      address(ack.ServerIdentifier()),
		Acquired:    sent,
	}
	if len(l.Routes) > 0 {
		l.Gateway = netip.Addr{} // RFC 3442: the router option must be ignored
	}
	if err := l.setTimes(ack); err != nil {
		return Lease{}, err
	}
	return l, nil
}

// minLeaseTime keeps a broken server from being asked all the time.
const minLeaseTime = 10 * time.Second

// setTimes reads how long the lease lasts. Times that make no sense become the
// defaults of RFC 2131 4.4.5: half of it, and seven eighths.
func (l *Lease) setTimes(ack *dhcpv4.DHCPv4) error {
	lasts := ack.IPAddressLeaseTime(0)
	switch {
	case lasts == foreverSeconds*time.Second:
		return nil
	case lasts < minLeaseTime:
		return fmt.Errorf("lease time %v is less than %v", lasts, minLeaseTime)
	}
	l.ExpiresAfter = lasts
	l.T1, l.T2 = ack.IPAddressRenewalTime(0), ack.IPAddressRebindingTime(0)
	if l.T2 <= 0 || l.T2 >= lasts {
		l.T2 = lasts * 7 / 8
	}
	if l.T1 <= 0 || l.T1 >= l.T2 {
		l.T1 = min(lasts/2, l.T2)
	}
	return nil
}

func classlessRoutes(link string, routes dhcpv4.Routes) []Route {
	var list []Route
	for _, r := range routes {
		if r.Dest == nil {
			continue
		}
		bits, _ := r.Dest.Mask.Size()
		to, err := address(r.Dest.IP).Prefix(bits)
		if err != nil {
			continue
		}
		route := Route{To: to, Link: link}
		// Router 0.0.0.0 means on-link (RFC 3442).
		if via := address(r.Router); via.IsValid() && !via.IsUnspecified() {
			route.Via = via
		}
		list = append(list, route)
	}
	return list
}

func linkMTU(ack *dhcpv4.DHCPv4) int {
	mtu, err := dhcpv4.GetUint16(dhcpv4.OptionInterfaceMTU, ack.Options)
	if err != nil {
		return 0 // not said, or not two bytes
	}
	return int(mtu)
}

// configURL finds where a boot config is. A network boot loader reads the
// bootfile too, so only one that looks like a config is ours.
func configURL(ack *dhcpv4.DHCPv4) string {
	if url := dhcpv4.GetString(optionConfigURL, ack.Options); url != "" {
		return strings.TrimRight(url, "\x00")
	}
	file := strings.TrimRight(cmp.Or(ack.BootFileNameOption(), ack.BootFileName), "\x00")
	lower := strings.ToLower(file)
	if !strings.HasSuffix(lower, ".yaml") && !strings.HasSuffix(lower, ".yml") {
		return ""
	}
	scheme, _, isURL := strings.Cut(lower, "://")
	if isURL {
		if scheme == "http" || scheme == "https" || scheme == "tftp" {
			return file
		}
		return ""
	}
	server := strings.TrimRight(cmp.Or(ack.TFTPServerName(), ack.ServerHostName), "\x00")
	if next := address(ack.ServerIPAddr); server == "" && next.IsValid() && !next.IsUnspecified() {
		server = next.String()
	}
	if server == "" {
		return ""
	}
	return "tftp://" + server + "/" + strings.TrimLeft(file, "/")
}

func first(list []net.IP) netip.Addr {
	for _, a := range addresses(list) {
		return a
	}
	return netip.Addr{}
}

// addresses converts those that are addresses.
func addresses(list []net.IP) []netip.Addr {
	var out []netip.Addr
	for _, ip := range list {
		if a := address(ip); a.IsValid() && !a.IsUnspecified() {
			out = append(out, a)
		}
	}
	return out
}

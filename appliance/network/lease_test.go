package network

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/insomniacslk/dhcp/dhcpv4"
)

func TestParseLease(t *testing.T) {
	request, err := dhcpv4.New(dhcpv4.WithMessageType(dhcpv4.MessageTypeRequest))
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name    string
		options []dhcpv4.Modifier
		want    func(*Lease) // changes to the plain lease; nil: an error
	}{
		{"plain", nil, func(*Lease) {}},
		{"router and name servers", []dhcpv4.Modifier{
			dhcpv4.WithRouter(net.IPv4(192, 168, 4, 254)), dhcpv4.WithDNS(net.IPv4(192, 168, 4, 53), net.IPv4zero),
		}, func(l *Lease) {
			l.Gateway = netip.MustParseAddr("192.168.4.254")
			l.NameServers = []netip.Addr{netip.MustParseAddr("192.168.4.53")}
		}},
		{"classless routes replace the router", []dhcpv4.Modifier{
			dhcpv4.WithRouter(net.IPv4(192, 168, 4, 254)),
			dhcpv4.WithGeneric(dhcpv4.OptionClasslessStaticRoute, []byte{0, 192, 168, 4, 1, 24, 198, 51, 100, 0, 0, 0, 0}),
		}, func(l *Lease) {
			l.Routes = []Route{
				{To: netip.MustParsePrefix("0.0.0.0/0"), Via: netip.MustParseAddr("192.168.4.1"), Link: "eth0"},
				{To: netip.MustParsePrefix("198.51.100.0/24"), Link: "eth0"},
			}
		}},
		{"for ever", []dhcpv4.Modifier{dhcpv4.WithLeaseTime(0xffffffff)}, func(l *Lease) { l.T1, l.T2, l.ExpiresAfter = 0, 0, 0 }},
		{"times of the server", []dhcpv4.Modifier{
			dhcpv4.WithOption(dhcpv4.OptRenewTimeValue(time.Minute)), dhcpv4.WithOption(dhcpv4.OptRebindingTimeValue(2 * time.Minute)),
		}, func(l *Lease) { l.T1, l.T2 = time.Minute, 2*time.Minute }},
		{"times in the wrong order", []dhcpv4.Modifier{
			dhcpv4.WithOption(dhcpv4.OptRenewTimeValue(2 * time.Hour)), dhcpv4.WithOption(dhcpv4.OptRebindingTimeValue(3 * time.Hour)),
		}, func(*Lease) {}},
		{"no mask", []dhcpv4.Modifier{dhcpv4.WithoutOption(dhcpv4.OptionSubnetMask)}, func(*Lease) {}},
		{"option 224", []dhcpv4.Modifier{
			dhcpv4.WithGeneric(dhcpv4.GenericOptionCode(224), []byte("http://192.168.4.1/lb1")), dhcpv4.WithOption(dhcpv4.OptBootFileName("http://other/x.yaml")),
		}, func(l *Lease) { l.ConfigURL = "http://192.168.4.1/lb1" }},
		{"bootfile is a URL", []dhcpv4.Modifier{dhcpv4.WithOption(dhcpv4.OptBootFileName("https://boot.example/lb1.yml"))},
			func(l *Lease) { l.ConfigURL = "https://boot.example/lb1.yml" }},
		{"bootfile on a TFTP server", []dhcpv4.Modifier{
			dhcpv4.WithOption(dhcpv4.OptBootFileName("/dipper/lb1.yaml")), dhcpv4.WithOption(dhcpv4.OptTFTPServerName("192.168.4.2")),
		}, func(l *Lease) { l.ConfigURL = "tftp://192.168.4.2/dipper/lb1.yaml" }},
		{"bootfile of a loader", []dhcpv4.Modifier{dhcpv4.WithOption(dhcpv4.OptBootFileName("pxelinux.0"))}, func(*Lease) {}},
		{"bootfile with another scheme", []dhcpv4.Modifier{dhcpv4.WithOption(dhcpv4.OptBootFileName("file:///etc/x.yaml"))}, func(*Lease) {}},
		{"no address", []dhcpv4.Modifier{dhcpv4.WithYourIP(net.IPv4zero)}, nil},
		{"multicast address", []dhcpv4.Modifier{dhcpv4.WithYourIP(net.IPv4(224, 0, 0, 1))}, nil},
		{"mask with holes", []dhcpv4.Modifier{dhcpv4.WithNetmask(net.IPv4Mask(255, 0, 255, 0))}, nil},
		{"no lease time", []dhcpv4.Modifier{dhcpv4.WithoutOption(dhcpv4.OptionIPAddressLeaseTime)}, nil},
		{"lease time of a second", []dhcpv4.Modifier{dhcpv4.WithLeaseTime(1)}, nil},
	}
	sent := time.Unix(1000, 0)
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := parseLease("eth0", reply(t, request, dhcpv4.MessageTypeAck, test.options...), sent)
			if test.want == nil {
				if err == nil {
					t.Errorf("no error for %+v", got)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			want := Lease{
				Link: "eth0", Address: netip.MustParsePrefix("192.168.4.77/24"), Server: netip.MustParseAddr("192.168.4.1"),
				Acquired: sent, T1: 30 * time.Minute, T2: 52*time.Minute + 30*time.Second, ExpiresAfter: time.Hour,
			}
			test.want(&want)
			if diff := cmp.Diff(want, got, netipByValue); diff != "" {
				t.Errorf("lease (-want +got):\n%s", diff)
			}
		})
	}
}

// FuzzLease feeds the client's parser what any machine on the link can send.
func FuzzLease(f *testing.F) {
	request, err := dhcpv4.New(dhcpv4.WithMessageType(dhcpv4.MessageTypeRequest))
	if err != nil {
		f.Fatal(err)
	}
	ack, err := dhcpv4.NewReplyFromRequest(request, dhcpv4.WithMessageType(dhcpv4.MessageTypeAck),
		dhcpv4.WithYourIP(net.IPv4(192, 168, 4, 77)), dhcpv4.WithNetmask(net.CIDRMask(24, 32)), dhcpv4.WithLeaseTime(3600),
		dhcpv4.WithGeneric(dhcpv4.OptionClasslessStaticRoute, []byte{33, 10, 0, 0, 0, 1}),
		dhcpv4.WithGeneric(dhcpv4.OptionInterfaceMTU, []byte{5}))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(ack.ToBytes())
	f.Fuzz(func(t *testing.T, b []byte) {
		message, err := dhcpv4.FromBytes(b)
		if err != nil {
			return
		}
		lease, err := parseLease("eth0", message, time.Unix(0, 0))
		if err != nil {
			return
		}
		if !lease.Address.IsValid() || !lease.Address.Addr().Is4() {
			t.Errorf("address %v", lease.Address)
		}
		if lease.ExpiresAfter != 0 && !(0 < lease.T1 && lease.T1 <= lease.T2 && lease.T2 < lease.ExpiresAfter) {
			t.Errorf("times %v %v %v", lease.T1, lease.T2, lease.ExpiresAfter)
		}
		for _, r := range lease.Routes {
			if !r.To.IsValid() {
				t.Errorf("route %+v", r)
			}
		}
	})
}

// netipByValue compares values of netip by ==.
var netipByValue = cmp.Options{
	cmp.Comparer(func(a, b netip.Addr) bool { return a == b }),
	cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }),
}

package ipvs

import (
	_ "embed"
	"encoding/hex"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var netipComparer = cmp.Comparer(func(a, b netip.Addr) bool { return a == b })

// entries are one of every kind of service and real server.
func entries() Table {
	key := func(p Protocol, address string, port uint16) Key {
		return Key{Protocol: p, Address: netip.MustParseAddr(address), Port: port}
	}
	return tableOf(
		web("wrr", rs("192.168.4.100:80", 1), with(rs("192.168.4.200:80", 2147483647), gue)),
		persistent(Service{Key: key(TCP, "192.0.2.1", 443), Scheduler: "sh", Flags: SchedulerFlag1 | SchedulerFlag2}),
		Service{Key: key(UDP, "192.0.2.1", 5060), Scheduler: "rr", Flags: Persistent | OnePacket,
			Timeout: 60, Netmask: 0xffffffff, Engine: "sip"},
		Service{Key: key(SCTP, "192.0.2.1", 2905), Scheduler: "twos"},
		Service{Key: key(TCP, "2001:db8::15", 80), Scheduler: "mh", RealServers: []RealServer{
			with(rs("192.168.4.100:80", 1), func(r *RealServer) { r.Forward = TUN }), // the other family
			with(rs("[2001:db8::100]:80", 70000), func(r *RealServer) {
				r.Forward, r.Tunnel = TUN, Tunnel{Type: GRE, Checksum: true}
			}),
		}},
		Service{Key: key(UDP, "2001:db8::15", 53), Scheduler: "lc", Flags: Persistent, Timeout: 300, Netmask: 64,
			RealServers: []RealServer{with(rs("[2001:db8::1:1]:5353", 0), func(r *RealServer) {
				r.Forward, r.UpperThreshold, r.LowerThreshold = NAT, 2147483647, 1
			})}},
		Service{Key: Key{Address: netip.IPv4Unspecified(), FWMark: 7}, Scheduler: "fo"},
		Service{Key: Key{Address: netip.IPv6Unspecified(), FWMark: 0xffffffff}, Scheduler: "ovf",
			Flags: Persistent, Timeout: 1, Netmask: 128},
	).Canonical()
}

// TestCodecRoundTrip reads what would be written. Requests and answers have
// the same attributes, so what the encoder says the decoder must understand.
func TestCodecRoundTrip(t *testing.T) {
	for _, op := range Plan(Table{}, entries()) {
		t.Run(op.String(), func(t *testing.T) {
			data, err := op.append(nil)
			if err != nil {
				t.Fatal(err)
			}
			var got, want any
			if op.Kind == AddService {
				want = op.Service
				var s ServiceStatistics
				err = s.decode(data)
				got = s.Service
			} else {
				want = op.RealServer
				var r RealServerStatistics
				err = r.decode(data)
				got = r.RealServer
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got, netipComparer); diff != "" {
				t.Errorf("read back (-want +got):\n%s", diff)
			}
		})
	}
}

// TestRequestBytes holds requests to the layout in uapi/linux/ip_vs.h and
// ip_vs_ctl.c, byte by byte.
func TestRequestBytes(t *testing.T) {
	tests := []struct {
		name    string
		op      Op
		command uint8
		want    string
	}{
		{
			name:    "a service that is not persistent has a netmask",
			op:      Op{Kind: AddService, Service: web("rr")},
			command: 1, // IPVS_CMD_NEW_SERVICE
			want: "" +
				"\x48\x00\x01\x80" + // IPVS_CMD_ATTR_SERVICE
				"\x06\x00\x01\x00\x02\x00\x00\x00" + // AF: 2
				"\x06\x00\x02\x00\x06\x00\x00\x00" + // PROTOCOL: 6
				"\x08\x00\x03\x00\xc0\xa8\x04\x0f" + // ADDR: 192.168.4.15
				"\x06\x00\x04\x00\x00\x50\x00\x00" + // PORT: 80, in network order
				"\x07\x00\x06\x00rr\x00\x00" + // SCHED_NAME
				"\x0c\x00\x07\x00\x00\x00\x00\x00\xff\xff\xff\xff" + // FLAGS: none of all
				"\x08\x00\x08\x00\x00\x00\x00\x00" + // TIMEOUT: 0
				"\x08\x00\x09\x00\xff\xff\xff\xff", // NETMASK
		},
		{
			name: "a netmask is in network order",
			op: Op{Kind: EditService, Service: func() Service {
				s := persistent(web("rr"))
				s.Flags |= flagHashed // the kernel's own: not written
				return s
			}()},
			command: 2, // IPVS_CMD_SET_SERVICE
			want: "" +
				"\x48\x00\x01\x80" +
				"\x06\x00\x01\x00\x02\x00\x00\x00" +
				"\x06\x00\x02\x00\x06\x00\x00\x00" +
				"\x08\x00\x03\x00\xc0\xa8\x04\x0f" +
				"\x06\x00\x04\x00\x00\x50\x00\x00" +
				"\x07\x00\x06\x00rr\x00\x00" +
				"\x0c\x00\x07\x00\x01\x00\x00\x00\xff\xff\xff\xff" + // FLAGS: PERSISTENT
				"\x08\x00\x08\x00\x58\x02\x00\x00" + // TIMEOUT: 600
				"\x08\x00\x09\x00\xff\xff\xff\x00", // NETMASK: 255.255.255.0
		},
		{
			name: "an edit of a real server is complete, and says its family",
			op: Op{Kind: EditRealServer,
				Service:    Service{Key: Key{Address: netip.IPv4Unspecified(), FWMark: 7}},
				RealServer: with(rs("10.0.0.1:80", 70000), gue)},
			command: 6, // IPVS_CMD_SET_DEST
			want: "" +
				"\x14\x00\x01\x80" + // IPVS_CMD_ATTR_SERVICE
				"\x06\x00\x01\x00\x02\x00\x00\x00" + // AF: 2
				"\x08\x00\x05\x00\x07\x00\x00\x00" + // FWMARK: 7
				"\x54\x00\x02\x80" + // IPVS_CMD_ATTR_DEST
				"\x08\x00\x01\x00\x0a\x00\x00\x01" + // ADDR: 10.0.0.1
				"\x06\x00\x02\x00\x00\x50\x00\x00" + // PORT: 80
				"\x06\x00\x0b\x00\x02\x00\x00\x00" + // ADDR_FAMILY: 2
				"\x08\x00\x03\x00\x02\x00\x00\x00" + // FWD_METHOD: TUNNEL
				"\x08\x00\x04\x00\x70\x11\x01\x00" + // WEIGHT: 70000
				"\x08\x00\x05\x00\x00\x00\x00\x00" + // U_THRESH: 0
				"\x08\x00\x06\x00\x00\x00\x00\x00" + // L_THRESH: 0
				"\x05\x00\x0d\x00\x01\x00\x00\x00" + // TUN_TYPE: GUE
				"\x06\x00\x0e\x00\x17\xc0\x00\x00" + // TUN_PORT: 6080, in network order
				"\x06\x00\x0f\x00\x01\x00\x00\x00", // TUN_FLAGS: CSUM
		},
		{
			name: "an IPv6 service has a prefix length in host order",
			op: Op{Kind: AddService, Service: Service{
				Key:       Key{Protocol: UDP, Address: netip.MustParseAddr("2001:db8::15"), Port: 53},
				Scheduler: "rr"}},
			command: 1,
			want: "" +
				"\x54\x00\x01\x80" +
				"\x06\x00\x01\x00\x0a\x00\x00\x00" + // AF: 10
				"\x06\x00\x02\x00\x11\x00\x00\x00" +
				"\x14\x00\x03\x00\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x15" +
				"\x06\x00\x04\x00\x00\x35\x00\x00" +
				"\x07\x00\x06\x00rr\x00\x00" +
				"\x0c\x00\x07\x00\x00\x00\x00\x00\xff\xff\xff\xff" +
				"\x08\x00\x08\x00\x00\x00\x00\x00" +
				"\x08\x00\x09\x00\x80\x00\x00\x00", // NETMASK: 128
		},
		{
			name:    "a service is deleted by its key",
			op:      Op{Kind: DeleteService, Service: web("rr")},
			command: 3, // IPVS_CMD_DEL_SERVICE
			want: "" +
				"\x24\x00\x01\x80" +
				"\x06\x00\x01\x00\x02\x00\x00\x00" +
				"\x06\x00\x02\x00\x06\x00\x00\x00" +
				"\x08\x00\x03\x00\xc0\xa8\x04\x0f" +
				"\x06\x00\x04\x00\x00\x50\x00\x00",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			data, err := tt.op.append(nil)
			if err != nil {
				t.Fatal(err)
			}
			if command := tt.op.Kind.command(); command != tt.command {
				t.Errorf("command: got %d, want %d", command, tt.command)
			}
			if diff := cmp.Diff([]byte(tt.want), data); diff != "" {
				t.Errorf("attributes (-want +got):\n%s", diff)
			}
		})
	}
}

func TestRequestRefusesAddress(t *testing.T) {
	for _, address := range []netip.Addr{
		{},
		netip.MustParseAddr("fe80::1%eth0"),
		netip.MustParseAddr("::ffff:192.0.2.1"),
	} {
		s := web("rr")
		s.Address = address
		op := Op{Kind: AddService, Service: s}
		if b, err := op.append([]byte("before")); err == nil || string(b) != "before" {
			t.Errorf("%v: got %q, %v, want an error and nothing appended", address, b, err)
		}
	}
}

func TestDecodeRefuses(t *testing.T) {
	tests := []struct{ name, data string }{
		{"nothing", ""},
		{"cut header", "\x50\x00\x01"},
		{"no service inside", "\x08\x00\x02\x80\x00\x00\x00\x00"},
		{"service without address", "\x0c\x00\x01\x80\x06\x00\x01\x00\x02\x00\x00\x00"},
		{"IPv4 address of two bytes", "\x14\x00\x01\x80\x06\x00\x01\x00\x02\x00\x00\x00\x06\x00\x03\x00\x0a\x00\x00\x00"},
		{"address of unknown family", "\x14\x00\x01\x80\x06\x00\x01\x00\x63\x00\x00\x00\x08\x00\x03\x00\x0a\x00\x00\x01"},
		{"port of four bytes", "\x1c\x00\x01\x80\x06\x00\x01\x00\x02\x00\x00\x00\x08\x00\x03\x00\x0a\x00\x00\x01\x08\x00\x04\x00\x00\x50\x00\x00"},
		{"flags of four bytes", "\x1c\x00\x01\x80\x06\x00\x01\x00\x02\x00\x00\x00\x08\x00\x03\x00\x0a\x00\x00\x01\x08\x00\x07\x00\x00\x00\x00\x00"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var s ServiceStatistics
			if err := s.decode([]byte(tt.data)); err == nil {
				t.Errorf("got %+v, want an error", s)
			}
		})
	}
}

// FuzzDecode feeds the decoders with what a kernel never sent, and holds them
// to their own encoder in what they accept.
func FuzzDecode(f *testing.F) {
	for _, op := range Plan(Table{}, entries()) {
		data, err := op.append(nil)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	for _, a := range answers(f) {
		f.Add(a.data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var s ServiceStatistics
		if err := s.decode(data); err == nil {
			roundTrip(t, Op{Kind: AddService, Service: s.Service})
		}
		var r RealServerStatistics
		if err := r.decode(data); err == nil {
			roundTrip(t, Op{Kind: AddRealServer, Service: web("rr"), RealServer: r.RealServer})
		}
	})
}

func roundTrip(t *testing.T, op Op) {
	t.Helper()
	_ = op.String()
	data, err := op.append(nil)
	if err != nil {
		return // an address that only a forged answer has
	}
	if op.Kind == AddService {
		var s ServiceStatistics
		if err := s.decode(data); err != nil || !s.sameProperties(&op.Service) {
			t.Errorf("read back %+v, %v; want %+v", s, err, op.Service)
		}
		return
	}
	var r RealServerStatistics
	if err := r.decode(data); err != nil || r.RealServer != op.RealServer {
		t.Errorf("read back %+v, %v; want %+v", r, err, op.RealServer)
	}
}

// kernelAnswers are what Linux 6.12 answered to dumps: lines of what it was
// told before, as ipvsadm's options, each followed by the attributes in hex.
//
//go:embed testdata/answers-linux-6.12.txt
var kernelAnswers string

type kernelAnswer struct {
	want string
	data []byte
}

func answers(t testing.TB) []kernelAnswer {
	t.Helper()
	var all []kernelAnswer
	for line := range strings.Lines(kernelAnswers) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "-") {
			all = append(all, kernelAnswer{want: line})
			continue
		}
		data, err := hex.DecodeString(line)
		if err != nil {
			t.Fatal(err)
		}
		all[len(all)-1].data = data
	}
	return all
}

func TestDecodeKernelAnswers(t *testing.T) {
	for _, a := range answers(t) {
		t.Run(a.want, func(t *testing.T) {
			var got string
			if strings.HasPrefix(a.want, "-A") {
				var s ServiceStatistics
				if err := s.decode(a.data); err != nil {
					t.Fatal(err)
				}
				got = "-A " + s.Service.options()
			} else {
				var r RealServerStatistics
				if err := r.decode(a.data); err != nil {
					t.Fatal(err)
				}
				got = r.RealServer.options()
			}
			if got != a.want {
				t.Errorf("got %s", got)
			}
		})
	}
}

// TestDecodeCounters has counters that do not fit into the 32 bits of the old
// attributes, which come first in every answer.
func TestDecodeCounters(t *testing.T) {
	data := "" +
		"\xa0\x00\x02\x00" + // IPVS_CMD_ATTR_DEST
		"\x06\x00\x0b\x00\x02\x00\x00\x00" + // ADDR_FAMILY: 2
		"\x14\x00\x01\x00\x0a\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00" + // ADDR: 10.0.0.1
		"\x08\x00\x07\x00\x01\x00\x00\x00" + // ACTIVE_CONNS
		"\x08\x00\x08\x00\x02\x00\x00\x00" + // INACT_CONNS
		"\x08\x00\x09\x00\x03\x00\x00\x00" + // PERSIST_CONNS
		"\x0c\x00\x0a\x00\x08\x00\x01\x00\xff\xff\xff\xff" + // STATS: CONNS
		"\x5c\x00\x0c\x00" + // STATS64
		"\x0c\x00\x01\x00\x00\x00\x00\x00\x01\x00\x00\x00" + // CONNS: 1<<32
		"\x04\x00\x0b\x00" + // PAD
		"\x0c\x00\x02\x00\x00\x00\x00\x00\x02\x00\x00\x00" + // INPKTS: 2<<32
		"\x0c\x00\x03\x00\x00\x00\x00\x00\x03\x00\x00\x00" + // OUTPKTS: 3<<32
		"\x0c\x00\x04\x00\x00\x00\x00\x00\x04\x00\x00\x00" + // INBYTES: 4<<32
		"\x0c\x00\x05\x00\x00\x00\x00\x00\x05\x00\x00\x00" + // OUTBYTES: 5<<32
		"\x0c\x00\x06\x00\x06\x00\x00\x00\x00\x00\x00\x00" + // CPS: 6
		"\x0c\x00\x0a\x00\x07\x00\x00\x00\x00\x00\x00\x00" // OUTBPS: 7
	var got RealServerStatistics
	if err := got.decode([]byte(data)); err != nil {
		t.Fatal(err)
	}
	want := RealServerStatistics{
		RealServer: RealServer{Address: netip.MustParseAddr("10.0.0.1")},
		Counters: Counters{
			Connections: 1 << 32, InPackets: 2 << 32, OutPackets: 3 << 32, InBytes: 4 << 32, OutBytes: 5 << 32,
			ConnectionRate: 6, OutByteRate: 7,
		},
		ActiveConnections: 1, InactiveConnections: 2, PersistentConnections: 3,
	}
	if diff := cmp.Diff(want, got, netipComparer); diff != "" {
		t.Errorf("real server (-want +got):\n%s", diff)
	}
}

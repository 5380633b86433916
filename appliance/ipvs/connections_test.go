package ipvs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// connectionLines are what a Linux 6.12 kernel prints.
const connectionLines = `Pro FromIP   FPrt ToIP     TPrt DestIP   DPrt State       Expires PEName PEData
TCP 0A010002 0FA1 0A090909 0050 0A020102 0050 ESTABLISHED     893
UDP 0A010002 A1B2 0A090909 0035 0A020103 0035 UDP             299
TCP 0A010000 0000 0A090909 01BB 0A020102 01BB ASSURED         359
IP  0A010002 0000 00000007 0000 0A020102 0000 NONE             12
UDP C0000201 13C4 0A090909 13C4 0A020102 13C4 UDP             300 sip 843817637684230@998 sdasd
SCTP 0A010003 0B59 0A090909 0B59 0A020102 0B59 C-ECHOED         59
TCP 2001:0db8:0000:0000:0000:0000:0000:0009 D431 2001:0db8:0000:0000:0000:0000:0000:0015 0050 2001:0db8:0000:0000:0000:0000:0000:0100 0050 TIME_WAIT       118
TCP 2001:0db8:0000:0000:0000:0000:0000:0009 D432 2001:0db8:0000:0000:0000:0000:0000:0015 0050 C0A80464 0050 SYN_RECV         58
IP_50 0A010002 0000 0A090909 0000 0A020102 0000 ERR!              0
`

// connections are those of connectionLines.
func connections() []Connection {
	at := netip.MustParseAddrPort
	return []Connection{
		{TCP, at("10.1.0.2:4001"), at("10.9.9.9:80"), at("10.2.1.2:80"), "ESTABLISHED", 893, "", "", ""},
		{UDP, at("10.1.0.2:41394"), at("10.9.9.9:53"), at("10.2.1.3:53"), "UDP", 299, "", "", ""},
		{TCP, at("10.1.0.0:0"), at("10.9.9.9:443"), at("10.2.1.2:443"), "ASSURED", 359, "", "", ""},
		{0, at("10.1.0.2:0"), at("0.0.0.7:0"), at("10.2.1.2:0"), "NONE", 12, "", "", ""},
		{UDP, at("192.0.2.1:5060"), at("10.9.9.9:5060"), at("10.2.1.2:5060"), "UDP", 300, "", "sip", "843817637684230@998 sdasd"},
		{SCTP, at("10.1.0.3:2905"), at("10.9.9.9:2905"), at("10.2.1.2:2905"), "C-ECHOED", 59, "", "", ""},
		{TCP, at("[2001:db8::9]:54321"), at("[2001:db8::15]:80"), at("[2001:db8::100]:80"), "TIME_WAIT", 118, "", "", ""},
		{TCP, at("[2001:db8::9]:54322"), at("[2001:db8::15]:80"), at("192.168.4.100:80"), "SYN_RECV", 58, "", "", ""},
		{ESP, at("10.1.0.2:0"), at("10.9.9.9:0"), at("10.2.1.2:0"), "ERR!", 0, "", "", ""},
	}
}

var compareNetip = cmp.Options{
	cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b }), netipComparer,
}

func collect(t *testing.T, table io.Reader, filter ConnectionFilter) []Connection {
	t.Helper()
	var all []Connection
	for c, err := range readConnections(table, filter) {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, c)
	}
	return all
}

func TestConnectionsAreRead(t *testing.T) {
	got := collect(t, strings.NewReader(connectionLines), ConnectionFilter{})
	if diff := cmp.Diff(connections(), got, compareNetip); diff != "" {
		t.Errorf("connections (-want +got):\n%s", diff)
	}
	var printed strings.Builder
	printConnections(&printed, got, false)
	if diff := cmp.Diff(connectionLines, printed.String()); diff != "" {
		t.Errorf("printed as the kernel does (-want +got):\n%s", diff)
	}
}

func TestConnectionsWithOrigin(t *testing.T) {
	const lines = `Pro FromIP   FPrt ToIP     TPrt DestIP   DPrt State       Origin Expires
TCP 0A010002 0FA1 0A090909 0050 0A020102 0050 ESTABLISHED LOCAL      893
TCP 0A010002 0FA2 0A090909 0050 0A020102 0050 CLOSE       SYNC         9
`
	var got []string
	for _, c := range collect(t, strings.NewReader(lines), ConnectionFilter{}) {
		got = append(got, fmt.Sprintf("%s %s %s %d", c.Client, c.State, c.Origin, c.Expires))
	}
	want := []string{"10.1.0.2:4001 ESTABLISHED LOCAL 893", "10.1.0.2:4002 CLOSE SYNC 9"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestConnectionFilter(t *testing.T) {
	at, prefix := netip.MustParseAddrPort, netip.MustParsePrefix
	tests := []struct {
		name   string
		filter ConnectionFilter
		want   []int // of connections
	}{
		{"all", ConnectionFilter{}, []int{0, 1, 2, 3, 4, 5, 6, 7, 8}},
		{"client", ConnectionFilter{Client: prefix("10.1.0.2/32")}, []int{0, 1, 3, 8}},
		{"clients of half a digit", ConnectionFilter{Client: prefix("10.1.0.2/31")}, []int{0, 1, 3, 5, 8}},
		{"clients of a network", ConnectionFilter{Client: prefix("10.1.0.0/16")}, []int{0, 1, 2, 3, 5, 8}},
		{"every IPv4 client", ConnectionFilter{Client: prefix("0.0.0.0/0")}, []int{0, 1, 2, 3, 4, 5, 8}},
		{"IPv6 client", ConnectionFilter{Client: prefix("2001:db8::9/128")}, []int{6, 7}},
		{"IPv6 clients", ConnectionFilter{Client: prefix("2001:db8::/29")}, []int{6, 7}},
		{"no IPv6 clients", ConnectionFilter{Client: prefix("2001:db0::/30")}, nil},
		{"every IPv6 client", ConnectionFilter{Client: prefix("::/0")}, []int{6, 7}},
		{"protocol", ConnectionFilter{Protocol: UDP}, []int{1, 4}},
		{"protocol without a name", ConnectionFilter{Protocol: ESP}, []int{8}},
		{"virtual service", ConnectionFilter{Protocol: TCP, Virtual: at("10.9.9.9:80")}, []int{0}},
		{"VIP", ConnectionFilter{Virtual: at("10.9.9.9:0")}, []int{0, 1, 2, 4, 5, 8}},
		{"port", ConnectionFilter{Virtual: netip.AddrPortFrom(netip.Addr{}, 80)}, []int{0, 6, 7}},
		{"real server of the other family", ConnectionFilter{Destination: at("192.168.4.100:80")}, []int{7}},
		{"state", ConnectionFilter{State: "UDP"}, []int{1, 4}},
		{"key", ConnectionFilter{}.Of(Key{Protocol: TCP, Address: netip.MustParseAddr("2001:db8::15"), Port: 80}), []int{6, 7}},
		{"firewall mark", ConnectionFilter{}.Of(Key{Address: netip.IPv4Unspecified(), FWMark: 7}), []int{3}},
		{"both", ConnectionFilter{Client: prefix("10.1.0.2/32"), State: "ESTABLISHED"}, []int{0}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var want []Connection
			for _, i := range tt.want {
				want = append(want, connections()[i])
			}
			got := collect(t, strings.NewReader(connectionLines), tt.filter)
			if diff := cmp.Diff(want, got, compareNetip); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestConnectionsFailWithWhere(t *testing.T) {
	heading, _, _ := strings.Cut(connectionLines, "\n")
	for line, want := range map[string]string{
		"TCP 0A010002 0FA1": "too few columns",
		"TCP 0A010002 0FA1 0A090909 0050 0A020102 0050 CLOSE     never": "expiry",
		"TCP 0A01000G 0FA1 0A090909 0050 0A020102 0050 CLOSE         9": "not hexadecimal",
		"XYZ 0A010002 0FA1 0A090909 0050 0A020102 0050 CLOSE         9": "unknown protocol",
		strings.Repeat("x", connectionBuffer+1):                         "buffer full",
	} {
		var last error
		for _, err := range readConnections(strings.NewReader(heading+"\n"+line+"\n"), ConnectionFilter{}) {
			last = err
		}
		if last == nil || !strings.Contains(last.Error(), "line 2: ") || !strings.Contains(last.Error(), want) {
			t.Errorf("%.80s: got %.200v, want line 2 and %q", line, last, want)
		}
	}
}

func TestConnectionsEnd(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	closed := false
	k := &Kernel{openTable: func(string) (io.ReadCloser, error) {
		return closer{strings.NewReader(connectionLines), &closed}, nil
	}}
	for range k.Connections(ctx, ConnectionFilter{}) {
		break
	}
	if !closed {
		t.Error("the table is left open")
	}
	cancel()
	for _, err := range k.Connections(ctx, ConnectionFilter{}) {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want %v", err, context.Canceled)
		}
	}
}

type closer struct {
	io.Reader
	closed *bool
}

func (c closer) Close() error { *c.closed = true; return nil }

// FuzzConnections holds that what the filter says of a line is what it says of
// the connection in it.
func FuzzConnections(f *testing.F) {
	for _, line := range strings.Split(connectionLines, "\n")[1:] {
		f.Add(line, "10.1.0.2/31", "10.9.9.9:80", "ESTABLISHED", uint8(TCP))
		f.Add(line, "2001:db8::/33", "[2001:db8::15]:0", "", uint8(0))
	}
	f.Fuzz(func(t *testing.T, line, client, virtual, state string, protocol uint8) {
		filter := ConnectionFilter{Protocol: Protocol(protocol), State: state}
		filter.Client, _ = netip.ParsePrefix(client)
		filter.Virtual, _ = netip.ParseAddrPort(virtual)
		if filter.Virtual.Addr().Is4In6() || filter.Virtual.Addr().Zone() != "" {
			t.Skip("no address that the kernel prints")
		}
		columns, err := splitConnection([]byte(line))
		if err != nil {
			return
		}
		connection, err := columns.parse(false)
		if err != nil {
			return
		}
		if strings.ContainsAny(line, "abcdefABCDEF") && !bytes.Equal([]byte(line), printed(connection)) {
			return // digits in another case than the kernel's
		}
		compiled := filter.compile()
		if got, want := compiled.columns(&columns), filter.matches(connection); got != want {
			t.Errorf("%q against %+v: got %v, want %v", line, filter, got, want)
		}
	})
}

func printed(c Connection) []byte {
	var b bytes.Buffer
	printConnections(&b, []Connection{c}, false)
	_, line, _ := bytes.Cut(bytes.TrimSuffix(b.Bytes(), []byte("\n")), []byte("\n"))
	return line
}

// table repeats a line, without holding more than one.
type repeated struct {
	line []byte
	left int
	rest []byte
}

func (r *repeated) Read(b []byte) (int, error) {
	if len(r.rest) == 0 {
		if r.left == 0 {
			return 0, io.EOF
		}
		r.left--
		r.rest = r.line
	}
	n := copy(b, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

// TestConnectionsKeepNothing reads many connections in the memory of a few.
func TestConnectionsKeepNothing(t *testing.T) {
	lines := strings.SplitAfter(connectionLines, "\n")
	page := []byte(strings.Repeat(lines[1], 50))
	read := func(pages int) float64 {
		return testing.AllocsPerRun(1, func() {
			table := io.MultiReader(strings.NewReader(lines[0]), &repeated{line: page, left: pages})
			for range readConnections(table, ConnectionFilter{}) {
			}
		})
	}
	if few, many := read(10), read(1000); many > few {
		t.Errorf("allocations: %v for 500 connections, %v for 50,000", few, many)
	}
}

func BenchmarkConnectionsOfOneClient(b *testing.B) {
	lines := strings.SplitAfter(connectionLines, "\n")
	page := []byte(strings.Repeat(lines[1], 50))
	filter := ConnectionFilter{Client: netip.MustParsePrefix("10.1.0.9/32")}
	b.ReportAllocs()
	table := io.MultiReader(strings.NewReader(lines[0]), &repeated{line: page, left: b.N/50 + 1})
	for range readConnections(table, filter) {
		b.Fatal("matched")
	}
}

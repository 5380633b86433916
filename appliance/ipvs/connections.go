package ipvs

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/netip"
	"os"
	"strconv"
)

// Connection is one entry of the kernel's connection table. A persistence
// template is one too: its Client has port 0 and, by the granularity of the
// persistence, host bits that are zero; that of a firewall-mark service has
// Protocol 0 and the mark for an address.
type Connection struct {
	Protocol    Protocol
	Client      netip.AddrPort
	Virtual     netip.AddrPort // where the client connected to
	Destination netip.AddrPort // the real server
	State       string         // the kernel's name: "ESTABLISHED"; of templates "NONE" or "ASSURED"
	Expires     uint32         // seconds until it is forgotten, unless a packet comes
	Origin      Origin         // only of ConnectionFilter.WithOrigin
	Engine      string         // persistence engine: "sip" or ""
	EngineData  string         // what it keeps clients apart by: a SIP call's Call-ID
}

// Origin is where the kernel has a connection from.
type Origin string

// The origins of a connection.
const (
	OriginLocal Origin = "LOCAL" // its packets came by here
	OriginSync  Origin = "SYNC"  // another director's synchronisation daemon told
)

// ConnectionFilter says which connections to read. What is zero, matches all.
type ConnectionFilter struct {
	Protocol    Protocol
	Client      netip.Prefix
	Virtual     netip.AddrPort // port 0: every port; no address: every address
	Destination netip.AddrPort // the same
	State       string

	// WithOrigin reads the table with the origin of each connection and
	// without its persistence engine: the kernel gives one or the other.
	WithOrigin bool
}

// Of returns a filter for the connections of one virtual service. The kernel
// does not say which firewall mark a connection had: of such a service, the
// filter matches the templates.
func (f ConnectionFilter) Of(service Key) ConnectionFilter {
	if service.FWMark != 0 {
		address := service.Address.AsSlice() // unspecified; the kernel puts the mark into its first bytes
		binary.BigEndian.PutUint32(address, service.FWMark)
		mark, _ := netip.AddrFromSlice(address) // 4 or 16 bytes, as Address had
		f.Virtual = netip.AddrPortFrom(mark, 0)
		return f
	}
	f.Protocol = service.Protocol
	f.Virtual = netip.AddrPortFrom(service.Address, service.Port)
	return f
}

// The files of the connection table (ip_vs_conn.c, ip_vs_conn_seq_show and
// ip_vs_conn_sync_seq_show).
const (
	connectionFile       = "ip_vs_conn"
	connectionOriginFile = "ip_vs_conn_sync"
)

// connectionBuffer holds what one read gives, which is no more than a page,
// and is the longest line that is understood.
const connectionBuffer = 16 << 10

// Connections reads the connection table, as a stream: entries that the filter
// leaves out cost no more than a look at their bytes, and none is kept. It is
// no snapshot: connections that come and go meanwhile may be missed, and then
// others are seen twice. An error ends it.
func (k *Kernel) Connections(ctx context.Context, filter ConnectionFilter) iter.Seq2[Connection, error] {
	name := connectionFile
	if filter.WithOrigin {
		name = connectionOriginFile
	}
	return func(yield func(Connection, error) bool) {
		file, err := k.openTable(name)
		if err != nil {
			yield(Connection{}, fmt.Errorf("ipvs: read connections: %w", err))
			return
		}
		defer file.Close() // read only: there is nothing to lose
		for c, err := range readConnections(boundReader{ctx, file}, filter) {
			if !yield(c, err) {
				return
			}
		}
	}
}

// openTable opens a file of the kernel's in the network namespace of the
// process.
func openTable(name string) (io.ReadCloser, error) {
	file, err := os.Open("/proc/net/" + name)
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("%w: %w", ErrNoIPVS, err)
	}
	return file, err
}

// boundReader ends with its context.
type boundReader struct {
	ctx context.Context
	io.Reader
}

func (r boundReader) Read(b []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.Reader.Read(b)
}

// readConnections reads either of the two files: they differ in what their
// heading says.
func readConnections(table io.Reader, filter ConnectionFilter) iter.Seq2[Connection, error] {
	return func(yield func(Connection, error) bool) {
		lines := bufio.NewReaderSize(table, connectionBuffer)
		fail := func(err error) { yield(Connection{}, fmt.Errorf("ipvs: read connections: %w", err)) }
		heading, err := lines.ReadSlice('\n')
		if err != nil {
			fail(fmt.Errorf("heading: %w", err))
			return
		}
		withOrigin := bytes.Contains(heading, []byte(" Origin "))
		matches := filter.compile()
		for number := 2; ; number++ {
			line, err := lines.ReadSlice('\n')
			if err == io.EOF && len(line) == 0 {
				return
			}
			if err != nil {
				fail(fmt.Errorf("line %d: %w", number, err))
				return
			}
			columns, err := splitConnection(line[:len(line)-1])
			if err == nil && !matches.columns(&columns) {
				continue
			}
			var c Connection
			if err == nil {
				c, err = columns.parse(withOrigin)
			}
			if err != nil {
				fail(fmt.Errorf("line %d: %q: %w", number, line, err))
				return
			}
			if !yield(c, nil) {
				return
			}
		}
	}
}

// connectionColumns are the columns of a line, as they stand there. Addresses
// are hexadecimal: 8 digits for IPv4, 8 groups of 4 for IPv6; ports are 4.
type connectionColumns struct {
	protocol                     []byte
	client, clientPort           []byte
	virtual, virtualPort         []byte
	destination, destinationPort []byte
	state                        []byte
	rest                         []byte // origin if asked for, expiry, engine and its data
}

// Widths of an address.
const (
	width4 = 8
	width6 = 39
)

var errShort = errors.New("too few columns")

// splitConnection finds the columns. Of most lines nobody reads more than one.
func splitConnection(line []byte) (connectionColumns, error) {
	var c connectionColumns
	c.protocol, line = cutColumn(line)
	for _, column := range [...]struct{ address, port *[]byte }{
		{&c.client, &c.clientPort},
		{&c.virtual, &c.virtualPort},
		{&c.destination, &c.destinationPort},
	} {
		width := width4
		if len(line) > width && line[width] != ' ' {
			width = width6
		}
		const port = 4
		if len(line) < width+1+port+1 || line[width] != ' ' || line[width+1+port] != ' ' {
			return c, errShort
		}
		*column.address, *column.port = line[:width], line[width+1:width+1+port]
		line = line[width+1+port+1:]
	}
	c.state, c.rest = cutColumn(line)
	if len(c.protocol) == 0 || len(c.state) == 0 || len(c.rest) == 0 {
		return c, errShort
	}
	return c, nil
}

// cutColumn returns what stands before the first spaces, and after them.
func cutColumn(line []byte) (column, rest []byte) {
	end := bytes.IndexByte(line, ' ')
	if end < 0 {
		return line, nil
	}
	column = line[:end]
	for end < len(line) && line[end] == ' ' {
		end++
	}
	return column, line[end:]
}

func (c *connectionColumns) parse(withOrigin bool) (Connection, error) {
	var parsed Connection
	var errs [4]error
	parsed.Protocol, errs[0] = parseProtocol(c.protocol)
	parsed.Client, errs[1] = parseEndpoint(c.client, c.clientPort)
	parsed.Virtual, errs[2] = parseEndpoint(c.virtual, c.virtualPort)
	parsed.Destination, errs[3] = parseEndpoint(c.destination, c.destinationPort)
	for _, err := range errs {
		if err != nil {
			return Connection{}, err
		}
	}
	parsed.State = stateName(c.state)
	rest := bytes.TrimLeft(c.rest, " ")
	if withOrigin {
		var origin []byte
		origin, rest = cutColumn(rest)
		parsed.Origin = OriginLocal
		if string(origin) != string(OriginLocal) {
			parsed.Origin = Origin(origin)
		}
	}
	expires, rest, engine := bytes.Cut(rest, []byte{' '})
	seconds, err := strconv.ParseUint(string(expires), 10, 32)
	if err != nil {
		return Connection{}, fmt.Errorf("expiry: %w", err)
	}
	parsed.Expires = uint32(seconds)
	if engine {
		name, data, _ := bytes.Cut(rest, []byte{' '}) // the data may hold spaces
		parsed.Engine, parsed.EngineData = string(name), string(data)
	}
	return parsed, nil
}

// connectionProtocols are the kernel's names (ip_vs_core.c, ip_vs_proto_name).
// A template of a firewall-mark service is of protocol 0.
var connectionProtocols = [...]struct {
	protocol Protocol
	name     string
}{{TCP, "TCP"}, {UDP, "UDP"}, {SCTP, "SCTP"}, {0, "IP"}, {1, "ICMP"}, {58, "ICMPv6"}}

// otherProtocol is how the kernel names what has no name.
const otherProtocol = "IP_"

func parseProtocol(column []byte) (Protocol, error) {
	for _, known := range connectionProtocols {
		if string(column) == known.name {
			return known.protocol, nil
		}
	}
	number, ok := bytes.CutPrefix(column, []byte(otherProtocol))
	n, err := strconv.ParseUint(string(number), 10, 8)
	if !ok || err != nil {
		return 0, fmt.Errorf("unknown protocol %q", column)
	}
	return Protocol(n), nil
}

// connectionName is the kernel's name of p.
func (p Protocol) connectionName() string {
	for _, known := range connectionProtocols {
		if p == known.protocol {
			return known.name
		}
	}
	return otherProtocol + strconv.Itoa(int(p))
}

func parseEndpoint(address, port []byte) (netip.AddrPort, error) {
	var b [16]byte
	size := 4
	if len(address) == width6 {
		size = 16
	}
	at := 0
	for i := range size {
		high, low := nibble(address[at]), nibble(address[at+1])
		if high|low > 0xf {
			return netip.AddrPort{}, fmt.Errorf("address %q is not hexadecimal", address)
		}
		b[i] = high<<4 | low
		at += 2
		if size == 16 && i%2 == 1 && i < 15 {
			if address[at] != ':' {
				return netip.AddrPort{}, fmt.Errorf("address %q has no colon after %d digits", address, 2*(i+1))
			}
			at++
		}
	}
	var n uint16
	for _, digit := range port {
		v := nibble(digit)
		if v > 0xf {
			return netip.AddrPort{}, fmt.Errorf("port %q is not hexadecimal", port)
		}
		n = n<<4 | uint16(v)
	}
	if size == 4 {
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte(b[:4])), n), nil
	}
	return netip.AddrPortFrom(netip.AddrFrom16(b), n), nil
}

// nibble is the value of a hexadecimal digit; 0xff if it is none.
func nibble(digit byte) byte {
	switch {
	case '0' <= digit && digit <= '9':
		return digit - '0'
	case 'a' <= digit && digit <= 'f':
		return digit - 'a' + 10
	case 'A' <= digit && digit <= 'F':
		return digit - 'A' + 10
	}
	return 0xff
}

// stateName returns a string for the kernel's name of a state, without a new
// one for the names that nearly all connections have.
func stateName(column []byte) string {
	for _, name := range [...]string{
		"ESTABLISHED", "TIME_WAIT", "FIN_WAIT", "SYN_RECV", "UDP", "CLOSE", "NONE", "ASSURED", "CLOSE_WAIT", "LAST_ACK",
	} {
		if string(column) == name {
			return name
		}
	}
	return string(column)
}

// columnFilter is a ConnectionFilter as the bytes that columns must hold. What
// is empty matches all.
type columnFilter struct {
	protocol, state              string
	client                       []byte // leading digits
	clientWidth                  int
	clientDigit, clientMask      byte // of the digit after them, which the prefix ends in
	virtual, virtualPort         []byte
	destination, destinationPort []byte
}

func (f ConnectionFilter) compile() columnFilter {
	c := columnFilter{state: f.State}
	if f.Protocol != 0 {
		c.protocol = f.Protocol.connectionName()
	}
	if f.Client.IsValid() {
		c.compileClient(f.Client.Masked())
	}
	c.virtual, c.virtualPort = endpointColumns(f.Virtual)
	c.destination, c.destinationPort = endpointColumns(f.Destination)
	return c
}

func (c *columnFilter) compileClient(client netip.Prefix) {
	digits := addressColumn(client.Addr())
	c.clientWidth = len(digits)
	whole := client.Bits() / 4
	if client.Addr().Is6() {
		whole += whole / 4 // colons; 32 digits end without one
		whole = min(whole, len(digits))
	}
	c.client = digits[:whole]
	if rest := client.Bits() % 4; rest != 0 {
		c.clientDigit, c.clientMask = nibble(digits[whole]), byte(0xf0>>rest)&0xf
	}
}

// addressColumn is an address as the kernel prints it in these files.
func addressColumn(a netip.Addr) []byte {
	if a.Is4() {
		return fmt.Appendf(nil, "%08X", a.AsSlice())
	}
	return []byte(a.StringExpanded())
}

func endpointColumns(e netip.AddrPort) (address, port []byte) {
	if e.Addr().IsValid() {
		address = addressColumn(e.Addr())
	}
	if e.Port() != 0 {
		port = fmt.Appendf(nil, "%04X", e.Port())
	}
	return address, port
}

func (f *columnFilter) columns(c *connectionColumns) bool {
	return f.matchesClient(c.client) &&
		(f.protocol == "" || f.protocol == string(c.protocol)) &&
		(f.state == "" || f.state == string(c.state)) &&
		matchesColumn(f.virtual, c.virtual) && matchesColumn(f.virtualPort, c.virtualPort) &&
		matchesColumn(f.destination, c.destination) && matchesColumn(f.destinationPort, c.destinationPort)
}

func (f *columnFilter) matchesClient(client []byte) bool {
	if f.clientWidth == 0 {
		return true
	}
	if len(client) != f.clientWidth || !bytes.HasPrefix(client, f.client) {
		return false
	}
	return f.clientMask == 0 || nibble(client[len(f.client)])&f.clientMask == f.clientDigit
}

func matchesColumn(want, column []byte) bool {
	return len(want) == 0 || bytes.Equal(want, column)
}

// matches tells of a connection what columnFilter tells of its line.
func (f ConnectionFilter) matches(c Connection) bool {
	endpoint := func(want, have netip.AddrPort) bool {
		return (!want.Addr().IsValid() || want.Addr() == have.Addr()) && (want.Port() == 0 || want.Port() == have.Port())
	}
	return (f.Protocol == 0 || f.Protocol == c.Protocol) &&
		(!f.Client.IsValid() || f.Client.Contains(c.Client.Addr())) &&
		(f.State == "" || f.State == c.State) &&
		endpoint(f.Virtual, c.Virtual) && endpoint(f.Destination, c.Destination)
}

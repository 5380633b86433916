package ipvsadm

import (
	"bufio"
	"io"
	"iter"
	"strconv"

	"dipper/appliance/ipvs"
)

// PrintConnections lists connections as "ipvsadm -Lc" does, in the order in
// which they come, and keeps none of them.
func (l Listing) PrintConnections(w io.Writer, connections iter.Seq2[ipvs.Connection, error], names Names) error {
	out := bufio.NewWriterSize(w, writeSize)
	if l.JSON {
		return printConnectionsJSON(out, connections)
	}
	c := connectionPrinter{printer: printer{numeric: l.Numeric, names: names}, engines: l.PersistentConnections}
	c.line = append(c.line, "IPVS connection entries\n"...)
	c.columns("pro", "expire", "state", "source", "virtual", "destination")
	if c.engines {
		// The heading is wider than what stands below it.
		c.line = padTo(c.line, len(c.line)-len("destination"), 18)
		c.line = append(c.line, " pe name          pe_data"...)
	}
	c.line = append(c.line, '\n')
	for connection, err := range connections {
		if err != nil {
			return err
		}
		c.connection(&connection)
		if _, err := out.Write(c.line); err != nil {
			return err
		}
		c.line = c.line[:0]
	}
	if _, err := out.Write(c.line); err != nil { // the heading, if there was no connection
		return err
	}
	return out.Flush()
}

type connectionPrinter struct {
	printer
	engines bool
	line    []byte
}

// connectionColumns are the widths of all columns but the last.
var connectionColumns = [...]int{3, 6, 11, 18, 18}

func (c *connectionPrinter) columns(words ...string) {
	for i, word := range words {
		start := len(c.line)
		c.line = append(c.line, word...)
		if i < len(connectionColumns) {
			c.line = append(padTo(c.line, start, connectionColumns[i]), ' ')
		}
	}
}

func (c *connectionPrinter) connection(n *ipvs.Connection) {
	c.columns(connectionProtocol(n.Protocol))
	c.expiry(n.Expires)
	start := len(c.line)
	c.line = append(padTo(append(c.line, n.State...), start, connectionColumns[2]), ' ')
	start = len(c.line)
	c.line = c.endpoint(c.line, n.Client.Addr(), n.Client.Port(), n.Protocol)
	c.line = append(padTo(c.line, start, connectionColumns[3]), ' ')
	start = len(c.line)
	c.line = c.endpoint(c.line, n.Virtual.Addr(), n.Virtual.Port(), n.Protocol)
	c.line = append(padTo(c.line, start, connectionColumns[4]), ' ')
	start = len(c.line)
	c.line = c.endpoint(c.line, n.Destination.Addr(), n.Destination.Port(), n.Protocol)
	if c.engines && n.Engine != "" && n.EngineData != "" {
		c.line = append(padTo(c.line, start, 16), ' ')
		start = len(c.line)
		c.line = append(padTo(append(c.line, n.Engine...), start, 18), ' ')
		c.line = append(c.line, n.EngineData...)
	}
	c.line = append(c.line, '\n')
}

// expiry prints minutes and seconds.
func (c *connectionPrinter) expiry(seconds uint32) {
	start := len(c.line)
	for i, n := range [...]uint32{seconds / 60, seconds % 60} {
		if i > 0 {
			c.line = append(c.line, ':')
		}
		if n < 10 {
			c.line = append(c.line, '0')
		}
		c.line = strconv.AppendUint(c.line, uint64(n), 10)
	}
	c.line = append(padTo(c.line, start, connectionColumns[1]), ' ')
}

// connectionProtocol is how the kernel names the protocol of a connection
// (ip_vs_core.c, ip_vs_proto_name). A template of a firewall-mark service is
// of protocol 0.
func connectionProtocol(p ipvs.Protocol) string {
	switch p {
	case ipvs.TCP, ipvs.UDP, ipvs.SCTP:
		return protocolTitle(p)
	case 0:
		return "IP"
	case 1:
		return "ICMP"
	case 58:
		return "ICMPv6"
	default:
		return "IP_" + strconv.Itoa(int(p))
	}
}

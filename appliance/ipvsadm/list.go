package ipvsadm

import (
	"bufio"
	"io"
	"iter"
	"strconv"

	"dipper/appliance/ipvs"
)

// Snapshot is a table as the kernel holds it, with what it counted.
type Snapshot struct {
	Info     ipvs.Info
	Services []ipvs.ServiceStatistics // in the kernel's order, which --nosort shows
	// RealServers, if not nil, reads those of the services, which have none yet,
	// when their turn comes: each service is written before the next is read.
	RealServers func([]*ipvs.ServiceStatistics) iter.Seq2[*ipvs.ServiceStatistics, error]
}

// each answers services with their real servers.
func (s Snapshot) each(services []*ipvs.ServiceStatistics) iter.Seq2[*ipvs.ServiceStatistics, error] {
	if s.RealServers != nil {
		return s.RealServers(services)
	}
	return func(yield func(*ipvs.ServiceStatistics, error) bool) {
		for _, service := range services {
			if !yield(service, nil) {
				return
			}
		}
	}
}

// Print lists a table, or one service of it, as "ipvsadm -L" does. Of a
// service that is not there, the error is an *Error.
func (l Listing) Print(w io.Writer, s Snapshot, names Names) error {
	services, err := l.services(s.Services)
	if err != nil {
		return err
	}
	out := bufio.NewWriterSize(w, writeSize)
	if l.JSON {
		return l.printJSON(out, s.Info, s.each(services))
	}
	t := tablePrinter{Listing: l, printer: printer{numeric: l.Numeric, names: names}}
	if l.Service == nil {
		t.line = append(t.line, "IP Virtual Server version "+s.Info.Version.String()+" (size="...)
		t.line = strconv.AppendUint(t.line, uint64(s.Info.ConnectionTableSize), 10)
		t.line = append(t.line, ")\n"...)
	}
	t.line = append(t.line, t.title()...)
	return t.print(out, s.each(services))
}

// services answers those that are listed, in their order.
func (l Listing) services(all []ipvs.ServiceStatistics) ([]*ipvs.ServiceStatistics, error) {
	var order sorter[ipvs.ServiceStatistics]
	switch {
	case l.Service != nil:
		one, err := find(all, *l.Service)
		return []*ipvs.ServiceStatistics{one}, err
	case l.NoSort:
		return order.inPlace(all), nil
	}
	return order.sort(all, compareServices), nil
}

// realServers answers those of a service in the order in which they are listed.
func (l Listing) realServers(order *sorter[ipvs.RealServerStatistics], s *ipvs.ServiceStatistics) []*ipvs.RealServerStatistics {
	if l.NoSort {
		return order.inPlace(s.RealServers)
	}
	return order.sort(s.RealServers, compareServers)
}

// writeSize is how much is written at once.
const writeSize = 32 << 10

func find(services []ipvs.ServiceStatistics, key ipvs.Key) (*ipvs.ServiceStatistics, error) {
	for i := range services {
		if services[i].Key == key {
			return &services[i], nil
		}
	}
	return nil, &Error{Status: StatusMissing, Message: "No such service", Detail: key.String() + "; -Ln lists those there are"}
}

// tablePrinter prints services and real servers.
type tablePrinter struct {
	Listing
	printer
	line []byte
}

func (t *tablePrinter) print(out *bufio.Writer, services iter.Seq2[*ipvs.ServiceStatistics, error]) error {
	var order sorter[ipvs.RealServerStatistics]
	for s, err := range services {
		if err != nil {
			return err
		}
		t.service(s)
		for _, r := range t.realServers(&order, s) {
			t.server(r, s.Protocol)
		}
		if err := t.flush(out); err != nil {
			return err
		}
	}
	if err := t.flush(out); err != nil { // the title, if there was no service
		return err
	}
	return out.Flush()
}

func (t *tablePrinter) flush(out *bufio.Writer) error {
	_, err := out.Write(t.line)
	t.line = t.line[:0]
	return err
}

// title is the heading of the columns.
func (t *tablePrinter) title() string {
	const servers = "  -> RemoteAddress:Port"
	switch {
	case t.Statistics:
		return "Prot LocalAddress:Port               Conns   InPkts  OutPkts  InBytes OutBytes\n" + servers + "\n"
	case t.Rate:
		return "Prot LocalAddress:Port                 CPS    InPPS   OutPPS    InBPS   OutBPS\n" + servers + "\n"
	case t.Thresholds:
		return "Prot LocalAddress:Port            Uthreshold Lthreshold ActiveConn InActConn \n" + servers + "\n"
	case t.PersistentConnections:
		return "Prot LocalAddress:Port            Weight    PersistConn ActiveConn InActConn \n" + servers + "\n"
	case t.TunnelInfo:
		return "Prot LocalAddress:Port Scheduler Flags\n" + servers + "           Forward TunnelInfo    Weight ActiveConn InActConn\n"
	default:
		return "Prot LocalAddress:Port Scheduler Flags\n" + servers + "           Forward Weight ActiveConn InActConn\n"
	}
}

// serviceRoom is how wide a service of IPv4 can be before it is cut.
const serviceRoom = 33

func (t *tablePrinter) service(s *ipvs.ServiceStatistics) {
	start := len(t.line)
	t.line = t.serviceName(t.line, s.Key)
	switch {
	case t.Statistics:
		t.line = padTo(t.line, start, serviceRoom)
		t.counters(s.Counters)
	case t.Rate:
		t.line = padTo(t.line, start, serviceRoom)
		t.large(s.Counters.ConnectionRate, s.Counters.InPacketRate, s.Counters.OutPacketRate,
			s.Counters.InByteRate, s.Counters.OutByteRate)
	default:
		t.line = appendProperties(append(t.line, ' '), s.Service)
	}
	t.line = append(t.line, '\n')
}

func (t *tablePrinter) serviceName(b []byte, k ipvs.Key) []byte {
	if k.FWMark != 0 {
		// ipvsadm takes a mark for a number with a sign.
		b = strconv.AppendInt(append(b, "FWM  "...), int64(int32(k.FWMark)), 10)
		if k.Address.Is6() {
			b = append(b, " IPv6"...)
		}
		return b
	}
	start := len(b)
	b = padTo(append(b, protocolTitle(k.Protocol)...), start, 4)
	b = t.endpoint(append(b, ' '), k.Address, k.Port, k.Protocol)
	if k.Address.Is4() {
		b = b[:min(len(b), start+serviceRoom)]
	}
	return b
}

// appendProperties appends the columns Scheduler and Flags.
func appendProperties(b []byte, s ipvs.Service) []byte {
	b = append(b, s.Scheduler...)
	if s.Flags&anySchedulerFlag != 0 {
		b = append(flagNames(append(b, " ("...), s, false), ')')
	}
	if s.Flags&ipvs.Persistent != 0 {
		b = strconv.AppendUint(append(b, " persistent "...), uint64(s.Timeout), 10)
		b = appendGranularity(b, s, " mask ")
		if s.Engine != "" {
			b = append(append(b, " pe "...), s.Engine...)
		}
	}
	if s.Flags&ipvs.OnePacket != 0 {
		b = append(b, " ops"...)
	}
	return b
}

// serverRoom is how wide a real server is, and of IPv4 can be.
const serverRoom = 28

func (t *tablePrinter) server(r *ipvs.RealServerStatistics, protocol ipvs.Protocol) {
	t.line = append(t.line, "  -> "...)
	start := len(t.line)
	t.line = t.endpoint(t.line, r.Address, r.Port, protocol)
	if r.Address.Is4() {
		t.line = t.line[:min(len(t.line), start+serverRoom)]
	}
	t.line = padTo(t.line, start, serverRoom)
	active, inactive := uint64(r.ActiveConnections), uint64(r.InactiveConnections)
	switch {
	case t.Statistics:
		t.counters(r.Counters)
	case t.Rate:
		t.rates(r.Counters)
	case t.Thresholds:
		t.columns([]int{10, 10, 10, 10}, uint64(r.UpperThreshold), uint64(r.LowerThreshold), active, inactive)
	case t.PersistentConnections:
		t.columns([]int{9, 11, 10, 10}, uint64(r.Weight), uint64(r.PersistentConnections), active, inactive)
	default:
		t.word(forwardTitle(r.Forward), 7)
		if t.TunnelInfo {
			t.word(tunnelColumn(r.RealServer), 13)
		}
		t.columns([]int{6, 10, 10}, uint64(r.Weight), active, inactive)
	}
	t.line = append(t.line, '\n')
}

func (t *tablePrinter) word(text string, width int) {
	t.line = append(t.line, ' ')
	t.line = padTo(append(t.line, text...), len(t.line), width)
}

func (t *tablePrinter) columns(widths []int, numbers ...uint64) {
	for i, n := range numbers {
		t.line = appendLeft(append(t.line, ' '), n, widths[i])
	}
}

func (t *tablePrinter) counters(c ipvs.Counters) {
	t.large(c.Connections, c.InPackets, c.OutPackets, c.InBytes, c.OutBytes)
}

func (t *tablePrinter) large(numbers ...uint64) {
	for _, n := range numbers {
		t.line = appendLarge(t.line, n, t.Exact)
	}
}

// rates prints those of a real server, whose first three ipvsadm never
// shortens.
func (t *tablePrinter) rates(c ipvs.Counters) {
	for _, n := range [...]uint64{c.ConnectionRate, c.InPacketRate, c.OutPacketRate} {
		t.line = appendRight(append(t.line, ' '), n, 8)
	}
	t.large(c.InByteRate, c.OutByteRate)
}

package ipvsadm

import (
	"bufio"
	"io"
	"net/netip"
	"strconv"

	"dipper/appliance/ipvs"
)

// Says tells whether ipvsadm has words for all of an edit: it has none for
// services of AH and ESP, and one checksum at most for a tunnel.
func Says(op *ipvs.Op) bool {
	t := op.RealServer.Tunnel
	return (op.Service.FWMark != 0 || protocolOption(op.Service.Protocol) != noProtocol) && !(t.Checksum && t.RemoteChecksum)
}

// Save writes a table as "ipvsadm -S" does: the commands that make it again, as
// far as ipvsadm has words for it (Says). Thresholds, which ipvsadm forgets, stand at the end of their lines. With
// Complete, the timeouts and daemons follow as commands of their own.
func (l Listing) Save(w io.Writer, services []ipvs.ServiceStatistics, timeouts ipvs.Timeouts, daemons []ipvs.Daemon, names Names) error {
	out := bufio.NewWriterSize(w, writeSize)
	p := rulePrinter{printer: printer{numeric: l.Numeric, names: names}}
	var order sorter[ipvs.ServiceStatistics]
	var servers sorter[ipvs.RealServerStatistics]
	for _, s := range order.sort(services, compareServices) {
		p.service(s)
		for _, r := range servers.sort(s.RealServers, compareServers) {
			p.server(&r.RealServer, s.Protocol)
			if _, err := out.Write(p.line); err != nil {
				return err
			}
			p.line = p.line[:0]
		}
	}
	if l.Complete {
		p.timeouts(timeouts)
		for _, d := range daemons {
			p.daemon(d)
		}
	}
	if _, err := out.Write(p.line); err != nil {
		return err
	}
	return out.Flush()
}

// rulePrinter prints commands.
type rulePrinter struct {
	printer
	key  []byte // of the present service, as an option
	line []byte
}

func (p *rulePrinter) add(words ...string) {
	for _, word := range words {
		p.line = append(p.line, word...)
	}
}

func (p *rulePrinter) number(option string, n uint64) {
	p.line = strconv.AppendUint(append(p.line, option...), n, 10)
}

func (p *rulePrinter) service(s *ipvs.ServiceStatistics) {
	p.key = p.key[:0]
	if s.FWMark != 0 {
		// ipvsadm prints large marks as negative numbers, and does not read them.
		p.key = strconv.AppendUint(append(p.key, "-f "...), uint64(s.FWMark), 10)
		if s.Address.Is6() {
			p.key = append(p.key, " -6"...)
		}
	} else {
		p.key = append(append(p.key, protocolOption(s.Protocol)...), ' ')
		p.key = p.endpoint(p.key, s.Address, s.Port, s.Protocol)
	}
	p.add("-A ", string(p.key), " -s ", s.Scheduler)
	if s.Flags&ipvs.Persistent != 0 {
		p.number(" -p ", uint64(s.Timeout))
		p.line = appendGranularity(p.line, s.Service, " -M ")
	}
	if s.Engine != "" {
		p.add(" --pe ", s.Engine)
	}
	if s.Flags&ipvs.OnePacket != 0 {
		p.add(" -o")
	}
	if s.Flags&anySchedulerFlag != 0 {
		p.line = flagNames(append(p.line, " -b "...), s.Service, true)
	}
	p.line = append(p.line, '\n')
}

func (p *rulePrinter) server(r *ipvs.RealServer, protocol ipvs.Protocol) {
	p.line = append(append(p.line, "-a "...), p.key...)
	p.line = p.endpoint(append(p.line, " -r "...), r.Address, r.Port, protocol)
	p.add(" ", forwardOption(r.Forward))
	p.number(" -w ", uint64(r.Weight))
	if r.Forward == ipvs.TUN {
		p.tunnel(r.Tunnel)
	}
	if r.UpperThreshold != 0 {
		p.number(" -x ", uint64(r.UpperThreshold))
	}
	if r.LowerThreshold != 0 {
		p.number(" -y ", uint64(r.LowerThreshold))
	}
	p.line = append(p.line, '\n')
}

func (p *rulePrinter) tunnel(t ipvs.Tunnel) {
	if int(t.Type) >= len(tunnelTypes) {
		return
	}
	p.add(" --tun-type ", tunnelTypes[t.Type])
	if t.Type == ipvs.GUE {
		p.number(" --tun-port ", uint64(t.Port))
	}
	switch {
	case t.Type == ipvs.IPIP:
	case t.RemoteChecksum:
		p.add(" --tun-remcsum")
	case t.Checksum:
		p.add(" --tun-csum")
	default:
		p.add(" --tun-nocsum")
	}
}

func (p *rulePrinter) timeouts(t ipvs.Timeouts) {
	p.number("--set ", uint64(t.TCP))
	p.number(" ", uint64(t.TCPFin))
	p.number(" ", uint64(t.UDP))
	p.line = append(p.line, '\n')
}

func (p *rulePrinter) daemon(d ipvs.Daemon) {
	p.add("--start-daemon ", d.State.String(), " --mcast-interface ", d.Interface)
	p.number(" --syncid ", uint64(d.SyncID))
	if d.MaxLength != 0 {
		p.number(" --sync-maxlen ", uint64(d.MaxLength))
	}
	if d.Group.IsValid() {
		p.line = appendAddress(append(p.line, " --mcast-group "...), d.Group)
	}
	if d.Port != 0 {
		p.number(" --mcast-port ", uint64(d.Port))
	}
	if d.TTL != 0 {
		p.number(" --mcast-ttl ", uint64(d.TTL))
	}
	p.line = append(p.line, '\n')
}

// PrintTimeouts lists the timeouts as "ipvsadm -L --timeout" does.
func (l Listing) PrintTimeouts(w io.Writer, t ipvs.Timeouts) error {
	if l.JSON {
		return printTimeoutsJSON(w, t)
	}
	p := rulePrinter{}
	p.number("Timeout (tcp tcpfin udp): ", uint64(t.TCP))
	p.number(" ", uint64(t.TCPFin))
	p.number(" ", uint64(t.UDP))
	_, err := w.Write(append(p.line, '\n'))
	return err
}

// PrintDaemons lists the daemons as "ipvsadm -L --daemon" does.
func (l Listing) PrintDaemons(w io.Writer, daemons []ipvs.Daemon) error {
	if l.JSON {
		return printDaemonsJSON(w, daemons)
	}
	p := rulePrinter{}
	for _, d := range daemons {
		p.add(d.State.String(), " sync daemon (mcast=", d.Interface)
		p.number(", syncid=", uint64(d.SyncID))
		if d.MaxLength != 0 {
			p.number(", maxlen=", uint64(d.MaxLength))
		}
		if d.Group != (netip.Addr{}) {
			p.line = appendAddress(append(p.line, ", group="...), d.Group)
		}
		if d.Port != 0 {
			p.number(", port=", uint64(d.Port))
		}
		if d.TTL != 0 {
			p.number(", ttl=", uint64(d.TTL))
		}
		p.add(")\n")
	}
	_, err := w.Write(p.line)
	return err
}

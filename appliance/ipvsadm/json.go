package ipvsadm

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"net/netip"
	"strconv"
	"strings"

	"dipper/appliance/ipvs"
)

// The listings as JSON hold everything that the kernel tells, exactly,
// whatever options stand beside --json. Units are in docs/ipvsadm.md.

// tableJSON is a table up to its first service.
const tableJSON = `{
  "version": "%v",
  "connectionTableSize": %d,
  "services": [`

type serviceJSON struct {
	Protocol    string           `json:"protocol,omitempty"`
	Address     string           `json:"address,omitempty"`
	Port        *uint16          `json:"port,omitempty"`
	FWMark      uint32           `json:"fwmark,omitempty"`
	Family      string           `json:"family"`
	Scheduler   string           `json:"scheduler"`
	Flags       []string         `json:"schedulerFlags,omitempty"`
	Persistence *persistenceJSON `json:"persistence,omitempty"`
	OnePacket   bool             `json:"onePacket,omitempty"`
	Counters    countersJSON     `json:"counters"`
	RealServers []serverJSON     `json:"realServers"`
}

type persistenceJSON struct {
	Timeout     uint32 `json:"timeout"`
	Granularity string `json:"granularity"` // "255.255.255.0", or a prefix length of IPv6
	Engine      string `json:"engine,omitempty"`
}

type serverJSON struct {
	Address               string       `json:"address"`
	Port                  uint16       `json:"port"`
	Forward               string       `json:"forward"`
	Tunnel                *tunnelJSON  `json:"tunnel,omitempty"`
	Weight                uint32       `json:"weight"`
	UpperThreshold        uint32       `json:"upperThreshold,omitempty"`
	LowerThreshold        uint32       `json:"lowerThreshold,omitempty"`
	ActiveConnections     uint32       `json:"activeConnections"`
	InactiveConnections   uint32       `json:"inactiveConnections"`
	PersistentConnections uint32       `json:"persistentConnections"`
	Counters              countersJSON `json:"counters"`
}

type tunnelJSON struct {
	Type     string `json:"type"`
	Port     uint16 `json:"port,omitempty"`
	Checksum string `json:"checksum"` // "none", "full" or "remote"
}

type countersJSON struct {
	Connections    uint64 `json:"connections"`
	InPackets      uint64 `json:"inPackets"`
	OutPackets     uint64 `json:"outPackets"`
	InBytes        uint64 `json:"inBytes"`
	OutBytes       uint64 `json:"outBytes"`
	ConnectionRate uint64 `json:"connectionsPerSecond"`
	InPacketRate   uint64 `json:"inPacketsPerSecond"`
	OutPacketRate  uint64 `json:"outPacketsPerSecond"`
	InByteRate     uint64 `json:"inBytesPerSecond"`
	OutByteRate    uint64 `json:"outBytesPerSecond"`
}

type connectionJSON struct {
	Protocol    string `json:"protocol"`
	Client      string `json:"client"`
	Virtual     string `json:"virtual"`
	Destination string `json:"destination"`
	State       string `json:"state"`
	Expires     uint32 `json:"expires"`
	Engine      string `json:"engine,omitempty"`
	EngineData  string `json:"engineData,omitempty"`
}

type timeoutsJSON struct {
	TCP    uint32 `json:"tcp"`
	TCPFin uint32 `json:"tcpfin"`
	UDP    uint32 `json:"udp"`
}

type daemonJSON struct {
	State     string `json:"state"`
	Interface string `json:"interface"`
	SyncID    uint32 `json:"syncid"`
	MaxLength uint16 `json:"maxlen"`
	Group     string `json:"group"`
	Port      uint16 `json:"port"`
	TTL       uint8  `json:"ttl"`
}

// printJSON writes a table, one service after the other as they come.
func (l Listing) printJSON(out *bufio.Writer, info ipvs.Info, services iter.Seq2[*ipvs.ServiceStatistics, error]) error {
	if _, err := fmt.Fprintf(out, tableJSON, info.Version, info.ConnectionTableSize); err != nil {
		return err
	}
	var order sorter[ipvs.RealServerStatistics]
	separator, end := "\n    ", "]\n}\n"
	for s, err := range services {
		if err != nil {
			return err
		}
		text, err := json.MarshalIndent(serviceOf(s, l.realServers(&order, s)), "    ", "  ")
		if err != nil {
			return fmt.Errorf("ipvsadm: %w", err)
		}
		if _, err := fmt.Fprintf(out, "%s%s", separator, text); err != nil {
			return err
		}
		separator, end = ",\n    ", "\n  ]\n}\n"
	}
	if _, err := out.WriteString(end); err != nil {
		return err
	}
	return out.Flush()
}

func writeJSON(w io.Writer, v any) error {
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return fmt.Errorf("ipvsadm: %w", err)
	}
	if _, err := w.Write(append(text, '\n')); err != nil {
		return err
	}
	if out, ok := w.(*bufio.Writer); ok {
		return out.Flush()
	}
	return nil
}

func serviceOf(s *ipvs.ServiceStatistics, servers []*ipvs.RealServerStatistics) serviceJSON {
	j := serviceJSON{
		Family: strings.ToLower(family(s.Address)), Scheduler: s.Scheduler, FWMark: s.FWMark,
		OnePacket: s.Flags&ipvs.OnePacket != 0, Counters: countersJSON(s.Counters), RealServers: []serverJSON{},
	}
	if s.FWMark == 0 {
		j.Protocol, j.Address, j.Port = s.Protocol.String(), s.Address.String(), &s.Port
	}
	if names := flagNames(nil, s.Service, true); len(names) > 0 {
		j.Flags = strings.Split(string(names), ",")
	}
	if s.Flags&ipvs.Persistent != 0 {
		j.Persistence = &persistenceJSON{s.Timeout, granularity(s.Service), s.Engine}
	}
	for _, r := range servers {
		j.RealServers = append(j.RealServers, serverOf(r))
	}
	return j
}

// granularity is which clients count as one: a mask, or a prefix length.
func granularity(s ipvs.Service) string {
	if s.Address.Is6() {
		return strconv.FormatUint(uint64(s.Netmask), 10)
	}
	return addr4(s.Netmask).String()
}

func serverOf(r *ipvs.RealServerStatistics) serverJSON {
	j := serverJSON{
		Address: r.Address.String(), Port: r.Port, Forward: r.Forward.String(), Weight: r.Weight,
		UpperThreshold: r.UpperThreshold, LowerThreshold: r.LowerThreshold,
		ActiveConnections: r.ActiveConnections, InactiveConnections: r.InactiveConnections,
		PersistentConnections: r.PersistentConnections, Counters: countersJSON(r.Counters),
	}
	if r.Forward == ipvs.TUN && int(r.Tunnel.Type) < len(tunnelTypes) {
		j.Tunnel = &tunnelJSON{Type: tunnelTypes[r.Tunnel.Type], Port: r.Tunnel.Port, Checksum: "none"}
		switch {
		case r.Tunnel.RemoteChecksum:
			j.Tunnel.Checksum = "remote"
		case r.Tunnel.Checksum:
			j.Tunnel.Checksum = "full"
		}
	}
	return j
}

// printConnectionsJSON writes a list of connections, as they come.
func printConnectionsJSON(out *bufio.Writer, connections iter.Seq2[ipvs.Connection, error]) error {
	separator := "[\n"
	for c, err := range connections {
		if err != nil {
			return err
		}
		text, err := json.Marshal(connectionJSON{
			connectionProtocol(c.Protocol), c.Client.String(), c.Virtual.String(), c.Destination.String(),
			c.State, c.Expires, c.Engine, c.EngineData,
		})
		if err != nil {
			return fmt.Errorf("ipvsadm: %w", err)
		}
		if _, err := fmt.Fprintf(out, "%s  %s", separator, text); err != nil {
			return err
		}
		separator = ",\n"
	}
	end := "\n]\n"
	if separator == "[\n" {
		end = "[]\n"
	}
	if _, err := out.WriteString(end); err != nil {
		return err
	}
	return out.Flush()
}

func printTimeoutsJSON(w io.Writer, t ipvs.Timeouts) error { return writeJSON(w, timeoutsJSON(t)) }

func printDaemonsJSON(w io.Writer, daemons []ipvs.Daemon) error {
	list := []daemonJSON{}
	for _, d := range daemons {
		list = append(list, daemonJSON{d.State.String(), d.Interface, d.SyncID, d.MaxLength, groupName(d.Group), d.Port, d.TTL})
	}
	return writeJSON(w, list)
}

func groupName(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}

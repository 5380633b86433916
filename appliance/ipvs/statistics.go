package ipvs

// Counters are the kernel's 64-bit counters since an entry was made or zeroed,
// and its estimates of the present rates: per second, a mean over about eight
// seconds. All of them are up to two seconds old, which is how often the kernel
// sums up what its processors counted (net/netfilter/ipvs/ip_vs_est.c). A
// packet is what passes IPVS: the many segments that a network card or a
// virtual one left in one piece count as one.
type Counters struct {
	Connections uint64
	InPackets   uint64
	OutPackets  uint64
	InBytes     uint64
	OutBytes    uint64

	ConnectionRate uint64
	InPacketRate   uint64
	OutPacketRate  uint64
	InByteRate     uint64
	OutByteRate    uint64
}

// ServiceStatistics is a virtual service as the kernel holds it, with what it
// counted. Service.RealServers is nil: they are in RealServers.
type ServiceStatistics struct {
	Service
	Counters    Counters
	RealServers []RealServerStatistics
}

// AsLoaded tells whether the kernel has the real servers in the order in which a
// director has them that loads this table now: in the reverse of canonical
// order, since the kernel puts a new one first. Real servers that were added to
// a running director are in another. It decides which client the schedulers sh
// and dh send where, and hardly matters to mh.
func (s *ServiceStatistics) AsLoaded() bool {
	return isSorted(s.RealServers, func(a, b *RealServerStatistics) int {
		return compareRealServers(&b.RealServer, &a.RealServer)
	})
}

// RealServerStatistics is a real server as the kernel holds it, with what it
// counted.
type RealServerStatistics struct {
	RealServer
	Counters              Counters
	ActiveConnections     uint32
	InactiveConnections   uint32
	PersistentConnections uint32 // persistence templates
}

// table drops what was counted.
func table(statistics []ServiceStatistics) Table {
	var t Table
	if len(statistics) > 0 {
		t.Services = make([]Service, len(statistics))
	}
	for i := range statistics {
		t.Services[i] = statistics[i].Service
		if len(statistics[i].RealServers) == 0 {
			continue
		}
		servers := make([]RealServer, len(statistics[i].RealServers))
		for j := range servers {
			servers[j] = statistics[i].RealServers[j].RealServer
		}
		t.Services[i].RealServers = servers
	}
	t.sort()
	return t
}

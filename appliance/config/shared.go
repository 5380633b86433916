package config

// Shares tells that a service and another are the same, because one is a copy
// of the other: all of their lists are one and the same list. It looks at no
// real server. Equal services that were made apart share nothing.
func (s *Service) Shares(other *Service) bool {
	return sameList(s.RealServers, other.RealServers) &&
		s.Name == other.Name &&
		sameList(s.Listen, other.Listen) &&
		s.FWMark == other.FWMark &&
		s.MarkAssigned == other.MarkAssigned &&
		s.Family == other.Family &&
		sameList(s.Protocols, other.Protocols) &&
		s.Scheduler == other.Scheduler &&
		sameList(s.SchedulerFlags, other.SchedulerFlags) &&
		s.Persistence == other.Persistence &&
		s.OnePacket == other.OnePacket &&
		s.OnDown == other.OnDown &&
		s.Assign == other.Assign &&
		s.Forward == other.Forward &&
		s.Tunnel == other.Tunnel
}

func sameList[E any](a, b []E) bool {
	return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0])
}

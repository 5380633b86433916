package ipvsadm

import "dipper/appliance/ipvs"

// Kind is what a command does.
type Kind uint8

// The commands. The edits come first: those that Editor.Do carries out.
const (
	AddService Kind = iota + 1
	EditService
	DeleteService
	Clear
	AddRealServer
	EditRealServer
	DeleteRealServer
	SetTimeouts
	StartDaemon
	StopDaemon
	Zero

	List
	Save
	Restore
	Help
	Version
)

// Edits tells whether k changes anything.
func (k Kind) Edits() bool { return k >= AddService && k <= Zero }

// Command is one command line, understood.
type Command struct {
	Kind Kind

	// Service is what the edits of services and real servers name: whole for
	// AddService and EditService, its key alone for the others. Zero without
	// ServiceGiven zeroes everything.
	Service      ipvs.Service
	ServiceGiven bool
	RealServer   ipvs.RealServer // whole, or its target alone for DeleteRealServer

	Timeouts ipvs.Timeouts // SetTimeouts; what is 0 stays as it is
	Daemon   ipvs.Daemon   // StartDaemon; its state alone for StopDaemon

	Listing Listing // List and Save

	given set // the options that were typed
}

// Subject is what a listing shows.
type Subject uint8

// The subjects of listings.
const (
	ListTable Subject = iota
	ListConnections
	ListTimeouts
	ListDaemons
)

// Listing says what to list, and how.
type Listing struct {
	Subject Subject
	Service *ipvs.Key // one service of the table; nil: all

	Numeric               bool
	Statistics            bool
	Rate                  bool
	Thresholds            bool
	PersistentConnections bool
	TunnelInfo            bool
	Exact                 bool
	NoSort                bool

	JSON     bool // not in ipvsadm: everything, exact
	Complete bool // not in ipvsadm: Save also timeouts and daemons
}

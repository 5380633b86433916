package api

import (
	"context"
	"io"
	"iter"
	"time"
)

// Operator shows what the machine does and carries out what does not change
// the configuration for good.
type Operator interface {
	// Program runs one of the machine's programs for an administrator:
	// "ipvsadm" is the appliance's own; any other is one of the image. It
	// ends with ctx. The answer is the exit status.
	Program(ctx context.Context, argv []string, in io.Reader, out, errOut io.Writer) (int, error)
	// Capture writes a pcap stream of what passes an interface until ctx ends.
	Capture(ctx context.Context, q CaptureQuery, out io.Writer) error

	Connections(ctx context.Context, q ConnectionQuery) iter.Seq2[Connection, error]
	// SetServer drains, disables, enables or weighs real servers; what is
	// changed is in the running configuration.
	SetServer(ctx context.Context, v ServerVerb) ([]ServerResult, error)
	Clear(ctx context.Context, q ClearQuery) (int, error) // how many were cleared
	Names(ctx context.Context, q NamesQuery) ([]Completion, error)

	Interfaces(ctx context.Context) ([]Interface, error)
	Routes(ctx context.Context) ([]Route, error)
	Neighbours(ctx context.Context) ([]Neighbour, error)
	Sysctls(ctx context.Context) ([]Sysctl, error)
	System(ctx context.Context) (System, error)
	Timeouts(ctx context.Context) (Timeouts, error)
	// Events answers those after a number, and with follow those to come.
	Events(ctx context.Context, after int, follow bool) iter.Seq2[Event, error]
	// FollowLog answers the lines to come.
	FollowLog(ctx context.Context) iter.Seq2[string, error]
}

// CaptureQuery says what to capture.
type CaptureQuery struct {
	Interface string `json:"interface"`         // "any": all of them
	Filter    string `json:"filter,omitempty"`  // as tcpdump takes it: "tcp port 80"
	Without   string `json:"without,omitempty"` // a filter of what is left out: what carries the answer
	Count     int    `json:"count,omitempty"`   // packets; 0: until ended
	Snap      int    `json:"snap,omitempty"`    // bytes of each; 0: all
}

// ConnectionQuery filters the connection table. Empty fields match all.
type ConnectionQuery struct {
	Client   string `json:"client,omitempty"`  // address or prefix
	Service  string `json:"service,omitempty"` // name, or VIP:port
	Server   string `json:"server,omitempty"`  // address, with or without port
	Protocol string `json:"protocol,omitempty"`
	State    string `json:"state,omitempty"`
	Limit    int    `json:"limit,omitempty"` // 0: all
}

// Connection is one entry of the kernel's connection table.
type Connection struct {
	Protocol string   `json:"protocol"`
	Client   string   `json:"client"`
	Virtual  string   `json:"virtual"`
	Server   string   `json:"server"`
	State    string   `json:"state"`
	Expires  Duration `json:"expires"`
	Template bool     `json:"template,omitempty"` // of persistence
	Service  string   `json:"service,omitempty"`  // name in the configuration
}

// Verb is what becomes of a real server.
type Verb string

// The verbs. All of them keep the configured weight for Enable.
const (
	Drain   Verb = "drain"   // weight 0: present connections go on
	Disable Verb = "disable" // taken out, its connections end
	Enable  Verb = "enable"
	Down    Verb = "down" // what on-down of each service says of a failed one
	Weigh   Verb = "weight"
)

// ServerVerb names real servers and what becomes of them.
type ServerVerb struct {
	Server  string   `json:"server"`            // address, with or without port
	Service string   `json:"service,omitempty"` // "": in every service
	Verb    Verb     `json:"verb"`
	Weight  int      `json:"weight,omitempty"` // of Weigh
	For     Duration `json:"for,omitempty"`    // goes back after that; 0: stays
}

// ServerResult is what became of one real server.
type ServerResult struct {
	Service     string    `json:"service"`
	Server      string    `json:"server"`
	Weight      int       `json:"weight"`
	Was         int       `json:"was"`
	Connections uint32    `json:"connections"` // active ones that are left
	Until       time.Time `json:"until,omitzero"`
}

// ClearQuery says what to clear. Connections ends those of a real server.
type ClearQuery struct {
	What    string `json:"what"` // "counters" or "connections"
	Service string `json:"service,omitempty"`
	Server  string `json:"server,omitempty"`
}

// NamesQuery asks for names that begin with Prefix, for completion.
type NamesQuery struct {
	Kind   string `json:"kind"` // "service", "server", "interface", "revision", "program", "sysctl", "scheduler", "user"
	Prefix string `json:"prefix,omitempty"`
	Limit  int    `json:"limit,omitempty"` // 0: 100
}

// Interface is a network interface.
type Interface struct {
	Name      string   `json:"name"`
	Index     int      `json:"index,omitempty"` // the kernel's number of it
	Kind      string   `json:"kind,omitempty"`  // "vlan", "bond", "loopback", driver's name of a card
	MAC       string   `json:"mac,omitempty"`
	MTU       int      `json:"mtu"`
	Up        bool     `json:"up"`
	Carrier   bool     `json:"carrier"`
	Speed     int      `json:"speed,omitempty"` // Mbit/s
	Addresses []string `json:"addresses,omitempty"`
	Lease     string   `json:"lease,omitempty"` // "10.0.2.15/24 from 10.0.2.2, 23h left"
	InBytes   uint64   `json:"in-bytes"`
	InPackets uint64   `json:"in-packets"`
	InErrors  uint64   `json:"in-errors"`
	InDrops   uint64   `json:"in-drops"`

	OutBytes   uint64 `json:"out-bytes"`
	OutPackets uint64 `json:"out-packets"`
	OutErrors  uint64 `json:"out-errors"`
	OutDrops   uint64 `json:"out-drops"`
}

// Route is an entry of the routing table.
type Route struct {
	To        string `json:"to"`
	Via       string `json:"via,omitempty"`
	Interface string `json:"interface,omitempty"`
	Source    string `json:"source,omitempty"`
	Protocol  string `json:"protocol"` // who made it: "dipper", "kernel", "ra"
	Metric    int    `json:"metric,omitempty"`
	Table     string `json:"table,omitempty"` // "" is main
}

// Neighbour is an entry of the ARP or ND cache.
type Neighbour struct {
	Address   string `json:"address"`
	MAC       string `json:"mac,omitempty"`
	Interface string `json:"interface"`
	State     string `json:"state"` // "reachable", "stale", "failed", ...
}

// Sysctl is a kernel setting that the appliance set.
type Sysctl struct {
	Name  string `json:"name"`
	Value string `json:"value"` // as the kernel has it
	Want  string `json:"want"`
}

// System is the machine below the services.
type System struct {
	Hostname     string        `json:"hostname"`
	Version      string        `json:"version"`
	Kernel       string        `json:"kernel"`
	Machine      string        `json:"machine,omitempty"` // vendor and product
	Processors   int           `json:"processors"`
	Load         [3]float64    `json:"load"`
	MemoryTotal  uint64        `json:"memory-total"` // bytes
	MemoryFree   uint64        `json:"memory-free"`  // bytes that programs could have
	Uptime       Duration      `json:"uptime"`
	Time         time.Time     `json:"time"`
	Temperatures []Temperature `json:"temperatures,omitempty"`
	State        StateVolume   `json:"state"`
	CommandLine  string        `json:"command-line"`
}

// Temperature is what a sensor says, in degrees Celsius.
type Temperature struct {
	Sensor  string  `json:"sensor"`
	Celsius float64 `json:"celsius"`
}

// StateVolume is where revisions are kept.
type StateVolume struct {
	Device string `json:"device,omitempty"` // "": in memory only
	Error  string `json:"error,omitempty"`  // why it cannot be used
	Size   uint64 `json:"size,omitempty"`   // bytes
	Free   uint64 `json:"free,omitempty"`
}

// Timeouts are the kernel's three for connections.
type Timeouts struct {
	TCP    Duration `json:"tcp"`
	TCPFin Duration `json:"tcp-fin"`
	UDP    Duration `json:"udp"`
}

// Event is something that happened and that an administrator may ask for
// later: a commit, a server verb, drift, a login.
type Event struct {
	Number int       `json:"number"`
	Time   time.Time `json:"time"`
	Kind   string    `json:"kind"` // "commit", "candidate", "server", "drift", "session", "command"
	Actor  Actor     `json:"actor,omitzero"`
	Text   string    `json:"text"`
}

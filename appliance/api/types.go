// Package api is the control socket: its types, its server and its client.
// Everything that a shell, a test or an administrator can learn from or ask of
// the appliance goes through here, as HTTP with JSON, over a unix socket or,
// under a hypervisor that offers one, the virtio port "dipper.control".
//
// It knows nothing of how the answers come about: Server calls a Backend.
package api

import (
	"fmt"
	"strings"
	"time"
)

// SocketPath is where the appliance listens.
const SocketPath = "/run/dipper/api.sock"

// ControlPort is the name of the virtio-serial port on which the appliance
// answers as it does on the socket. Whoever can attach one owns the machine
// already: it is the hypervisor.
const ControlPort = "dipper.control"

// State is how far the machine has come.
type State string

// The states of a machine.
const (
	Booting     State = "booting"     // no configuration yet, still looking
	Maintenance State = "maintenance" // no configuration, or a broken one
	Applying    State = "applying"
	Serving     State = "serving"  // the kernel is as the configuration says
	Degraded    State = "degraded" // as Serving, except for Problems
	Stopping    State = "stopping"
)

// Status is what the machine is and how it is.
type Status struct {
	Hostname    string    `json:"hostname"`
	Role        string    `json:"role,omitempty"`
	State       State     `json:"state"`
	Version     string    `json:"version"`
	Source      string    `json:"source,omitempty"` // where the configuration came from
	Problems    []string  `json:"problems,omitempty"`
	Advice      []string  `json:"advice,omitempty"` // how to go on in maintenance
	Addresses   []string  `json:"addresses,omitempty"`
	VIPs        []string  `json:"vips,omitempty"`
	Revision    int       `json:"revision"`                // grows with every change of this status
	Since       time.Time `json:"since"`                   // of State
	Unsaved     bool      `json:"unsaved,omitempty"`       // the running configuration is not the saved one
	Volatile    bool      `json:"volatile,omitempty"`      // there is no state volume: nothing outlives a reboot
	ConfirmBy   time.Time `json:"confirm-by,omitzero"`     // of an unconfirmed commit
	HostKey     string    `json:"host-key,omitempty"`      // fingerprint of the SSH host key
	NextHostKey string    `json:"next-host-key,omitempty"` // fingerprint of the one that is announced
	Edits       int       `json:"edits"`                   // kernel edits since this control plane started
	PID         int       `json:"pid"`                     // of the control plane
	Uptime      Duration  `json:"uptime"`                  // of the machine
}

// Duration is a time.Duration that JSON shows as "1.5s".
type Duration time.Duration

// BootStep is one step between the start of the kernel and service.
type BootStep struct {
	Name    string   `json:"name"` // "config: fw_cfg opt/dipper/config"
	At      Duration `json:"at"`   // since the kernel's start
	Took    Duration `json:"took"`
	Outcome string   `json:"outcome"`          // "found", "absent", "failed", "stopped", "done"
	Detail  string   `json:"detail,omitempty"` // the error, the URL, the count
}

// Service is a virtual service with its statistics.
type Service struct {
	Name        string       `json:"name,omitempty"` // of the configuration; "" for a foreign one
	Protocol    string       `json:"protocol"`
	Listen      string       `json:"listen"` // "192.168.4.15:80", "fwmark 7"
	Scheduler   string       `json:"scheduler"`
	Flags       []string     `json:"flags,omitempty"`       // "fallback", "one-packet"
	Persistence string       `json:"persistence,omitempty"` // "6m0s /24 sip"
	RealServers []RealServer `json:"real-servers"`
	Statistics  Statistics   `json:"statistics"`
}

// RealServer is one real server of a Service with its statistics.
type RealServer struct {
	Address             string `json:"address"` // with port
	Forward             string `json:"forward"`
	Weight              uint32 `json:"weight"`
	Configured          uint32 `json:"configured-weight"`
	State               string `json:"state"` // "up", "drained", "disabled", "down"
	Reason              string `json:"reason,omitempty"`
	UpperThreshold      uint32 `json:"upper-threshold,omitempty"`
	LowerThreshold      uint32 `json:"lower-threshold,omitempty"`
	ActiveConnections   uint32 `json:"active-connections"`
	InactiveConnections uint32 `json:"inactive-connections"`

	PersistentConnections uint32 `json:"persistent-connections,omitempty"`

	Statistics Statistics `json:"statistics"`
}

// Statistics are the kernel's 64-bit counters.
type Statistics struct {
	Connections uint64 `json:"connections"`
	InPackets   uint64 `json:"in-packets"`
	OutPackets  uint64 `json:"out-packets"`
	InBytes     uint64 `json:"in-bytes"`
	OutBytes    uint64 `json:"out-bytes"`

	// The present rates, per second.
	ConnectionRate uint64 `json:"connection-rate"`
	InPacketRate   uint64 `json:"in-packet-rate"`
	OutPacketRate  uint64 `json:"out-packet-rate"`
	InByteRate     uint64 `json:"in-byte-rate"`
	OutByteRate    uint64 `json:"out-byte-rate"`
}

// Applied is what became of a configuration.
type Applied struct {
	Plan   []string `json:"plan"`             // as ip, sysctl and ipvsadm commands, in order
	Failed []string `json:"failed,omitempty"` // what the kernel refused, and why
}

// Command is a program of the image to run for an administrator.
type Command struct {
	Argv []string `json:"argv"`
}

// CommandResult is what a Command did. Output is cut at 1 MiB.
type CommandResult struct {
	Stdout string `json:"stdout"`
	Stderr string `json:"stderr"`
	Exit   int    `json:"exit"`
}

// Power is a way to end.
type Power string

// The ways to end.
const (
	Reboot   Power = "reboot"
	PowerOff Power = "poweroff"
)

// Error is how the server says no.
type Error struct {
	Message string   `json:"error"`
	Details []string `json:"details,omitempty"` // for a configuration: one per mistake
	// Word is the index of the word at fault among those of an Edit, plus
	// one; 0: none in particular.
	Word int `json:"word,omitempty"`
	// Conflict tells that somebody else changed what the request builds on.
	Conflict bool `json:"conflict,omitempty"`
	// Exit is the exit status that a command line should end with; 0: 1.
	Exit int `json:"exit,omitempty"`
	// Cause is what the server says no because of, if there is one. It is not
	// sent.
	Cause error `json:"-"`
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Cause }

// Error makes *Error an error.
func (e *Error) Error() string {
	if len(e.Details) == 0 {
		return e.Message
	}
	return e.Message + ": " + strings.Join(e.Details, "; ")
}

// MarshalText renders a Duration as time.Duration does, to the millisecond.
func (d Duration) MarshalText() ([]byte, error) {
	return []byte(time.Duration(d).Round(time.Millisecond).String()), nil
}

// UnmarshalText parses what MarshalText renders.
func (d *Duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	if err != nil {
		return fmt.Errorf("duration: %w", err)
	}
	*d = Duration(v)
	return nil
}

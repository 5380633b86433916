// Package bootconfig finds the bytes of a machine's boot config and says where
// they came from.
//
// It owns the list of sources, their order, and how each is read: the kernel
// command line, the state volume, SMBIOS and fw_cfg, labelled volumes, a second
// initrd, and a URL in the DHCP lease. docs/boot.md is the same list for users.
//
// It must not know what a configuration means: it returns bytes, and whether
// they are a valid configuration is decided by whoever asked. It brings up no
// network itself; a [Network] does that, and only when a URL must be fetched.
package bootconfig

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// ErrNone says that no source has a boot config, or that the kernel command
// line asks for none: the machine goes into maintenance.
var ErrNone = errors.New("no boot config")

// Machine is what Acquire looks at.
type Machine struct {
	// Root is the directory that holds proc, sys, dev and etc: "/" but in tests.
	Root string
	// Mounter opens volumes.
	Mounter Mounter
	// Network is asked for a lease when a source needs one; nil: no network.
	Network Network
	// Authorities verify https servers; nil: the system's.
	Authorities *x509.CertPool
	// Log hears of every step; nil: nobody does.
	Log *slog.Logger
}

// Network gives the machine a connection before it has a configuration.
type Network interface {
	// Connect asks for a lease on every link and returns the first one that
	// arrives. Once it has returned, addresses, routes and name servers of
	// that lease are in use, and stay so.
	Connect(ctx context.Context) (Lease, error)
}

// Lease is what a DHCP server told the machine, as far as it matters here.
type Lease struct {
	ConfigURL string // of the boot config; "": the server names none
	MAC       string // of the link that got the lease: "52:54:00:12:34:56"
	Hostname  string // DHCP option 12
}

// Outcome is how a Step ended.
type Outcome string

// The outcomes of a Step.
const (
	Found   Outcome = "found"   // the boot config is from here
	Absent  Outcome = "absent"  // the source has none
	Failed  Outcome = "failed"  // the source has one, and it cannot be read
	Stopped Outcome = "stopped" // the source asks for maintenance
)

// The sources in their order of precedence, as Step and Result name them.
const (
	CommandLine  = "kernel command line"
	StateVolume  = "state volume"
	SMBIOS       = "SMBIOS"
	FirmwareFile = "fw_cfg"
	Volume       = "volume"
	Initrd       = "initrd"
	DHCPLease    = "DHCP lease"
)

// Step is one source that was tried.
type Step struct {
	Source  string // one of the sources
	Place   string // where in the source: a URL without password, a device and file
	Outcome Outcome
	Detail  string // why it is not Found; "" if it is
	Started time.Time
	Took    time.Duration
}

// Name is the source and the place in it.
func (s Step) Name() string {
	if s.Place == "" {
		return s.Source
	}
	return s.Source + ": " + s.Place
}

// Result is a boot config and how it was found. Its Steps are complete also
// when Acquire fails; the last one is then not Found.
type Result struct {
	Source string // the Name of the step that found it
	Data   []byte // unpacked: not gzip, not empty, at most MaxSize bytes
	Steps  []Step
}

// Acquire tries the sources in order and returns the first boot config there
// is. A source that has one which cannot be read is a Failed step, and the next
// source is tried. With none left the error is ErrNone, and below it one line
// for each Failed step; it is ctx's when ctx ended first.
func Acquire(ctx context.Context, m Machine) (Result, error) {
	if m.Log == nil {
		m.Log = slog.New(slog.DiscardHandler)
	}
	a := newAcquisition(m)
	var result Result
	for _, s := range a.sources() {
		step, data := a.try(ctx, s)
		result.Steps = append(result.Steps, step)
		switch {
		case ctx.Err() != nil:
			return result, fmt.Errorf("boot config: %w", context.Cause(ctx))
		case step.Outcome == Found:
			result.Source, result.Data = step.Name(), data
			return result, nil
		case step.Outcome == Stopped:
			return result, fmt.Errorf("%w: %s: %s", ErrNone, step.Name(), step.Detail)
		}
	}
	return result, none(result.Steps)
}

// none is ErrNone with what is in the way: a boot config that cannot be read is
// more likely the one that was meant than a boot config that nobody made.
func none(steps []Step) error {
	reasons := []error{ErrNone}
	for _, s := range steps {
		if s.Outcome == Failed {
			reasons = append(reasons, fmt.Errorf("%s: %s", s.Name(), s.Detail))
		}
	}
	return errors.Join(reasons...)
}

// acquisition is the state of one Acquire: what was learned once and is used by
// several sources.
type acquisition struct {
	Machine
	fetcher fetcher
	scan    *scan
	lease   *leaseAnswer
}

func newAcquisition(m Machine) *acquisition {
	return &acquisition{
		Machine: m,
		fetcher: newFetcher(m.Authorities, m.Log),
		scan:    &scan{root: m.Root, log: m.Log, started: time.Now()},
	}
}

// source is a place to look and how to look there.
type source struct {
	name string
	find func(context.Context) (finding, error)
}

// finding is what a source has: bytes as they are there, and where. A source
// that fails fills in place as far as it came.
type finding struct {
	place string
	data  []byte
	named bool // somebody named this very place: that it has none is a fault
}

// absentError says that a source has no boot config, which is no fault.
type absentError struct{ reason string }

func (e absentError) Error() string { return e.reason }

// stopError says that a source wants no boot config to be used.
type stopError struct{ reason string }

func (e stopError) Error() string { return e.reason }

func (a *acquisition) sources() []source {
	return []source{
		{CommandLine, a.fromCommandLine},
		{StateVolume, a.fromStateVolume},
		{SMBIOS, a.fromSMBIOS},
		{FirmwareFile, a.fromFirmwareFile},
		{Volume, a.fromVolume},
		{Initrd, a.fromInitrd},
		{DHCPLease, a.fromLease},
	}
}

// try runs one source to its Step, and logs it.
func (a *acquisition) try(ctx context.Context, s source) (Step, []byte) {
	started := time.Now()
	found, err := s.find(ctx)
	var data []byte
	if err == nil {
		data, err = unpack(found.data)
	}
	step := Step{
		Source:  s.name,
		Place:   found.place,
		Outcome: outcomeOf(err, found.named),
		Started: started,
		Took:    time.Since(started),
	}
	if err != nil {
		step.Detail = err.Error()
	}
	a.log(ctx, step)
	return step, data
}

func outcomeOf(err error, named bool) Outcome {
	switch {
	case err == nil:
		return Found
	case errors.As(err, new(absentError)) && !named:
		return Absent
	case errors.As(err, new(stopError)):
		return Stopped
	}
	return Failed
}

// log reports a step: loudly when a boot config is there that cannot be used,
// because the machine may now boot from an older one.
func (a *acquisition) log(ctx context.Context, s Step) {
	level := slog.LevelInfo
	if s.Outcome == Failed {
		level = slog.LevelError
	}
	a.Log.Log(ctx, level, "boot config", "source", s.Name(), "outcome", string(s.Outcome),
		"took", s.Took.Round(10*time.Microsecond), "detail", s.Detail)
}

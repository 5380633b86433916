package ipvsadm

import "strings"

// property is what an option is about. ipvsadm checks and names them in this
// order, and takes each at most once.
type property uint8

// The properties, in ipvsadm's order.
const (
	numeric property = iota
	connection
	serviceAddress
	scheduler
	persistent
	netmask
	realServer
	forwardingMethod
	weight
	upperThreshold
	lowerThreshold
	mcastInterface
	timeout
	daemon
	stats
	rate
	thresholds
	persistentConn
	noSort
	syncID
	exact
	onePacket
	persistenceEngine
	schedulerFlags
	mcastGroup
	mcastPort
	mcastTTL
	syncMaxLength
	tunnelInfo
	tunnelType
	tunnelPort
	tunnelNoChecksum
	tunnelChecksum
	tunnelRemoteChecksum

	asJSON   // not in ipvsadm
	complete // not in ipvsadm

	properties
	none // options that may stand anywhere, any number of times
)

// propertyNames are the names in messages.
var propertyNames = [properties]string{
	"numeric", "connection", "service-address", "scheduler", "persistent", "netmask", "real-server",
	"forwarding-method", "weight", "u-threshold", "l-threshold", "mcast-interface", "timeout", "daemon",
	"stats", "rate", "thresholds", "persistent-conn", "nosort", "syncid", "exact", "ops", "pe",
	"sched-flags", "mcast-group", "mcast-port", "mcast-ttl", "sync-maxlen", "tun-info", "tun-type",
	"tun-port", "tun-nocsum", "tun-csum", "tun-remcsum", "json", "all",
}

// set is a set of properties.
type set uint64

func of(members ...property) set {
	var s set
	for _, m := range members {
		s |= 1 << m
	}
	return s
}

func (s set) has(p property) bool { return s&(1<<p) != 0 }

// argument tells whether an option takes one.
type argument uint8

const (
	without argument = iota
	required
	optional // what follows, unless it begins with a dash
)

// option is one that ipvsadm knows. Those that are commands count only as the
// first of a command line.
type option struct {
	long     string
	short    byte
	argument argument
	property property
	command  Kind
	take     func(*parser, value) *Error
}

// value is the argument of an option. None is not the same as an empty one.
type value struct {
	text  string
	given bool
}

// options in the order in which they are looked up.
var options = [...]option{
	{long: "add-service", short: 'A', command: AddService},
	{long: "edit-service", short: 'E', command: EditService},
	{long: "delete-service", short: 'D', command: DeleteService},
	{long: "clear", short: 'C', command: Clear},
	{long: "list", short: 'L', command: List},
	{long: "list", short: 'l', command: List},
	{long: "zero", short: 'Z', command: Zero},
	{long: "add-server", short: 'a', command: AddRealServer},
	{long: "edit-server", short: 'e', command: EditRealServer},
	{long: "delete-server", short: 'd', command: DeleteRealServer},
	{long: "set", command: SetTimeouts},
	{long: "help", short: 'h', command: Help},
	{long: "version", short: 'v', command: Version},
	{long: "restore", short: 'R', command: Restore},
	{long: "save", short: 'S', command: Save},
	{long: "start-daemon", argument: required, command: StartDaemon},
	{long: "stop-daemon", argument: required, command: StopDaemon},

	{long: "tcp-service", short: 't', argument: required, property: serviceAddress, take: (*parser).takeTCP},
	{long: "udp-service", short: 'u', argument: required, property: serviceAddress, take: (*parser).takeUDP},
	{long: "sctp-service", argument: required, property: serviceAddress, take: (*parser).takeSCTP},
	{long: "fwmark-service", short: 'f', argument: required, property: serviceAddress, take: (*parser).takeFWMark},
	{long: "scheduler", short: 's', argument: required, property: scheduler, take: (*parser).takeScheduler},
	{long: "persistent", short: 'p', argument: optional, property: persistent, take: (*parser).takePersistent},
	{long: "netmask", short: 'M', argument: required, property: netmask, take: (*parser).takeNetmask},
	{long: "real-server", short: 'r', argument: required, property: realServer, take: (*parser).takeRealServer},
	{long: "masquerading", short: 'm', property: forwardingMethod, take: (*parser).takeNAT},
	{long: "ipip", short: 'i', property: forwardingMethod, take: (*parser).takeTUN},
	{long: "gatewaying", short: 'g', property: forwardingMethod, take: (*parser).takeDR},
	{long: "weight", short: 'w', argument: required, property: weight, take: (*parser).takeWeight},
	{long: "u-threshold", short: 'x', argument: required, property: upperThreshold, take: (*parser).takeUpperThreshold},
	{long: "l-threshold", short: 'y', argument: required, property: lowerThreshold, take: (*parser).takeLowerThreshold},
	{long: "numeric", short: 'n', property: numeric},
	{long: "connection", short: 'c', property: connection},
	{long: "mcast-interface", argument: required, property: mcastInterface, take: (*parser).takeInterface},
	{long: "syncid", argument: required, property: syncID, take: (*parser).takeSyncID},
	{long: "timeout", property: timeout},
	{long: "daemon", property: daemon},
	{long: "stats", property: stats},
	{long: "rate", property: rate},
	{long: "thresholds", property: thresholds},
	{long: "persistent-conn", property: persistentConn},
	{long: "nosort", property: noSort},
	{long: "sort", property: none},
	{long: "exact", short: 'X', property: exact},
	{long: "ipv6", short: '6', property: none, take: (*parser).takeIPv6},
	{long: "ops", short: 'o', property: onePacket},
	{long: "pe", argument: required, property: persistenceEngine, take: (*parser).takeEngine},
	{long: "sched-flags", short: 'b', argument: required, property: schedulerFlags, take: (*parser).takeSchedulerFlags},
	{long: "mcast-group", argument: required, property: mcastGroup, take: (*parser).takeGroup},
	{long: "mcast-port", argument: required, property: mcastPort, take: (*parser).takeMcastPort},
	{long: "mcast-ttl", argument: required, property: mcastTTL, take: (*parser).takeTTL},
	{long: "sync-maxlen", argument: required, property: syncMaxLength, take: (*parser).takeMaxLength},
	{long: "tun-info", property: tunnelInfo},
	{long: "tun-type", argument: required, property: tunnelType, take: (*parser).takeTunnelType},
	{long: "tun-port", argument: required, property: tunnelPort, take: (*parser).takeTunnelPort},
	{long: "tun-nocsum", property: tunnelNoChecksum},
	{long: "tun-csum", property: tunnelChecksum, take: (*parser).takeChecksum},
	{long: "tun-remcsum", property: tunnelRemoteChecksum, take: (*parser).takeRemoteChecksum},
	{long: "json", property: asJSON},
	{long: "all", property: complete},
}

func longOption(name string) *option {
	for i := range options {
		if options[i].long == name {
			return &options[i]
		}
	}
	return nil
}

func shortOption(letter byte) *option {
	for i := range options {
		if options[i].short == letter && letter != 0 {
			return &options[i]
		}
	}
	return nil
}

// scanner takes a command line apart as popt does: options and operands in any
// order, letters bundled, an argument beside its letter or after "=", no
// abbreviated long names, and "--" before what is never an option.
type scanner struct {
	words    []string
	next     int
	letters  string // what is left of a bundle
	rest     bool   // after "--"
	operands []string
}

// word is the one last looked at, as messages quote it.
func (s *scanner) word() string {
	if s.next == 0 {
		return ""
	}
	return s.words[s.next-1]
}

// option returns the next option, nil after the last.
func (s *scanner) option() (*option, value, *Error) {
	o, inline, err := s.find()
	if o == nil || err != nil {
		return nil, value{}, err
	}
	if o.argument == without {
		if inline.given || strings.HasPrefix(s.letters, "=") {
			return nil, value{}, s.bad("option does not take an argument")
		}
		return o, value{}, nil
	}
	argument, err := s.argument(o, inline)
	return o, argument, err
}

// find returns the next option and what stands after "=" in a long one.
func (s *scanner) find() (*option, value, *Error) {
	for s.letters == "" {
		if s.next == len(s.words) {
			return nil, value{}, nil
		}
		word := s.words[s.next]
		s.next++
		switch {
		case s.rest || len(word) < 2 || word[0] != '-':
			s.operands = append(s.operands, word)
		case word == "--":
			s.rest = true
		case word[1] == '-':
			name, text, inline := strings.Cut(word[2:], "=")
			if o := longOption(name); o != nil {
				return o, value{text, inline}, nil
			}
			return nil, value{}, s.bad("unknown option")
		default:
			s.letters = word[1:]
		}
	}
	o := shortOption(s.letters[0])
	if o == nil {
		return nil, value{}, s.bad("unknown option")
	}
	s.letters = s.letters[1:]
	return o, value{}, nil
}

// argument returns the argument of o: what stands after "=", else what is left
// of its word, else the next word.
func (s *scanner) argument(o *option, inline value) (value, *Error) {
	if inline.given {
		return inline, nil
	}
	if s.letters != "" {
		text := strings.TrimPrefix(s.letters, "=")
		s.letters = ""
		return value{text, true}, nil
	}
	if s.next == len(s.words) {
		if o.argument == optional {
			return value{}, nil
		}
		return value{}, s.bad("missing argument")
	}
	if o.argument == optional && strings.HasPrefix(s.words[s.next], "-") {
		return value{}, nil
	}
	s.next++
	return value{s.words[s.next-1], true}, nil
}

// bad is what popt says, and ipvsadm's status for it.
func (s *scanner) bad(problem string) *Error {
	return &Error{Status: StatusRefused, Message: s.word() + ": " + problem}
}

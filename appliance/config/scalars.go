package config

import (
	"fmt"
	"math"
	"net"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The limits of single values.
const (
	minMTU       = 576 // RFC 791: what every IPv4 host must accept
	maxMTU       = 65535
	maxWeight    = math.MaxInt32 // ip_vs_ctl.c: weights are a signed 32-bit number
	maxGenerated = 1 << 40       // bytes of generated text: 1 TiB lasts for any test

	defaultScheduler = "wlc"
	defaultBondMode  = "active-backup" // the one that needs nothing from the switch
	defaultMIIMon    = 100 * time.Millisecond
	defaultWeight    = 1

	MaxPersistence     = 31 * 24 * time.Hour // ipvsadm's bound (ipvsadm.c, MAX_TIMEOUT)
	defaultPersistence = 6 * time.Minute     // ipvsadm's and keepalived's
)

// schedulers are the schedulers of Linux 6.12's IPVS (net/netfilter/ipvs,
// ip_vs_<name>.c), and "none", which chooses nobody (ip_vs_ctl.c,
// ip_vs_add_service).
func schedulers() []string {
	return []string{"rr", "wrr", "lc", "wlc", "sed", "nq", "lblc", "lblcr", "dh", "sh", "mh", "fo", "ovf", "twos", "none"}
}

// schedulerFlags are all words that scheduler-flags can hold.
func schedulerFlags() []string { return []string{"fallback", "port", "flag-1", "flag-2", "flag-3"} }

// flagsOf are the three flags of a scheduler by their names.
func flagsOf(scheduler string) [3]string {
	if hashes(scheduler) {
		return [3]string{"fallback", "port", "flag-3"}
	}
	return [3]string{"flag-1", "flag-2", "flag-3"}
}

// hashes says that a scheduler sends a client where its address hashes to.
func hashes(scheduler string) bool { return scheduler == "sh" || scheduler == "mh" }

// flagSynonyms are ipvsadm's names.
func flagSynonyms() map[string]string {
	return map[string]string{"sh-fallback": "fallback", "mh-fallback": "fallback", "sh-port": "port", "mh-port": "port"}
}

// protocols are all that IPVS balances.
func protocols() []Protocol { return []Protocol{TCP, UDP, SCTP, AH, ESP} }

// bondModes are the modes of the bonding driver (Documentation/networking/bonding.rst).
func bondModes() []string {
	return []string{"active-backup", "802.3ad", "balance-rr", "balance-xor", "balance-tlb", "balance-alb", "broadcast"}
}

// forwardSynonyms are what other tools call the forwarding methods.
func forwardSynonyms() map[string]string {
	return map[string]string{
		"masq": "nat", "masquerade": "nat", "masquerading": "nat",
		"route": "dr", "gateway": "dr", "gatewaying": "dr", "direct": "dr", "droute": "dr", "direct-routing": "dr",
		"tunnel": "tun", "tunneling": "tun", "tunnelling": "tun", "ipip": "tun", "gue": "tun", "gre": "tun",
	}
}

// choice reads one of some words. Synonyms are hinted at, not accepted: one
// thing has one name in a configuration.
func choice[T ~string](what string, synonyms map[string]string, allowed ...T) scalarType[T] {
	names := make([]string, len(allowed))
	for i, word := range allowed {
		names[i] = string(word)
	}
	chosen := typed(TypeChoice, names[0], oneOf[T](what, synonyms, names))
	chosen.about.Allowed = names
	return chosen
}

func oneOf[T ~string](what string, synonyms map[string]string, names []string) scalarParser[T] {
	expected := "one of " + strings.Join(names, ", ")
	return func(n *node) (T, *fault) {
		if n.class == nullScalar {
			return "", &fault{problem: "is empty", expected: expected}
		}
		if slices.Contains(names, n.text) {
			return T(n.text), nil
		}
		hint := suggest(n.text, names)
		if meant, known := synonyms[strings.ToLower(n.text)]; known {
			hint = fmt.Sprintf("here it is called %q", meant)
		}
		return "", &fault{fmt.Sprintf("unknown %s %q", what, clip(n.text)), expected, hint}
	}
}

// text reads what must be text to YAML, so that nothing is guessed.
func text(expected string) scalarType[string] {
	return typed(TypeText, "text", func(n *node) (string, *fault) {
		switch n.class {
		case nullScalar:
			return "", &fault{problem: "is empty", expected: expected, hint: `an empty text is written ""`}
		case textScalar, quotedScalar:
			return n.text, nil
		}
		return "", &fault{fmt.Sprintf("%s is %s to YAML", clip(n.text), n.class), expected, "put it in quotes"}
	})
}

// word reads a name that must not be empty.
func word(expected string) scalarType[string] {
	return typed(TypeWord, "", func(n *node) (string, *fault) {
		if n.class == nullScalar || n.text == "" {
			return "", &fault{problem: "is empty", expected: expected}
		}
		return n.text, nil
	})
}

// truth is the type of true and false.
func truth() scalarType[bool] { return typed(TypeBoolean, "true", boolean) }

func boolean(n *node) (bool, *fault) {
	const expected = "true or false"
	switch {
	case n.class == nullScalar:
		return false, &fault{problem: "is empty", expected: expected}
	case n.class == booleanScalar && (n.text == "true" || n.text == "false"):
		return n.text == "true", nil
	}
	return false, &fault{fmt.Sprintf("unknown value %q", clip(n.text)), expected, booleanHint(n)}
}

func booleanHint(n *node) string {
	switch strings.ToLower(n.text) {
	case "true", "yes", "on", "1":
		return "write true, without quotes"
	case "false", "no", "off", "0":
		return "write false, without quotes"
	}
	return ""
}

// integer reads a decimal number between two bounds.
func integer(what string, low, high int) scalarType[int] {
	number := typed(TypeNumber, strconv.Itoa(low), integerParser(what, low, high))
	number.about.Low, number.about.High = strconv.Itoa(low), strconv.Itoa(high)
	if _, unit, found := strings.Cut(what, " in "); found {
		number.about.Unit = unit
	}
	return number
}

func integerParser(what string, low, high int) scalarParser[int] {
	return func(n *node) (int, *fault) {
		value, wrong := integerOf(n, low, high)
		if wrong != nil {
			wrong.expected = fmt.Sprintf("%s from %d to %d", what, low, high)
		}
		return value, wrong
	}
}

// integerOf reads a whole number. Its fault does not say what was expected.
func integerOf(n *node, low, high int) (int, *fault) {
	switch {
	case n.class == nullScalar:
		return 0, &fault{problem: "is empty"}
	case n.class == quotedScalar && decimal(n.text):
		return 0, &fault{problem: fmt.Sprintf("%q is text", clip(n.text)), hint: "remove the quotes"}
	case !decimal(n.text):
		return 0, &fault{problem: fmt.Sprintf("%q is no whole decimal number", clip(n.text))}
	}
	value, err := strconv.Atoi(n.text)
	if err != nil || value < low || value > high { // err: out of an int's range
		return 0, &fault{problem: fmt.Sprintf("%s is out of range", clip(n.text))}
	}
	return value, nil
}

// decimal holds for plain decimal numbers: no sign but a minus, no zeros in
// front, no underscores. What reads differently to a person and to a program,
// like 010, is no number here.
func decimal(text string) bool {
	digits := strings.TrimPrefix(text, "-")
	if digits == "" || strings.Trim(digits, "0123456789") != "" {
		return false
	}
	return len(digits) == 1 || digits[0] != '0'
}

// servicePort reads the port of a virtual service or a real server.
func servicePort(n *node) (int, *fault) {
	if n.text == "0" {
		return 0, &fault{problem: "port 0 means every port", expected: "a port from 1 to 65535", hint: "for every port, leave it out"}
	}
	return port(n)
}

// destinationPort reads a real server's port; 0 is the one that the client
// asked for.
func destinationPort(n *node) (int, *fault) {
	return integerParser("a port", 0, 65535)(n)
}

func port(n *node) (int, *fault) {
	return integerParser("a port", 1, 65535)(n)
}

// duration reads a time with its unit.
func duration(what string, low, high, step time.Duration) scalarType[time.Duration] {
	timed := typed(TypeDuration, durationText(max(low, step)), durationParser(what, low, high, step))
	timed.about.Low, timed.about.High = durationText(low), durationText(high)
	return timed
}

func durationParser(what string, low, high, step time.Duration) scalarParser[time.Duration] {
	expected := fmt.Sprintf("%s with its unit from %s to %s", what, durationText(low), durationText(high))
	return func(n *node) (time.Duration, *fault) {
		switch {
		case n.class == nullScalar:
			return 0, &fault{problem: "is empty", expected: expected}
		case decimal(n.text):
			return 0, &fault{fmt.Sprintf("%s has no unit", clip(n.text)), expected, fmt.Sprintf("write %sms or %ss", clip(n.text), clip(n.text))}
		}
		value, err := time.ParseDuration(n.text)
		if err != nil {
			return 0, &fault{problem: fmt.Sprintf("%q is no time", clip(n.text)), expected: expected, hint: "units are ms, s, m and h"}
		}
		if value < low || value > high {
			return 0, &fault{problem: fmt.Sprintf("%s is out of range", clip(n.text)), expected: expected}
		}
		if value%step != 0 {
			return 0, &fault{problem: fmt.Sprintf("%s is no multiple of %s", clip(n.text), durationText(step)), expected: expected}
		}
		return value, nil
	}
}

// durationText writes a time without parts that are zero: 15m, 1h30m, 0s.
func durationText(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

func itoa(n int) string { return strconv.Itoa(n) }

// hostname checks RFC 1123 section 2.1: letters, digits and hyphens in labels
// of 63 characters, and the kernel's limit of 64 for the whole
// (__NEW_UTS_LEN).
func hostname(n *node) (string, *fault) {
	const expected = "a host name of letters, digits and hyphens such as lb1 or lb1.example.net"
	switch {
	case n.class == nullScalar || n.text == "":
		return "", &fault{problem: "is empty", expected: expected}
	case len(n.text) > 64:
		return "", &fault{problem: fmt.Sprintf("has %d characters", len(n.text)), expected: expected, hint: "the kernel takes at most 64"}
	}
	for label := range strings.SplitSeq(n.text, ".") {
		if problem := badLabel(label); problem != "" {
			return "", &fault{fmt.Sprintf("%q %s", clip(n.text), problem), expected, ""}
		}
	}
	return n.text, nil
}

func badLabel(label string) string {
	switch {
	case label == "":
		return "has an empty part between its dots"
	case len(label) > 63:
		return "has a part of more than 63 characters"
	case label[0] == '-' || label[len(label)-1] == '-':
		return "has a part that begins or ends with a hyphen"
	}
	for _, r := range label {
		if !isLetterOrDigit(r) && r != '-' {
			return fmt.Sprintf("has the character %q", r)
		}
	}
	return ""
}

func isLetterOrDigit(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9'
}

// serviceName checks the name of a virtual service: a word that needs no
// quotes in a command line and no escape in a path.
func serviceName(name string) *fault {
	const expected = "a name of letters, digits, -, _ and . such as web or dns-udp"
	switch {
	case name == "" || len(name) > 63:
		return &fault{problem: fmt.Sprintf("a name of %d characters", len(name)), expected: expected, hint: "at most 63"}
	case !isLetterOrDigit(rune(name[0])):
		return &fault{problem: fmt.Sprintf("the name %q begins with %q", clip(name), []rune(name)[0]), expected: expected}
	}
	for _, r := range name {
		if !isLetterOrDigit(r) && !strings.ContainsRune("-_.", r) {
			return &fault{problem: fmt.Sprintf("the name %q has the character %q", clip(name), r), expected: expected}
		}
	}
	return nil
}

// interfaceName checks what the kernel takes as a link's name (dev_valid_name,
// net/core/dev.c), less what would need quotes, and keeps the names that exist
// in every machine.
func interfaceName(name string) *fault {
	const expected = "an interface name of up to 15 letters, digits, -, _ and . such as eth0 or bond0.100"
	switch {
	case name == "" || len(name) > 15:
		return &fault{problem: fmt.Sprintf("a name of %d characters", len(name)), expected: expected}
	case name == "." || name == "..":
		return &fault{problem: fmt.Sprintf("the name %q", name), expected: expected}
	case reservedLink(name) != "":
		return &fault{problem: fmt.Sprintf("the name %q is taken", name), hint: reservedLink(name)}
	}
	for _, r := range name {
		if !isLetterOrDigit(r) && !strings.ContainsRune("-_.", r) {
			return &fault{problem: fmt.Sprintf("the name %q has the character %q", clip(name), r), expected: expected}
		}
	}
	return nil
}

// reservedLink says why an interface cannot have a name.
func reservedLink(name string) string {
	switch name {
	case "lo":
		return "the loopback interface is set up by itself; a real server's VIPs belong below virtual-addresses"
	case "all", "default":
		return "the kernel's settings use it for every interface"
	case "bonding_masters":
		return "the bonding driver uses it"
	case "tunl0", "ip6tnl0", "gre0", "gretap0", "erspan0", "ip6gre0", "sit0", "ip6_vti0", "ip_vti0":
		return "the kernel's tunnel device has it; tunnels are set up by forward: tun"
	}
	return ""
}

func macAddress(n *node) (string, *fault) {
	const expected = "a MAC address such as 52:54:00:12:34:56"
	if n.class == nullScalar {
		return "", &fault{problem: "is empty", expected: expected}
	}
	mac, err := net.ParseMAC(n.text)
	if err != nil || len(mac) != 6 {
		return "", &fault{problem: fmt.Sprintf("%q is no MAC address", clip(n.text)), expected: expected}
	}
	if mac[0]&1 != 0 || mac.String() == "00:00:00:00:00:00" {
		return "", &fault{problem: fmt.Sprintf("%s is no card's own address", mac), expected: expected}
	}
	return mac.String(), nil
}

func driverName(n *node) (string, *fault) {
	const expected = "the name of a network driver such as virtio_net or ixgbe"
	if n.class == nullScalar || n.text == "" {
		return "", &fault{problem: "is empty", expected: expected}
	}
	for _, r := range n.text {
		if !isLetterOrDigit(r) && r != '_' && r != '-' {
			return "", &fault{problem: fmt.Sprintf("%q has the character %q", clip(n.text), r), expected: expected}
		}
	}
	if len(n.text) > 31 { // ethtool_drvinfo.driver has 32 bytes with its end
		return "", &fault{problem: fmt.Sprintf("%q is too long for a driver", clip(n.text)), expected: expected}
	}
	return n.text, nil
}

func absolutePath(n *node) (string, *fault) {
	const expected = "the absolute path of a file"
	if n.class == nullScalar || n.text == "" {
		return "", &fault{problem: "is empty", expected: expected}
	}
	if !path.IsAbs(n.text) || strings.ContainsRune(n.text, 0) || strings.HasSuffix(n.text, "/") {
		return "", &fault{problem: fmt.Sprintf("%q is no absolute path of a file", clip(n.text)), expected: expected}
	}
	return path.Clean(n.text), nil
}

package config

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Settings are the kernel's settings of IPVS (net/ipv4/vs), in the order of
// the reference: those that the configuration gives or that have a default
// here. What the kernel computes by itself and nobody gave is not among them.
type Settings []Setting

// Setting is one of them, in the configuration's words: "drop-entry",
// "automatic".
type Setting struct {
	Name, Value string
}

// Value returns a setting's value in the configuration's words, "" when the
// kernel's own stays.
func (s Settings) Value(name string) string {
	for _, setting := range s {
		if setting.Name == name {
			return setting.Value
		}
	}
	return ""
}

// Sysctl is a setting as the kernel takes it.
type Sysctl struct {
	Path  string // below /proc/sys: "net/ipv4/vs/drop_entry"
	Value string // "1"
	// Also is a value that the kernel makes of Value by itself, "" when it
	// makes none.
	Also string
	// Needed is false for what the kernel has only with certain options or
	// schedulers.
	Needed bool
}

// Sysctls returns the settings as the kernel takes them.
func (s Settings) Sysctls() []Sysctl {
	var all []Sysctl
	for _, row := range settingRows() {
		value := s.Value(row.name)
		if value == "" {
			continue
		}
		path := "net/ipv4/vs/" + row.sysctl
		if last := len(all) - 1; last >= 0 && all[last].Path == path {
			all[last].Value += " " + row.kernel(value) // sync_threshold holds two
			continue
		}
		all = append(all, Sysctl{Path: path, Value: row.kernel(value), Also: row.also(value), Needed: row.usual != "" && row.kind != loadedSetting})
	}
	return all
}

// settingKind is how a setting is written here and in the kernel.
type settingKind int

const (
	flagSetting   settingKind = iota // true or false: 1 or 0
	countSetting                     // a number
	timeSetting                      // a time: whole seconds
	levelSetting                     // off, automatic, always: 0, 1 (the kernel turns it to 2 and back), 3
	cpuSetting                       // a list of processors: 0-3,8
	loadedSetting                    // a time whose sysctl is there only while its scheduler is in use
)

// settingRow is one row of the table of settings.
type settingRow struct {
	name, help string
	sysctl     string // below net/ipv4/vs
	kind       settingKind
	what       string // of numbers
	low, high  int    // of numbers; of times in seconds
	usual      string // the default, in the configuration's words; "": the kernel's value stays
}

// numberOfSettings is how many rows there are.
const numberOfSettings = 32

// settingRows are all settings of Linux 6.12 (net/netfilter/ipvs, vs_vars in
// ip_vs_ctl.c, vs_vars_table in ip_vs_lblc.c and ip_vs_lblcr.c) but
// debug_level, which is for the kernel's developers.
func settingRows() []settingRow {
	const day = 24 * 60 * 60
	flag := func(name, sysctl, usual, help string) settingRow {
		return settingRow{name: name, sysctl: sysctl, usual: usual, help: help}
	}
	level := func(name, sysctl, help string) settingRow {
		return settingRow{name: name, sysctl: sysctl, usual: "off", help: help, kind: levelSetting}
	}
	return []settingRow{
		flag("expire-nodest-conn", "expire_nodest_conn", "true", "end the connections of a real server that is deleted at once"),
		flag("expire-quiescent-template", "expire_quiescent_template", "true", "let persistent clients leave a real server of weight 0"),
		{name: "conn-reuse-mode", sysctl: "conn_reuse_mode", usual: "1", kind: countSetting, what: "a number", high: 3,
			help: "when a client's port is used again: 0 the old real server, 1 a new choice, 2 also while the old connection closes"},
		flag("conntrack", "conntrack", "false", "track balanced connections, as stateful filters need"),
		flag("snat-reroute", "snat_reroute", "true", "choose the way of replies anew after NAT"),
		flag("nat-icmp-send", "nat_icmp_send", "false", "answer real servers' packets without a connection with ICMP"),
		flag("schedule-icmp", "schedule_icmp", "false", "balance ICMP errors of unknown connections"),
		flag("ignore-tunneled", "ignore_tunneled", "false", "leave tunnelled packets to the machine itself"),
		flag("pmtu-disc", "pmtu_disc", "true", "respect do-not-fragment in tunnels"),
		flag("sloppy-tcp", "sloppy_tcp", "false", "take TCP connections from their middle"),
		flag("sloppy-sctp", "sloppy_sctp", "false", "take SCTP associations from their middle"),
		flag("cache-bypass", "cache_bypass", "false", "send to the origin when no cache is there"),
		flag("backup-only", "backup_only", "false", "balance nothing while the backup daemon runs"),
		level("drop-entry", "drop_entry", "drop half-open connections: off, automatic when memory runs short, always"),
		level("drop-packet", "drop_packet", "drop every n-th packet: off, automatic when memory runs short, always"),
		level("secure-tcp", "secure_tcp", "stricter TCP states: off, automatic when memory runs short, always"),
		{name: "memory-threshold", sysctl: "amemthresh", usual: "1024", kind: countSetting, what: "free memory in pages", high: maxWeight,
			help: "below how much free memory automatic defences begin"},
		{name: "drop-rate", sysctl: "am_droprate", usual: "10", kind: countSetting, what: "a rate", low: 1, high: maxWeight,
			help: "of how many packets drop-packet: always drops one"},
		{name: "sync-threshold", sysctl: "sync_threshold", usual: "3", kind: countSetting, what: "a number of packets", high: maxWeight,
			help: "after how many packets a connection is synchronised first"},
		{name: "sync-period", sysctl: "sync_threshold", usual: "50", kind: countSetting, what: "a number of packets", high: maxWeight,
			help: "after how many packets a connection is synchronised again; 0: never"},
		{name: "sync-refresh", sysctl: "sync_refresh_period", usual: "0s", kind: timeSetting, high: day,
			help: "synchronise connections anew after this time; 0s: by packets alone"},
		{name: "sync-retries", sysctl: "sync_retries", usual: "0", kind: countSetting, what: "a number", high: 3,
			help: "how often a refresh is repeated"},
		{name: "sync-ports", sysctl: "sync_ports", usual: "1", kind: countSetting, what: "a number of ports, a power of two,", low: 1, high: 64,
			help: "threads and UDP ports of a sync daemon; fixed while it runs"},
		flag("sync-persist-mode", "sync_persist_mode", "false", "synchronise only the templates of persistent services"),
		{name: "sync-queue", sysctl: "sync_qlen_max", kind: countSetting, what: "a number of messages", low: 1, high: maxWeight,
			help: "how many sync messages may wait"},
		{name: "sync-socket", sysctl: "sync_sock_size", usual: "0", kind: countSetting, what: "a buffer in bytes", high: maxWeight,
			help: "socket buffer of the sync daemons; 0: the kernel's"},
		{name: "sync-version", sysctl: "sync_version", usual: "1", kind: countSetting, what: "a version", high: 1,
			help: "protocol of synchronisation; 0 is for directors before Linux 2.6.39"},
		flag("run-estimation", "run_estimation", "true", "compute rates"),
		{name: "estimation-cpus", sysctl: "est_cpulist", kind: cpuSetting, help: "the processors that compute rates"},
		{name: "estimation-nice", sysctl: "est_nice", usual: "0", kind: countSetting, what: "a niceness", low: -20, high: 19,
			help: "the niceness of the threads that compute rates"},
		{name: "lblc-expiration", sysctl: "lblc_expiration", usual: "24h", kind: loadedSetting, low: 1, high: 365 * day,
			help: "lblc: how long an unused destination is remembered"},
		{name: "lblcr-expiration", sysctl: "lblcr_expiration", usual: "24h", kind: loadedSetting, low: 1, high: 365 * day,
			help: "lblcr: how long an unused destination is remembered"},
	}
}

// valueType is how a setting's value is read: into the canonical form of the
// configuration's words.
func (r settingRow) valueType() scalarType[string] {
	var read scalarType[string]
	switch r.kind {
	case flagSetting:
		read = asText(truth(), strconv.FormatBool)
	case countSetting:
		read = asText(integer(r.what, r.low, r.high), strconv.Itoa)
	case timeSetting, loadedSetting:
		second := time.Second
		read = asText(duration("a time", time.Duration(r.low)*second, time.Duration(r.high)*second, second), durationText)
	case levelSetting:
		read = choice[string]("level", nil, "off", "automatic", "always")
	case cpuSetting:
		read = typed(TypeWord, "0-3,8", cpuList)
	}
	if r.usual == "" {
		return read.otherwise("the kernel's")
	}
	return read.otherwise(r.usual)
}

// asText keeps of a value how it is written.
func asText[T any](of scalarType[T], text func(T) string) scalarType[string] {
	return scalarType[string]{about: of.about, parse: func(n *node) (string, *fault) {
		value, bad := of.parse(n)
		if bad != nil {
			return "", bad
		}
		return text(value), nil
	}}
}

// kernel gives a value as the kernel takes and shows it.
func (r settingRow) kernel(value string) string {
	switch {
	case value == "true", value == "automatic":
		return "1"
	case value == "false", value == "off":
		return "0"
	case value == "always":
		return "3"
	case r.kind == timeSetting, r.kind == loadedSetting:
		wait, err := time.ParseDuration(value)
		if err != nil {
			panic(fmt.Sprintf("BUG: config: setting %s with the value %q", r.name, value))
		}
		return strconv.Itoa(int(wait / time.Second))
	}
	return value
}

// also gives what the kernel makes of a value by itself (ip_vs_ctl.c,
// update_defense_level): automatic is 1 in rest and 2 at work.
func (r settingRow) also(value string) string {
	if r.kind == levelSetting && value == "automatic" {
		return "2"
	}
	return ""
}

// fileSettings are the settings as they are written, in the table's order.
type fileSettings struct {
	values [numberOfSettings]field[string]
}

func (s *fileSettings) keys() []key {
	var keys []key
	for i, row := range settingRows() {
		keys = append(keys, key{row.name, row.help, scalar(&s.values[i], row.valueType())})
	}
	return keys
}

// resolveSettings fills in the defaults and checks what hangs together.
func (r *resolver) resolveSettings(raw field[fileSettings]) Settings {
	var settings Settings
	given := make(map[string]field[string])
	for i, row := range settingRows() {
		value := or(raw.value.values[i], row.usual)
		given[row.name] = raw.value.values[i]
		if value != "" {
			settings = append(settings, Setting{row.name, value})
		}
	}
	number := func(name string) int {
		n, _ := strconv.Atoi(settings.Value(name)) // what could not be read is reported already, and 0 here
		return n
	}
	if at := given["sync-ports"]; at.valid && number("sync-ports")&(number("sync-ports")-1) != 0 {
		r.report(at.at, fault{problem: at.value + " is no power of two", expected: "1, 2, 4, 8, 16, 32 or 64"})
	}
	threshold, period := number("sync-threshold"), number("sync-period")
	at := given["sync-threshold"]
	if !at.given {
		at = given["sync-period"]
	}
	if at.valid && period != 0 && threshold >= period {
		r.report(at.at, fault{problem: fmt.Sprintf("sync-threshold %d is not below sync-period %d", threshold, period),
			hint: "the kernel counts packets up to sync-period and sends at sync-threshold"})
	}
	return settings
}

// cpuList reads processors as the kernel writes them: 0-3,8.
func cpuList(n *node) (string, *fault) {
	const expected = "a list of processors such as 0 or 0-3,8"
	if n.class == nullScalar || n.text == "" {
		return "", &fault{problem: "is empty", expected: expected}
	}
	next := 0
	for part := range strings.SplitSeq(n.text, ",") {
		from, to, isRange := strings.Cut(part, "-")
		if !isRange {
			to = from
		}
		first, err1 := strconv.Atoi(from)
		last, err2 := strconv.Atoi(to)
		if err1 != nil || err2 != nil || !decimal(from) || !decimal(to) || first < next || last < first || last > 8191 {
			return "", &fault{problem: fmt.Sprintf("%q is no list of processors", clip(n.text)), expected: expected, hint: "in ascending order"}
		}
		next = last + 1
	}
	return n.text, nil
}

// outline gives the settings that are not as they are by default.
func (s Settings) outline() outline {
	o := outline{name: "settings", form: mapping}
	for _, row := range settingRows() {
		if value := s.Value(row.name); value != row.usual && value != "" {
			written := value
			if row.kind == cpuSetting {
				written = strconv.Quote(value)
			}
			o.children = append(o.children, outline{name: row.name, value: written})
		}
	}
	return o
}

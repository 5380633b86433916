package pid1

import "time"

// Options are what PID 1 is to do with a machine. Machine answers those of
// the real one; tests leave out what would reach beyond their namespaces.
type Options struct {
	// Executables are paths of our own program, the first that starts is
	// taken. A child finds its name in argv[0].
	Executables []string
	Children    []Child
	// HeadStart is how long the vital child has the machine for itself, unless it
	// says before that it is up: the rest would take its processor.
	HeadStart time.Duration
	Env       []string // of the children, beside PID 1's own

	Mounts     []Mount // needed by the children
	LateMounts []Mount // slow with some firmware, and needed by nobody at once
	Sysctls    []Sysctl
	LogSysctls []Sysctl // before the first line goes to the kernel's log
	SysctlDir  string   // "/proc/sys"
	Hostname   string   // until the configuration gives one; "": leave
	OpenFiles  uint64   // limit of open files for the children; 0: leave

	RunDir    string // log and boot steps; below a mount of Mounts
	KernelLog string // "/dev/kmsg"
	PstoreDir string // "": do not look

	WatchdogDir     string // "/sys/class/watchdog"; "": none
	WatchdogTimeout time.Duration
	Heartbeat       Heartbeat
	PowerButton     bool

	Deadlines Deadlines
}

// Child is one of PID 1's children.
type Child struct {
	Name string
	Args []string // behind the name
	// Vital marks the control plane: it has a line, beats on it, is killed
	// when it freezes, and is asked to withdraw the VIPs when the machine ends.
	Vital bool
	// OOMScore is written to oom_score_adj: whom the kernel kills first when
	// memory is short, from -1000, never, to 1000.
	OOMScore int
	// Nice is how far the child stands back from others who want the processor,
	// 0 to 19.
	Nice int
}

// Heartbeat is how long the control plane may be silent, counted in ticks.
type Heartbeat struct {
	Tick     time.Duration
	Freeze   int // silence after which it is asked for its goroutines and to end
	Kill     int // silence after which it is killed
	Patience int // silence after which the watchdog is not petted any more
}

// Deadlines bound the steps of a shutdown. Their sum is less than the
// watchdog's timeout, which nobody resets once a shutdown has begun.
type Deadlines struct {
	Withdraw  time.Duration // for the control plane to withdraw the VIPs and exit
	Terminate time.Duration // for all processes, between SIGTERM and SIGKILL
	Kill      time.Duration // for all processes to be gone after SIGKILL
	Sync      time.Duration // for data to reach the disks
	Log       time.Duration // for the last lines to reach the consoles
}

// shellNice leaves a busy processor to the control plane and the kernel, with a
// ninth of it for the shell: at nice 10 it weighs 110 against 1024
// (kernel/sched/core.c, sched_prio_to_weight).
const shellNice = 10

// Machine are the options of a real machine.
func Machine() Options {
	return Options{
		// The file that runs, whatever its path is by now; the path is for a
		// machine where /proc could not be mounted.
		Executables: []string{"/proc/self/exe", "/init"},
		Children: []Child{
			{Name: "appliance", Vital: true, OOMScore: 0},
			// Sessions can be begun anew. What they run goes before them.
			{Name: "shell", OOMScore: 500, Nice: shellNice},
		},
		HeadStart:  2 * time.Second,
		Env:        []string{"PATH=/bbin:/bin:/sbin:/usr/bin:/usr/sbin"},
		Mounts:     mounts(),
		LateMounts: lateMounts(),
		Sysctls:    sysctls(),
		LogSysctls: logSysctls(),
		SysctlDir:  "/proc/sys",
		Hostname:   "dipper",
		// Health checks hold a socket per server, the responder one per
		// client. The kernel's ceiling, fs.nr_open, is 2^20.
		OpenFiles:       1 << 18,
		RunDir:          "/run/dipper",
		KernelLog:       "/dev/kmsg",
		PstoreDir:       "/sys/fs/pstore",
		WatchdogDir:     "/sys/class/watchdog",
		WatchdogTimeout: 40 * time.Second,
		// The control plane beats every second. On a slow and shared machine
		// gaps of seconds are no freeze; patience leaves time for several
		// starts.
		Heartbeat:   Heartbeat{Tick: time.Second, Freeze: 20, Kill: 25, Patience: 60},
		PowerButton: true,
		Deadlines: Deadlines{
			Withdraw:  10 * time.Second,
			Terminate: 5 * time.Second,
			Kill:      3 * time.Second,
			Sync:      10 * time.Second,
			Log:       2 * time.Second,
		},
	}
}

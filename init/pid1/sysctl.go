package pid1

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Sysctl is one kernel setting that holds for the whole life of the machine.
// Those that depend on the configuration are the control plane's.
type Sysctl struct {
	Path  string // below /proc/sys
	Value string
	// MayLack is for a setting of a part that a kernel can do without.
	MayLack bool
}

// sysctls are the machine's settings: the runtime list of the Kernel Self
// Protection Project, and how the machine dies.
//
// What the project recommends and we do not follow: kernel.kexec_load_disabled
// (the next kernel is loaded with kexec_file_load), kernel.sysrq=0 (sync,
// remount and reboot are kept, for a console that has nothing else left),
// kernel.printk (a console that is silent about a broken configuration is no
// help), kernel.warn_limit and oops_limit (the first oops panics; a warning
// under load is no reason to drop a hundred thousand connections).
func sysctls() []Sysctl {
	return []Sysctl{
		// Death. An oops is a panic and a panic a reboot after ten seconds;
		// a processor that no longer schedules is a panic too. Lack of memory
		// is not: the kernel kills a child of ours, which is started again,
		// and the data plane does not notice.
		{Path: "kernel/panic", Value: "10"},
		{Path: "kernel/panic_on_oops", Value: "1"},
		{Path: "kernel/softlockup_panic", Value: "1", MayLack: true},
		{Path: "vm/panic_on_oom", Value: "0"},
		// Ctrl-Alt-Del is SIGINT for PID 1 instead of a reset.
		{Path: "kernel/ctrl-alt-del", Value: "0"},
		// Sync (16), remount (32) and reboot (128), as the kernel's default.
		{Path: "kernel/sysrq", Value: "176", MayLack: true},

		// Addresses and messages of the kernel are root's.
		{Path: "kernel/kptr_restrict", Value: "2"},
		{Path: "kernel/dmesg_restrict", Value: "1"},
		{Path: "kernel/perf_event_paranoid", Value: "3", MayLack: true},
		{Path: "kernel/randomize_va_space", Value: "2"},
		{Path: "kernel/yama/ptrace_scope", Value: "2", MayLack: true},
		// Programs in the kernel are root's, and blinded.
		{Path: "kernel/unprivileged_bpf_disabled", Value: "1", MayLack: true},
		{Path: "net/core/bpf_jit_harden", Value: "2", MayLack: true},
		{Path: "kernel/io_uring_disabled", Value: "2", MayLack: true},
		{Path: "vm/unprivileged_userfaultfd", Value: "0", MayLack: true},
		{Path: "user/max_user_namespaces", Value: "0", MayLack: true},
		{Path: "vm/mmap_min_addr", Value: "65536"},
		// Terminals neither load line disciplines nor take input by ioctl.
		{Path: "dev/tty/ldisc_autoload", Value: "0"},
		{Path: "dev/tty/legacy_tiocsti", Value: "0", MayLack: true},
		// Links and files that others left in /tmp.
		{Path: "fs/protected_symlinks", Value: "1"},
		{Path: "fs/protected_hardlinks", Value: "1"},
		{Path: "fs/protected_fifos", Value: "2"},
		{Path: "fs/protected_regular", Value: "2"},
		{Path: "fs/suid_dumpable", Value: "0"},
	}
}

// logSysctls lifts the limit of the kernel on lines that processes write to its
// log. By default it takes ten in five seconds and drops the rest; the journal
// has a limit of its own.
func logSysctls() []Sysctl {
	return []Sysctl{{Path: "kernel/printk_devkmsg", Value: "on"}}
}

// applySysctls sets what is not set yet below dir and reads everything back.
// It answers a summary, and in err each setting that is not as it should be.
func applySysctls(dir string, all []Sysctl) (summary string, err error) {
	var problems []error
	var lacking []string
	right := 0
	for _, s := range all {
		err := s.apply(dir)
		switch {
		case err == nil:
			right++
		case s.MayLack && errors.Is(err, fs.ErrNotExist):
			lacking = append(lacking, s.name())
		default:
			problems = append(problems, err)
		}
	}
	summary = fmt.Sprintf("%d of %d as wanted", right, len(all))
	if len(lacking) > 0 {
		summary += ", not in this kernel: " + strings.Join(lacking, " ")
	}
	return summary, errors.Join(problems...)
}

// apply sets one setting, if it is not set yet, and reads it back.
func (s Sysctl) apply(dir string) error {
	file := filepath.Join(dir, s.Path)
	was, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("sysctl %s: %w", s.name(), err)
	}
	if s.holds(was) {
		return nil
	}
	writeErr := os.WriteFile(file, []byte(s.Value+"\n"), 0)
	is, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("sysctl %s: read back: %w", s.name(), err)
	}
	if s.holds(is) {
		return nil
	}
	err = fmt.Errorf("sysctl %s: wanted %q, the kernel has %q", s.name(), s.Value, fold(is))
	if writeErr != nil {
		err = fmt.Errorf("%w: %w", err, writeErr)
	}
	return err
}

// holds tells whether the kernel's text is the wanted value. The kernel writes
// tabs between fields.
func (s Sysctl) holds(text []byte) bool { return fold(text) == fold([]byte(s.Value)) }

func fold(text []byte) string { return strings.Join(strings.Fields(string(text)), " ") }

// name is the setting as sysctl(8) has it.
func (s Sysctl) name() string { return strings.ReplaceAll(s.Path, "/", ".") }

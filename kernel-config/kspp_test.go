package main

import (
	"bufio"
	"embed"
	"os"
	"slices"
	"strings"
	"testing"

	"dipper/kernel-config/kernel"
)

//go:embed kspp-exceptions
var exceptionsFile embed.FS

// hardening are the Kernel Self Protection Project's fragments in the kernel
// source itself.
var hardening = []string{"kernel/configs/hardening.config", "arch/x86/configs/hardening.config"}

// recommended is the rest of the project's recommended settings for x86-64 built
// with GCC (https://kspp.github.io/Recommended_Settings), by their names in 6.12.
var recommended = []kernel.Option{
	{Name: "CONFIG_DEBUG_WX", Value: "y"},
	{Name: "CONFIG_DEVMEM", Value: "n"},
	{Name: "CONFIG_DEBUG_LIST", Value: "y"},
	{Name: "CONFIG_DEBUG_NOTIFIERS", Value: "y"},
	{Name: "CONFIG_DEBUG_SG", Value: "y"},
	{Name: "CONFIG_DEBUG_VIRTUAL", Value: "y"},
	{Name: "CONFIG_BUG_ON_DATA_CORRUPTION", Value: "y"},
	{Name: "CONFIG_SCHED_STACK_END_CHECK", Value: "y"},
	{Name: "CONFIG_SECURITY", Value: "y"},
	{Name: "CONFIG_SECURITY_YAMA", Value: "y"},
	{Name: "CONFIG_SECURITY_LANDLOCK", Value: "y"},
	{Name: "CONFIG_SECURITY_SELINUX_BOOTPARAM", Value: "n"},
	{Name: "CONFIG_SECURITY_SELINUX_DEVELOP", Value: "n"},
	{Name: "CONFIG_SECURITY_SELINUX_DEBUG", Value: "n"},
	{Name: "CONFIG_SECURITY_LOCKDOWN_LSM", Value: "y"},
	{Name: "CONFIG_SECURITY_LOCKDOWN_LSM_EARLY", Value: "y"},
	{Name: "CONFIG_LOCK_DOWN_KERNEL_FORCE_CONFIDENTIALITY", Value: "y"},
	{Name: "CONFIG_SECURITY_DMESG_RESTRICT", Value: "y"},
	{Name: "CONFIG_SLAB_MERGE_DEFAULT", Value: "n"},
	{Name: "CONFIG_SLUB_DEBUG", Value: "y"},
	{Name: "CONFIG_PAGE_POISONING", Value: "y"},
	{Name: "CONFIG_INIT_ON_FREE_DEFAULT_ON", Value: "y"},
	{Name: "CONFIG_KFENCE_SAMPLE_INTERVAL", Value: "100"},
	{Name: "CONFIG_WERROR", Value: "y"},
	{Name: "CONFIG_HW_RANDOM_TPM", Value: "y"},
	{Name: "CONFIG_SCHED_CORE", Value: "y"},
	{Name: "CONFIG_ZERO_CALL_USED_REGS", Value: "y"},
	{Name: "CONFIG_STATIC_USERMODEHELPER", Value: "y"},
	{Name: "CONFIG_KEXEC", Value: "n"},
	{Name: "CONFIG_HIBERNATION", Value: "n"},
	{Name: "CONFIG_INET_DIAG", Value: "n"},
	{Name: "CONFIG_BINFMT_MISC", Value: "n"},
	{Name: "CONFIG_LEGACY_TIOCSTI", Value: "n"},
	{Name: "CONFIG_PANIC_ON_OOPS", Value: "y"},
	{Name: "CONFIG_PANIC_TIMEOUT", Value: "-1"},
	{Name: "CONFIG_MAGIC_SYSRQ_DEFAULT_ENABLE", Value: "0xb0"},
	{Name: "CONFIG_MODULES", Value: "n"},
	{Name: "CONFIG_GCC_PLUGINS", Value: "y"},
	{Name: "CONFIG_GCC_PLUGIN_LATENT_ENTROPY", Value: "y"},
	{Name: "CONFIG_GCC_PLUGIN_STACKLEAK", Value: "y"},
	{Name: "CONFIG_RANDSTRUCT_FULL", Value: "y"},
	{Name: "CONFIG_X86_64", Value: "y"},
	{Name: "CONFIG_DEFAULT_MMAP_MIN_ADDR", Value: "65536"},
	{Name: "CONFIG_X86_MSR", Value: "n"},
	{Name: "CONFIG_X86_VSYSCALL_EMULATION", Value: "n"},
	{Name: "CONFIG_MITIGATION_PAGE_TABLE_ISOLATION", Value: "y"},
	{Name: "CONFIG_MITIGATION_SLS", Value: "y"},
	{Name: "CONFIG_COMPAT", Value: "n"},
	{Name: "CONFIG_IA32_EMULATION", Value: "n"},
	{Name: "CONFIG_X86_X32_ABI", Value: "n"},
	{Name: "CONFIG_MODIFY_LDT_SYSCALL", Value: "n"},
}

// TestKSPP holds the kernel against the project's recommendations. What is not
// followed is in kspp-exceptions with its reason; an exception without need fails
// as well.
func TestKSPP(t *testing.T) {
	r := resolved(t)
	exceptions := readExceptions(t)
	for _, option := range requirements(t, r.Tree) {
		got := r.Got.Value(option.Name)
		_, excepted := exceptions[option.Name]
		delete(exceptions, option.Name)
		switch {
		case got != option.Value && !excepted:
			t.Errorf("%s: recommended %s, got %s: change a fragment or give a reason in kspp-exceptions",
				option.Name, option.Value, got)
		case got == option.Value && excepted:
			t.Errorf("%s is %s as recommended: remove it from kspp-exceptions", option.Name, got)
		}
	}
	for name := range exceptions {
		t.Errorf("%s in kspp-exceptions is no recommendation: remove it", name)
	}
}

// requirements are all recommendations; where the lists overlap the kernel's own
// comes first.
func requirements(t *testing.T, tree string) []kernel.Option {
	t.Helper()
	var all []kernel.Option
	for _, file := range hardening {
		options, err := kernel.ReadFragment(os.DirFS(tree), file)
		if err != nil {
			t.Fatal(err)
		}
		if len(options) < 5 {
			t.Fatalf("%s: %d options: has its form changed?", file, len(options))
		}
		all = append(all, options...)
	}
	for _, option := range recommended {
		if slices.ContainsFunc(all, func(o kernel.Option) bool { return o.Name == option.Name }) {
			t.Errorf("%s is in the kernel's hardening fragments: remove it from recommended", option.Name)
		}
		all = append(all, option)
	}
	return all
}

// readExceptions reads lines of "CONFIG_NAME: reason".
func readExceptions(t *testing.T) map[string]string {
	t.Helper()
	file, err := exceptionsFile.Open("kspp-exceptions")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	exceptions := make(map[string]string)
	scanner := bufio.NewScanner(file)
	for line := 1; scanner.Scan(); line++ {
		text := scanner.Text()
		if text == "" || strings.HasPrefix(text, "#") {
			continue
		}
		name, reason, _ := strings.Cut(text, ": ")
		if !strings.HasPrefix(name, "CONFIG_") || len(reason) < 20 {
			t.Errorf("kspp-exceptions:%d: %q: want \"CONFIG_NAME: reason\"", line, text)
		}
		if _, ok := exceptions[name]; ok {
			t.Errorf("kspp-exceptions:%d: %s is there twice", line, name)
		}
		exceptions[name] = reason
	}
	if err := scanner.Err(); err != nil {
		t.Fatal(err)
	}
	return exceptions
}

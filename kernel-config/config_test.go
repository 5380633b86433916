package main

import (
	"context"
	"os"
	"path/filepath"
	"regexp"
	"sync"
	"testing"

	"dipper/kernel-config/kernel"
)

// resolve merges the fragments once for all tests.
var resolve = sync.OnceValues(func() (kernel.Resolved, error) {
	arch, err := kernel.ForArch("amd64")
	if err != nil {
		return kernel.Resolved{}, err
	}
	cache, err := kernel.DefaultCache()
	if err != nil {
		return kernel.Resolved{}, err
	}
	return kernel.Resolve(context.Background(), kernel.Options{
		Arch: arch, Fragments: fragments, Cache: cache, Jobs: 1, Progress: func(string, ...any) {},
	})
})

// resolved is the merged configuration. A missing kernel source fails the test:
// the error names the package to install.
func resolved(t *testing.T) kernel.Resolved {
	t.Helper()
	if testing.Short() {
		t.Skip("-short: merging the kernel configuration needs the kernel source and some seconds")
	}
	r, err := resolve()
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestRequestedOptions fails when the kernel would lack an option that a fragment
// asks for, or have another value, and names option, values and fragment.
func TestRequestedOptions(t *testing.T) {
	r := resolved(t)
	if err := kernel.Verify(r.Want, r.Got); err != nil {
		t.Error(err)
	}
}

// TestNothingLoadable guards the promise that the kernel is one file.
func TestNothingLoadable(t *testing.T) {
	r := resolved(t)
	for _, name := range []string{"CONFIG_MODULES", "CONFIG_KEXEC", "CONFIG_DEVMEM", "CONFIG_IO_URING", "CONFIG_COMPAT"} {
		if got := r.Got.Value(name); got != "n" {
			t.Errorf("%s is %s, want n", name, got)
		}
	}
}

// TestMitigations fails when the kernel knows a mitigation of a processor fault
// that is off here.
func TestMitigations(t *testing.T) {
	r := resolved(t)
	kconfig, err := os.ReadFile(filepath.Join(r.Tree, "arch/x86/Kconfig"))
	if err != nil {
		t.Fatal(err)
	}
	mitigations := regexp.MustCompile(`(?m)^config (MITIGATION_\w+)$`).FindAllSubmatch(kconfig, -1)
	if len(mitigations) < 20 {
		t.Fatalf("%d mitigations in arch/x86/Kconfig, want 20 at least", len(mitigations))
	}
	off := map[string]string{
		"MITIGATION_CALL_DEPTH_TRACKING": "used with retbleed=stuff only, see security.config",
		"MITIGATION_VMSCAPE":             "for hosts of virtual machines: depends on KVM",
	}
	for _, mitigation := range mitigations {
		name := string(mitigation[1])
		_, accepted := off[name]
		if got := r.Got.Value("CONFIG_" + name); (got == "y") == accepted {
			t.Errorf("CONFIG_%s is %s; accepted as off: %t", name, got, accepted)
		}
	}
}

// TestSchedulers fails when the kernel source has a scheduler that is not built
// in: without modules, a service that asks for it could never be made.
func TestSchedulers(t *testing.T) {
	r := resolved(t)
	makefile, err := os.ReadFile(filepath.Join(r.Tree, "net/netfilter/ipvs/Makefile"))
	if err != nil {
		t.Fatal(err)
	}
	objects := regexp.MustCompile(`\$\((CONFIG_IP_VS_\w+)\) \+= ip_vs_\w+\.o`).FindAllSubmatch(makefile, -1)
	if len(objects) < 16 {
		t.Fatalf("%d optional parts of IPVS in its Makefile, want 14 schedulers, FTP and SIP at least", len(objects))
	}
	for _, object := range objects {
		name := string(object[1])
		if got := r.Got.Value(name); got != "y" {
			t.Errorf("%s is %s, want y", name, got)
		}
	}
}

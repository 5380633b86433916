package machine

import (
	"context"
	"fmt"
	"os"
	"regexp"
	"time"
)

// Accelerator is how QEMU runs the guest's instructions.
type Accelerator string

// The accelerators of the lab.
const (
	TCG Accelerator = "tcg"
	KVM Accelerator = "kvm"
)

// Auto asks ChooseAccelerator to find out.
const Auto = "auto"

// ChooseAccelerator makes an Accelerator of what somebody asked for: "tcg",
// "kvm" as they say, "" is TCG, and "auto" is KVM where kernel truly boots
// with it. That /dev/kvm is there proves nothing: there are machines where it
// opens, creates a VM, and aborts or hangs once a guest runs.
func ChooseAccelerator(ctx context.Context, wish, kernel string) (Accelerator, error) {
	switch wish {
	case "", string(TCG):
		return TCG, nil
	case string(KVM):
		return KVM, nil
	case Auto:
		if err := probe(ctx, KVM, kernel); err != nil {
			return TCG, nil // the reason for asking was not to have to know
		}
		return KVM, nil
	}
	return "", fmt.Errorf("accelerator %q: expected tcg, kvm or auto", wish)
}

// probeDeadline is far more than a guest on a processor needs, and less than
// anybody wants to wait for one that hangs.
const probeDeadline = 10 * time.Second

// withoutRoot is what a kernel says that came all the way to user space and
// was given none (init/do_mounts.c).
var withoutRoot = regexp.MustCompile(`VFS: (Unable to mount root|Cannot open root)`)

func probe(ctx context.Context, a Accelerator, kernel string) error {
	ctx, cancel := context.WithTimeout(ctx, probeDeadline)
	defer cancel()
	dir, err := os.MkdirTemp("", "dipper-probe-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	m, err := Start(ctx, Config{
		Name: "probe", Dir: dir, Run: dir,
		Kernel: kernel, CommandLine: "console=ttyS0 panic=-1", Accelerator: a,
	})
	if err != nil {
		return err
	}
	defer m.Close()
	_, err = m.Console().Expect(ctx, withoutRoot)
	return err
}

package ipvsadm

import (
	"os"
	"testing"

	"dipper/qemu/lab"
)

// onOwnKernel tells this binary that it runs in a machine of TestOnOwnKernel.
const onOwnKernel = "DIPPER_IPVSADM_TEST_ON_OWN_KERNEL"

// TestOnOwnKernel runs the tests beside ipvsadm (beside_test.go) on the kernel
// of the image, in a machine with Debian's ipvsadm.
func TestOnOwnKernel(t *testing.T) {
	if os.Getenv(onOwnKernel) == "" { // else this is what runs there
		lab.RunOnOwnKernel(t, "^TestBeside", onOwnKernel+"=1")
	}
}

package ipvs

import (
	"os"
	"testing"

	"dipper/qemu/lab"
)

// onOwnKernel tells this binary that it runs in a machine of TestOnOwnKernel.
const onOwnKernel = "DIPPER_IPVS_TEST_ON_OWN_KERNEL"

// TestOnOwnKernel runs the tests of the live files on the kernel of the image, in
// a machine with Debian's ipvsadm.
func TestOnOwnKernel(t *testing.T) {
	if os.Getenv(onOwnKernel) == "" { // else this is what runs there
		lab.RunOnOwnKernel(t, "^TestKernel", onOwnKernel+"=1")
	}
}

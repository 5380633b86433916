package network

import (
	"os"
	"testing"

	"dipper/qemu/lab"
)

// TestOnOwnKernel runs this package's namespace tests on the kernel of the
// image, which has bonds, VLANs, tunnels and GUE where the host's may not, in a
// machine with Debian's iproute2, nftables, tcpdump and dnsmasq.
func TestOnOwnKernel(t *testing.T) {
	if os.Getenv(onOwnKernel) == "" { // else this is what runs there
		lab.RunOnOwnKernel(t, "InNamespace$", onOwnKernel+"=1", "DIPPER_LAB=require")
	}
}

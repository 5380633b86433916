package network

import (
	"fmt"
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ip6Tunnel is the link that takes packets out of IPv6 that are for no tunnel
// in particular.
const ip6Tunnel = "ip6tnl0"

// setInside is the Op that lets ip6tnl0 take out packets of either family, or
// IPv6 alone, as the kernel has it at first (ip6_tunnel.c, ip6_fb_tnl_dev_init).
type setInside struct{ any bool }

func (o setInside) String() string {
	mode := "ip6ip6"
	if o.any {
		mode = "any"
	}
	return "ip -6 tunnel change " + ip6Tunnel + " mode " + mode
}

func (o setInside) subject() string { return ip6Tunnel }

// apply asks by ioctl(2): by netlink, the kernel refuses to change this link
// (ip6_tunnel.c, ip6_tnl_changelink).
func (o setInside) apply(*Kernel) error {
	parameters := ip6TunnelParameters{name: nameOf(ip6Tunnel), protocol: unix.IPPROTO_IPV6}
	if o.any {
		parameters.protocol = 0
	}
	request := tunnelRequest{name: nameOf(ip6Tunnel), parameters: &parameters}
	socket, err := unix.Socket(unix.AF_INET6, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return os.NewSyscallError("socket", err)
	}
	defer unix.Close(socket)
	_, _, refused := unix.Syscall(unix.SYS_IOCTL, uintptr(socket), changeTunnel, uintptr(unsafe.Pointer(&request)))
	runtime.KeepAlive(&request)
	if refused != 0 {
		return fmt.Errorf("ioctl: %w", refused)
	}
	return nil
}

// changeTunnel is SIOCCHGTUNNEL (uapi/linux/if_tunnel.h).
const changeTunnel = 0x89f0 + 3

// tunnelRequest is struct ifreq (uapi/linux/if.h) with ifru_data.
type tunnelRequest struct {
	name       [unix.IFNAMSIZ]byte
	parameters *ip6TunnelParameters
	_          [16]byte
}

// ip6TunnelParameters is struct ip6_tnl_parm (uapi/linux/ip6_tunnel.h). Of
// ip6tnl0 the kernel changes the protocol only (ip6_tnl0_update).
type ip6TunnelParameters struct {
	name     [unix.IFNAMSIZ]byte
	_        int32 // link
	protocol uint8
	_        [2]uint8    // encap_limit, hop_limit
	_        [2]uint32   // flowinfo, flags
	_        [2][16]byte // laddr, raddr
}

func nameOf(link string) (name [unix.IFNAMSIZ]byte) {
	copy(name[:], link)
	return name
}

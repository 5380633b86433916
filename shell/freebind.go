package shell

import (
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// freebind lets a socket listen on an address that is not there yet (ip(7),
// IP_FREEBIND): it may come with a DHCP lease or with a carrier.
func freebind(network, _ string, c syscall.RawConn) error {
	level, option := unix.SOL_IP, unix.IP_FREEBIND
	if strings.HasSuffix(network, "6") {
		level, option = unix.SOL_IPV6, unix.IPV6_FREEBIND
	}
	var failed error
	if err := c.Control(func(fd uintptr) { failed = unix.SetsockoptInt(int(fd), level, option, 1) }); err != nil {
		return err
	}
	return failed
}

package network

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"

	"github.com/insomniacslk/dhcp/dhcpv4/nclient4"
	"github.com/mdlayher/packet"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// dhcpWire is what a DHCP client needs of its link.
type dhcpWire interface {
	// carrier tells whether the link is there and up: at once and at changes.
	carrier(ctx context.Context, link string) (<-chan bool, error)
	hardwareAddress(link string) (net.HardwareAddr, error)
	// unconfigured opens port 68 of a link that may have no address.
	unconfigured(link string) (net.PacketConn, error)
	// configured opens port 68 of a link that has its leased address.
	configured(link string, own netip.Addr) (net.PacketConn, error)
}

// kernelDHCPWire is the dhcpWire of the running kernel.
type kernelDHCPWire struct{}

var _ dhcpWire = kernelDHCPWire{}

func (kernelDHCPWire) carrier(ctx context.Context, link string) (<-chan bool, error) {
	return watchCarrier(ctx, link)
}

func (kernelDHCPWire) hardwareAddress(link string) (net.HardwareAddr, error) {
	found, err := net.InterfaceByName(link)
	if err != nil {
		return nil, fmt.Errorf("link %s: %w", link, err)
	}
	if len(found.HardwareAddr) == 0 {
		return nil, fmt.Errorf("link %s has no hardware address", link)
	}
	return found.HardwareAddr, nil
}

func (kernelDHCPWire) unconfigured(link string) (net.PacketConn, error) {
	found, err := net.InterfaceByName(link)
	if err != nil {
		return nil, fmt.Errorf("link %s: %w", link, err)
	}
	filter, err := bpf.Assemble(toDHCPClient)
	if err != nil {
		return nil, fmt.Errorf("packet filter: %w", err)
	}
	raw, err := packet.Listen(found, packet.Datagram, unix.ETH_P_IP, &packet.Config{Filter: filter})
	if err != nil {
		return nil, fmt.Errorf("link %s: packet socket: %w", link, err)
	}
	return nclient4.NewBroadcastUDPConn(raw, &net.UDPAddr{Port: nclient4.ClientPort}), nil
}

// toDHCPClient passes unfragmented UDP to port 68 and spares the client the
// rest of a busy link's traffic. Offsets are from the IP header.
var toDHCPClient = []bpf.Instruction{
	bpf.LoadAbsolute{Off: 9, Size: 1}, // protocol
	bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: unix.IPPROTO_UDP, SkipTrue: 6},
	bpf.LoadAbsolute{Off: 6, Size: 2}, // flags and fragment offset
	bpf.JumpIf{Cond: bpf.JumpBitsSet, Val: 0x1fff, SkipTrue: 4},
	bpf.LoadMemShift{Off: 0},          // X = length of the IP header
	bpf.LoadIndirect{Off: 2, Size: 2}, // destination port
	bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: nclient4.ClientPort, SkipTrue: 1},
	bpf.RetConstant{Val: 65535},
	bpf.RetConstant{Val: 0},
}

func (kernelDHCPWire) configured(link string, _ netip.Addr) (net.PacketConn, error) {
	listen := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var failed error
		err := c.Control(func(fd uintptr) {
			failed = errors.Join(
				unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEADDR, 1),
				unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_BROADCAST, 1),
				unix.BindToDevice(int(fd), link),
			)
		})
		return errors.Join(err, failed)
	}}
	// Not the leased address: it would not take broadcast answers.
	conn, err := listen.ListenPacket(context.Background(), "udp4", fmt.Sprintf(":%d", nclient4.ClientPort))
	if err != nil {
		return nil, fmt.Errorf("link %s: %w", link, err)
	}
	return conn, nil
}

package responder

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"sync"

	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"

	"dipper/appliance/config"
)

// maxDatagram is the size of the largest UDP datagram.
const maxDatagram = 1<<16 - 1

// udpEcho is one UDP echo listener (RFC 862): a socket per address family. It
// answers from the address that was asked. A socket that is bound to all
// addresses would answer a request for a VIP from the machine's own address,
// and the client would drop that.
type udpEcho struct {
	sockets []datagrams
	busy    sync.WaitGroup
	ended   // when any of the sockets is
}

// datagrams is a socket that knows which address a datagram was sent to.
type datagrams interface {
	// receive reads one datagram into b.
	receive(b []byte) (n int, from *net.UDPAddr, to net.IP, err error)
	// send sends b from an address of this machine.
	send(b []byte, to *net.UDPAddr, from net.IP) error
	close() error
}

func startUDPEcho(ctx context.Context, r config.Responder, log *slog.Logger) (service, error) {
	sockets, err := listenUDP(ctx, r)
	if err != nil {
		return nil, err
	}
	s := &udpEcho{sockets: sockets, ended: make(ended)}
	end := sync.OnceFunc(func() { close(s.ended) })
	for _, socket := range sockets {
		s.busy.Go(func() {
			defer end()
			if err := echoDatagrams(socket, int(r.Port)); !errors.Is(err, net.ErrClosed) {
				log.Error("responder: listener ended", "listener", endpointOf(r).String(), "error", err)
			}
		})
	}
	return s, nil
}

// listenUDP opens the socket of r's address, or one of each family.
func listenUDP(ctx context.Context, r config.Responder) ([]datagrams, error) {
	addresses := []netip.Addr{r.Address}
	if !r.Address.IsValid() {
		addresses = []netip.Addr{netip.IPv4Unspecified(), netip.IPv6Unspecified()}
	}
	var sockets []datagrams
	for _, address := range addresses {
		socket, err := listenDatagrams(ctx, address, r.Port)
		if err != nil {
			for _, open := range sockets {
				err = errors.Join(err, open.close())
			}
			return nil, err
		}
		sockets = append(sockets, socket)
	}
	return sockets, nil
}

func listenDatagrams(ctx context.Context, address netip.Addr, port uint16) (datagrams, error) {
	network := "udp4"
	if address.Is6() {
		network = "udp6"
	}
	conn, err := listenConfig(address).ListenPacket(ctx, network, hostPort(address, port))
	if err != nil {
		return nil, err
	}
	if address.Is6() {
		p := ipv6.NewPacketConn(conn)
		err = p.SetControlMessage(ipv6.FlagDst, true)
		if err == nil {
			return datagrams6{p}, nil
		}
	} else {
		p := ipv4.NewPacketConn(conn)
		err = p.SetControlMessage(ipv4.FlagDst, true)
		if err == nil {
			return datagrams4{p}, nil
		}
	}
	return nil, errors.Join(err, conn.Close())
}

// echoDatagrams answers datagrams until the socket is closed. One that comes
// from an echo port is dropped: two echo servers would answer each other for
// ever, and a forged sender is all it takes to begin.
func echoDatagrams(socket datagrams, port int) error {
	buffer := make([]byte, maxDatagram)
	for {
		n, from, to, err := socket.receive(buffer)
		if err != nil {
			return err
		}
		if from.Port == port {
			continue
		}
		_ = socket.send(buffer[:n], from, to) // datagrams may get lost
	}
}

func (s *udpEcho) change(config.Responder) error { return nil }

func (s *udpEcho) stop() {
	for _, socket := range s.sockets {
		_ = socket.close() // fails only when it is closed already
	}
	s.busy.Wait()
}

func (s *udpEcho) drain(context.Context) error { return nil }

type datagrams4 struct{ conn *ipv4.PacketConn }

func (d datagrams4) receive(b []byte) (int, *net.UDPAddr, net.IP, error) {
	n, control, from, err := d.conn.ReadFrom(b)
	if err != nil {
		return 0, nil, nil, err
	}
	if control == nil { // the kernel left it out: then it chooses the sender
		return n, from.(*net.UDPAddr), nil, nil
	}
	return n, from.(*net.UDPAddr), control.Dst, nil
}

func (d datagrams4) send(b []byte, to *net.UDPAddr, from net.IP) error {
	_, err := d.conn.WriteTo(b, &ipv4.ControlMessage{Src: from}, to)
	return err
}

func (d datagrams4) close() error { return d.conn.Close() }

type datagrams6 struct{ conn *ipv6.PacketConn }

func (d datagrams6) receive(b []byte) (int, *net.UDPAddr, net.IP, error) {
	n, control, from, err := d.conn.ReadFrom(b)
	if err != nil {
		return 0, nil, nil, err
	}
	if control == nil { // the kernel left it out: then it chooses the sender
		return n, from.(*net.UDPAddr), nil, nil
	}
	return n, from.(*net.UDPAddr), control.Dst, nil
}

func (d datagrams6) send(b []byte, to *net.UDPAddr, from net.IP) error {
	_, err := d.conn.WriteTo(b, &ipv6.ControlMessage{Src: from}, to)
	return err
}

func (d datagrams6) close() error { return d.conn.Close() }

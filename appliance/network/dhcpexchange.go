package network

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv4/nclient4"
)

// message builds what this client says (RFC 2131 table 5).
func (c *DHCPClient) message(kind dhcpv4.MessageType, options ...dhcpv4.Modifier) (*dhcpv4.DHCPv4, error) {
	mac, err := c.wire.hardwareAddress(c.Link)
	if err != nil {
		return nil, err
	}
	common := []dhcpv4.Modifier{
		dhcpv4.WithMessageType(kind),
		dhcpv4.WithHwAddr(mac),
		dhcpv4.WithOption(dhcpv4.OptClassIdentifier("dipper")),
		dhcpv4.WithOption(dhcpv4.OptMaxMessageSize(maxMessage)),
		dhcpv4.WithOption(dhcpv4.OptParameterRequestList(requested...)),
	}
	if c.Hostname != "" {
		common = append(common, dhcpv4.WithOption(dhcpv4.OptHostName(c.Hostname)))
	}
	return dhcpv4.New(append(common, options...)...)
}

// maxMessage is the longest message that is read, in bytes: what fits an
// Ethernet frame after IP and UDP headers.
const maxMessage = 1472

// answers says whether a message is a server's answer to a request.
func answers(reply, request *dhcpv4.DHCPv4) bool {
	return reply.OpCode == dhcpv4.OpcodeBootReply &&
		reply.TransactionID == request.TransactionID &&
		reply.ClientHWAddr.String() == request.ClientHWAddr.String()
}

// delays gives the time to wait for an answer after each try, from 0; false
// when there is no further try.
type delays func(try int) (time.Duration, bool)

// How often a request is sent before it counts as unanswered.
const (
	forEver      = -1
	requestTries = 4 // 15 s
	rebootTries  = 3 // 7 s
)

// backoff doubles from 1 s to 64 s, give or take a quarter. RFC 2131 4.1 gives
// 4 s as the first delay of a 10 Mbit/s Ethernet; a machine that boots in a
// second should not lose four to one dropped frame.
func (c *DHCPClient) backoff(tries int) delays {
	return func(try int) (time.Duration, bool) {
		delay := time.Second << min(try, 6)
		return delay + c.jitter(delay), tries == forEver || try < tries
	}
}

// broadcast sends from a link that may have no address.
func (c *DHCPClient) broadcast(ctx context.Context, tries int, kind dhcpv4.MessageType, options ...dhcpv4.Modifier) (*dhcpv4.DHCPv4, error) {
	request, err := c.message(kind, options...)
	if err != nil {
		return nil, err
	}
	open := func() (net.PacketConn, error) { return c.wire.unconfigured(c.Link) }
	return c.exchange(ctx, open, broadcastAddress, request, c.backoff(tries))
}

// How an exchange ends without an answer.
var (
	errUnanswered = errors.New("no answer")
	errRefused    = errors.New("refused by the server") // DHCPNAK
	errLinkDown   = errors.New("the link is down")
)

// exchange sends a request, again after each delay, until a server answers.
// Its errors are errUnanswered, errRefused, errLinkDown, ctx's, and those of
// the link.
func (c *DHCPClient) exchange(ctx context.Context, open func() (net.PacketConn, error), server netip.Addr, request *dhcpv4.DHCPv4, wait delays) (*dhcpv4.DHCPv4, error) {
	conn, err := open()
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(ctx)
	replies := receive(ctx, conn)
	defer func() {
		stop()
		_ = conn.Close() // nothing is buffered
		for range replies {
		}
	}()
	began := time.Now()
	to := net.UDPAddrFromAddrPort(netip.AddrPortFrom(server, nclient4.ServerPort))
	for try := 0; ; try++ {
		delay, again := wait(try)
		if !again {
			return nil, errUnanswered
		}
		request.NumSeconds = uint16(min(time.Since(began)/time.Second, 0xffff))
		if _, err := conn.WriteTo(request.ToBytes(), to); err != nil {
			return nil, fmt.Errorf("link %s: send: %w", c.Link, err)
		}
		reply, err := c.await(ctx, replies, request, delay)
		if reply != nil || err != nil {
			return reply, err
		}
	}
}

// await waits for the answer to a request; nil and no error when time is up.
func (c *DHCPClient) await(ctx context.Context, replies <-chan *dhcpv4.DHCPv4, request *dhcpv4.DHCPv4, limit time.Duration) (*dhcpv4.DHCPv4, error) {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-timer.C:
			return nil, nil
		case up, open := <-c.up:
			if !up || !open {
				return nil, errLinkDown
			}
		case reply, open := <-replies:
			if !open {
				return nil, fmt.Errorf("link %s: the socket was closed", c.Link)
			}
			if !answers(reply, request) || !fromChosen(reply, request) {
				continue
			}
			switch reply.MessageType() {
			case dhcpv4.MessageTypeNak:
				return nil, errRefused
			case expected(request):
				return reply, nil
			}
		}
	}
}

// expected is the kind of message that answers a request.
func expected(request *dhcpv4.DHCPv4) dhcpv4.MessageType {
	if request.MessageType() == dhcpv4.MessageTypeDiscover {
		return dhcpv4.MessageTypeOffer
	}
	return dhcpv4.MessageTypeAck
}

// fromChosen drops answers of other servers than the one whose offer is being
// taken, and offers without a server's name.
func fromChosen(reply, request *dhcpv4.DHCPv4) bool {
	server := address(reply.ServerIdentifier())
	if chosen := address(request.ServerIdentifier()); chosen.IsValid() {
		return server == chosen
	}
	return server.IsValid() || reply.MessageType() != dhcpv4.MessageTypeOffer
}

// receive reads DHCP messages until conn is closed, and closes the channel
// then. What is no DHCP message is dropped.
func receive(ctx context.Context, conn net.PacketConn) <-chan *dhcpv4.DHCPv4 {
	replies := make(chan *dhcpv4.DHCPv4)
	go func() {
		defer close(replies)
		buffer := make([]byte, maxMessage)
		for {
			n, _, err := conn.ReadFrom(buffer)
			if err != nil {
				return
			}
			message, err := dhcpv4.FromBytes(buffer[:n])
			if err != nil {
				continue
			}
			select {
			case replies <- message:
			case <-ctx.Done():
				return
			}
		}
	}()
	return replies
}

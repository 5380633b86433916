package capture

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mdlayher/packet"
	"golang.org/x/sys/unix"
)

// TestRun captures from the loopback link what it sends there itself.
func TestRun(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("packet sockets take CAP_NET_RAW")
	}
	listener, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	_, port, _ := strings.Cut(listener.LocalAddr().String(), ":")
	other, err := net.Dial("udp", "127.0.0.1:9") // nobody listens
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	reader, writer := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		ended <- Run(t.Context(), Query{Interface: "lo", Filter: "udp dst port " + port, Count: 4, Snap: 64}, writer) // each is seen leaving and arriving
		writer.Close()
	}()
	header := make([]byte, 24)
	if _, err := io.ReadFull(reader, header); err != nil { // it captures from here on
		t.Fatal(err, <-ended)
	}
	if link := LinkType(binary.LittleEndian.Uint32(header[20:])); link != linkEthernet {
		t.Errorf("link type %d, want %d", link, linkEthernet)
	}
	sender, err := net.Dial("udp", listener.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer sender.Close()
	go func() {
		for _, text := range []string{"first", strings.Repeat("x", 100)} {
			_, _ = other.Write([]byte("not me"))
			_, _ = sender.Write([]byte(text)) // seen below, or missed
		}
	}()
	captured, err := io.ReadAll(reader)
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	if err != nil || !bytes.Contains(captured, []byte("first")) || bytes.Contains(captured, []byte("not me")) {
		t.Errorf("captured %q, %v", captured, err)
	}
	var lengths, whole []int
	for rest := captured; len(rest) > 16; {
		length := int(binary.LittleEndian.Uint32(rest[8:]))
		lengths, whole = append(lengths, length), append(whole, int(binary.LittleEndian.Uint32(rest[12:])))
		rest = rest[16+length:]
	}
	if want := []int{42 + 5, 42 + 5, 42 + 100, 42 + 100}; !slices.Equal(whole, want) {
		t.Errorf("packets of %v bytes on the wire, want %v", whole, want)
	}
	if want := []int{42 + 5, 42 + 5, 64, 64}; !slices.Equal(lengths, want) {
		t.Errorf("packets of %v bytes, want %v", lengths, want)
	}
}

// TestVLAN sends a frame with a tag over a cable in a namespace of its own. The
// kernel takes the tag off before anybody sees the frame.
func TestVLAN(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("packet sockets take CAP_NET_RAW")
	}
	runtime.LockOSThread() // never unlocked: the thread ends with the test
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		t.Fatal(err)
	}
	for _, command := range []string{"link add near type veth peer name far", "link set near up", "link set far up"} {
		if out, err := exec.Command("ip", strings.Fields(command)...).CombinedOutput(); err != nil {
			t.Fatalf("ip %s: %v: %s", command, err, out)
		}
	}
	near, err := net.InterfaceByName("near")
	if err != nil {
		t.Fatal(err)
	}
	sender, err := packet.Listen(near, packet.Raw, unix.ETH_P_ALL, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer sender.Close()
	tagged := slices.Concat(bytes.Repeat([]byte{0xff}, 6), []byte(near.HardwareAddr), []byte{0x81, 0x00, 0x20, 0x0a, 0x88, 0xb5}, []byte("an experiment, with a tag of VLAN 10")) // IEEE 802: 0x88b5 is for experiments
	var captured bytes.Buffer
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	var sending sync.WaitGroup
	sending.Go(func() {
		for ctx.Err() == nil { // a link that has just come up loses the first ones
			if _, err := sender.WriteTo(tagged, &packet.Addr{HardwareAddr: near.HardwareAddr}); err != nil {
				t.Error(err)
				return
			}
			select {
			case <-time.After(10 * time.Millisecond):
			case <-ctx.Done():
			}
		}
	})
	err = Run(ctx, Query{Interface: "far", Filter: "not ip6", Count: 1}, &captured)
	cancel()
	sending.Wait()
	if err != nil {
		t.Fatal(err)
	}
	const headers = 24 + 16 // of the file and of a packet
	if got := captured.Bytes(); len(got) < headers || !bytes.Equal(got[headers:], tagged) {
		t.Errorf("captured % x, want % x", got, tagged)
	}
}

// TestAny captures from all links of a namespace of its own: what passes a cable
// is seen at both of its ends, what passes the loopback link once, and what is to
// be left out not at all. Debian's tcpdump reads it.
func TestAny(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("packet sockets take CAP_NET_RAW")
	}
	tcpdump, err := exec.LookPath("tcpdump")
	if err != nil {
		t.Skip("tcpdump is not installed")
	}
	runtime.LockOSThread() // never unlocked: the thread ends with the test
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		t.Fatal(err)
	}
	for _, command := range []string{"link set lo up", "link add near index 7 type veth peer name far", "link set near up", "link set far up"} {
		if out, err := exec.Command("ip", strings.Fields(command)...).CombinedOutput(); err != nil {
			t.Fatalf("ip %s: %v: %s", command, err, out)
		}
	}
	near, err := net.InterfaceByName("near")
	if err != nil {
		t.Fatal(err)
	}
	cable, err := packet.Listen(near, packet.Raw, unix.ETH_P_ALL, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer cable.Close()
	arp := slices.Concat(bytes.Repeat([]byte{0xff}, 6), []byte(near.HardwareAddr), []byte{8, 6, 0, 1, 8, 0, 6, 4, 0, 1},
		[]byte(near.HardwareAddr), []byte{192, 168, 4, 5}, make([]byte, 6), []byte{192, 168, 4, 100})
	// Bound, so that all is received and nothing refused.
	loud, quiet := udpTo(t, "127.0.0.1:4001"), udpTo(t, "127.0.0.1:4002")

	far, err := net.InterfaceByName("far")
	if err != nil {
		t.Fatal(err)
	}
	var captured bytes.Buffer
	reader, writer := io.Pipe()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var running sync.WaitGroup
	running.Go(func() { // a link that has just come up loses the first ones
		for ctx.Err() == nil {
			_, first := quiet.Write([]byte("quiet"))
			_, second := loud.Write([]byte("first"))
			_, third := cable.WriteTo(arp, &packet.Addr{HardwareAddr: near.HardwareAddr})
			if err := errors.Join(first, second, third); err != nil {
				t.Error(err)
				return
			}
			select {
			case <-time.After(10 * time.Millisecond):
			case <-ctx.Done():
			}
		}
	})
	running.Go(func() { // until each was seen: protocol, then link
		seen := func(protocol byte, index int) bool {
			return bytes.Contains(captured.Bytes(), []byte{8, protocol, 0, 0, 0, 0, 0, byte(index)})
		}
		for buffer := make([]byte, 4096); ; {
			n, err := reader.Read(buffer)
			captured.Write(buffer[:n])
			if err != nil || seen(0, 1) && seen(6, near.Index) && seen(6, far.Index) {
				cancel()
				_, _ = io.Copy(&captured, reader) // what the capture still writes
				return
			}
		}
	})
	err = Run(ctx, Query{Interface: Any, Filter: "arp or udp", Without: "udp and port 4002"}, writer)
	writer.Close()
	running.Wait()
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(captured.Bytes(), []byte("quiet")) {
		t.Errorf("what is to be left out was captured: %q", captured.Bytes())
	}
	read := exec.Command(tcpdump, "-n", "-t", "-e", "-r", "-")
	read.Stdin = &captured
	out, err := read.Output()
	if err != nil {
		t.Fatal(err)
	}
	text := string(out)
	for _, want := range []string{
		`(?m)^lo +In +ifindex 1 .* IPv4 .*127.0.0.1.4001: UDP, length 5$`,
		`(?m)^near +Out +ifindex 7 .* ARP .*who-has 192.168.4.100 tell 192.168.4.5`,
		`(?m)^far +B +ifindex \d+ .* ARP .*who-has 192.168.4.100 tell 192.168.4.5`,
	} {
		if !regexp.MustCompile(want).MatchString(text) {
			t.Errorf("no line matches %s:\n%s", want, text)
		}
	}
	if regexp.MustCompile(`(?m)^lo +Out`).MatchString(text) {
		t.Errorf("what passes the loopback link is there twice:\n%s", text)
	}
}

// udpTo is a connection to an address at which somebody listens.
func udpTo(t *testing.T, address string) net.Conn {
	t.Helper()
	listener, err := net.ListenPacket("udp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	conn, err := net.Dial("udp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

func TestRunEnds(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("packet sockets take CAP_NET_RAW")
	}
	ctx, cancel := context.WithCancel(t.Context())
	reader, writer := io.Pipe()
	ended := make(chan error, 1)
	go func() { ended <- Run(ctx, Query{Interface: "lo", Filter: "udp port 9 and tcp"}, writer) }()
	if _, err := io.ReadFull(reader, make([]byte, 24)); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	for _, q := range []Query{{Interface: "nolink" + strconv.Itoa(os.Getpid())}, {Interface: "lo", Filter: "frobnicate"}} {
		if err := Run(t.Context(), q, io.Discard); err == nil {
			t.Errorf("%+v was captured", q)
		}
	}
}

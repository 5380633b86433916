package capture

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"net"
	"os"
	"os/exec"
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
	if link := binary.LittleEndian.Uint32(header[20:]); link != linkEthernet {
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

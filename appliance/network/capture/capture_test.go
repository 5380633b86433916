package capture

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
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
	var lengths []int
	for rest := captured; len(rest) > 16; {
		length := int(binary.LittleEndian.Uint32(rest[8:]))
		lengths = append(lengths, length)
		rest = rest[16+length:]
	}
	if want := []int{42 + 5, 42 + 5, 64, 64}; !slices.Equal(lengths, want) {
		t.Errorf("packets of %v bytes, want %v", lengths, want)
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

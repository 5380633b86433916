package ether

import (
	"bytes"
	"context"
	"encoding/binary"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
)

func TestStreamCarriesFrames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "a")
		near, far := net.Pipe()
		served := make(chan error, 1)
		go func() { served <- b.lan.Port("vm").Serve(t.Context(), near) }()

		sent := frame(broadcast, address("v"), "from the machine")
		if _, err := far.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(sent))), sent...)); err != nil {
			t.Fatal(err)
		}
		b.expect("a:from the machine")

		b.stations["a"].Send(frame(address("v"), address("a"), "to the machine"))
		got, err := readFrame(far)
		if err != nil {
			t.Fatal(err)
		}
		if want := frame(address("v"), address("a"), "to the machine"); !bytes.Equal(got, want) {
			t.Errorf("machine got %q, want %q", got, want)
		}
		far.Close()
		if err := <-served; err != nil {
			t.Errorf("machine switched off: %v", err)
		}
	})
}

func TestStreamRefusesWhatIsNoStream(t *testing.T) {
	for _, test := range []struct {
		name, bytes, want string
	}{
		{"text", "GET / HTTP/1.1\r\n", "not a stream of frames"},
		{"end inside a frame", "\x00\x00\x00\x10short", "unexpected EOF"},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t)
				near, far := net.Pipe()
				go func() {
					_, _ = far.Write([]byte(test.bytes)) // broken off by the other side
					far.Close()
				}()
				err := b.lan.Port("vm").Serve(t.Context(), near)
				if err == nil || !strings.Contains(err.Error(), test.want) {
					t.Errorf("got error %v, want one with %q", err, test.want)
				}
			})
		})
	}
}

func TestListenServesOneMachineAfterTheOther(t *testing.T) {
	lan := NewLAN("test")
	defer lan.Close()
	station := lan.Port("a").Station(16)
	ctx, cancel := context.WithCancel(t.Context())
	path := filepath.Join(t.TempDir(), "port")
	wait, err := lan.Port("vm").Listen(ctx, path)
	if err != nil {
		t.Fatal(err)
	}
	for _, boot := range []string{"first boot", "second boot"} {
		conn, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		f := frame(broadcast, address("v"), boot)
		if _, err := conn.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(f))), f...)); err != nil {
			t.Fatal(err)
		}
		got, err := station.Receive(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if string(got[headerSize:]) != boot {
			t.Errorf("heard %q, want %q", got[headerSize:], boot)
		}
		conn.Close()
	}
	cancel()
	if err := wait(); err != nil {
		t.Errorf("listening ended with %v", err)
	}
}

func FuzzReadFrame(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{0, 0, 0, 0})
	f.Add([]byte("\x00\x00\x00\x02ab"))
	f.Add([]byte("\x00\x01\x10\x01too long"))
	f.Add([]byte("\x00\x00\x00\x10short"))
	f.Fuzz(func(t *testing.T, stream []byte) {
		r := bytes.NewReader(stream)
		for {
			frame, err := readFrame(r)
			if err != nil {
				return
			}
			if h, ok := parseHeader(frame); ok && h.vlan > vlanIDMask {
				t.Errorf("VLAN %d", h.vlan)
			}
		}
	})
}

package api

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

func TestFindPort(t *testing.T) {
	class := t.TempDir()
	for port, name := range map[string]string{"vport0p0": "", "vport0p1": "lab.agent\n", "vport1p2": "dipper.control\n"} {
		if err := os.MkdirAll(filepath.Join(class, port), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(class, port, "name"), []byte(name), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := findPort(class, ControlPort); err != nil || got != "/dev/vport1p2" {
		t.Errorf("findPort = %q, %v; want /dev/vport1p2", got, err)
	}
	for _, where := range []string{class, filepath.Join(class, "absent")} {
		if got, err := findPort(where, "other"); !errors.Is(err, ErrNoPort) {
			t.Errorf("findPort(%s, other) = %q, %v; want ErrNoPort", where, got, err)
		}
	}
}

// oneConn is a listener that has one connection.
type oneConn chan net.Conn

func (l oneConn) Accept() (net.Conn, error) {
	if c, ok := <-l; ok {
		return c, nil
	}
	return nil, net.ErrClosed
}

func (l oneConn) Close() error   { return nil }
func (l oneConn) Addr() net.Addr { return portAddr("test") }

// TestRequestsOnOnePortLiveToTheirAnswer asks several times over one
// connection: after the first answer all contexts were cancelled once.
func TestRequestsOnOnePortLiveToTheirAnswer(t *testing.T) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	host := os.NewFile(uintptr(fds[1]), "host")
	conn, err := net.FileConn(host)
	if err != nil {
		t.Fatal(err)
	}
	if err := host.Close(); err != nil { // FileConn has its own
		t.Fatal(err)
	}
	defer conn.Close()
	conns := make(oneConn, 1)
	conns <- &portConn{File: os.NewFile(uintptr(fds[0]), "port"), freed: func() {}}
	defer close(conns)
	go func() {
		// Ends with net.ErrClosed when the test does.
		_ = http.Serve(conns, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if err := r.Context().Err(); err != nil {
				http.Error(w, err.Error(), http.StatusInternalServerError)
			}
		}))
	}()
	client := &http.Client{Transport: &http.Transport{
		DialContext: func(context.Context, string, string) (net.Conn, error) { return conn, nil },
	}}
	for i := range 3 {
		resp, err := client.Get("http://dipper/")
		if err != nil {
			t.Fatal(err)
		}
		if err := resp.Body.Close(); err != nil {
			t.Fatal(err)
		}
		if resp.StatusCode != http.StatusOK {
			t.Errorf("request %d: %s", i, resp.Status)
		}
	}
}

// TestHostThatLeftIsGone reads no more on a connection whose host was away for
// a moment, though the port itself would go on.
func TestHostThatLeftIsGone(t *testing.T) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	host := os.NewFile(uintptr(fds[1]), "host")
	defer host.Close()
	port := &portConn{File: os.NewFile(uintptr(fds[0]), "port"), freed: func() {}}
	defer port.Close()
	buffer := make([]byte, 16)
	// An empty datagram reads as the end of file that a port without a host gives.
	for _, send := range []string{"one", "", "two"} {
		if err := unix.Sendto(fds[1], []byte(send), 0, nil); err != nil && send != "" {
			t.Fatal(err)
		}
		n, err := port.Read(buffer)
		if send == "one" && (err != nil || string(buffer[:n]) != "one") {
			t.Errorf("read %q, %v", buffer[:n], err)
		}
		if send != "one" && !errors.Is(err, io.EOF) {
			t.Errorf("after the host left: read %q, %v; want the end", buffer[:n], err)
		}
	}
}

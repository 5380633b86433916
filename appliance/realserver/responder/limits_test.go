package responder

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"dipper/appliance/config"
)

// pipes is a listener in memory, whose time a test can move.
type pipes struct {
	clients chan net.Conn
	closed  chan struct{}
	close   func()
}

func newPipes() *pipes {
	closed := make(chan struct{})
	return &pipes{clients: make(chan net.Conn), closed: closed, close: sync.OnceFunc(func() { close(closed) })}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case conn := <-p.clients:
		return conn, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { p.close(); return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{} }

// dial connects a client; accepted is closed when the server took it.
func (p *pipes) dial() (client net.Conn, accepted <-chan struct{}) {
	client, server := net.Pipe()
	taken := make(chan struct{})
	go func() {
		select {
		case p.clients <- server:
			close(taken)
		case <-p.closed:
		}
	}()
	return client, taken
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// end takes a listener out of service within the bubble.
func end(t *testing.T, s service) {
	t.Helper()
	s.stop()
	if err := s.drain(t.Context()); err != nil {
		t.Error(err)
	}
}

var silent = slog.New(slog.DiscardHandler)

func TestConnectionsAreLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := newPipes()
		s := serveTCPEcho(limit(network, 2), silent)
		defer end(t, s)
		first, _ := network.dial()
		synctest.Wait() // in this order
		second, _ := network.dial()
		synctest.Wait()
		third, served := network.dial()
		defer second.Close()
		defer third.Close()
		synctest.Wait()
		if isClosed(served) {
			t.Error("a third connection is served beside two")
		}
		first.Close()
		synctest.Wait()
		if !isClosed(served) {
			t.Error("a connection that ends makes no room for the next")
		}
		second.Close()
		third.Close()
		synctest.Wait()
	})
}

// TestStopEndsAWaitForRoom stops a listener all of whose slots are taken.
func TestStopEndsAWaitForRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := newPipes()
		s := serveTCPEcho(limit(network, 1), silent)
		client, _ := network.dial()
		synctest.Wait()
		s.stop()
		if s.alive() {
			t.Error("still alive after stop")
		}
		client.Close()
		if err := s.drain(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// TestClientsThatStandStill are what a server meets on the day of an attack.
// Each must be gone when its time is over, and not before.
func TestClientsThatStandStill(t *testing.T) {
	page := config.Responder{Protocol: config.ServeHTTP, Size: 1 << 20}
	startHTTP := func(l net.Listener) service { return serveHTTP(l, page, silent) }
	startEcho := func(l net.Listener) service { return serveTCPEcho(l, silent) }
	tests := []struct {
		name   string
		start  func(net.Listener) service
		client func(conn net.Conn) // returns when it is cut off
		after  time.Duration
	}{
		{"says nothing", startHTTP, func(conn net.Conn) {
			_, _ = io.Copy(io.Discard, conn)
		}, headerPatience},
		{"drips a header", startHTTP, func(conn net.Conn) {
			go func() { _, _ = io.Copy(io.Discard, conn) }()
			_, err := io.WriteString(conn, "GET / HTTP/1.1\r\nX-Slow: ")
			for i := 0; err == nil && i < 100; i++ {
				time.Sleep(time.Second)
				_, err = io.WriteString(conn, "x")
			}
		}, headerPatience},
		{"asks once and stays", startHTTP, func(conn net.Conn) {
			_, _ = io.WriteString(conn, "HEAD / HTTP/1.1\r\nHost: x\r\n\r\n")
			_, _ = io.Copy(io.Discard, conn)
		}, stallPatience},
		{"takes nothing", startHTTP, func(conn net.Conn) {
			_, _ = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
			time.Sleep(stallPatience + time.Second/2)
			_, _ = io.Copy(io.Discard, conn)
		}, stallPatience},
		{"stops in the middle of a body", startHTTP, func(conn net.Conn) {
			_, _ = io.WriteString(conn, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc")
			_, _ = io.Copy(io.Discard, conn)
		}, stallPatience},
		{"says nothing to the echo", startEcho, func(conn net.Conn) {
			_, _ = io.Copy(io.Discard, conn)
		}, stallPatience},
		{"takes nothing from the echo", startEcho, func(conn net.Conn) {
			_, _ = io.WriteString(conn, "abc")
			time.Sleep(stallPatience + time.Second/2)
			_, _ = io.Copy(io.Discard, conn)
		}, stallPatience},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				network := newPipes()
				limited := limit(network, 1)
				s := tt.start(limited)
				began := time.Now()
				client, _ := network.dial()
				tt.client(client)
				const about = time.Second
				if took := time.Since(began); took < tt.after-about || took > tt.after+about {
					t.Errorf("cut off after %v, want about %v", took, tt.after)
				}
				client.Close()
				synctest.Wait()
				if got := len(limited.slots); got > 1 { // the accept loop holds the one that is free
					t.Errorf("%d slots are still taken", got)
				}
				end(t, s)
			})
		})
	}
}

// TestSlowIsNotStill uploads and downloads slower than any limit, without ever
// standing still.
func TestSlowIsNotStill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := newPipes()
		s := serveHTTP(limit(network, 1), config.Responder{Protocol: config.ServeHTTP, Size: 1 << 20}, silent)
		client, _ := network.dial()
		go func() {
			_, _ = io.WriteString(client, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n")
			for range 10 {
				time.Sleep(stallPatience - time.Second)
				_, _ = io.WriteString(client, "x")
			}
		}()
		if got := readAnswer(t, client); !strings.HasPrefix(got, "10 bytes, ") {
			t.Errorf("upload: got %q", got)
		}
		if _, err := io.WriteString(client, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		if got := readAnswer(t, slowReader{client}); len(got) != 1<<20 {
			t.Errorf("download: got %d bytes", len(got))
		}
		client.Close()
		end(t, s)
	})
}

// slowReader reads a little, once in a while.
type slowReader struct{ net.Conn }

func (r slowReader) Read(b []byte) (int, error) {
	time.Sleep(time.Second)
	return r.Conn.Read(b[:min(len(b), 4096)])
}

func TestHeaderIsLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := newPipes()
		s := serveHTTP(limit(network, 1), config.Responder{Protocol: config.ServeHTTP, Body: "x"}, silent)
		client, _ := network.dial()
		go func() {
			_, _ = fmt.Fprintf(client, "GET / HTTP/1.1\r\nHost: x\r\nX-Long: %s\r\n\r\n", strings.Repeat("x", 2*maxHeader))
		}()
		answer := make([]byte, 100)
		n, err := client.Read(answer)
		if err != nil || !bytes.HasPrefix(answer[:n], []byte("HTTP/1.1 431 ")) {
			t.Errorf("got %q, %v; want status 431", answer[:n], err)
		}
		client.Close()
		end(t, s)
	})
}

func TestUploadIsLimited(t *testing.T) {
	for _, tt := range []struct {
		body string
		want int
	}{{"0123456789", http.StatusOK}, {"0123456789a", http.StatusRequestEntityTooLarge}} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { count(w, r, 10) }))
		// Without a length in advance.
		answer, err := http.Post(server.URL, "text/plain", io.MultiReader(strings.NewReader(tt.body)))
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		server.Close()
		if answer.StatusCode != tt.want {
			t.Errorf("%d bytes: got status %d, want %d", len(tt.body), answer.StatusCode, tt.want)
		}
	}
}

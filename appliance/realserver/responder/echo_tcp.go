package responder

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"sync"
	"time"

	"dipper/appliance/config"
)

// tcpEcho is one TCP echo listener (RFC 862).
type tcpEcho struct {
	listener net.Listener
	log      *slog.Logger
	ended

	mu      sync.Mutex
	clients map[net.Conn]struct{}
	busy    sync.WaitGroup
}

func startTCPEcho(ctx context.Context, r config.Responder, log *slog.Logger) (service, error) {
	listener, err := listenTCP(ctx, r)
	if err != nil {
		return nil, err
	}
	return serveTCPEcho(listener, log), nil
}

func serveTCPEcho(listener net.Listener, log *slog.Logger) *tcpEcho {
	s := &tcpEcho{listener: listener, log: log, ended: make(ended), clients: make(map[net.Conn]struct{})}
	go func() {
		defer close(s.ended)
		s.accept()
	}()
	return s
}

// accept serves clients until the listener is closed. Any other failure, such
// as a lack of file descriptors, passes.
func (s *tcpEcho) accept() {
	const pause = 100 * time.Millisecond
	for {
		conn, err := s.listener.Accept()
		switch {
		case err == nil:
			s.admit(conn)
		case errors.Is(err, net.ErrClosed):
			return
		default:
			s.log.Warn("responder: accept", "listener", s.listener.Addr().String(), "error", err)
			time.Sleep(pause)
		}
	}
}

func (s *tcpEcho) admit(conn net.Conn) {
	s.mu.Lock()
	s.clients[conn] = struct{}{}
	s.mu.Unlock()
	s.busy.Go(func() {
		echo(conn)
		_ = conn.Close() // whatever became of it, the client is done
		s.mu.Lock()
		delete(s.clients, conn)
		s.mu.Unlock()
	})
}

// echo sends back what comes, until the client ends or stands still.
func echo(conn net.Conn) {
	buffer := make([]byte, 4096)
	for {
		if err := conn.SetReadDeadline(time.Now().Add(stallPatience)); err != nil {
			return
		}
		n, err := conn.Read(buffer)
		if _, wrote := conn.Write(buffer[:n]); wrote != nil || err != nil {
			return
		}
	}
}

func (s *tcpEcho) change(config.Responder) error { return nil }

func (s *tcpEcho) stop() {
	_ = s.listener.Close() // fails only when it is closed already
	<-s.ended
}

func (s *tcpEcho) drain(ctx context.Context) error {
	done := make(chan struct{})
	go func() {
		s.busy.Wait()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
	}
	s.mu.Lock()
	for conn := range s.clients {
		_ = conn.Close() // its goroutine sees it and goes
	}
	s.mu.Unlock()
	<-done
	return ctx.Err()
}

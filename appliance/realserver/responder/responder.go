// Package responder owns the built-in responder of a real server: small, honest
// HTTP, TCP echo and UDP echo servers, for tests and sorry pages. Every
// listener has limits and timeouts, and costs a bounded amount of memory
// whatever its clients do.
//
// It knows nothing of VIPs: it binds addresses before they exist and answers
// from the address that was asked.
package responder

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"dipper/appliance/config"
)

// Limits of one listener.
const (
	// maxConnections is how many clients a TCP listener serves at a time; more
	// wait in the kernel's backlog.
	maxConnections = 512
	// headerPatience is how long a client may take to send the whole header.
	headerPatience = 10 * time.Second
	// stallPatience is how long a client may send or take nothing.
	stallPatience = 30 * time.Second
	// maxHeader is the size of a request's header, in bytes.
	maxHeader = 16 << 10
	// maxUpload is the size of a request's body, in bytes. Bodies are read to
	// be counted, never held.
	maxUpload = 256 << 20
	// grace is how long clients of a listener that goes may finish.
	grace = 5 * time.Second
)

// Server is the set of listeners that Set asked for last.
type Server struct {
	log *slog.Logger

	mu   sync.Mutex
	open map[endpoint]service

	retiring sync.WaitGroup
}

// New returns a server without listeners. It logs to log what no client and
// no caller would otherwise hear of.
func New(log *slog.Logger) *Server {
	return &Server{log: log, open: make(map[endpoint]service)}
}

// endpoint is what a listener binds.
type endpoint struct {
	protocol config.ResponderProtocol
	address  netip.Addr
	port     uint16
}

func endpointOf(r config.Responder) endpoint {
	return endpoint{r.Protocol, r.Address, r.Port}
}

// String names the endpoint in errors: "http 192.168.4.15:80", "udp-echo :7".
func (e endpoint) String() string {
	host := ""
	if e.address.IsValid() {
		host = e.address.String()
		if e.address.Is6() {
			host = "[" + host + "]"
		}
	}
	return fmt.Sprintf("%s %s:%d", e.protocol, host, e.port)
}

// service is a listener that serves from its start on.
type service interface {
	// change takes over everything of r that does not move the endpoint.
	change(r config.Responder) error
	// alive tells whether it still listens.
	alive() bool
	// stop frees the endpoint.
	stop()
	// drain waits for the clients after stop, and cuts them off when ctx ends.
	drain(ctx context.Context) error
}

// ended is closed when a listener no longer listens.
type ended chan struct{}

func (e ended) alive() bool {
	select {
	case <-e:
		return false
	default:
		return true
	}
}

// Set makes want the listeners. Those that stay keep their connections, also
// when what they answer changes; those that go let their clients finish for a
// few seconds, in the background. The error joins one for each listener that
// could not be opened; the others serve all the same, and calling Set again
// tries those again.
func (s *Server) Set(ctx context.Context, want []config.Responder) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	wanted := make(map[endpoint]bool, len(want))
	for _, r := range want {
		wanted[endpointOf(r)] = true
	}
	for e, open := range s.open {
		if !wanted[e] || !open.alive() {
			s.retire(e, open)
		}
	}
	var failed []error
	for _, r := range want {
		if err := s.set(ctx, r); err != nil {
			failed = append(failed, fmt.Errorf("serve %s: %w", endpointOf(r), err))
		}
	}
	return errors.Join(failed...)
}

func (s *Server) set(ctx context.Context, r config.Responder) error {
	e := endpointOf(r)
	if open, ok := s.open[e]; ok {
		return open.change(r)
	}
	started, err := s.start(ctx, r)
	if err != nil {
		return err
	}
	s.open[e] = started
	return started.change(r)
}

func (s *Server) start(ctx context.Context, r config.Responder) (service, error) {
	switch r.Protocol {
	case config.ServeHTTP:
		return startHTTP(ctx, r, s.log)
	case config.ServeTCPEcho:
		return startTCPEcho(ctx, r, s.log)
	case config.ServeUDPEcho:
		return startUDPEcho(ctx, r, s.log)
	}
	return nil, fmt.Errorf("unknown protocol %q", r.Protocol)
}

// retire takes a listener out of service. Its endpoint is free when retire
// returns; its clients have until the grace is over.
func (s *Server) retire(e endpoint, open service) {
	delete(s.open, e)
	open.stop()
	s.retiring.Go(func() {
		ctx, cancel := context.WithTimeout(context.Background(), grace)
		defer cancel()
		if err := open.drain(ctx); err != nil {
			s.log.Info("responder: clients cut off", "listener", e.String(), "error", err)
		}
	})
}

// Close ends every listener and returns when their clients are done, or cut
// off after a few seconds.
func (s *Server) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for e, open := range s.open {
		s.retire(e, open)
	}
	s.retiring.Wait()
}

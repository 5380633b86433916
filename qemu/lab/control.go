package lab

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httputil"

	"dipper/appliance/api"
	"dipper/qemu/machine"
)

// control offers a machine's control port as a unix socket that any number of
// clients can use, by curl too: a virtio-serial port carries one connection,
// and this holds it.
type control struct {
	listener net.Listener
	server   *http.Server
	served   chan struct{}
}

// answerDeadline is longer than the appliance's long polls of 30 s and than a
// boot. What is not answered by then was asked of a control plane that is no
// more: the port itself shows nobody that it died.
const answerDeadline = defaultPatience

// serveControl offers the port until ctx ends.
func serveControl(ctx context.Context, m *machine.Machine, path string) (*control, error) {
	listener, err := net.Listen("unix", path)
	if err != nil {
		return nil, err
	}
	transport := &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return m.Dial(ctx, api.ControlPort)
		},
		MaxConnsPerHost:       1,
		DisableCompression:    true,
		ResponseHeaderTimeout: answerDeadline,
	}
	c := &control{listener: listener, served: make(chan struct{})}
	c.server = &http.Server{
		Handler: &httputil.ReverseProxy{
			Rewrite:      func(r *httputil.ProxyRequest) { r.Out.URL.Scheme, r.Out.URL.Host = "http", "dipper" },
			Transport:    transport,
			ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) { refuse(w, err) },
		},
		ReadHeaderTimeout: answerDeadline,
	}
	stop := context.AfterFunc(ctx, func() { c.server.Close(); transport.CloseIdleConnections() })
	go func() {
		defer close(c.served)
		defer stop()
		_ = c.server.Serve(listener) // ends when it is closed, by ctx
	}()
	return c, nil
}

func (c *control) wait() { <-c.served }

// refuse tells a client on this side what the machine cannot.
func refuse(w http.ResponseWriter, err error) {
	status := http.StatusBadGateway
	var failure net.Error
	if errors.As(err, &failure) && failure.Timeout() {
		status = http.StatusGatewayTimeout
	}
	http.Error(w, err.Error(), status)
}

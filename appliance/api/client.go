package api

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
)

// Client asks a control socket.
type Client struct {
	http *http.Client
}

// NewClient makes a Client of the control socket at path.
func NewClient(path string) *Client {
	return newClient(0, func(ctx context.Context) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", path)
	})
}

// NewClientFunc makes a Client that connects by dial. It holds at most one
// connection, because a virtio port carries only one.
func NewClientFunc(dial func(ctx context.Context) (net.Conn, error)) *Client {
	return newClient(1, dial)
}

// newClient makes a Client with a number of connections at most; 0: any.
func newClient(connections int, dial func(ctx context.Context) (net.Conn, error)) *Client {
	return &Client{http: &http.Client{Transport: &http.Transport{
		DialContext:        func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx) },
		MaxConnsPerHost:    connections,
		DisableCompression: true,
	}}}
}

// Close gives the connection back.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Status asks for the status.
func (c *Client) Status(ctx context.Context) (Status, error) {
	return get[Status](ctx, c, "/v1/status")
}

// NextStatus waits up to 30 s for a status newer than revision, and answers
// the present one when none came.
func (c *Client) NextStatus(ctx context.Context, revision int) (Status, error) {
	return get[Status](ctx, c, "/v1/status?newer-than="+strconv.Itoa(revision))
}

// Boot asks for the steps of the boot.
func (c *Client) Boot(ctx context.Context) ([]BootStep, error) {
	return get[[]BootStep](ctx, c, "/v1/boot")
}

// Services asks for the virtual services and their statistics.
func (c *Client) Services(ctx context.Context) ([]Service, error) {
	return get[[]Service](ctx, c, "/v1/services")
}

// Log asks for the last lines of the log.
func (c *Client) Log(ctx context.Context, lines int) ([]string, error) {
	return get[[]string](ctx, c, "/v1/log?lines="+strconv.Itoa(lines))
}

// Config asks for the running configuration, as YAML.
func (c *Client) Config(ctx context.Context) ([]byte, error) {
	return c.do(ctx, http.MethodGet, "/v1/config", nil)
}

// Apply makes yaml the running configuration.
func (c *Client) Apply(ctx context.Context, yaml []byte) (Applied, error) {
	return decode[Applied](c.do(ctx, http.MethodPut, "/v1/config", yaml))
}

// Plan asks what Apply would do.
func (c *Client) Plan(ctx context.Context, yaml []byte) (Applied, error) {
	return decode[Applied](c.do(ctx, http.MethodPut, "/v1/config?dry-run", yaml))
}

// Run runs a program of the image.
func (c *Client) Run(ctx context.Context, argv ...string) (CommandResult, error) {
	return post[CommandResult](ctx, c, "/v1/debug", Command{Argv: argv})
}

// End reboots the machine or powers it off.
func (c *Client) End(ctx context.Context, how Power) error {
	_, err := post[struct{}](ctx, c, "/v1/power", how)
	return err
}

func get[T any](ctx context.Context, c *Client, path string) (T, error) {
	return decode[T](c.do(ctx, http.MethodGet, path, nil))
}

func post[T any](ctx context.Context, c *Client, path string, v any) (T, error) {
	body, err := json.Marshal(v)
	if err != nil {
		var zero T
		return zero, fmt.Errorf("%s: %w", path, err)
	}
	return decode[T](c.do(ctx, http.MethodPost, path, body))
}

func decode[T any](body []byte, err error) (T, error) {
	var v T
	if err != nil {
		return v, err
	}
	if err := json.Unmarshal(body, &v); err != nil {
		return v, fmt.Errorf("control socket: answer: %w", err)
	}
	return v, nil
}

// do sends one request and reads its whole answer; a refusal is an *Error.
func (c *Client) do(ctx context.Context, method, path string, body []byte) ([]byte, error) {
	in, err := c.open(ctx, method, path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	defer in.Close()
	answer, err := io.ReadAll(in)
	if err != nil {
		return nil, fmt.Errorf("control socket: %s %s: %w", method, path, err)
	}
	return answer, nil
}

// open sends one request and answers the body of what comes back; a refusal is
// an *Error.
func (c *Client) open(ctx context.Context, method, path string, in io.Reader) (io.ReadCloser, error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://dipper"+path, in)
	if err != nil {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	if a := ActorOf(ctx); a != (Actor{}) {
		req.Header.Set(actorHeader, string(marshal(a)))
	}
	res, err := c.http.Do(req)
	if err != nil {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	if res.StatusCode == http.StatusOK {
		return res.Body, nil
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err != nil {
		return nil, fmt.Errorf("control socket: %s %s: %w", method, path, err)
	}
	refused := &Error{}
	if json.Unmarshal(answer, refused) != nil || refused.Message == "" {
		refused.Message = fmt.Sprintf("%s %s: %s", method, path, res.Status)
	}
	return nil, refused
}

package api_test

import (
	"context"
	"errors"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"dipper/appliance/api"
)

// backend is a Backend that remembers what it was asked.
type backend struct {
	status  api.Status
	applied []string
	ended   api.Power
}

func (b *backend) Status(ctx context.Context, newerThan int) api.Status {
	if b.status.Revision <= newerThan {
		<-ctx.Done()
	}
	return b.status
}

func (b *backend) Boot(context.Context) ([]api.BootStep, error) {
	return []api.BootStep{{Name: "mounts", At: api.Duration(time.Second), Took: api.Duration(2 * time.Millisecond), Outcome: "done"}}, nil
}

func (b *backend) Config(context.Context) ([]byte, error) {
	return nil, &api.Error{Message: "no configuration is running"}
}

func (b *backend) Apply(_ context.Context, yaml []byte, dryRun bool) (api.Applied, error) {
	if strings.Contains(string(yaml), "broken") {
		return api.Applied{}, &api.Error{Message: "mistakes", Details: []string{"a:1:1: role: unknown", "a:2:1: x: unknown"}}
	}
	word := "apply "
	if dryRun {
		word = "plan "
	}
	b.applied = append(b.applied, word+string(yaml))
	return api.Applied{Plan: []string{"ip link set eth0 up"}}, nil
}

func (b *backend) Services(context.Context) ([]api.Service, error) {
	return nil, errors.New("ipvs: netlink is gone")
}

func (b *backend) Log(_ context.Context, n int) ([]string, error) {
	return []string{"one", "two"}[:min(n, 2)], nil
}

func (b *backend) Run(_ context.Context, c api.Command) (api.CommandResult, error) {
	return api.CommandResult{Stdout: strings.Join(c.Argv, "|"), Exit: 3}, nil
}

func (b *backend) End(_ context.Context, how api.Power) error {
	b.ended = how
	return nil
}

// serve starts a control socket in front of b and answers a client of it.
func serve(t *testing.T, b api.Backend) *api.Client {
	t.Helper()
	path := filepath.Join(t.TempDir(), "api.sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- api.Serve(ctx, l, b) }()
	c := api.NewClient(path)
	t.Cleanup(func() {
		c.Close()
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return c
}

func TestClientAndServerAgree(t *testing.T) {
	b := &backend{status: api.Status{Hostname: "lb1", State: api.Serving, Revision: 4, Uptime: api.Duration(1500 * time.Millisecond)}}
	c, ctx := serve(t, b), t.Context()

	status, err := c.NextStatus(ctx, 3)
	if err != nil || !cmp.Equal(status, b.status) {
		t.Errorf("NextStatus = %+v, %v; want %+v", status, err, b.status)
	}
	steps, err := c.Boot(ctx)
	if want, _ := b.Boot(ctx); err != nil || !cmp.Equal(steps, want) {
		t.Errorf("Boot = %+v, %v; want %+v", steps, err, want)
	}
	if lines, err := c.Log(ctx, 1); err != nil || !cmp.Equal(lines, []string{"one"}) {
		t.Errorf("Log(1) = %q, %v", lines, err)
	}
	if res, err := c.Run(ctx, "ping", "-c", "1"); err != nil || res.Stdout != "ping|-c|1" || res.Exit != 3 {
		t.Errorf("Run = %+v, %v", res, err)
	}
	if err := c.End(ctx, api.PowerOff); err != nil || b.ended != api.PowerOff {
		t.Errorf("End: %v, backend was asked for %q", err, b.ended)
	}
	if _, err := c.Plan(ctx, []byte("x")); err != nil {
		t.Errorf("Plan: %v", err)
	}
	if _, err := c.Apply(ctx, []byte("y")); err != nil {
		t.Errorf("Apply: %v", err)
	}
	if want := []string{"plan x", "apply y"}; !cmp.Equal(b.applied, want) {
		t.Errorf("applied %q, want %q", b.applied, want)
	}
}

func TestRefusals(t *testing.T) {
	b := &backend{}
	c, ctx := serve(t, b), t.Context()
	calls := map[string]struct {
		call func() error
		want string
	}{
		"mistakes are listed": {
			func() error { _, err := c.Apply(ctx, []byte("broken")); return err },
			"mistakes: a:1:1: role: unknown; a:2:1: x: unknown",
		},
		"a fault of the appliance is told": {
			func() error { _, err := c.Services(ctx); return err },
			"ipvs: netlink is gone",
		},
		"no configuration": {
			func() error { _, err := c.Config(ctx); return err },
			"no configuration is running",
		},
		"an unknown way to end": {
			func() error { return c.End(ctx, "explode") },
			`power: "explode": expected "reboot" or "poweroff"`,
		},
		"what this backend does not offer": {
			func() error { _, err := c.Candidates(ctx); return err },
			"GET /v1/candidates: there is no such call",
		},
		"too large": {
			func() error { _, err := c.Apply(ctx, make([]byte, api.MaxConfigSize+1)); return err },
			"configuration: larger than 16777216 bytes",
		},
	}
	for name, tt := range calls {
		t.Run(name, func(t *testing.T) {
			err := tt.call()
			var refused *api.Error
			if !errors.As(err, &refused) || err.Error() != tt.want {
				t.Errorf("got %v, want *api.Error %q", err, tt.want)
			}
		})
	}
	if b.ended != "" || len(b.applied) > 0 {
		t.Errorf("a refused call reached the backend: %q %q", b.ended, b.applied)
	}
}

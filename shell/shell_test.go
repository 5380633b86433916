package shell

import (
	"bytes"
	"context"
	"errors"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"dipper/appliance/api"
)

// appliance is a control socket's backend with fixed answers.
type appliance struct {
	mu      sync.Mutex
	status  api.Status
	changed chan struct{}
	applied string
	ended   api.Power
}

func (a *appliance) Status(ctx context.Context, newerThan int) api.Status {
	for {
		a.mu.Lock()
		s, changed := a.status, a.changed
		a.mu.Unlock()
		if s.Revision > newerThan {
			return s
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return s
		}
	}
}

func (a *appliance) Boot(context.Context) ([]api.BootStep, error) {
	return []api.BootStep{
		{Name: "mounts", At: api.Duration(300 * time.Millisecond), Took: api.Duration(2 * time.Millisecond), Outcome: "done"},
		{Name: "config: fw_cfg", At: api.Duration(310 * time.Millisecond), Took: api.Duration(time.Millisecond), Outcome: "found", Detail: "512 bytes"},
	}, nil
}

func (a *appliance) Config(context.Context) ([]byte, error) { return []byte("role: director\n"), nil }

func (a *appliance) Apply(_ context.Context, yaml []byte, dryRun bool) (api.Applied, error) {
	if !dryRun {
		a.applied = string(yaml)
	}
	return api.Applied{Plan: []string{"ip link set eth0 up", "sysctl -w net.ipv4.ip_forward=1"}}, nil
}

func (a *appliance) Services(context.Context) ([]api.Service, error) {
	return []api.Service{{
		Name: "web", Protocol: "TCP", Listen: "192.168.4.15:80", Scheduler: "wrr",
		Statistics: api.Statistics{Connections: 4, InBytes: 1000},
		RealServers: []api.RealServer{
			{Address: "192.168.4.100:80", Forward: "Route", Weight: 1, ActiveConnections: 1, Statistics: api.Statistics{Connections: 4, InBytes: 1000}},
			{Address: "192.168.4.200:80", Forward: "Route", Weight: 0},
		},
	}}, nil
}

func (a *appliance) Log(_ context.Context, n int) ([]string, error) {
	return []string{"a line"}[:min(n, 1)], nil
}

func (a *appliance) Run(_ context.Context, c api.Command) (api.CommandResult, error) {
	return api.CommandResult{Stdout: "out of " + c.Argv[0], Stderr: "moan", Exit: len(c.Argv) - 1}, nil
}

func (a *appliance) End(_ context.Context, how api.Power) error { a.ended = how; return nil }

func socket(t *testing.T, a api.Backend) *api.Client {
	t.Helper()
	path := filepath.Join(t.TempDir(), "api.sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- api.Serve(ctx, l, a) }()
	c := api.NewClient(path)
	t.Cleanup(func() {
		c.Close()
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return c
}

func TestCLI(t *testing.T) {
	tests := map[string]struct {
		args []string
		in   string
		want string
	}{
		"boot": {
			args: []string{"boot"},
			want: `
AT        TOOK    STEP            OUTCOME  DETAIL
300.0 ms  2.0 ms  mounts          done     
310.0 ms  1.0 ms  config: fw_cfg  found    512 bytes
`,
		},
		"services": {
			args: []string{"services"},
			want: `
SERVICE  ADDRESS              SCHEDULER  FORWARD  WEIGHT  ACTIVE  INACTIVE  CONNECTIONS  IN    OUT
web      TCP 192.168.4.15:80  wrr                                           4            1000  0
           192.168.4.100:80              route    1       1       0         4            1000  0
           192.168.4.200:80              route    0       0       0         0            0     0
`,
		},
		"config": {args: []string{"config"}, want: "\nrole: director\n"},
		"log":    {args: []string{"log", "5"}, want: "\na line\n"},
		"plan":   {args: []string{"plan", "-"}, in: "x", want: "\nip link set eth0 up\nsysctl -w net.ipv4.ip_forward=1\n"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			a := &appliance{changed: make(chan struct{})}
			var out, errOut bytes.Buffer
			if err := CLI(t.Context(), socket(t, a), tt.args, strings.NewReader(tt.in), &out, &errOut); err != nil {
				t.Fatal(err)
			}
			if got := "\n" + out.String(); got != tt.want {
				t.Errorf("got:%s\nwant:%s", got, tt.want)
			}
			if a.applied != "" {
				t.Errorf("%q was applied", a.applied)
			}
		})
	}
}

func TestCLIActs(t *testing.T) {
	a := &appliance{changed: make(chan struct{})}
	c := socket(t, a)
	var out, errOut bytes.Buffer
	run := func(in string, args ...string) error {
		return CLI(t.Context(), c, args, strings.NewReader(in), &out, &errOut)
	}
	if err := run("role: director\n", "apply", "-"); err != nil || a.applied != "role: director\n" {
		t.Errorf("apply: %v, applied %q", err, a.applied)
	}
	if err := run("", "reboot"); err != nil || a.ended != api.Reboot {
		t.Errorf("reboot: %v, asked for %q", err, a.ended)
	}
	for _, args := range [][]string{{}, {"frobnicate"}, {"boot", "x"}, {"debug"}, {"apply"}} {
		if err := run("", args...); !errors.Is(err, errUsage) {
			t.Errorf("%q: got %v, want the usage", args, err)
		}
	}
}

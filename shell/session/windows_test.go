package session

import (
	"bytes"
	"context"
	"fmt"
	"iter"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"dipper/appliance/api"
	"dipper/shell/cells"
	"dipper/shell/output"
)

// longNames is a director with names and addresses as long as they get.
type longNames struct{ *fake }

func newLongNames() longNames {
	f := newFake()
	const network = "[2001:db8:4:abcd:ffff:eeee:dddd:"
	f.services = append(f.services, api.Service{
		Name: "customer-portal-production-https", Protocol: "tcp", Listen: network + "15]:8443", Scheduler: "wlc", Statistics: busy,
		RealServers: []api.RealServer{
			{
				Address: network + "100]:8443", Forward: "tun gue 6080", Weight: 100, Configured: 100, State: "up",
				ActiveConnections: 1_048_576, Statistics: busy, UpperThreshold: 1000, LowerThreshold: 800,
			},
			{
				Address: network + "101]:8443", Forward: "tun gue 6080", Configured: 100, State: "drained",
				ActiveConnections: 1_048_576, Statistics: busy, Reason: "alice, for 2h",
			},
		},
	})
	return longNames{f}
}

func (l longNames) Connections(ctx context.Context, q api.ConnectionQuery) iter.Seq2[api.Connection, error] {
	return func(yield func(api.Connection, error) bool) {
		for i := range 2 {
			s := l.services[len(l.services)-1]
			k := api.Connection{
				Protocol: "tcp", Client: fmt.Sprintf("[2001:db8:fedc:ba98:7654:3210:1234:567%d]:54321", i), Virtual: s.Listen,
				Server: s.RealServers[i].Address, State: "ESTABLISHED", Expires: api.Duration(14 * time.Minute), Service: s.Name,
			}
			if !yield(k, nil) {
				return
			}
		}
		for k, err := range l.fake.Connections(ctx, q) {
			if !yield(k, err) {
				return
			}
		}
	}
}

// TestWindows holds what is shown of long names in windows of several sizes. No
// line is wider than the window, unless an address alone is.
func TestWindows(t *testing.T) {
	for _, size := range []Size{{Width: 60, Height: 24}, {Width: 80, Height: 24}, {Width: 200, Height: 50}} {
		name := fmt.Sprintf("window-%dx%d", size.Width, size.Height)
		t.Run(name, func(t *testing.T) {
			var transcript strings.Builder
			for _, command := range []string{
				"show services", "show service customer-portal-production-https", "show real-servers", "show connections limit 4",
				"show rates", "show statistics", "monitor services", "monitor connections", "monitor rates",
			} {
				shown := inWindow(t, size, command)
				transcript.WriteString("lb1> " + command + "\n" + shown + "\n")
				for line := range strings.SplitSeq(shown, "\n") {
					if w := cells.Width(line); w > size.Width {
						t.Errorf("%s: %d cells: %s", command, w, line)
					}
				}
			}
			golden(t, name, transcript.String())
		})
	}
}

// inWindow is what a command shows in a window.
func inWindow(t *testing.T, size Size, command string) (shown string) {
	if strings.HasPrefix(command, "monitor") {
		synctest.Test(t, func(t *testing.T) {
			d := sit(t, newFake(), size.Width, size.Height, func(s *Session) { s.API = newLongNames() })
			d.types(command, enter)
			shown = d.vt.Screen() + "\n"
			d.types("q", ctrlD)
			if err := d.ends(); err != nil {
				t.Error(err)
			}
		})
		return shown
	}
	var out bytes.Buffer
	s := &Session{
		API: newLongNames(), Actor: api.Actor{User: "ann", Role: api.Viewer, Session: "s1"}, In: strings.NewReader(""), Out: &out, Err: &out,
		Terminal: &Terminal{Width: size.Width, Height: size.Height, Type: "vt100"}, Now: func() time.Time { return noon },
	}
	s.Exec(t.Context(), command)
	return strings.ReplaceAll(out.String(), "\r", "")
}

// TestUsersInANarrowWindow: a user is a line, as long as his command is short.
func TestUsersInANarrowWindow(t *testing.T) {
	var out bytes.Buffer
	c := &call{conversation: &conversation{Session: &Session{Actor: api.Actor{Session: "s1"}}}, out: &out, style: output.Style{Width: 60, Now: noon}}
	since := noon.Add(-26 * time.Hour)
	err := drawUsers(c, []Presence{
		{Actor: api.Actor{User: "ann", Role: api.Admin, From: "10.0.0.1", Session: "s1"}, Doing: "show users", Since: since, Active: noon},
		{Actor: api.Actor{User: "administrator", Role: api.Admin, From: "192.168.100.200", Session: "s2"}, Doing: "monitor connections", Since: since, Active: since},
	})
	want := `User           Role   From             Idle   Doing
ann            admin  10.0.0.1         0s     (this session)
administrator  admin  192.168.100.200  1d 2h  monitor
                                              connections
not shown in a window this narrow: Since
`
	if diff := cmp.Diff(want, out.String()); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
}

package shell

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"dipper/appliance/api"
)

// configurations keeps what is committed.
type configurations struct {
	mu        sync.Mutex
	committed []string
	text      string
	refuse    error
}

func (f *configurations) ShowConfig(_ context.Context, which string, _ api.ShowQuery) (string, error) {
	if which == "12" {
		return "", &api.Error{Message: "there is no revision 12"}
	}
	return "# " + which + "\nrole: director\n", nil
}

func (f *configurations) Revisions(context.Context) ([]api.Revision, error) {
	return []api.Revision{{Number: 7, Time: time.Unix(1e9, 0)}, {Number: 8, Time: time.Unix(2e9, 0)}}, nil
}

func (f *configurations) OpenCandidate(context.Context, bool) (api.Candidate, error) {
	return api.Candidate{ID: "c1"}, nil
}

func (f *configurations) EditCandidate(_ context.Context, _ string, e api.Edit) (api.Candidate, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.text = e.Text
	return api.Candidate{}, f.refuse
}

func (f *configurations) Commit(ctx context.Context, _ string, o api.CommitOptions) (api.Committed, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.committed = append(f.committed, fmt.Sprintf("%s (%s by %s)", f.text, o.Comment, api.ActorOf(ctx).User))
	return api.Committed{}, nil
}

func (f *configurations) CloseCandidate(context.Context, string) error { return nil }

func (f *configurations) Interfaces(context.Context) ([]api.Interface, error) {
	return []api.Interface{{Name: "lo", Kind: "loopback"}, {Name: "tunl0", Kind: "ipip"}, {Name: "eth0", MAC: "52:54:00:00:01:00", Carrier: true}}, nil
}

func (f *configurations) last() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.committed) == 0 {
		return ""
	}
	return f.committed[len(f.committed)-1]
}

// TestFirstConfiguration is the conversation on a machine in maintenance, with
// the key from a URL.
func TestFirstConfiguration(t *testing.T) {
	joe := newPerson(t, "joe")
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/joe.keys" {
			http.NotFound(w, r)
			return
		}
		io.WriteString(w, joe.read("key.pub"))
	}))
	defer web.Close()
	c := attend(t, api.Access{OneTimePassword: "quick-brown-fox"}, LoginAsked)
	c.board.set(api.Status{State: api.Maintenance, Problems: []string{"no boot config found"}, HostKey: "SHA256:8Ww1"})
	c.expect(`== dipper == maintenance(.|\n)*SSH login +admin, password quick-brown-fox(.|\n)*Enter to set this machine up, or "shell": `)
	c.press("\r")
	for _, turn := range []struct{ question, answer string }{
		{`Role \[director\]: `, ""},
		{`Name of this machine \[lb1\]: `, "lb7"},
		{`There are: eth0 \(connected\)\s+Interface \[eth0\]: `, ""},
		{`Its address.*: `, "192.168.4.5"},
		{`expected an address with a prefix length(.|\n)*Its address.*: `, "192.168.4.5/24"},
		{`Default gateway \[none\]: `, ""},
		{`VIP.*: `, "192.168.4.15:80"},
		{`How to reach.*: `, "dr"},
		{`Real server 1.*: `, "192.168.4.100"},
		{`Real server 2.*: `, ""},
		{`Public key.*: `, web.URL + "/nothing"},
		{`404 Not Found(.|\n)*Public key.*: `, web.URL + "/joe.keys"},
		{`One more key.*: `, ""},
		{`Password.*: `, "secret secret"},
		{`hostname: lb7(.|\n)*Commit this\? \[yes\]: `, ""},
	} {
		c.expect(turn.question)
		c.press(turn.answer + "\r")
	}
	c.expect("Committed")
	got := c.files.last()
	if !strings.Contains(got, joe.read("key.pub")) || !strings.Contains(got, "(first configuration by admin)") || strings.Contains(c.all(), "secret secret") {
		t.Errorf("committed: %s", got)
	}
	if shown := c.all(); !strings.Contains(got, "$2a$") || strings.Contains(shown, "$2a$") || !strings.Contains(shown, `password-hash: "(as given)"`) {
		t.Errorf("shown: %s", shown)
	}
}

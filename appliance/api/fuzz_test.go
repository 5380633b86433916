package api_test

import (
	"context"
	"encoding/json"
	"iter"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"dipper/appliance/api"
)

// agreeable has an answer to whatever can be asked.
type agreeable struct{ everything }

func (a *agreeable) Clear(ctx context.Context, q api.ClearQuery) (int, error) {
	a.note(ctx, q)
	return 1, nil
}

func (a *agreeable) Names(ctx context.Context, q api.NamesQuery) ([]api.Completion, error) {
	a.note(ctx, q)
	return nil, nil
}

func (a *agreeable) FollowLog(ctx context.Context) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) { yield("line", nil) }
}

func (a *agreeable) Interfaces(ctx context.Context) ([]api.Interface, error) {
	a.note(ctx)
	return nil, nil
}
func (a *agreeable) Routes(ctx context.Context) ([]api.Route, error) { a.note(ctx); return nil, nil }
func (a *agreeable) Neighbours(ctx context.Context) ([]api.Neighbour, error) {
	a.note(ctx)
	return nil, nil
}
func (a *agreeable) Sysctls(ctx context.Context) ([]api.Sysctl, error) { a.note(ctx); return nil, nil }
func (a *agreeable) System(ctx context.Context) (api.System, error) {
	a.note(ctx)
	return api.System{}, nil
}
func (a *agreeable) Timeouts(ctx context.Context) (api.Timeouts, error) {
	a.note(ctx)
	return api.Timeouts{}, nil
}
func (a *agreeable) Candidates(ctx context.Context) ([]api.Candidate, error) {
	a.note(ctx)
	return nil, nil
}
func (a *agreeable) OpenCandidate(ctx context.Context, shared bool) (api.Candidate, error) {
	a.note(ctx, shared)
	return api.Candidate{}, nil
}
func (a *agreeable) ShowCandidate(ctx context.Context, id string, q api.ShowQuery) (string, error) {
	a.note(ctx, id, q)
	return "", nil
}
func (a *agreeable) CompleteCandidate(ctx context.Context, id string, q api.CompleteQuery) ([]api.Completion, error) {
	a.note(ctx, id, q)
	return nil, nil
}
func (a *agreeable) Confirm(ctx context.Context) (api.Revision, error) {
	a.note(ctx)
	return api.Revision{}, nil
}
func (a *agreeable) Revert(ctx context.Context) error { a.note(ctx); return nil }
func (a *agreeable) Changes(ctx context.Context) (api.Comparison, error) {
	a.note(ctx)
	return api.Comparison{}, nil
}
func (a *agreeable) Save(ctx context.Context, comment string) (api.Revision, error) {
	a.note(ctx, comment)
	return api.Revision{}, nil
}
func (a *agreeable) Revisions(ctx context.Context) ([]api.Revision, error) {
	a.note(ctx)
	return nil, nil
}
func (a *agreeable) FormatState(ctx context.Context, device string, overwrite bool) error {
	a.note(ctx, device, overwrite)
	return nil
}
func (a *agreeable) HostKey(ctx context.Context) (api.HostKey, error) {
	a.note(ctx)
	return api.HostKey{}, nil
}
func (a *agreeable) HostKeyOffered(ctx context.Context, o api.HostKeyOffer) error {
	a.note(ctx, o)
	return nil
}
func (a *agreeable) HostKeys(ctx context.Context) (api.HostKeys, error) {
	a.note(ctx)
	return api.HostKeys{}, nil
}
func (a *agreeable) RotateHostKey(ctx context.Context, step api.HostKeyStep) (api.HostKeys, error) {
	a.note(ctx, step)
	return api.HostKeys{}, nil
}
func (a *agreeable) Audit(ctx context.Context, e api.AuditEntry) error { a.note(ctx, e); return nil }
func (a *agreeable) SessionBegan(ctx context.Context) error            { a.note(ctx); return nil }
func (a *agreeable) SessionEnded(ctx context.Context, session string, lost bool) error {
	a.note(ctx, session, lost)
	return nil
}

// FuzzHandler asks anything of a socket that has all calls, on anybody's
// behalf. Whatever comes, the answer can be read, and nobody is asked on behalf
// of a role that there is not.
func FuzzHandler(f *testing.F) {
	const anna = `{"user":"anna","role":"admin","session":"s1"}`
	for _, seed := range [][4]string{
		{"PUT", "/v1/config?dry-run", "role: director\n", ""},
		{"POST", "/v1/debug", `{"argv":["ip","addr"]}`, anna},
		{"POST", "/v1/program?arg=ipvsadm&arg=-Ln", "-A -t 1.2.3.4:80\n", `{"role":"viewer"}`},
		{"POST", "/v1/capture", `{"interface":"eth0","filter":"tcp port 80","count":-1,"snap":4294967296}`, anna},
		{"POST", "/v1/power", `"reboot"`, `{"role":"emperor"}`},
		{"GET", "/v1/log?lines=-1", "", anna},
		{"GET", "/v1/log/follow", "", anna},
		{"GET", "/v1/events?after=9223372036854775807&follow", "", ""},
		{"GET", "/v1/status?newer-than=x", "", "{"},
		{"POST", "/v1/connections", `{"client":"192.0.2.0/24","limit":-1}`, anna},
		{"POST", "/v1/servers", `{"server":"192.168.4.100","verb":"drain","for":"-1s"}`, anna},
		{"POST", "/v1/clear", `{"what":"counters"}`, anna},
		{"POST", "/v1/names", `{"kind":"service","prefix":"w","limit":-5}`, anna},
		{"POST", "/v1/candidates", `{"shared":true}`, anna},
		{"DELETE", "/v1/candidates/%2e%2e%2f1", "", anna},
		{"POST", "/v1/candidates/1/edit", `{"kind":"set","words":["hostname","lb1"]}`, anna},
		{"POST", "/v1/candidates/1/show", `{"path":["services"],"format":"json","secrets":true}`, anna},
		{"POST", "/v1/candidates/1/complete", `{"kind":"set","words":[],"limit":9999999999}`, anna},
		{"GET", "/v1/candidates/1/compare?with=running", "", anna},
		{"POST", "/v1/candidates/1/commit", `{"confirm":"2562047h47m16.854775807s","comment":"\u0000"}`, anna},
		{"POST", "/v1/config/show?of=7", `{"format":"yaml"}`, anna},
		{"POST", "/v1/config/complete?of=saved", `{"words":[""]}`, anna},
		{"GET", "/v1/config/compare?from=1&to=running", "", anna},
		{"POST", "/v1/confirm", "", anna},
		{"POST", "/v1/revert", "", anna},
		{"POST", "/v1/save", `{"comment":"x"}`, anna},
		{"POST", "/v1/state-volume", `{"device":"/dev/../etc","overwrite":true}`, anna},
		{"POST", "/v1/audit", `{"kind":"command","text":"x\ny","result":"ok","took":"1s"}`, anna},
		{"POST", "/v1/sessions/ended", `{"session":"s1","lost":true}`, anna},
		{"GET", "/v1/access?newer-than=-1", "", ""},
		{"GET", "/v1/host-key", "", ""},
		{"GET", "/v1/host-keys", "", anna},
		{"POST", "/v1/host-keys", `{"step":"announce"}`, anna},
		{"POST", "/v1/host-key/offered", `{"fingerprint":"SHA256:x","learned":true}`, anna},
	} {
		f.Add(seed[0], seed[1], seed[2], seed[3])
	}
	f.Fuzz(func(t *testing.T, method, target, body, actor string) {
		at, err := url.Parse(target)
		if err != nil {
			return
		}
		// Who waits for news gets none.
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		r, err := http.NewRequestWithContext(ctx, method, "http://dipper/", strings.NewReader(body))
		if err != nil {
			return
		}
		r.URL = at
		r.Header.Set("Dipper-Actor", actor)
		b := &agreeable{}
		w := httptest.NewRecorder()
		api.Handler(b).ServeHTTP(w, r)
		if ct := w.Header().Get("Content-Type"); ct == "application/json" && !json.Valid(w.Body.Bytes()) {
			t.Errorf("%s %s: answer is no JSON: %q", method, target, w.Body)
		}
		if !slices.Contains([]api.Role{"", api.Viewer, api.Operate, api.Admin}, b.actor.Role) {
			t.Errorf("%s %s on behalf of the role %q", method, target, b.actor.Role)
		}
	})
}

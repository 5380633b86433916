package api_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"iter"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"dipper/appliance/api"
)

// everything answers whatever there is to ask, and remembers by whom it was
// asked for what.
type everything struct {
	backend
	api.Operator
	api.Configurator
	api.Gate
	actor api.Actor
	asked []any
}

func (e *everything) note(ctx context.Context, what ...any) {
	e.actor = api.ActorOf(ctx)
	e.asked = append(e.asked, what...)
}

func (e *everything) Program(ctx context.Context, argv []string, in io.Reader, out, errOut io.Writer) (int, error) {
	e.note(ctx, argv)
	if argv[0] == "missing" {
		return 0, &api.Error{Message: "no such program"}
	}
	if _, err := io.Copy(out, in); err != nil {
		return 0, err
	}
	_, err := io.WriteString(errOut, "bye")
	return 3, err
}

func (e *everything) Capture(ctx context.Context, q api.CaptureQuery, out io.Writer) error {
	e.note(ctx, q)
	if _, err := out.Write(bytes.Repeat([]byte("x"), 3<<20)); err != nil { // more than a frame holds
		return err
	}
	return &api.Error{Message: "the link is gone", Word: 2}
}

func (e *everything) Connections(ctx context.Context, q api.ConnectionQuery) iter.Seq2[api.Connection, error] {
	e.note(ctx, q)
	return func(yield func(api.Connection, error) bool) {
		for range 1000 {
			if !yield(api.Connection{Client: "192.0.2.1:5"}, nil) {
				return
			}
		}
		if q.State == "broken" {
			yield(api.Connection{}, errors.New("ipvs: read connections"))
		}
	}
}

func (e *everything) Events(ctx context.Context, after int, follow bool) iter.Seq2[api.Event, error] {
	return func(yield func(api.Event, error) bool) {
		for n := after + 1; yield(api.Event{Number: n, Kind: "commit"}, nil) && !follow; n++ {
			if n == after+2 {
				return
			}
		}
		<-ctx.Done() // more to come, but never does
	}
}

func (e *everything) SetServer(ctx context.Context, v api.ServerVerb) ([]api.ServerResult, error) {
	e.note(ctx, v)
	return []api.ServerResult{{Service: "web", Was: 2}}, nil
}

func (e *everything) EditCandidate(ctx context.Context, id string, edit api.Edit) (api.Candidate, error) {
	e.note(ctx, id, edit)
	return api.Candidate{}, &api.Error{Message: "unknown scheduler", Details: []string{"expected rr"}, Word: 4}
}

func (e *everything) Commit(ctx context.Context, id string, o api.CommitOptions) (api.Committed, error) {
	e.note(ctx, id, o)
	return api.Committed{Revision: 7, Comparison: api.Comparison{Plan: []string{"ipvsadm -C"}}}, nil
}

func (e *everything) CompareCandidate(ctx context.Context, id, with string) (api.Comparison, error) {
	e.note(ctx, id, with)
	return api.Comparison{Tree: []string{"+ a"}}, nil
}

func (e *everything) CloseCandidate(ctx context.Context, id string) error {
	e.note(ctx, id)
	return nil
}

func (e *everything) ShowConfig(ctx context.Context, which string, q api.ShowQuery) (string, error) {
	e.note(ctx, which, q)
	return "role: director\n", nil
}

func (e *everything) CompleteConfig(ctx context.Context, which string, q api.CompleteQuery) ([]api.Completion, error) {
	e.note(ctx, which, q)
	return []api.Completion{{Word: "web"}}, nil
}

func (e *everything) CandidatePath(ctx context.Context, id string, words []string) ([]string, error) {
	e.note(ctx, id, words)
	return append([]string{"services"}, words[1:]...), nil
}

func (e *everything) CompareConfigs(ctx context.Context, from, to string) (api.Comparison, error) {
	e.note(ctx, from, to)
	return api.Comparison{Tree: []string{"- b"}}, nil
}

func (e *everything) Access(ctx context.Context, newerThan int) (api.Access, error) {
	if newerThan < 4 {
		return api.Access{Generation: 4, IdleTimeout: api.Duration(time.Minute)}, nil
	}
	<-ctx.Done()
	return api.Access{Generation: newerThan}, nil
}

func (e *everything) SessionBegan(ctx context.Context) error {
	e.note(ctx, "began")
	return nil
}

func (e *everything) SessionEnded(ctx context.Context, session string, lost bool) error {
	e.note(ctx, session, lost)
	return nil
}

func TestCallsArriveAsTheyWereAsked(t *testing.T) {
	e := &everything{}
	c := serve(t, e)
	anna := api.Actor{User: "anna \"ä\"\n", Role: api.Admin, Fingerprint: "SHA256:x", From: "192.0.2.1", Session: "s1"}
	ctx := api.WithActor(t.Context(), anna)
	verb := api.ServerVerb{Server: "[2001:db8::1]:80", Service: "web", Verb: api.Weigh, Weight: 5, For: api.Duration(time.Minute)}
	if results, err := c.SetServer(ctx, verb); err != nil || !cmp.Equal(results, []api.ServerResult{{Service: "web", Was: 2}}) {
		t.Errorf("SetServer = %+v, %v", results, err)
	}
	o := api.CommitOptions{Comment: "more", Confirm: api.Duration(10 * time.Minute), Anyway: true}
	if done, err := c.Commit(ctx, "a/b", o); err != nil || done.Revision != 7 || len(done.Plan) != 1 {
		t.Errorf("Commit = %+v, %v", done, err)
	}
	if compared, err := c.CompareCandidate(ctx, "1", "a b&c"); err != nil || len(compared.Tree) != 1 {
		t.Errorf("CompareCandidate = %+v, %v", compared, err)
	}
	if err := c.CloseCandidate(ctx, "9"); err != nil {
		t.Error(err)
	}
	show := api.ShowQuery{Path: []string{"services", "web"}, Format: api.FormatJSON, Secrets: true}
	if text, err := c.ShowConfig(ctx, "saved", show); err != nil || text != "role: director\n" {
		t.Errorf("ShowConfig = %q, %v", text, err)
	}
	next := api.CompleteQuery{Words: []string{"services", "w"}, Limit: 5}
	if words, err := c.CompleteConfig(ctx, "running", next); err != nil || len(words) != 1 {
		t.Errorf("CompleteConfig = %+v, %v", words, err)
	}
	if compared, err := c.CompareConfigs(ctx, "7", "running"); err != nil || len(compared.Tree) != 1 {
		t.Errorf("CompareConfigs = %+v, %v", compared, err)
	}
	if path, err := c.CandidatePath(ctx, "1", []string{"serv", "w b"}); err != nil || !cmp.Equal(path, []string{"services", "w b"}) {
		t.Errorf("CandidatePath = %q, %v", path, err)
	}
	if err := c.SessionBegan(ctx); err != nil {
		t.Error(err)
	}
	if err := c.SessionEnded(ctx, "s1", true); err != nil {
		t.Error(err)
	}
	want := []any{verb, "a/b", o, "1", "a b&c", "9", "saved", show, "running", next, "7", "running", "1", []string{"serv", "w b"}, "began", "s1", true}
	if diff := cmp.Diff(want, e.asked); diff != "" || e.actor != anna {
		t.Errorf("asked by %+v (-want +got):\n%s", e.actor, diff)
	}
	if access, err := c.Access(ctx, 3); err != nil || access.Generation != 4 || access.IdleTimeout != api.Duration(time.Minute) {
		t.Errorf("Access = %+v, %v", access, err)
	}
}

func TestRefusedWord(t *testing.T) {
	c := serve(t, &everything{})
	_, err := c.EditCandidate(t.Context(), "1", api.Edit{Kind: api.EditSet, Words: []string{"a"}})
	want := &api.Error{Message: "unknown scheduler", Details: []string{"expected rr"}, Word: 4}
	var got *api.Error
	if !errors.As(err, &got) || !cmp.Equal(got, want) {
		t.Errorf("got %+v, want %+v", err, want)
	}
}

func TestProgram(t *testing.T) {
	e := &everything{}
	c := serve(t, e)
	var out, errOut bytes.Buffer
	argv := []string{"grep", "-e", "a b", "&=?", ""}
	status, err := c.Program(t.Context(), argv, strings.NewReader("hello"), &out, &errOut)
	if err != nil || status != 3 || out.String() != "hello" || errOut.String() != "bye" || !cmp.Equal(e.asked, []any{argv}) {
		t.Errorf("exit status %d, %v, said %q and %q, asked for %q", status, err, out.String(), errOut.String(), e.asked)
	}
	var refused *api.Error
	if _, err := c.Program(t.Context(), []string{"missing"}, nil, &out, &errOut); !errors.As(err, &refused) || refused.Message != "no such program" {
		t.Errorf("got %v", err)
	}
	if _, err := c.Program(t.Context(), nil, nil, &out, &errOut); !errors.As(err, &refused) {
		t.Errorf("no program: got %v", err)
	}
}

func TestCapture(t *testing.T) {
	c := serve(t, &everything{})
	var out bytes.Buffer
	var refused *api.Error
	err := c.Capture(t.Context(), api.CaptureQuery{Interface: "eth0"}, &out)
	if !errors.As(err, &refused) || refused.Word != 2 || out.Len() != 3<<20 {
		t.Errorf("%d bytes, %v", out.Len(), err)
	}
}

func TestStreams(t *testing.T) {
	c := serve(t, &everything{})
	count := func(q api.ConnectionQuery) (n int, err error) {
		for _, err := range c.Connections(t.Context(), q) {
			if err != nil {
				return n, err
			}
			n++
		}
		return n, nil
	}
	if n, err := count(api.ConnectionQuery{}); n != 1000 || err != nil {
		t.Errorf("%d connections, %v", n, err)
	}
	if n, err := count(api.ConnectionQuery{State: "broken"}); n != 1000 || err == nil || err.Error() != "ipvs: read connections" {
		t.Errorf("%d connections, %v; want the error behind them", n, err)
	}
	for range c.Connections(t.Context(), api.ConnectionQuery{}) {
		break // and nobody waits for the rest
	}
	for e, err := range c.Events(t.Context(), 5, true) { // comes at once, though the stream goes on
		if err != nil || e.Number != 6 {
			t.Errorf("event %+v, %v", e, err)
		}
		break
	}
}

// TestCutOff has a control plane that dies in the middle of its answers.
func TestCutOff(t *testing.T) {
	path := filepath.Join(t.TempDir(), "api.sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	answers := []string{
		"HTTP/1.1 200 OK\r\n\r\n",
		"HTTP/1.1 200 OK\r\n\r\n\x01\x00\x00\x00\x05he",
		"HTTP/1.1 200 OK\r\n\r\n\x01\xff\xff\xff\xff",
		"HTTP/1.1 200 OK\r\n\r\n\x09\x00\x00\x00\x00",
	}
	go func() {
		for _, answer := range answers {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = io.ReadAtLeast(conn, make([]byte, 1), 1)
			_, _ = io.WriteString(conn, answer)
			_ = conn.Close()
		}
	}()
	c := api.NewClient(path)
	defer c.Close()
	for _, answer := range answers {
		if _, err := c.Program(t.Context(), []string{"x"}, nil, io.Discard, io.Discard); err == nil {
			t.Errorf("%q was taken for a whole answer", answer)
		}
	}
}

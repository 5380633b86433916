package api

import (
	"bytes"
	"context"
	"io"
	"iter"
	"net/http"
	"net/url"
	"strconv"
)

// Client has everything that the interfaces promise.
var (
	_ Configurator = (*Client)(nil)
	_ Operator     = (*Client)(nil)
	_ Gate         = (*Client)(nil)
)

// Candidates implements Configurator.
func (c *Client) Candidates(ctx context.Context) ([]Candidate, error) {
	return get[[]Candidate](ctx, c, "/v1/candidates")
}

// OpenCandidate implements Configurator.
func (c *Client) OpenCandidate(ctx context.Context, shared bool) (Candidate, error) {
	return post[Candidate](ctx, c, "/v1/candidates", openQuery{shared})
}

// CloseCandidate implements Configurator.
func (c *Client) CloseCandidate(ctx context.Context, id string) error {
	_, err := c.do(ctx, http.MethodDelete, "/v1/candidates/"+url.PathEscape(id), nil)
	return err
}

// EditCandidate implements Configurator.
func (c *Client) EditCandidate(ctx context.Context, id string, edit Edit) (Candidate, error) {
	return post[Candidate](ctx, c, candidatePath(id, "edit"), edit)
}

// CandidatePath implements Configurator.
func (c *Client) CandidatePath(ctx context.Context, id string, words []string) ([]string, error) {
	return post[[]string](ctx, c, candidatePath(id, "path"), words)
}

// ShowCandidate implements Configurator.
func (c *Client) ShowCandidate(ctx context.Context, id string, q ShowQuery) (string, error) {
	return post[string](ctx, c, candidatePath(id, "show"), q)
}

// CompleteCandidate implements Configurator.
func (c *Client) CompleteCandidate(ctx context.Context, id string, q CompleteQuery) ([]Completion, error) {
	return post[[]Completion](ctx, c, candidatePath(id, "complete"), q)
}

// CompareCandidate implements Configurator.
func (c *Client) CompareCandidate(ctx context.Context, id, with string) (Comparison, error) {
	return get[Comparison](ctx, c, candidatePath(id, "compare")+"?with="+url.QueryEscape(with))
}

// Commit implements Configurator.
func (c *Client) Commit(ctx context.Context, id string, o CommitOptions) (Committed, error) {
	return post[Committed](ctx, c, candidatePath(id, "commit"), o)
}

// Confirm implements Configurator.
func (c *Client) Confirm(ctx context.Context) (Revision, error) {
	return post[Revision](ctx, c, "/v1/confirm", nil)
}

// Revert implements Configurator.
func (c *Client) Revert(ctx context.Context) error {
	_, err := post[struct{}](ctx, c, "/v1/revert", nil)
	return err
}

// ShowConfig implements Configurator.
func (c *Client) ShowConfig(ctx context.Context, which string, q ShowQuery) (string, error) {
	return post[string](ctx, c, "/v1/config/show?of="+url.QueryEscape(which), q)
}

// CompleteConfig implements Configurator.
func (c *Client) CompleteConfig(ctx context.Context, which string, q CompleteQuery) ([]Completion, error) {
	return post[[]Completion](ctx, c, "/v1/config/complete?of="+url.QueryEscape(which), q)
}

// CompareConfigs implements Configurator.
func (c *Client) CompareConfigs(ctx context.Context, from, to string) (Comparison, error) {
	return get[Comparison](ctx, c, "/v1/config/compare?"+url.Values{"from": {from}, "to": {to}}.Encode())
}

// Changes implements Configurator.
func (c *Client) Changes(ctx context.Context) (Comparison, error) {
	return get[Comparison](ctx, c, "/v1/changes")
}

// Save implements Configurator.
func (c *Client) Save(ctx context.Context, comment string) (Revision, error) {
	return post[Revision](ctx, c, "/v1/save", saveQuery{comment})
}

// Revisions implements Configurator.
func (c *Client) Revisions(ctx context.Context) ([]Revision, error) {
	return get[[]Revision](ctx, c, "/v1/revisions")
}

// FormatState implements Configurator.
func (c *Client) FormatState(ctx context.Context, device string, overwrite bool) error {
	_, err := post[struct{}](ctx, c, "/v1/state-volume", formatQuery{device, overwrite})
	return err
}

// HostKeys implements Configurator.
func (c *Client) HostKeys(ctx context.Context) (HostKeys, error) {
	return get[HostKeys](ctx, c, "/v1/host-keys")
}

// RotateHostKey implements Configurator.
func (c *Client) RotateHostKey(ctx context.Context, step HostKeyStep) (HostKeys, error) {
	return post[HostKeys](ctx, c, "/v1/host-keys", hostKeyQuery{step})
}

// Program implements Operator.
func (c *Client) Program(ctx context.Context, argv []string, in io.Reader, out, errOut io.Writer) (int, error) {
	body, err := c.open(ctx, http.MethodPost, "/v1/program?"+url.Values{"arg": argv}.Encode(), in)
	if err != nil {
		return 0, err
	}
	defer body.Close()
	return readFrames(body, out, errOut)
}

// Capture implements Operator.
func (c *Client) Capture(ctx context.Context, q CaptureQuery, out io.Writer) error {
	body, err := c.open(ctx, http.MethodPost, "/v1/capture", jsonBody(q))
	if err != nil {
		return err
	}
	defer body.Close()
	_, err = readFrames(body, out, io.Discard)
	return err
}

// Connections implements Operator.
func (c *Client) Connections(ctx context.Context, q ConnectionQuery) iter.Seq2[Connection, error] {
	return follow[Connection](ctx, c, http.MethodPost, "/v1/connections", jsonBody(q))
}

// SetServer implements Operator.
func (c *Client) SetServer(ctx context.Context, v ServerVerb) ([]ServerResult, error) {
	return post[[]ServerResult](ctx, c, "/v1/servers", v)
}

// Clear implements Operator.
func (c *Client) Clear(ctx context.Context, q ClearQuery) (int, error) {
	return post[int](ctx, c, "/v1/clear", q)
}

// Names implements Operator.
func (c *Client) Names(ctx context.Context, q NamesQuery) ([]Completion, error) {
	return post[[]Completion](ctx, c, "/v1/names", q)
}

// Interfaces implements Operator.
func (c *Client) Interfaces(ctx context.Context) ([]Interface, error) {
	return get[[]Interface](ctx, c, "/v1/interfaces")
}

// Routes implements Operator.
func (c *Client) Routes(ctx context.Context) ([]Route, error) {
	return get[[]Route](ctx, c, "/v1/routes")
}

// Neighbours implements Operator.
func (c *Client) Neighbours(ctx context.Context) ([]Neighbour, error) {
	return get[[]Neighbour](ctx, c, "/v1/neighbours")
}

// Sysctls implements Operator.
func (c *Client) Sysctls(ctx context.Context) ([]Sysctl, error) {
	return get[[]Sysctl](ctx, c, "/v1/sysctls")
}

// System implements Operator.
func (c *Client) System(ctx context.Context) (System, error) {
	return get[System](ctx, c, "/v1/system")
}

// Timeouts implements Operator.
func (c *Client) Timeouts(ctx context.Context) (Timeouts, error) {
	return get[Timeouts](ctx, c, "/v1/timeouts")
}

// Events implements Operator.
func (c *Client) Events(ctx context.Context, after int, live bool) iter.Seq2[Event, error] {
	path := "/v1/events?after=" + strconv.Itoa(after)
	if live {
		path += "&follow"
	}
	return follow[Event](ctx, c, http.MethodGet, path, nil)
}

// FollowLog implements Operator.
func (c *Client) FollowLog(ctx context.Context) iter.Seq2[string, error] {
	return follow[string](ctx, c, http.MethodGet, "/v1/log/follow", nil)
}

// Access implements Gate.
func (c *Client) Access(ctx context.Context, newerThan int) (Access, error) {
	return get[Access](ctx, c, "/v1/access?newer-than="+strconv.Itoa(newerThan))
}

// HostKey implements Gate.
func (c *Client) HostKey(ctx context.Context) (HostKey, error) {
	return get[HostKey](ctx, c, "/v1/host-key")
}

// HostKeyOffered implements Gate.
func (c *Client) HostKeyOffered(ctx context.Context, o HostKeyOffer) error {
	_, err := post[struct{}](ctx, c, "/v1/host-key/offered", o)
	return err
}

// Audit implements Gate.
func (c *Client) Audit(ctx context.Context, e AuditEntry) error {
	_, err := post[struct{}](ctx, c, "/v1/audit", e)
	return err
}

// SessionBegan implements Gate.
func (c *Client) SessionBegan(ctx context.Context) error {
	_, err := post[struct{}](ctx, c, "/v1/sessions/began", struct{}{})
	return err
}

// SessionEnded implements Gate.
func (c *Client) SessionEnded(ctx context.Context, session string, lost bool) error {
	_, err := post[struct{}](ctx, c, "/v1/sessions/ended", sessionQuery{session, lost})
	return err
}

func candidatePath(id, call string) string {
	return "/v1/candidates/" + url.PathEscape(id) + "/" + call
}

// follow reads a list while it is made.
func follow[T any](ctx context.Context, c *Client, method, path string, in io.Reader) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		body, err := c.open(ctx, method, path, in)
		if err != nil {
			var none T
			yield(none, err)
			return
		}
		defer body.Close()
		readLines(body, yield)
	}
}

// jsonBody is v as a request's body.
func jsonBody(v any) io.Reader { return bytes.NewReader(marshal(v)) }

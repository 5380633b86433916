package session

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"dipper/appliance/api"
)

type fakeCandidate struct {
	api.Candidate
	lines []string
}

func (f *fake) Candidates(context.Context) ([]api.Candidate, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	all := []api.Candidate{}
	for _, k := range f.candidates {
		all = append(all, k.Candidate)
	}
	slices.SortFunc(all, func(a, b api.Candidate) int { return strings.Compare(a.ID, b.ID) })
	return all, nil
}

func (f *fake) OpenCandidate(ctx context.Context, shared bool) (api.Candidate, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.opened++
	k := &fakeCandidate{lines: slices.Clone(f.running), Candidate: api.Candidate{
		ID: fmt.Sprint(f.opened), Shared: shared, Owner: api.ActorOf(ctx), Since: noon, Base: f.generation,
	}}
	f.candidates[k.ID] = k
	return k.Candidate, nil
}

func (f *fake) CloseCandidate(_ context.Context, id string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if k := f.candidates[id]; !k.Shared || !k.Changed {
		delete(f.candidates, id)
	}
	return nil
}

func (f *fake) EditCandidate(_ context.Context, id string, e api.Edit) (api.Candidate, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	k := f.candidates[id]
	if k == nil {
		return api.Candidate{}, &api.Error{Message: "there is no candidate " + id}
	}
	if i := slices.Index(e.Words, "lcss"); i >= 0 {
		return api.Candidate{}, &api.Error{Message: `unknown scheduler "lcss": did you mean "lc"?`, Word: i + 1}
	}
	line := "set " + strings.Join(e.Words, " ")
	switch e.Kind {
	case api.EditSet:
		k.lines = append(k.lines, line)
	case api.EditDelete:
		k.lines = slices.DeleteFunc(k.lines, func(l string) bool { return strings.HasPrefix(l, line) })
	case api.EditUpdate:
		k.Base = f.generation
	case api.EditDiscard, api.EditRollback:
		k.lines = slices.Clone(f.running)
	case api.EditOverride:
		k.lines = strings.Split(strings.TrimSpace(e.Text), "\n")
	case api.EditMerge, api.EditReplace:
		k.lines = append(k.lines, strings.Split(strings.TrimSpace(e.Text), "\n")...)
	default:
		k.lines = append(k.lines, string(e.Kind)+strings.TrimPrefix(line, "set")+" "+e.Text)
	}
	k.Changed = !slices.Equal(k.lines, f.running)
	k.Edits++
	return k.Candidate, nil
}

func (f *fake) ShowCandidate(_ context.Context, id string, q api.ShowQuery) (string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return show1(f.candidates[id].lines, q), nil
}

func (f *fake) ShowConfig(_ context.Context, which string, q api.ShowQuery) (string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return show1(f.running, q), nil
}

// show1 writes what is below a path: as commands, or else without "set".
func show1(lines []string, q api.ShowQuery) string {
	var b strings.Builder
	for _, l := range lines {
		l = strings.TrimPrefix(l, "set ")
		if !strings.HasPrefix(l, strings.Join(q.Path, " ")) {
			continue
		}
		if q.Format == api.FormatCommands {
			b.WriteString("set ")
		}
		b.WriteString(l + "\n")
	}
	return b.String()
}

func (f *fake) CompleteCandidate(_ context.Context, id string, q api.CompleteQuery) ([]api.Completion, error) {
	f.called("CompleteCandidate " + id)
	path := strings.Join(q.Words[:len(q.Words)-1], " ")
	switch path {
	case "":
		return filtered(q.Words, []api.Completion{{Word: "hostname", Help: "the machine's name", State: "lb1"}, {Word: "services", Help: "virtual services"}}), nil
	case "services":
		return filtered(q.Words, []api.Completion{{Word: "web", State: "listen 192.168.4.15:80"}, {Help: "<name>: the name of a service"}}), nil
	case "services web":
		return filtered(q.Words, []api.Completion{{Word: "scheduler", Help: "which real server gets the next connection", State: "wrr"}, {Word: "listen", Help: "VIP and port"}}), nil
	}
	return nil, nil
}

// CompleteConfig knows the words of the running configuration.
func (f *fake) CompleteConfig(_ context.Context, which string, q api.CompleteQuery) ([]api.Completion, error) {
	f.called("CompleteConfig " + which)
	f.mu.Lock()
	defer f.mu.Unlock()
	before := q.Words[:len(q.Words)-1]
	var all []api.Completion
	for line := range strings.Lines(show1(f.running, api.ShowQuery{Path: before})) {
		word := strings.Fields(line)[len(before)]
		if len(all) == 0 || all[len(all)-1].Word != word {
			all = append(all, api.Completion{Word: word})
		}
	}
	return filtered(q.Words, all), nil
}

// CandidatePath knows one abbreviation and one mistake.
func (f *fake) CandidatePath(_ context.Context, id string, words []string) ([]string, error) {
	if i := slices.Index(words, "nonsense"); i >= 0 {
		return nil, &api.Error{Message: `unknown key "nonsense"`, Word: i + 1}
	}
	path := slices.Clone(words)
	if path[0] == "servi" {
		path[0] = "services"
	}
	return path, nil
}

func (f *fake) CompareConfigs(_ context.Context, from, to string) (api.Comparison, error) {
	return api.Comparison{Tree: []string{"[edit]", "-  comment of " + from, "+  comment of " + to}}, nil
}

func filtered(words []string, all []api.Completion) []api.Completion {
	return slices.DeleteFunc(all, func(c api.Completion) bool { return c.Word != "" && !strings.HasPrefix(c.Word, words[len(words)-1]) })
}

func (f *fake) difference(lines []string) api.Comparison {
	var k api.Comparison
	for _, l := range f.running {
		if !slices.Contains(lines, l) {
			k.Tree = append(k.Tree, "-  "+strings.TrimPrefix(l, "set "))
		}
	}
	for _, l := range lines {
		if !slices.Contains(f.running, l) {
			k.Tree = append(k.Tree, "+  "+strings.TrimPrefix(l, "set "))
			k.Plan = append(k.Plan, "ipvsadm -E -t 192.168.4.15:80 -s wlc")
		}
	}
	if len(k.Tree) > 0 {
		k.Tree = append([]string{"[edit]"}, k.Tree...)
	}
	return k
}

func (f *fake) CompareCandidate(_ context.Context, id, with string) (api.Comparison, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.difference(f.candidates[id].lines), nil
}

func (f *fake) Commit(_ context.Context, id string, o api.CommitOptions) (api.Committed, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	k := f.candidates[id]
	if k.Base != f.generation && !o.Anyway {
		return api.Committed{}, &api.Error{Message: "the running configuration changed since this candidate was opened", Details: []string{"bob committed revision 8"}, Conflict: true}
	}
	done := api.Committed{Comparison: f.difference(k.lines)}
	if o.CheckOnly || len(done.Tree) == 0 {
		return done, nil
	}
	f.running, k.Changed = slices.Clone(k.lines), false
	f.generation++
	k.Base = f.generation
	k.Edits++
	if o.Confirm > 0 {
		done.ConfirmBy = noon.Add(time.Duration(o.Confirm))
		return done, nil
	}
	done.Revision = f.generation
	f.revisions = append([]api.Revision{{Number: done.Revision, Time: noon, Comment: o.Comment, Via: "commit"}}, f.revisions...)
	return done, nil
}

func (f *fake) Confirm(context.Context) (api.Revision, error) { return api.Revision{Number: 8}, nil }

func (f *fake) Revert(context.Context) error {
	return &api.Error{Message: "no commit waits to be confirmed"}
}

func (f *fake) Changes(context.Context) (api.Comparison, error) {
	return api.Comparison{
		Tree:      []string{"[edit services web]", "-  scheduler: rr", "+  scheduler: wrr"},
		Plan:      []string{"ipvsadm -E -t 192.168.4.15:80 -s wrr -p 360", "ipvsadm -D -t 192.168.4.14:80  # ends the connections of this virtual service: its address cannot be edited"},
		Disturbed: []string{`service "web": 17 connections end: ipvsadm -D -t 192.168.4.14:80`},
	}, nil
}

func (f *fake) Save(context.Context, string) (api.Revision, error) {
	return api.Revision{Number: 8}, nil
}

func (f *fake) Revisions(context.Context) ([]api.Revision, error) { return f.revisions, nil }

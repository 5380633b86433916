package appliance

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"dipper/appliance/api"
	"dipper/appliance/candidate"
	"dipper/appliance/config"
)

// ShowCandidate renders what stands at and below a path.
func (b *backend) ShowCandidate(ctx context.Context, id string, q api.ShowQuery) (string, error) {
	e, err := b.candidate(ctx, id)
	if err != nil {
		return "", err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	return show(ctx, e.doc, q)
}

// ShowConfig renders the running, the saved or an earlier configuration.
func (b *backend) ShowConfig(ctx context.Context, which string, q api.ShowQuery) (string, error) {
	doc, err := b.document(which)
	if err != nil {
		return "", err
	}
	return show(ctx, doc, q)
}

// show renders a document. Secrets are shown to administrators who ask.
func show(ctx context.Context, doc *candidate.Document, q api.ShowQuery) (string, error) {
	view := candidate.View{Secrets: q.Secrets}
	if q.Secrets {
		if err := mayConfigure(ctx); err != nil {
			return "", err
		}
	}
	switch q.Format {
	case "", api.FormatYAML:
		text, err := doc.Show(view, q.Path...)
		return text, wordRefusal(err)
	case api.FormatCommands:
		lines, err := doc.Commands(view, q.Path...)
		if err != nil || len(lines) == 0 {
			return "", wordRefusal(err)
		}
		return strings.Join(lines, "\n") + "\n", nil
	case api.FormatJSON:
		text, err := doc.JSON(view, q.Path...)
		return string(text), wordRefusal(err)
	}
	return "", &api.Error{Message: fmt.Sprintf("format %q: expected %s, %s or %s", q.Format, api.FormatYAML, api.FormatCommands, api.FormatJSON)}
}

// CompleteCandidate says what may come after words.
func (b *backend) CompleteCandidate(ctx context.Context, id string, q api.CompleteQuery) ([]api.Completion, error) {
	e, err := b.candidate(ctx, id)
	if err != nil {
		return nil, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	return complete(e.doc, q), nil
}

// CompleteConfig says what may come after words in the running, the saved or an
// earlier configuration. Nothing can be set in those.
func (b *backend) CompleteConfig(_ context.Context, which string, q api.CompleteQuery) ([]api.Completion, error) {
	doc, err := b.document(which)
	if err != nil {
		return nil, err
	}
	q.Kind = ""
	return complete(doc, q), nil
}

// complete says what may come after words; the last one is unfinished.
func complete(doc *candidate.Document, q api.CompleteQuery) []api.Completion {
	words, partial := q.Words, ""
	if last := len(words) - 1; last >= 0 {
		words, partial = words[:last], words[last]
	}
	verb := candidate.Verb(cmp.Or(string(q.Kind), string(candidate.VerbShow)))
	all := []api.Completion{}
	for _, c := range doc.Complete(verb, words, partial, cmp.Or(q.Limit, namesLimit)) {
		all = append(all, api.Completion(c))
	}
	return all
}

// CompareCandidate compares with the running, the saved or an earlier
// configuration. The plan is always what a commit would do now.
func (b *backend) CompareCandidate(ctx context.Context, id, with string) (api.Comparison, error) {
	e, err := b.candidate(ctx, id)
	if err != nil {
		return api.Comparison{}, err
	}
	other, err := b.document(cmp.Or(with, "running"))
	if err != nil {
		return api.Comparison{}, err
	}
	e.mu.Lock()
	c := compare(other, e.doc)
	text, cfg, err := b.read(e.doc)
	e.mu.Unlock()
	if err != nil {
		c.Warnings = append([]string{"this cannot be committed yet:"}, mistakes(err)...)
		return c, nil
	}
	actor := api.ActorOf(ctx)
	return submit(ctx, b.reconciler, func(ctx context.Context) (api.Comparison, error) {
		next, err := b.reconciler.prepare(ctx, configure("candidate", text, cfg))
		if err != nil {
			return c, err
		}
		return b.reconciler.foresee(api.WithActor(ctx, actor), c, next)
	})
}

// mistakes are a configuration's mistakes, one line each.
func mistakes(err error) []string {
	found, ok := errors.AsType[config.Errors](err)
	if !ok {
		return []string{err.Error()}
	}
	var all []string
	for _, m := range found {
		all = append(all, m.Error())
	}
	return all
}

// compare gives what leads from a to b. Secrets are not shown.
func compare(a, b *candidate.Document) api.Comparison {
	var c api.Comparison
	for _, line := range candidate.Compare(a, b) {
		c.Tree = append(c.Tree, line.String())
	}
	c.Commands = candidate.Changes(candidate.View{}, a, b)
	return c
}

// CompareConfigs compares two configurations that are kept.
func (b *backend) CompareConfigs(_ context.Context, from, to string) (api.Comparison, error) {
	before, err := b.document(from)
	if err != nil {
		return api.Comparison{}, err
	}
	after, err := b.document(to)
	if err != nil {
		return api.Comparison{}, err
	}
	return compare(before, after), nil
}

// Changes compares the saved configuration with what is in force: the running
// one, with what operators made of real servers for good.
func (b *backend) Changes(ctx context.Context) (api.Comparison, error) {
	in, err := b.reconciler.configured()
	if err != nil {
		return api.Comparison{}, err
	}
	saved, err := b.document("saved")
	if err != nil {
		return api.Comparison{}, err
	}
	present, err := b.documentInForce(in)
	if err != nil {
		return api.Comparison{}, err
	}
	c := compare(saved, present)
	for _, id := range slices.SortedFunc(maps.Keys(in.verbs), serverID.compare) {
		v := in.verbs[id]
		note := fmt.Sprintf("%s of %s: %s", id, id.Service, v.reason())
		switch {
		case v.Until != 0:
			note += ": not saved, it ends by itself"
		case v.Verb == api.Disable:
			note += ": saved as weight 0"
		}
		c.Warnings = append(c.Warnings, note)
	}
	return c, nil
}

package appliance

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"sync"

	"dipper/appliance/api"
	"dipper/appliance/candidate"
	"dipper/appliance/config"
	"dipper/appliance/events"
)

// candidates are the configurations that are being edited.
type candidates struct {
	mu   sync.Mutex
	open map[string]*edited
	last int // number of the youngest
}

// edited is one candidate.
type edited struct {
	api.Candidate

	sessions company

	mu     sync.Mutex
	editor string // the session that others were told of last
	doc    *candidate.Document
	base   *candidate.Document // the running configuration that doc was copied from
	whole  bool                // its file says all of it, whatever runs
}

// changed tells whether it differs from what it was copied from. The caller
// holds its lock.
func (e *edited) changed() bool { return !e.doc.Equal(e.base) }

// news is what others in a shared candidate are told of an edit: that somebody
// else edits it than before, or that it begins or ceases to have changes. "" is
// nothing. The caller holds the candidate's lock.
func (e *edited) news(session string, kind api.EditKind, before bool) string {
	last := e.editor
	e.editor = session
	switch {
	case kind == api.EditDiscard && before:
		return "discards the changes in the shared candidate"
	case kind == api.EditDiscard: // of none
	case session != last || e.changed() != before:
		return "edits the shared candidate"
	}
	return ""
}

// kind says in a few words whose a candidate is.
func (e *edited) kind() string {
	if e.Shared {
		return "shared candidate"
	}
	return "candidate"
}

// Candidates lists those that are open.
func (b *backend) Candidates(context.Context) ([]api.Candidate, error) {
	b.candidates.mu.Lock()
	open := slices.SortedFunc(maps.Values(b.candidates.open), func(x, y *edited) int {
		return cmp.Or(x.Since.Compare(y.Since), cmp.Compare(x.ID, y.ID))
	})
	b.candidates.mu.Unlock()
	all := make([]api.Candidate, 0, len(open))
	for _, e := range open {
		all = append(all, b.describe(e))
	}
	return all, nil
}

// describe tells how a candidate stands to the running configuration.
func (b *backend) describe(e *edited) api.Candidate {
	e.mu.Lock()
	defer e.mu.Unlock()
	c := e.Candidate
	c.Changed = e.changed()
	if in, err := b.reconciler.configured(); err == nil {
		c.Stale = in.generation != e.Base
	}
	return c
}

// OpenCandidate copies the running configuration, or joins the shared one. On
// a machine without a configuration, the candidate is empty.
func (b *backend) OpenCandidate(ctx context.Context, shared bool) (api.Candidate, error) {
	if err := mayConfigure(ctx); err != nil {
		return api.Candidate{}, err
	}
	b.shells.vouch(ctx)
	e, err := b.open(ctx, shared)
	if err != nil {
		return api.Candidate{}, err
	}
	e.mu.Lock()
	err = b.files.write(e)
	e.mu.Unlock()
	return b.describe(e), err
}

// open finds the shared candidate, or makes one, and lets the session in.
func (b *backend) open(ctx context.Context, shared bool) (*edited, error) {
	b.candidates.mu.Lock()
	defer b.candidates.mu.Unlock()
	session := api.ActorOf(ctx).Session
	for _, e := range b.candidates.open {
		if shared && e.Shared {
			b.events.Add(ctx, events.Edit, "joins the shared candidate")
			e.sessions.join(session, b.shells.process(session))
			return e, nil
		}
	}
	base, generation, err := b.runningDocument()
	if err != nil {
		return nil, err
	}
	b.candidates.last++
	e := &edited{doc: base.Clone(), base: base, Candidate: api.Candidate{
		ID:     strconv.Itoa(b.candidates.last),
		Shared: shared,
		Owner:  api.ActorOf(ctx),
		Since:  b.events.Now(),
		Base:   generation,
	}}
	e.sessions.join(session, b.shells.process(session))
	if b.candidates.open == nil {
		b.candidates.open = make(map[string]*edited)
	}
	b.candidates.open[e.ID] = e
	b.events.Add(ctx, events.Edit, "opens a %s", e.kind())
	return e, nil
}

// mayConfigure holds configuring to administrators.
func mayConfigure(ctx context.Context) error { return allow(ctx, api.Admin) }

// CloseCandidate leaves a candidate. A private one is forgotten, and so is a
// shared one without changes that nobody else is in.
func (b *backend) CloseCandidate(ctx context.Context, id string) error {
	e, err := b.candidate(ctx, id)
	if err != nil {
		return err
	}
	return b.leave(e, api.ActorOf(ctx).Session)
}

// leave takes a session out of a candidate.
func (b *backend) leave(e *edited, session string) error {
	if b.forget(e, session) {
		return b.files.remove(e.ID)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	return b.files.write(e)
}

// forget is leave, and tells whether nobody needs the candidate any more: nobody
// joins it in between.
func (b *backend) forget(e *edited, session string) bool {
	b.candidates.mu.Lock()
	defer b.candidates.mu.Unlock()
	others := e.sessions.leave(session)
	if e.Shared && (others > 0 || b.describe(e).Changed) {
		return false
	}
	delete(b.candidates.open, e.ID)
	return true
}

// candidatesOf are those that a session is in.
func (b *backend) candidatesOf(session string) []*edited {
	b.candidates.mu.Lock()
	defer b.candidates.mu.Unlock()
	var all []*edited
	for _, e := range b.candidates.open {
		if session != "" && e.sessions.has(session) {
			all = append(all, e)
		}
	}
	return all
}

// candidate finds one. A private candidate is its session's alone.
func (b *backend) candidate(ctx context.Context, id string) (*edited, error) {
	if err := mayConfigure(ctx); err != nil {
		return nil, err
	}
	b.candidates.mu.Lock()
	defer b.candidates.mu.Unlock()
	e, ok := b.candidates.open[id]
	if !ok {
		return nil, &api.Error{Message: fmt.Sprintf("there is no candidate %q: it was closed", id)}
	}
	if actor := api.ActorOf(ctx); !e.Shared && actor.Session != "" && actor.Session != e.Owner.Session {
		return nil, &api.Error{Message: fmt.Sprintf("candidate %s is private: it is %s's", id, e.Owner.User)}
	}
	return e, nil
}

// EditCandidate carries out one edit: as a whole, or not at all.
func (b *backend) EditCandidate(ctx context.Context, id string, edit api.Edit) (api.Candidate, error) {
	e, err := b.candidate(ctx, id)
	if err != nil {
		return api.Candidate{}, err
	}
	if err := b.edit(ctx, e, edit); err != nil {
		return api.Candidate{}, wordRefusal(err)
	}
	return b.describe(e), nil
}

// edit carries one out, and tells the others in a shared candidate.
func (b *backend) edit(ctx context.Context, e *edited, edit api.Edit) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	before := e.Shared && e.changed() // which takes its time where much is
	if err := b.carryOut(e, edit); err != nil {
		return err
	}
	e.Edits++
	if !e.Shared {
		return nil
	}
	if news := e.news(api.ActorOf(ctx).Session, edit.Kind, before); news != "" {
		b.events.Add(ctx, events.Edit, "%s", news)
	}
	return nil
}

func (b *backend) carryOut(e *edited, edit api.Edit) error {
	e.Clashes = nil
	switch edit.Kind {
	case api.EditDiscard:
		base, generation, err := b.runningDocument()
		if err != nil {
			return err
		}
		e.doc, e.base, e.Base = base.Clone(), base, generation
	case api.EditUpdate:
		base, generation, err := b.runningDocument()
		if err != nil {
			return err
		}
		doc, err := e.doc.Onto(e.base, base)
		if err != nil {
			return err
		}
		e.Clashes = candidate.Clashes(e.base, e.doc, base)
		e.doc, e.base, e.Base = doc, base, generation
	case api.EditRollback:
		other, err := b.rollback(edit.Words)
		if err != nil {
			return err
		}
		e.doc.Override(other)
	default:
		if err := alone(e.doc, edit); err != nil {
			return err
		}
	}
	return b.files.add(e, edit)
}

// alone carries out an edit that depends on nothing but the document.
func alone(doc *candidate.Document, edit api.Edit) error {
	switch edit.Kind {
	case api.EditSet:
		return doc.Set(edit.Words...)
	case api.EditDelete:
		return doc.Delete(edit.Words...)
	case api.EditRename:
		return doc.Rename(edit.Words...)
	case api.EditCopy:
		return doc.Copy(edit.Words...)
	case api.EditInsert:
		return doc.Insert(edit.Words...)
	case api.EditAnnotate:
		return doc.Annotate(edit.Text, edit.Words...)
	}
	if edit.Kind == api.EditMerge {
		return doc.MergeText("text", edit.Text)
	}
	other, err := candidate.Read("text", edit.Text)
	if err != nil {
		return err
	}
	switch edit.Kind {
	case api.EditReplace:
		doc.Replace(other)
	case api.EditOverride:
		doc.Override(other)
	default:
		return &api.Error{Message: fmt.Sprintf("there is no edit %q", edit.Kind)}
	}
	return nil
}

// reopen opens the candidates that were open before the control plane was
// restarted.
func (b *backend) reopen() error {
	names, err := b.files.names()
	if err != nil || len(names) == 0 {
		return err // and nobody reads all that runs
	}
	running, generation, unsaid := b.runningDocument()
	if unsaid != nil {
		running, generation = candidate.New(), -1
	}
	kept, err := b.files.load(names, running)
	b.candidates.mu.Lock()
	defer b.candidates.mu.Unlock()
	for _, e := range kept {
		e.Base = -1 // stale, unless it was copied from what runs
		if running.Equal(e.base) {
			e.Base = generation
		}
		if b.candidates.open == nil {
			b.candidates.open = make(map[string]*edited)
		}
		b.candidates.open[e.ID] = e
		for session, shell := range e.sessions.list() {
			b.shells.resume(session, shell) // it may be gone by now
		}
		if n, err := strconv.Atoi(e.ID); err == nil {
			b.candidates.last = max(b.candidates.last, n)
		}
	}
	return errors.Join(unsaid, err)
}

// wordRefusal is an error of a document in the words of the control socket.
func wordRefusal(err error) error {
	if line, ok := errors.AsType[*candidate.LineError](err); ok {
		place := line.Place()
		said := config.Error{File: place.File, Line: place.Line, Column: place.Column, Problem: place.Problem}
		return &api.Error{Message: said.Error(), Details: append(line.Excerpt(), advice(place.Expected, place.Hint)...)}
	}
	if word, ok := errors.AsType[*candidate.WordError](err); ok {
		return &api.Error{Message: word.Problem, Details: advice(word.Expected, word.Hint), Word: word.Word + 1}
	}
	return refusal(err)
}

// advice is what was expected and what to do, a line for each.
func advice(expected, hint string) []string {
	var lines []string
	if expected != "" {
		lines = append(lines, "expected "+expected)
	}
	if hint != "" {
		lines = append(lines, hint)
	}
	return lines
}

// CandidatePath gives the words of a path in full.
func (b *backend) CandidatePath(ctx context.Context, id string, words []string) ([]string, error) {
	e, err := b.candidate(ctx, id)
	if err != nil {
		return nil, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	path, err := e.doc.Path(words...)
	if err != nil {
		return nil, wordRefusal(err)
	}
	return path, nil
}

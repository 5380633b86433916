package appliance

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"

	"dipper/appliance/api"
	"dipper/appliance/candidate"
	"dipper/appliance/config"
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

	mu   sync.Mutex
	doc  *candidate.Document
	base *candidate.Document // the running configuration that doc was copied from
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
	c.Changed = !e.doc.Equal(e.base)
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
	b.candidates.mu.Lock()
	defer b.candidates.mu.Unlock()
	if shared {
		for _, e := range b.candidates.open {
			if e.Shared {
				b.events.add(ctx, eventEdit, "joins the shared candidate")
				return b.describe(e), nil
			}
		}
	}
	base, generation, err := b.runningDocument()
	if err != nil {
		return api.Candidate{}, err
	}
	b.candidates.last++
	e := &edited{doc: base.Clone(), base: base, Candidate: api.Candidate{
		ID:     strconv.Itoa(b.candidates.last),
		Shared: shared,
		Owner:  api.ActorOf(ctx),
		Since:  b.events.now(),
		Base:   generation,
	}}
	if b.candidates.open == nil {
		b.candidates.open = make(map[string]*edited)
	}
	b.candidates.open[e.ID] = e
	b.events.add(ctx, eventEdit, "opens a %s", e.kind())
	return b.describe(e), b.files.write(e)
}

// mayConfigure holds configuring to administrators.
func mayConfigure(ctx context.Context) error { return allow(ctx, api.Admin) }

// allow is the second lock behind the shell's: an actor needs a role, or one
// that may do more. Root on the machine itself has no role, and needs none.
func allow(ctx context.Context, need api.Role) error {
	ranks := []api.Role{api.Viewer, api.Operate, api.Admin}
	role := api.ActorOf(ctx).Role
	if role == "" || slices.Index(ranks, role) >= slices.Index(ranks, need) {
		return nil
	}
	return &api.Error{Message: fmt.Sprintf("this needs the role %s, and yours is %s", need, role)}
}

// runningDocument is the running configuration. Nobody may edit it: others
// share it.
func (b *backend) runningDocument() (*candidate.Document, int, error) {
	in := b.reconciler.now.Load()
	if in == nil || in.config == nil {
		return candidate.New(), 0, nil
	}
	doc, err := b.documents.of(in)
	return doc, in.generation, err
}

// documents keeps the running configuration as a document: reading a large one
// takes seconds on a small machine.
type documents struct {
	mu   sync.Mutex
	text *written // that doc was made of
	doc  *candidate.Document
}

func (d *documents) of(in *intent) (*candidate.Document, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.doc == nil || d.text != in.text {
		yaml, err := in.text.text()
		if err != nil {
			return nil, err
		}
		doc, err := parsedDocument("running configuration", yaml)
		if err != nil {
			return nil, err
		}
		d.text, d.doc = in.text, doc
	}
	return d.doc, nil
}

// put keeps a document that is known to say the same as a text.
func (d *documents) put(text *written, doc *candidate.Document) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.text, d.doc = text, doc
}

// CloseCandidate forgets a candidate.
func (b *backend) CloseCandidate(ctx context.Context, id string) error {
	if _, err := b.candidate(ctx, id); err != nil {
		return err
	}
	b.candidates.mu.Lock()
	defer b.candidates.mu.Unlock()
	delete(b.candidates.open, id)
	return b.files.remove(id)
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
	if err := b.edit(e, edit); err != nil {
		return api.Candidate{}, wordRefusal(err)
	}
	return b.describe(e), nil
}

func (b *backend) edit(e *edited, edit api.Edit) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	switch edit.Kind {
	case api.EditDiscard:
		base, generation, err := b.runningDocument()
		if err != nil {
			return err
		}
		e.doc, e.base, e.Base = base.Clone(), base, generation
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
	other, err := candidate.Read("text", edit.Text)
	if err != nil {
		return err
	}
	switch edit.Kind {
	case api.EditMerge:
		doc.Merge(other)
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
	kept, err := b.files.load()
	in, _ := b.reconciler.configured() // the zero intent without one
	b.candidates.mu.Lock()
	defer b.candidates.mu.Unlock()
	for _, e := range kept {
		e.Base = -1 // stale, unless it was copied from what runs
		if running, err := b.runningYAML(); err == nil && bytes.Equal(running, e.base.YAML()) {
			e.Base = in.generation
		}
		if b.candidates.open == nil {
			b.candidates.open = make(map[string]*edited)
		}
		b.candidates.open[e.ID] = e
		if n, err := strconv.Atoi(e.ID); err == nil {
			b.candidates.last = max(b.candidates.last, n)
		}
	}
	return err
}

// runningYAML is the running configuration in canonical order.
func (b *backend) runningYAML() ([]byte, error) {
	doc, _, err := b.runningDocument()
	if err != nil {
		return nil, err
	}
	return doc.YAML(), nil
}

// rollback is the revision that the only word says; 0 is the running one.
func (b *backend) rollback(words []string) (*candidate.Document, error) {
	if len(words) != 1 {
		return nil, &api.Error{Message: "rollback to what? The number of a revision, 0 for the running configuration, or boot", Word: len(words)}
	}
	if words[0] == "0" {
		doc, _, err := b.runningDocument()
		return doc, err
	}
	return b.document(words[0])
}

// document is a configuration by its name: "running", "saved", "boot" or the
// number of a revision.
func (b *backend) document(which string) (*candidate.Document, error) {
	switch which {
	case "running":
		doc, _, err := b.runningDocument()
		return doc, err
	case "saved":
		yaml, err := b.saved()
		if err != nil {
			return nil, err
		}
		if yaml == nil {
			return candidate.New(), nil
		}
		return parsedDocument("saved configuration", yaml)
	case "boot":
		return b.bootDocument()
	}
	number, err := strconv.Atoi(which)
	if err != nil {
		return nil, &api.Error{Message: fmt.Sprintf("%q: expected running, saved, boot or the number of a revision", which), Word: 1}
	}
	yaml, err := b.shelf.read(number)
	if err != nil {
		return nil, err
	}
	return parsedDocument("revision "+which, yaml)
}

// bootDocument is what the machine booted with, and of a broken boot config what
// is right of it.
func (b *backend) bootDocument() (*candidate.Document, error) {
	source, yaml, found, err := b.running.loadBoot()
	if err != nil {
		return nil, err
	}
	if !found {
		return nil, &api.Error{Message: "this machine found no boot config"}
	}
	doc, _, err := candidate.Salvage(source, yaml)
	if err != nil {
		return nil, &api.Error{
			Message: "nothing of the boot config can be read",
			Details: append(mistakes(err), `a mended one can be pasted: "load override terminal"`),
		}
	}
	return doc, nil
}

func parsedDocument(name string, yaml []byte) (*candidate.Document, error) {
	doc, err := candidate.Parse(name, yaml)
	if err != nil {
		return nil, refusal(err)
	}
	return doc, nil
}

// wordRefusal is an error of a document in the words of the control socket.
func wordRefusal(err error) error {
	if word, ok := errors.AsType[*candidate.WordError](err); ok {
		no := &api.Error{Message: word.Problem, Word: word.Word + 1}
		if word.Expected != "" {
			no.Details = append(no.Details, "expected "+word.Expected)
		}
		if word.Hint != "" {
			no.Details = append(no.Details, word.Hint)
		}
		return no
	}
	if line, ok := errors.AsType[*candidate.LineError](err); ok {
		return &api.Error{Message: line.Error()}
	}
	return refusal(err)
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
	yaml := e.doc.YAML()
	e.mu.Unlock()
	cfg, err := b.parse("candidate", yaml)
	if err != nil {
		c.Warnings = append([]string{"this cannot be committed yet:"}, mistakes(err)...)
		return c, nil
	}
	return submit(ctx, b.reconciler, func(ctx context.Context) (api.Comparison, error) {
		next, err := b.reconciler.prepare(ctx, configure("candidate", wrote(yaml), cfg))
		if err != nil {
			return c, err
		}
		return b.reconciler.foresee(ctx, c, next)
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

// documentInForce is the running configuration with what operators made of real
// servers for good, as it would be saved.
func (b *backend) documentInForce(in intent) (*candidate.Document, error) {
	running, err := b.documents.of(&in)
	lasting := in.verbs.forGood()
	if err != nil || len(lasting) == 0 {
		return running, err
	}
	doc := running.Clone()
	for id, v := range lasting {
		r, there := findServer(in.config, id)
		if !there || r.Weight == v.weight() {
			continue
		}
		if err := setWeight(doc, in.config, id, v.weight()); err != nil {
			return nil, fmt.Errorf("%s of %s: %w", id, id.Service, wordRefusal(err))
		}
	}
	return doc, nil
}

// setWeight edits a real server, which a configuration names by its address
// alone or with its port.
func setWeight(doc *candidate.Document, cfg *config.Config, id serverID, weight int) error {
	r, _ := findServer(cfg, id)
	words := []string{"services", id.Service, "real-servers", id.String(), "weight", strconv.Itoa(weight)}
	shown, err := doc.Show(candidate.View{}, words[:4]...)
	if err != nil || shown == "" {
		words[3] = r.Address.String() // the port is the service's
	}
	return doc.Set(words...)
}

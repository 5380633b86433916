package appliance

import (
	"bytes"
	"strings"
	"sync"

	"dipper/appliance/candidate"
	"dipper/appliance/config"
)

// written is a configuration as text: as somebody wrote it, or as edits in
// another language left it. Of those the text is made when somebody wants to
// read it: for a large table that takes much longer than the edit. So it is
// with the document that the text is shown and edited as.
type written struct {
	// Edits in another language lead from what origin says, before, to next.
	// Nil for what somebody wrote, and for edits that became text.
	origin       *written
	before, next *config.Config

	// What the reconciler keeps instead of the text: rules of ipvsadm's that
	// lead here from what another text says. Once they are kept, how much work
	// all of those are that are.
	after *written
	rules rules

	mu       sync.Mutex
	yaml     []byte              // nil: not made yet
	doc      *candidate.Document // nil: not made yet
	err      error               // why they cannot be made
	rendered bool                // nobody wrote it: every default is said
}

// wrote is a text as somebody wrote it.
func wrote(yaml []byte) *written { return &written{yaml: yaml} }

// wroteDocument is a text that somebody wrote by editing a document, which
// nobody edits any more.
func wroteDocument(doc *candidate.Document) *written {
	return &written{yaml: doc.YAML(), doc: doc}
}

// edited is w, which says before, with what makes it say next.
func (w *written) edited(before, next *config.Config) *written {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.origin != nil { // of edits upon edits only the last state counts
		return &written{origin: w.origin, before: w.before, next: next}
	}
	return &written{origin: w, before: before, next: next}
}

// text is the configuration in YAML: with the comments of what was written, if
// it had any, and otherwise with every default said. The error is of a
// configuration that no text can say.
func (w *written) text() ([]byte, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.make()
	return w.yaml, w.err
}

// document is the text as a document. Nobody may edit it: others share it.
func (w *written) document() (*candidate.Document, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.make()
	if w.doc == nil && w.err == nil {
		w.doc, w.err = parsedDocument("running configuration", w.yaml)
	}
	return w.doc, w.err
}

// share makes a document that says the same as the text the one to be shared:
// what others are copied from is quickly compared with them.
func (w *written) share(doc *candidate.Document) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.doc = doc
}

// make makes the text of edits, once.
func (w *written) make() {
	if w.origin == nil || w.yaml != nil || w.err != nil {
		return
	}
	origin, err := w.origin.text()
	if err != nil {
		w.err = err
		return
	}
	commented := bytes.ContainsRune(origin, '#')
	if commented || w.origin.rendered {
		w.doc = w.amended()
	}
	amended := w.doc != nil
	if !amended {
		w.doc, w.err = rendered(w.next)
	}
	if w.err != nil {
		return
	}
	w.yaml, w.rendered = w.doc.YAML(), !commented
	if amended || !commented { // otherwise a later edit may bring the comments back
		w.origin, w.before, w.next = nil, nil, nil
	}
}

// rendered is the document of a configuration that nobody wrote.
func rendered(cfg *config.Config) (*candidate.Document, error) {
	doc, part, rest := candidate.New(), *cfg, cfg.Services
	for {
		part.Services = rest[:min(renderedAtOnce, len(rest))]
		read, err := parsedDocument("running configuration", config.Render(&part))
		if err != nil {
			return nil, err
		}
		doc.Merge(read)
		if rest = rest[len(part.Services):]; len(rest) == 0 {
			break
		}
	}
	if _, err := config.Parse("running configuration", doc.YAML()); err != nil {
		return nil, refusal(err)
	}
	return doc, nil
}

// renderedAtOnce is how many services are written and read at once: what that
// takes for 10,000 would fill a small machine.
const renderedAtOnce = 500

// amended is the origin with the commands that lead to what is to be said; nil
// when they do not.
func (w *written) amended() *candidate.Document {
	said, err := w.origin.document()
	if err != nil {
		return nil
	}
	var sides [2]*candidate.Document
	before, next := config.Differing(w.before, w.next)
	for i, cfg := range []*config.Config{before, next} {
		if sides[i], err = candidate.Parse("running configuration", config.Render(cfg)); err != nil {
			return nil
		}
	}
	doc := said.Clone()
	commands := candidate.Changes(candidate.View{Secrets: true}, sides[0], sides[1])
	if err := doc.Run("edits", strings.Join(commands, "\n")); err != nil {
		return nil
	}
	says := amend(w.before, said, doc)
	if says == nil {
		says, err = config.Parse("running configuration", doc.YAML())
	}
	if err != nil || len(config.Diff(says, w.next)) > 0 {
		return nil
	}
	return doc
}

// amend is what doc says, where that is what known says, as before does, but
// for some services; nil where all of it must be read.
func amend(known *config.Config, before, doc *candidate.Document) *config.Config {
	excerpt, ok := doc.Excerpt(before)
	if !ok {
		return nil
	}
	amended, ok := config.Amend(known, excerpt)
	if !ok {
		return nil
	}
	return amended
}

package appliance

import (
	"fmt"
	"strconv"

	"dipper/appliance/api"
	"dipper/appliance/candidate"
	"dipper/appliance/config"
)

// runningDocument is the running configuration. Nobody may edit it: others
// share it.
func (b *backend) runningDocument() (*candidate.Document, int, error) {
	in := b.reconciler.now.Load()
	if in == nil || in.config == nil {
		return candidate.New(), 0, nil
	}
	doc, err := b.memory.document(in.text)
	return doc, in.generation, err
}

// read answers what a document says, as text and as the configuration that it
// makes. Where it says what runs but for some services, those alone are read.
func (b *backend) read(doc *candidate.Document) (text *written, cfg *config.Config, err error) {
	text = wroteDocument(doc.Clone())
	in, err := b.reconciler.configured()
	if err == nil && len(text.yaml) <= config.MaxSize {
		if running, err := b.memory.document(in.text); err == nil {
			cfg = b.memory.amend(in.config, running, doc)
		}
	}
	if cfg != nil {
		return text, cfg, nil
	}
	cfg, err = b.parse("candidate", text.yaml)
	return text, cfg, err
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
		return b.documentOf("saved configuration", yaml)
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
	return b.documentOf("revision "+which, yaml)
}

// documentOf is a text as a document. That of what runs is there already.
func (b *backend) documentOf(name string, yaml []byte) (*candidate.Document, error) {
	if in, err := b.reconciler.configured(); err == nil {
		if b.memory.isText(in, yaml) {
			return b.memory.document(in.text)
		}
	}
	if err := b.memory.roomFor("to read the "+name, readPerByte*uint64(len(yaml))); err != nil {
		return nil, err
	}
	return parsedDocument(name, yaml)
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

// documentInForce is the running configuration with what operators made of real
// servers for good, as it would be saved.
func (b *backend) documentInForce(in intent) (*candidate.Document, error) {
	running, err := b.memory.document(in.text)
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

// unmade is about how long the text is, if it is still to be made; otherwise 0.
func (w *written) unmade() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.origin == nil || w.yaml != nil || w.err != nil {
		return 0
	}
	return textSize(w.next)
}

// unread is how long the text is, if it is there and no document of it is yet;
// otherwise 0.
func (w *written) unread() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.doc != nil || w.err != nil {
		return 0
	}
	return len(w.yaml)
}

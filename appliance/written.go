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
// read it: for a large table that takes much longer than the edit.
type written struct {
	origin       []byte
	before, next *config.Config // what origin says, and the text; nil: the text is origin

	// What the reconciler keeps instead of the text: rules of ipvsadm's that
	// lead here from what another text says.
	after *written
	rules []byte

	once sync.Once
	yaml []byte
	err  error
}

// wrote is a text as somebody wrote it.
func wrote(yaml []byte) *written {
	w := &written{origin: yaml, yaml: yaml}
	w.once.Do(func() {})
	return w
}

// edited is w, which says before, with what makes it say next.
func (w *written) edited(before, next *config.Config) *written {
	if w.next != nil {
		before = w.before // of edits upon edits only the last state counts
	}
	return &written{origin: w.origin, before: before, next: next}
}

// text is the configuration in YAML: with the comments of what was written, if
// it had any, and otherwise with every default said. The error is of a
// configuration that no text can say.
func (w *written) text() ([]byte, error) {
	w.once.Do(func() { w.yaml, w.err = w.rewrite() })
	return w.yaml, w.err
}

func (w *written) rewrite() ([]byte, error) {
	if bytes.ContainsRune(w.origin, '#') {
		yaml, err := w.commented()
		if err == nil {
			cfg, err := config.Parse("running configuration", yaml)
			if err == nil && len(config.Diff(cfg, w.next)) == 0 {
				return yaml, nil
			}
		}
	}
	yaml := config.Render(w.next)
	if _, err := config.Parse("running configuration", yaml); err != nil {
		return nil, refusal(err)
	}
	return yaml, nil
}

// commented makes the origin say what is to be said, by the commands that lead
// there.
func (w *written) commented() ([]byte, error) {
	var docs [3]*candidate.Document
	for i, yaml := range [][]byte{w.origin, config.Render(w.before), config.Render(w.next)} {
		doc, err := candidate.Parse("running configuration", yaml)
		if err != nil {
			return nil, err
		}
		docs[i] = doc
	}
	origin, before, after := docs[0], docs[1], docs[2]
	commands := candidate.Changes(candidate.View{Secrets: true}, before, after)
	if err := origin.Run("edits", strings.Join(commands, "\n")); err != nil {
		return nil, err
	}
	return origin.YAML(), nil
}

package candidate

import (
	"bytes"
	"strings"
	"unicode/utf8"

	"dipper/appliance/config"
)

// View says what is shown of a document.
type View struct {
	// Secrets shows private keys and password hashes, which are otherwise
	// Redacted.
	Secrets bool
}

// Redacted stands for a secret that is not shown. No secret can be this, so
// that a shown configuration is not taken for a whole one when it is loaded.
const Redacted = "<secret>"

// lineWidth is how long a line may be on which a section is written whole.
const lineWidth = 96

// YAML gives the whole document, secrets included, in canonical order: what
// Parse reads back to an equal one. It is kept, and nobody may change it.
func (d *Document) YAML() []byte {
	return d.root.written.once(func() []byte {
		w := writer{View: View{Secrets: true}, kept: true}
		w.Grow(d.root.length() + unwritten)
		w.node(d.root)
		return w.Bytes()
	})
}

// unwritten is room for what an edit leaves to be written: an entry, and what
// has no entries.
const unwritten = 16 << 10

// once gives what was written, or writes it. The caller holds no lock: what two
// write at once is the same.
func (w *written) once(write func() []byte) []byte {
	if text := w.text.Load(); text != nil {
		return *text
	}
	text := write()
	w.text.Store(&text)
	return text
}

// length is about how long a node is in YAML, as far as its entries are
// written.
func (n *node) length() int {
	sum := 0
	for _, child := range n.children {
		switch {
		case !n.named():
			sum += child.length()
		case child.written.text.Load() != nil:
			sum += len(*child.written.text.Load())
		}
	}
	return sum
}

// Show gives what the words lead to as YAML, nothing when they lead to
// nothing yet. A returned error is of type *WordError.
func (d *Document) Show(view View, words ...string) (string, error) {
	n, err := d.shown(words)
	if n == nil || err != nil {
		return "", err
	}
	return string(view.yaml(n)), nil
}

// shown finds what words lead to; nil when there is nothing, though there
// could be.
func (d *Document) shown(words []string) (*node, error) {
	r := d.reader(true)
	if err := r.read(words); err != nil {
		return nil, err
	}
	chain, missing := d.follow(r)
	if missing == nil {
		return chain[len(chain)-1], nil
	}
	if missing.part != keyPart {
		return nil, r.absent(chain, missing)
	}
	return nil, nil
}

// yaml gives what a node holds.
func (v View) yaml(n *node) []byte {
	w := writer{View: v}
	w.node(n)
	return w.Bytes()
}

// writer writes YAML: what fits in one line in one, below keys that can have
// lists of sections on several.
type writer struct {
	bytes.Buffer
	View
	kept bool // a whole document with all secrets: its entries' lines are kept
}

// node writes what a node holds.
func (w *writer) node(n *node) {
	w.comment("", n.comment)
	if n.comment != "" && n.part == keyPart && n.name == "" {
		w.WriteString("\n")
	}
	if n.leaf() {
		w.WriteString(w.value(n) + "\n")
	} else {
		w.block(n, "")
	}
}

func (w *writer) comment(indent, text string) {
	if text == "" {
		return
	}
	for line := range strings.SplitSeq(text, "\n") {
		w.WriteString(strings.TrimRight(indent+"# "+line, " ") + "\n")
	}
}

// block writes the children of a node on lines of their own.
func (w *writer) block(n *node, indent string) {
	for _, child := range n.children {
		w.comment(indent, child.comment)
		if n.listed() {
			w.item(child, indent)
		} else {
			w.member(child, indent)
		}
	}
}

// member writes a key or a name with what it holds.
func (w *writer) member(n *node, indent string) {
	if !w.kept || n.written == nil {
		w.lines(n, indent)
		return
	}
	w.Write(n.written.once(func() []byte {
		apart := writer{View: w.View, kept: true}
		apart.lines(n, indent)
		return bytes.Clone(apart.Bytes())
	}))
}

func (w *writer) lines(n *node, indent string) {
	head := indent + config.WrittenName(n.name) + ":"
	if line, fits := w.line(n, len(head)+1); fits {
		w.WriteString(head + " " + line + "\n")
		return
	}
	w.WriteString(head + "\n")
	w.block(n, indent+"  ")
}

// item writes an item of a list.
func (w *writer) item(n *node, indent string) {
	head := indent + "- "
	if line, fits := w.line(n, len(head)); fits {
		w.WriteString(head + line + "\n")
		return
	}
	inner := writer{View: w.View}
	inner.block(n, indent+"  ")
	text := inner.String()
	w.WriteString(head + strings.TrimPrefix(text, indent+"  "))
}

// line writes a node on one line, if it may stand there and fits.
func (w *writer) line(n *node, column int) (string, bool) {
	if !inline(n) {
		return "", false
	}
	line := w.flow(n)
	return line, n.leaf() || len(n.children) == 0 || column+utf8.RuneCountInString(line) <= lineWidth
}

// inline says that a node may stand on one line: it holds no comments and no
// lists of sections, and is no part of the top level.
func inline(n *node) bool {
	if n.leaf() || len(n.children) == 0 {
		return true
	}
	if n.named() || n.listed() && n.shape.Kind == config.KindSections || n.keyed() && !compact(n.shape) {
		return false
	}
	for _, child := range n.children {
		if child.comment != "" || !inline(child) {
			return false
		}
	}
	return true
}

// compact holds for sections that hold values, or sections of values.
func compact(shape *config.Schema) bool {
	for i := range shape.Keys {
		key := &shape.Keys[i]
		switch {
		case key.Kind == config.KindSection && !shallow(key), key.Kind == config.KindEntries, key.Kind == config.KindSections:
			return false
		}
	}
	return true
}

func shallow(shape *config.Schema) bool {
	for _, key := range shape.Keys {
		if key.Kind != config.KindValue && key.Kind != config.KindValues {
			return false
		}
	}
	return true
}

// flow writes a node in YAML's form for one line.
func (w *writer) flow(n *node) string {
	if n.leaf() {
		return w.value(n)
	}
	if n.listed() && n.shape.Single && len(n.children) == 1 {
		return w.value(n.children[0])
	}
	parts := make([]string, len(n.children))
	for i, child := range n.children {
		parts[i] = w.flow(child)
		if !n.listed() {
			parts[i] = config.WrittenName(child.name) + ": " + parts[i]
		}
	}
	if n.listed() {
		return "[" + strings.Join(parts, ", ") + "]"
	}
	return "{" + strings.Join(parts, ", ") + "}"
}

func (w *writer) value(n *node) string {
	if n.shape.Secret && !w.Secrets {
		return config.WrittenName(Redacted)
	}
	return n.shape.Written(n.value())
}

// Package candidate owns a configuration while it is edited: a document that
// takes words (set, delete, rename, copy, insert, annotate), answers what may
// come next, and gives YAML.
//
// The words are the keys of the YAML, since both come from config's schema:
// what is in the YAML can be set, and nothing else can. A document may be
// incomplete, or its settings may contradict each other, while it is edited;
// that is found by config.Parse when it is committed. Each of its values is
// valid by itself: a bad one is refused where it is typed.
//
// It is pure, and knows nothing of who edits, of what runs, or of where
// revisions are kept. Many may look at a Document at the same time, as long as
// nobody edits it.
//
// What a document is made of never changes: an edit makes the nodes on its way
// anew, and takes the others as they are. So a copy costs nothing, what two
// documents share is known to be equal without a look, and what an entry is in
// YAML is written once.
package candidate

import (
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"dipper/appliance/config"
)

// Document is a configuration being edited, with its comments.
type Document struct {
	schema *config.Schema
	root   *node
	values *checker
}

// checker checks values, one at a time. Copies of a document share it.
type checker struct {
	mu   sync.Mutex
	made *config.Checker // when first needed
}

// New makes an empty document.
func New() *Document {
	schema := config.Describe()
	return &Document{schema: &schema, root: &node{shape: &schema, part: keyPart, written: &written{}}, values: &checker{}}
}

// Clone makes a copy that is edited on its own.
func (d *Document) Clone() *Document {
	copied := *d
	return &copied
}

// Empty says that nothing is set.
func (d *Document) Empty() bool { return len(d.root.children) == 0 }

// Equal says that two documents hold the same settings and comments in the
// same order. It is quick where one was copied from the other.
func (d *Document) Equal(other *Document) bool { return d.root.equal(other.root) }

// check says what is wrong with a value or a name at a path of keys and names.
func (d *Document) check(text string, path []string) error {
	d.values.mu.Lock()
	defer d.values.mu.Unlock()
	if d.values.made == nil {
		d.values.made = config.NewChecker()
	}
	return d.values.made.Check(text, path...)
}

// part is what a node stands for.
type part int

const (
	keyPart    part = iota // a key with what it holds, or the whole document
	memberPart             // a named entry, or an item of a list of sections
	valuePart              // one of a list of values
)

// node is a part of the document. One that is part of a Document never changes.
type node struct {
	shape    *config.Schema // of the key; of a member and of a value: of its list
	part     part
	name     string // the key, the entry's name, what tells the item apart, or the value in a list
	text     string // of a key with one value
	comment  string // lines without "#"
	children []*node
	sorted   []*node  // of a list: its children by name, for look-ups in 10,000 of them
	written  *written // of an entry and of the whole; nil: others are written when they are needed
}

// written is a node in YAML, as YAML writes it; nil: nobody wanted it yet.
type written struct{ text atomic.Pointer[[]byte] }

// keyed holds for what has keys: sections, entries, items.
func (n *node) keyed() bool {
	return n.part == memberPart || n.part == keyPart && n.shape.Kind == config.KindSection
}

// listed holds for lists, whose order is the user's.
func (n *node) listed() bool {
	return n.part == keyPart && (n.shape.Kind == config.KindSections || n.shape.Kind == config.KindValues)
}

// named holds for what has entries, which are ordered by name.
func (n *node) named() bool {
	return n.part == keyPart && n.shape.Kind == config.KindEntries
}

// mayBeEmpty holds for lists that say something without a value: they have a
// default that it takes the place of. Others that are empty are not there.
func (n *node) mayBeEmpty() bool {
	return n.part == keyPart && n.shape.Kind == config.KindValues && n.shape.Default != ""
}

// leaf holds for single values.
func (n *node) leaf() bool {
	return n.part == valuePart || n.part == keyPart && n.shape.Kind == config.KindValue
}

// value gives the text of a leaf.
func (n *node) value() string {
	if n.part == valuePart {
		return n.name
	}
	return n.text
}

// identifies holds for keys of an item that tell it apart: they are its name.
func (n *node) identifies(child *node) bool {
	return n.part == memberPart && slices.Contains(n.shape.Identity, child.name)
}

// child gives the node of a name, nil when there is none.
func (n *node) child(name string) *node {
	if n.keyed() {
		for _, child := range n.children {
			if child.name == name {
				return child
			}
		}
		return nil
	}
	if i, found := search(n.ordered(), name); found {
		return n.ordered()[i]
	}
	return nil
}

// ordered gives the children by name. Those of a section are few and in the
// order of its keys.
func (n *node) ordered() []*node {
	if n.listed() {
		return n.sorted
	}
	return n.children
}

func search(sorted []*node, name string) (int, bool) {
	return slices.BinarySearchFunc(sorted, name, func(n *node, name string) int { return strings.Compare(n.name, name) })
}

func byName(a, b *node) int { return strings.Compare(a.name, b.name) }

// add puts a child where it belongs: in the order of the keys, by name, or
// behind all others.
func (n *node) add(child *node) *node {
	switch {
	case n.listed():
		n.children = append(n.children, child)
		i, _ := search(n.sorted, child.name)
		n.sorted = slices.Insert(n.sorted, i, child)
	case n.named():
		i, _ := search(n.children, child.name)
		n.children = slices.Insert(n.children, i, child)
	default:
		place := keyIndex(n.shape, child.name)
		i := slices.IndexFunc(n.children, func(other *node) bool { return keyIndex(n.shape, other.name) > place })
		if i < 0 {
			i = len(n.children)
		}
		n.children = slices.Insert(n.children, i, child)
	}
	return child
}

func keyIndex(shape *config.Schema, name string) int {
	return slices.IndexFunc(shape.Keys, func(k config.Schema) bool { return k.Name == name })
}

func (n *node) remove(child *node) {
	if i := slices.Index(n.children, child); i >= 0 {
		n.children = slices.Delete(n.children, i, i+1)
	}
	if !n.listed() {
		return
	}
	if i, found := search(n.sorted, child.name); found {
		n.sorted = slices.Delete(n.sorted, i, i+1)
	}
}

// key gives the child for a key of a section, made if it is not there.
func (n *node) key(shape *config.Schema) *node {
	if child := n.child(shape.Name); child != nil {
		return child
	}
	return n.add(&node{shape: shape, name: shape.Name})
}

// entry makes an entry of a list of named ones.
func (n *node) entry(name string) *node {
	return &node{shape: n.shape, part: memberPart, name: name, written: &written{}}
}

// copy makes a node that may be changed. Its children may not: they are the
// same.
func (n *node) copy() *node {
	c := *n
	c.children, c.sorted = slices.Clone(n.children), slices.Clone(n.sorted)
	if n.written != nil {
		c.written = &written{}
	}
	return &c
}

// swap puts a child of the same name in the place of another.
func (n *node) swap(old, child *node) {
	if !n.keyed() {
		i, _ := search(n.ordered(), old.name)
		n.ordered()[i] = child
	}
	if !n.named() {
		n.children[slices.Index(n.children, old)] = child
	}
}

// sort makes the index of a list anew.
func (n *node) sort() {
	n.sorted = nil
	if n.listed() {
		n.sorted = slices.Clone(n.children)
		slices.SortFunc(n.sorted, byName)
	}
}

func (n *node) equal(other *node) bool {
	if n == other {
		return true
	}
	if n.name != other.name || n.text != other.text || n.comment != other.comment {
		return false
	}
	return slices.EqualFunc(n.children, other.children, (*node).equal)
}

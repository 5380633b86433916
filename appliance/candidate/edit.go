package candidate

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"dipper/appliance/config"
)

// Set sets what the words say: a path and a value, or several keys of the last
// section on the path with their values:
//
//	set services web listen 192.168.4.15:80
//	set services web real-servers 192.168.4.100 weight 3 upper-threshold 100
//	set network interfaces eth0 addresses 192.168.4.5/24
//
// A list gets the value beside those that it has; several stand in [ ], and
// [ ] alone empties a list that is something else by default. A key
// that takes one value or several (listen, protocol) is set anew as a single
// value is. A path that ends at a section makes it, empty. A returned error is
// of type *WordError, and nothing has changed then.
func (d *Document) Set(words ...string) error {
	return d.change(func(e *draft) error { return e.set(words) })
}

func (e *draft) set(words []string) error {
	if len(words) == 0 {
		return &WordError{Problem: "nothing to set", Expected: "a path and a value"}
	}
	r := e.reader(false)
	if err := r.read(words); err != nil {
		return err
	}
	if in := r.in(); in.part == keyPart && in.shape.Kind == config.KindSection && len(r.chain) == 2 && len(in.children) == 0 {
		return &WordError{Word: len(words), Problem: in.name + " needs more", Expected: "one of " + keyNames(in.shape)}
	}
	e.merge(nil, e.ownRoot(), r.root)
	return nil
}

func keyNames(shape *config.Schema) string {
	names := make([]string, len(shape.Keys))
	for i, key := range shape.Keys {
		names[i] = key.Name
	}
	return strings.Join(names, ", ")
}

// merge adds to n what other has, and changes what other says differently.
// owner is the section that n, a list, belongs to.
func (e *draft) merge(owner, n, other *node) {
	if other.comment != "" {
		n.comment = other.comment
	}
	if other.leaf() {
		n.text = other.text
		return
	}
	if n.shape.Kind == config.KindValues && n.part == keyPart && (n.shape.Single || len(other.children) == 0) {
		n.children, n.sorted = nil, nil
	}
	for _, child := range other.children {
		e.mergeChild(owner, n, child)
	}
}

func (e *draft) mergeChild(owner, n, child *node) {
	mine := n.child(child.name)
	if mine == nil && !n.keyed() {
		mine = find(n, owner, child.name)
	}
	switch {
	case n.identifies(child):
		// It is the same item, by whichever of its names.
	case mine == nil:
		n.add(child)
	default:
		mine = e.own(n, mine)
		e.merge(n, mine, child)
		n.reidentify(mine)
	}
}

// reidentify keeps the name of a default route in step with its gateway.
func (n *node) reidentify(item *node) {
	if n.shape.Kind != config.KindSections || item.part != memberPart {
		return
	}
	values := item.identity()
	if item.name == itemName(item.shape, values) {
		return
	}
	place := slices.Index(n.children, item)
	n.remove(item)
	identify(item, values)
	n.add(item)
	n.move(item, place)
}

// identity gives the values that tell an item apart, as they are kept.
func (n *node) identity() map[string]string {
	values := make(map[string]string)
	for _, key := range n.shape.Identity {
		if child := n.child(key); child != nil {
			values[key] = child.text
		}
	}
	via := ""
	if child := n.child("via"); child != nil {
		via = child.text
	}
	canonicalIdentity(n.shape, values, via)
	return values
}

// Delete takes away what the words lead to: a value, a value of a list, an
// item, an entry or a section with all that it holds. A list that becomes
// empty goes too; a section stays, since its presence may mean something. A
// returned error is of type *WordError.
func (d *Document) Delete(words ...string) error {
	return d.change(func(e *draft) error { return e.delete(words) })
}

func (e *draft) delete(words []string) error {
	if len(words) == 0 {
		return &WordError{Problem: "nothing to delete", Expected: "a path", Hint: "load override replaces everything"}
	}
	at, err := e.locate(words)
	if err != nil {
		return err
	}
	if owner := at.owner(); owner.identifies(at.node()) {
		return &WordError{Word: len(words) - 1, Problem: at.node().name + " is part of what tells the item apart", Hint: "use rename, or delete the item"}
	}
	gone := len(at.chain) - 1
	for owner := at.chain[gone-1]; !owner.keyed() && len(owner.children) == 1; owner = at.chain[gone-1] {
		gone--
	}
	e.ownPath(at.chain[:gone]).remove(at.chain[gone])
	return nil
}

// move puts a child of a list at an index.
func (n *node) move(child *node, index int) {
	at := slices.Index(n.children, child)
	n.children = slices.Insert(slices.Delete(n.children, at, at+1), index, child)
}

// Insert moves an item of a list: PATH... ITEM before|after OTHER, in which
// OTHER is an item of the same list. A returned error is of type *WordError.
func (d *Document) Insert(words ...string) error {
	return d.change(func(e *draft) error { return e.insert(words) })
}

func (e *draft) insert(words []string) error {
	where := max(lastIndex(words, "before"), lastIndex(words, "after"))
	if where < 1 || where == len(words)-1 {
		return &WordError{Word: len(words), Problem: "where to is missing", Expected: "PATH ITEM before OTHER, or after OTHER"}
	}
	at, err := e.locate(words[:where])
	if err != nil {
		return err
	}
	list := at.owner()
	if !list.listed() {
		return &WordError{Word: where - 1, Problem: "what is here is in no order of yours", Expected: "an item of a list, such as a route"}
	}
	path := describePath(at.chain[1 : len(at.chain)-1])
	other, err := e.locate(append(path, words[where+1:]...))
	if err != nil || other.owner() != list {
		return &WordError{Word: where + 1, Problem: "no other item of this list", Expected: "one that is there"}
	}
	if other.node() == at.node() {
		return &WordError{Word: where + 1, Problem: "this is the same item"}
	}
	from, to := slices.Index(list.children, at.node()), slices.Index(list.children, other.node())
	if from < to {
		to-- // where it is without the one that moves
	}
	if words[where] == "after" {
		to++
	}
	e.ownPath(at.chain[:len(at.chain)-1]).move(at.node(), to)
	return nil
}

// Annotate writes a comment beside what the words lead to, instead of the one
// that is there; an empty text takes it away. Without words it is about the
// whole document. A returned error is of type *WordError.
func (d *Document) Annotate(text string, words ...string) error {
	return d.change(func(e *draft) error { return e.annotate(text, words) })
}

func (e *draft) annotate(text string, words []string) error {
	at, err := e.locate(words)
	if err != nil {
		return err
	}
	comment, bad := commentOf(text)
	if bad != nil {
		return &WordError{Word: len(words), Problem: bad.Error()}
	}
	about := at.chain
	if len(about) > 1 && at.owner().identifies(at.node()) {
		about = about[:len(about)-1] // it is the item's name
	}
	e.ownPath(about).comment = comment
	return nil
}

// commentOf makes a text one that can stand behind # in YAML.
func commentOf(text string) (string, error) {
	if !utf8.ValidString(text) {
		return "", errors.New("the text is not UTF-8")
	}
	lines := strings.Split(strings.ReplaceAll(text, "\t", " "), "\n")
	for i, line := range lines {
		lines[i] = strings.TrimRight(line, " ")
		for _, r := range line {
			if r != ' ' && !strconv.IsPrint(r) {
				return "", fmt.Errorf("the character %U cannot stand in a comment", r)
			}
		}
	}
	return strings.Trim(strings.Join(lines, "\n"), "\n"), nil
}

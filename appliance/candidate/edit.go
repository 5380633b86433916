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

// place is where words lead to in the document.
type place struct {
	chain []*node // from the root to it
}

func (p place) node() *node { return p.chain[len(p.chain)-1] }

// owner is what the node belongs to.
func (p place) owner() *node { return p.chain[len(p.chain)-2] }

// locate finds where a path leads to. Nothing there is an error.
func (d *Document) locate(words []string) (place, *WordError) {
	r := d.reader(true)
	if err := r.read(words); err != nil {
		return place{}, err
	}
	chain, wanted := d.follow(r)
	if wanted == nil {
		return place{chain}, nil
	}
	return place{}, r.absent(chain, wanted)
}

// Path gives the words of a path in full, of keys and names that need not be
// there yet. What is one value is no path to go into. A returned error is of type
// *WordError.
func (d *Document) Path(words ...string) ([]string, error) {
	r := d.reader(true)
	if err := r.read(words); err != nil {
		return nil, err
	}
	if in := r.in(); in.leaf() || in.shape.Kind == config.KindValues {
		return nil, &WordError{Word: len(words) - 1, Problem: describe(r.chain[1:]) + " has nothing below it", Hint: "set it from here"}
	}
	return describePath(r.chain[1:]), nil
}

// absent is the error for words that lead to nothing: chain is how far they
// lead, wanted what is not there.
func (r *reader) absent(chain []*node, wanted *node) *WordError {
	at := slices.Index(r.chain, wanted)
	err := &WordError{Word: r.starts[at], Problem: "there is no " + describe(r.chain[1:at+1])}
	if in := chain[len(chain)-1]; in.leaf() || wanted.leaf() && wanted.part == keyPart && in.child(wanted.name) != nil {
		err.Word++ // the value is another
	}
	if meant := closestName(chain[len(chain)-1], wanted.name); meant != "" {
		err.Hint = fmt.Sprintf("did you mean %q?", meant)
	}
	return err
}

// closestName guesses which entry or item was meant, in lists that are not too
// long to be looked through.
func closestName(in *node, name string) string {
	const longest = 500
	if in.keyed() || in.shape.Secret || len(in.children) > longest {
		return ""
	}
	names := make([]string, len(in.children))
	for i, child := range in.children {
		names[i] = child.name
	}
	return config.Closest(name, names)
}

// follow goes the way of a reader through the document as far as there is
// something, and gives the first step that leads to nothing.
func (d *Document) follow(r *reader) (chain []*node, missing *node) {
	chain = []*node{d.root}
	for _, wanted := range r.chain[1:] {
		in := chain[len(chain)-1]
		var next *node
		switch {
		case in.keyed():
			next = in.child(wanted.name)
		case in.leaf():
			return chain, wanted
		default:
			next = findAny(in, chain[max(0, len(chain)-2)], wanted.name)
		}
		if next == nil || wanted.text != "" && wanted.text != next.text {
			return chain, wanted
		}
		chain = append(chain, next)
	}
	return chain, nil
}

// findAny finds an item also by its address alone, when only one has it.
func findAny(list, owner *node, name string) *node {
	if found := find(list, owner, name); found != nil || list.shape.Kind != config.KindSections {
		return found
	}
	i, _ := search(list.sorted, name)
	var only *node
	for ; i < len(list.sorted) && strings.HasPrefix(list.sorted[i].name, name); i++ {
		item := list.sorted[i]
		if rest := item.name[len(name):]; rest == "" || rest[0] != ':' && rest[0] != ' ' {
			continue
		}
		if only != nil {
			return nil
		}
		only = item
	}
	return only
}

// describe writes a path as one would type it.
func describe(chain []*node) string {
	var words []string
	for _, n := range chain {
		secret := n.shape.Secret && n.leaf()
		if !secret || n.part == keyPart {
			words = append(words, n.words()...)
		}
		switch {
		case secret:
			words = append(words, Redacted)
		case n.leaf() && n.part == keyPart && n.text != "":
			words = append(words, n.text)
		}
	}
	return Join(words...)
}

// words gives a node's step on a path.
func (n *node) words() []string {
	if n.part == memberPart && n.shape.Kind == config.KindSections && !hasEndpoint(n.shape) {
		return strings.Fields(n.name)
	}
	return []string{n.name}
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

// Rename gives an entry or an item another name: PATH... to NAME. Settings
// that name an interface are changed with it. A returned error is of type
// *WordError.
func (d *Document) Rename(words ...string) error {
	return d.change(func(e *draft) error { return e.rename(words) })
}

func (e *draft) rename(words []string) error {
	at, renamed, other, err := e.target(words)
	if err == nil && other != nil && other != at.node() {
		err = taken(words, renamed)
	}
	if err != nil {
		return err
	}
	list, old := e.ownPath(at.chain[:len(at.chain)-1]), at.node()
	list.replace(old, renamed)
	if list.name == "interfaces" {
		e.root = e.root.referring(config.RefInterface, old.name, renamed.name)
	}
	return nil
}

// Copy makes another entry or item with the same settings: PATH... to NAME. A
// returned error is of type *WordError.
func (d *Document) Copy(words ...string) error {
	return d.change(func(e *draft) error { return e.duplicate(words) })
}

func (e *draft) duplicate(words []string) error {
	at, copied, other, err := e.target(words)
	if err == nil && other != nil {
		err = taken(words, copied)
	}
	if err != nil {
		return err
	}
	e.ownPath(at.chain[:len(at.chain)-1]).add(copied)
	e.settle() // both have the same children now
	return nil
}

func taken(words []string, member *node) *WordError {
	return &WordError{Word: lastIndex(words, "to") + 1, Problem: fmt.Sprintf("%s is there already", member.name), Hint: "delete it before"}
}

// target reads PATH... to NAME and gives the place of the path, a copy of what
// is there under the new name, and what has that name already.
func (d *Document) target(words []string) (at place, copied, other *node, err *WordError) {
	to := lastIndex(words, "to")
	if to < 1 {
		return place{}, nil, nil, &WordError{Word: len(words), Problem: "the new name is missing", Expected: "PATH to NAME"}
	}
	at, err = d.locate(words[:to])
	if err != nil {
		return place{}, nil, nil, err
	}
	if at.node().part != memberPart {
		return place{}, nil, nil, &WordError{Word: to - 1, Problem: "this has no name of yours", Expected: "a path to a service, an interface, a real server or the like"}
	}
	member, err := d.readName(at, words[to+1:])
	if err != nil {
		err.Word += to + 1
		return place{}, nil, nil, err
	}
	copied = at.node().copy()
	copied.name = member.name
	if member.shape.Kind == config.KindSections {
		for _, key := range member.shape.Identity {
			if old := copied.child(key); old != nil {
				copied.remove(old)
			}
		}
		for _, child := range member.children {
			copied.add(child)
		}
		identify(copied, copied.identity())
	}
	return at, copied, find(at.owner(), at.chain[max(0, len(at.chain)-3)], copied.name), nil
}

// lastIndex finds the word that separates a path from a new name. A route has
// a key of the same name, but its items do not go by it.
func lastIndex(words []string, word string) int {
	for i := len(words) - 1; i >= 0; i-- {
		if words[i] == word {
			return i
		}
	}
	return -1
}

// readName reads the name of a new member of the list that a place is in.
func (d *Document) readName(at place, words []string) (*node, *WordError) {
	list := at.owner()
	if len(words) == 0 {
		return nil, &WordError{Problem: "the new name is missing", Expected: list.shape.Entry}
	}
	r := d.reader(false)
	path := describePath(at.chain[1 : len(at.chain)-1])
	if err := r.read(append(path, words...)); err != nil {
		err.Word = max(0, err.Word-len(path))
		return nil, err
	}
	member := r.in()
	if member.part != memberPart || len(r.chain) != len(at.chain) {
		return nil, &WordError{Word: 1, Problem: "more than a name"}
	}
	return member, nil
}

func describePath(chain []*node) []string {
	var words []string
	for _, n := range chain {
		words = append(words, n.words()...)
	}
	return words
}

// replace puts a member in the place of another.
func (n *node) replace(old, renamed *node) {
	i := slices.Index(n.children, old)
	n.remove(old)
	n.add(renamed)
	if n.listed() {
		n.move(renamed, i)
	}
}

// move puts a child of a list at an index.
func (n *node) move(child *node, index int) {
	at := slices.Index(n.children, child)
	n.children = slices.Insert(slices.Delete(n.children, at, at+1), index, child)
}

// referring gives a node in which settings that name one thing name another.
func (n *node) referring(to config.Reference, old, renamed string) *node {
	changed := n.copy()
	refers := n.leaf() && n.shape.Reference == to
	switch {
	case refers && n.part == keyPart && n.text == old:
		changed.text = renamed
		return changed
	case refers && n.part == valuePart && n.name == old:
		changed.name = renamed
		return changed
	}
	for i, child := range n.children {
		changed.children[i] = child.referring(to, old, renamed)
	}
	if slices.Equal(changed.children, n.children) {
		return n
	}
	changed.sort()
	return changed
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

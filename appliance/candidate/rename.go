package candidate

import (
	"fmt"
	"slices"

	"dipper/appliance/config"
)

// Rename gives an entry or an item another name: PATH... to NAME. Settings
// that name an interface are changed with it. A returned error is of type
// *WordError.
func (d *Document) Rename(words ...string) error {
	return d.change(func(e *draft) error { return e.rename(words) })
}

func (e *draft) rename(words []string) error {
	at, renamed, other, err := e.target(words)
	switch {
	case err != nil:
	case other != nil && other != at.node():
		err = taken(words, renamed)
	case renamed.name == at.node().name:
		err = &WordError{Word: lastIndex(words, "to") + 1, Problem: renamed.name + " is its name already"}
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

// replace puts a member in the place of another.
func (n *node) replace(old, renamed *node) {
	i := slices.Index(n.children, old)
	n.remove(old)
	n.add(renamed)
	if n.listed() {
		n.move(renamed, i)
	}
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

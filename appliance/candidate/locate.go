package candidate

import (
	"fmt"
	"slices"
	"strings"

	"dipper/appliance/config"
)

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

func describePath(chain []*node) []string {
	var words []string
	for _, n := range chain {
		words = append(words, n.words()...)
	}
	return words
}

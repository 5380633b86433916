package config

import (
	"slices"
	"strings"
)

// SalvageSource reads what is right of a configuration with mistakes, as
// ReadSource would if the rest were not there: each mistake takes with it the
// innermost key or item that it is in. It answers the mistakes, too. A file
// that is no YAML at all has nothing to salvage, and is an error as it is for
// ReadSource.
func SalvageSource(name string, src []byte) (*Source, Errors, error) {
	if source, err := ReadSource(name, src); err == nil {
		return source, nil, nil
	}
	root, err := readYAML(src)
	if err != nil {
		return nil, nil, unreadable(name, src, err)
	}
	var left Errors
	for {
		d := &decoder{file: name}
		d.root(root)
		if len(d.errors) == 0 {
			break
		}
		left = append(left, d.errors...)
		if !root.prune(d.errors) {
			return nil, nil, d.errors.ordered(src)
		}
	}
	source := root.source()
	if text, err := readText(src); err == nil && len(source.Members) > 0 { // it was read before
		source.attach(commentsOf(text), strings.Split(text, "\n"))
	}
	return source, left.ordered(src), nil
}

// prune removes what the mistakes are in, and reports whether anything was. A
// file that is no mapping has nothing to remove.
func (n *node) prune(mistakes Errors) bool {
	removed := false
	for _, m := range mistakes {
		at := spot{int32(m.Line), int32(m.Column)}
		if holder, i := n.innermost(at); holder != nil {
			holder.removeChild(i)
			removed = true
		}
	}
	return removed
}

// spot is a place in the file; both count from 1.
type spot struct{ line, column int32 }

func (s spot) before(other spot) bool {
	return s.line < other.line || s.line == other.line && s.column < other.column
}

// innermost finds the key or item that a spot is in: the last one that begins
// before or at it, and of several that begin at one spot the innermost.
func (n *node) innermost(at spot) (holder *node, child int) {
	found := -1
	for i := range n.count() {
		if begin, _ := n.childAt(i); !at.before(begin) {
			found = i
		}
	}
	if found < 0 {
		return nil, 0
	}
	begin, below := n.childAt(found)
	if n.kind == mappingNode && begin == at {
		return n, found // the key is at fault
	}
	if holder, child := below.innermost(at); holder != nil {
		return holder, child
	}
	return n, found
}

func (n *node) count() int { return max(len(n.entries), len(n.items)) }

// childAt gives where a key or item begins, and its value.
func (n *node) childAt(i int) (begin spot, value *node) {
	if n.kind == mappingNode {
		e := n.entries[i]
		return spot{e.key.line, e.key.column}, e.value
	}
	return spot{n.items[i].line, n.items[i].column}, n.items[i]
}

func (n *node) removeChild(i int) {
	if n.kind == mappingNode {
		n.entries = slices.Delete(n.entries, i, i+1)
		return
	}
	n.items = slices.Delete(n.items, i, i+1)
}

package candidate

import (
	"strconv"

	"dipper/appliance/config"
)

// Commands gives what the words lead to as the commands that make it, one
// for each value, beginning with "set". Comments follow as "annotate"
// commands. A returned error is of type *WordError.
func (d *Document) Commands(view View, words ...string) ([]string, error) {
	r := d.reader(true)
	if err := r.read(words); err != nil {
		return nil, err
	}
	chain, missing := d.follow(r)
	if missing != nil {
		_, err := d.shown(words)
		return nil, err
	}
	c := commander{View: view}
	var path []string
	for _, n := range chain[1:max(1, len(chain)-1)] {
		path = append(path, n.words()...)
	}
	if n := chain[len(chain)-1]; n == d.root {
		c.children(nil, n)
		c.annotations(nil, n)
	} else {
		c.node(path, n)
		c.annotations(path, n)
	}
	return c.lines, nil
}

// commander collects commands.
type commander struct {
	View
	lines []string
}

func (c *commander) add(words ...string) {
	c.lines = append(c.lines, Join(words...))
}

// annotate gives the command that writes a comment, which is in quotes even when
// it is one word: without them it could be one of the path.
func (c *commander) annotate(path []string, comment string) {
	c.lines = append(c.lines, Join(step([]string{"annotate"}, path...)...)+" "+strconv.Quote(comment))
}

// step appends to a path without changing what others have of it.
func step(path []string, words ...string) []string {
	return append(path[:len(path):len(path)], words...)
}

// node gives the commands that set a node below a path.
func (c *commander) node(path []string, n *node) {
	switch {
	case n.leaf():
		if n.part == keyPart {
			path = step(path, n.name)
		}
		c.set(path, c.word(n))
	case n.listed() && n.shape.Kind == config.KindValues && (n.shape.Single && len(n.children) > 1 || len(n.children) == 0):
		words := []string{n.name, "["}
		for _, value := range n.children {
			words = append(words, c.word(value))
		}
		c.set(path, append(words, "]")...)
	default:
		c.children(step(path, n.words()...), n)
	}
}

// children gives the commands for what a node holds; for a section without
// anything, the one that makes it.
func (c *commander) children(path []string, n *node) {
	before := len(c.lines)
	for _, child := range n.children {
		if !n.identifies(child) {
			c.node(path, child)
		}
	}
	if len(c.lines) == before && len(path) > 0 && n.keyed() {
		c.set(path)
	}
}

func (c *commander) set(path []string, words ...string) {
	c.add(append(step([]string{"set"}, path...), words...)...)
}

func (c *commander) word(n *node) string {
	if n.shape.Secret && !c.Secrets {
		return Redacted
	}
	return n.value()
}

// annotations gives the commands that write the comments of a node and of all
// below it.
func (c *commander) annotations(path []string, n *node) {
	if n.name != "" {
		path = step(path, n.words()...)
	}
	if n.comment != "" {
		c.annotate(path, n.comment)
	}
	for _, child := range n.children {
		if n.shape.Kind != config.KindValue {
			c.annotations(path, child)
		}
	}
}

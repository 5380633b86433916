package candidate

import "fmt"

// Clashes tells of settings that both mine and theirs changed since base, and
// differently: one line each, with both values, but for secrets. Onto keeps
// mine. Comments and the order of lists are no settings.
func Clashes(base, mine, theirs *Document) []string {
	c := clashes{}
	c.compare(nil, base.root, mine.root, theirs.root)
	return c.lines
}

type clashes struct{ lines []string }

// compare compares what is at one path; nil is nothing.
func (c *clashes) compare(path []string, base, mine, theirs *node) {
	switch {
	case same(mine, base) || same(theirs, base) || same(mine, theirs):
	case mine == nil:
		c.add(path, "you deleted %s, and %s", known(base), now(theirs))
	case theirs == nil && mine.leaf():
		c.add(path, "yours is %s, and it was deleted meanwhile", told(mine))
	case theirs == nil:
		c.add(path, "it was deleted meanwhile, and comes back with what you set alone")
	case mine.leaf():
		c.add(path, "yours is %s, and %s", told(mine), now(theirs))
	case mine.shape.Single && mine.listed():
		c.add(path, "you set it, and so did somebody else meanwhile")
	default:
		c.below(path, base, mine, theirs)
	}
}

// below compares the children of what is in both; they go by their names.
func (c *clashes) below(path []string, base, mine, theirs *node) {
	before := func(name string) *node {
		if base == nil {
			return nil
		}
		return base.child(name)
	}
	for _, child := range mine.children {
		if !mine.identifies(child) {
			c.compare(step(path, child.words()...), before(child.name), child, theirs.child(child.name))
		}
	}
	for _, child := range theirs.children {
		if mine.child(child.name) == nil {
			c.compare(step(path, child.words()...), before(child.name), nil, child)
		}
	}
}

func (c *clashes) add(path []string, text string, values ...any) {
	c.lines = append(c.lines, Join(path...)+": "+fmt.Sprintf(text, values...))
}

// same holds for settings that are equal, and for none on either side.
func same(a, b *node) bool {
	switch {
	case a == nil || b == nil || a == b:
		return a == b
	case a.leaf():
		return b.leaf() && a.value() == b.value()
	case len(a.children) != len(b.children):
		return false
	}
	for _, child := range a.children {
		if !same(child, b.child(child.name)) {
			return false
		}
	}
	return true
}

// told is a value as it may be shown.
func told(n *node) string {
	if n.shape.Secret {
		return "not shown"
	}
	return Join(n.value())
}

// known is what somebody deleted.
func known(base *node) string {
	if base.leaf() && base.part == keyPart && !base.shape.Secret {
		return told(base)
	}
	return "it"
}

// now is what somebody else made of a setting.
func now(theirs *node) string {
	if theirs.leaf() && theirs.part == keyPart {
		return "meanwhile it became " + told(theirs)
	}
	return "it changed meanwhile"
}

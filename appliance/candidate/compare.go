package candidate

import (
	"slices"
	"strings"

	"dipper/appliance/config"
)

// Line is one line of a comparison.
type Line struct {
	// Sign is '+' or '-' for what is added or removed, '!' for an item that
	// only moved within its list and for a secret that changed, and 0 for a
	// heading.
	Sign rune
	Text string // with its indentation below the heading
}

// String gives the line as it is shown: "[edit services web]", "-  scheduler: rr".
func (l Line) String() string {
	if l.Sign == 0 {
		return l.Text
	}
	return string(l.Sign) + "  " + l.Text
}

// Compare gives what leads from a to b as a difference of the tree, in the
// way of Junos and VyOS: under a heading for each section, the lines of YAML
// that go and those that come. Secrets are redacted: where one changes, there
// is a line with '!' that says so.
func Compare(a, b *Document) []Line {
	c := &comparer{}
	c.compare(nil, nil, a.root, b.root)
	return c.lines
}

// Changes gives the commands that make a equal to b: deletions first, then
// what is set, then the order of lists, then comments.
func Changes(view View, a, b *Document) []string {
	c := &comparer{}
	c.compare(nil, nil, a.root, b.root)
	all := commander{View: view}
	for _, change := range c.removed {
		all.add(step([]string{"delete"}, change.words...)...)
	}
	for _, change := range c.added {
		all.node(change.words, change.node)
	}
	all.lines = append(all.lines, c.moves...)
	for _, change := range c.comments {
		all.annotate(change.words, change.node.comment)
	}
	return all.lines
}

// change is a node that comes or goes. The words of one that goes lead to it,
// of one that comes to what it is added to.
type change struct {
	words []string
	node  *node
}

type comparer struct {
	lines    []Line
	heading  string
	removed  []change
	added    []change
	moves    []string
	comments []change
}

// compare compares two nodes at one path; owner is the section of b that they
// belong to. What they share is passed by.
func (c *comparer) compare(path []string, owner, a, b *node) {
	if a == b {
		return
	}
	c.compareComments(path, a, b)
	pairs, gone := match(owner, a, b)
	for _, old := range gone {
		c.remove(path, old)
	}
	for _, p := range pairs {
		c.pair(path, b, p)
	}
	if b.listed() {
		c.order(path, a, pairs)
	}
}

// pair compares a child of b with the one of a that it was, if any.
func (c *comparer) pair(path []string, in *node, p pair) {
	switch {
	case p.old == p.now:
	case p.old == nil:
		c.add(path, p.now)
	case in.identifies(p.now):
	case p.now.leaf() && p.old.text == p.now.text:
		c.compareComments(step(path, p.now.words()...), p.old, p.now)
	case p.now.leaf():
		c.replace(path, p)
		c.added = append(c.added, change{path, p.now})
		c.compareComments(step(path, p.now.words()...), p.old, p.now)
	case p.replaced():
		c.replace(path, p)
		c.added = append(c.added, change{path, p.now})
		c.commentsBelow(path, p.now)
	default:
		c.compare(step(path, p.now.words()...), in, p.old, p.now)
	}
}

// replace shows the old value and the new one, but of a secret only that there
// is another.
func (c *comparer) replace(path []string, p pair) {
	if p.now.shape.Secret {
		c.head(path)
		c.text('!', config.WrittenName(p.now.name)+": changed; secrets are not shown")
		return
	}
	c.show('-', path, p.old)
	c.show('+', path, p.now)
}

// pair is a child of b with the child of a that it was, nil for a new one.
type pair struct{ old, now *node }

// replaced holds for lists that are set as a whole.
func (p pair) replaced() bool {
	if !p.now.listed() || p.now.shape.Kind != config.KindValues {
		return false
	}
	emptied := len(p.now.children) == 0 && len(p.old.children) > 0
	return emptied || p.now.shape.Single && !slices.EqualFunc(p.old.children, p.now.children, (*node).equal)
}

// match finds for each child of b the one of a that it was, and which of a
// are no more.
func match(owner, a, b *node) (pairs []pair, gone []*node) {
	head, tail := shared(a.children, b.children)
	pairs = make([]pair, 0, len(b.children))
	kept := make(map[*node]bool)
	for i, now := range b.children {
		if i < head || i >= len(b.children)-tail {
			pairs = append(pairs, pair{now, now})
			continue
		}
		old := a.child(now.name)
		if old == nil && !b.keyed() && owner != nil {
			if old = find(a, owner, now.name); old != nil && b.child(old.name) != nil {
				old = nil // it is itself still there
			}
		}
		if old != nil {
			kept[old] = true
		}
		pairs = append(pairs, pair{old, now})
	}
	for _, old := range a.children[head : len(a.children)-tail] {
		if !kept[old] && !a.identifies(old) {
			gone = append(gone, old)
		}
	}
	return pairs, gone
}

// shared tells how many nodes two lists share at their beginning, and at their
// end.
func shared(a, b []*node) (head, tail int) {
	shorter := min(len(a), len(b))
	for head < shorter && a[head] == b[head] {
		head++
	}
	for tail < shorter-head && a[len(a)-1-tail] == b[len(b)-1-tail] {
		tail++
	}
	return head, tail
}

func (c *comparer) remove(path []string, old *node) {
	c.show('-', path, old)
	words := step(path, old.words()...)
	c.removed = append(c.removed, change{words, old})
}

func (c *comparer) add(path []string, now *node) {
	c.show('+', path, now)
	c.added = append(c.added, change{path, now})
	c.commentsBelow(path, now)
}

// commentsBelow notes the comments of what is new.
func (c *comparer) commentsBelow(path []string, n *node) {
	path = step(path, n.words()...)
	if n.comment != "" {
		c.comments = append(c.comments, change{path, n})
	}
	if n.shape.Kind == config.KindValue {
		return
	}
	for _, child := range n.children {
		c.commentsBelow(path, child)
	}
}

func (c *comparer) compareComments(path []string, a, b *node) {
	if a.comment == b.comment {
		return
	}
	c.head(path)
	for _, side := range []struct {
		sign rune
		text string
	}{{'-', a.comment}, {'+', b.comment}} {
		w := writer{}
		w.comment("", side.text)
		c.text(side.sign, w.String())
	}
	c.comments = append(c.comments, change{path, b})
}

// show adds the lines of a node under the heading of its path.
func (c *comparer) show(sign rune, path []string, n *node) {
	c.head(path)
	w := writer{}
	w.comment("", n.comment)
	switch {
	case n.part == valuePart || n.part == memberPart && n.shape.Kind == config.KindSections:
		w.item(n, "")
	default:
		w.member(n, "")
	}
	c.text(sign, w.String())
}

func (c *comparer) head(path []string) {
	heading := "[edit]"
	if len(path) > 0 {
		heading = "[edit " + Join(path...) + "]"
	}
	if heading != c.heading {
		c.heading = heading
		c.lines = append(c.lines, Line{Text: heading})
	}
}

func (c *comparer) text(sign rune, text string) {
	for line := range strings.SplitSeq(strings.TrimSuffix(text, "\n"), "\n") {
		if text != "" {
			c.lines = append(c.lines, Line{sign, line})
		}
	}
}

// order notes which items of a list must move, as few as possible: of the old
// ones those that are not part of a longest run that is in order already, of
// the new ones, which come behind all others when they are set, those that
// belong before one that stays.
func (c *comparer) order(path []string, a *node, pairs []pair) {
	if slices.EqualFunc(a.children, pairs, func(old *node, p pair) bool { return p.old == old }) {
		return
	}
	place := make(map[*node]int, len(pairs))
	for i, p := range pairs {
		if p.old != nil {
			place[p.old] = i
		}
	}
	current := make([]int, 0, len(pairs)) // the old ones, by their places in b
	for _, old := range a.children {
		if i, kept := place[old]; kept {
			current = append(current, i)
		}
	}
	run := longestRun(current)
	for i, p := range pairs {
		_, stays := slices.BinarySearch(run, i)
		if stays || p.old == nil && (len(run) == 0 || i > run[len(run)-1]) {
			continue
		}
		if i > 0 {
			c.move(path, p, "after", pairs[i-1])
		} else {
			c.move(path, p, "before", pairs[run[0]])
		}
	}
}

func (c *comparer) move(path []string, p pair, where string, other pair) {
	words := append(step([]string{"insert"}, path...), p.now.words()...)
	words = append(append(words, where), other.now.words()...)
	c.moves = append(c.moves, Join(words...))
	if p.old != nil {
		c.head(path)
		c.lines = append(c.lines, Line{'!', Join(p.now.words()...) + " moves " + where + " " + Join(other.now.words()...)})
	}
}

// longestRun gives a longest increasing subsequence.
func longestRun(sequence []int) []int {
	var ends []int                       // places in the sequence: ends[n] ends the best run of n+1
	before := make([]int, len(sequence)) // the place before each in its run
	for place, value := range sequence {
		n, _ := slices.BinarySearchFunc(ends, value, func(end, value int) int { return sequence[end] - value })
		before[place] = -1
		if n > 0 {
			before[place] = ends[n-1]
		}
		if n == len(ends) {
			ends = append(ends, place)
		} else {
			ends[n] = place
		}
	}
	run := make([]int, len(ends))
	if len(ends) == 0 {
		return run
	}
	for n, place := len(ends)-1, ends[len(ends)-1]; n >= 0; n, place = n-1, before[place] {
		run[n] = sequence[place]
	}
	return run
}

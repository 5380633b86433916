package candidate

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"dipper/appliance/config"
)

// Verb is what the words to complete belong to.
type Verb string

// The verbs whose words are completed. VerbShow stands for all that take a
// path to what is there.
const (
	VerbSet      Verb = "set"
	VerbDelete   Verb = "delete"
	VerbShow     Verb = "show"
	VerbRename   Verb = "rename"
	VerbCopy     Verb = "copy"
	VerbInsert   Verb = "insert"
	VerbAnnotate Verb = "annotate"
)

// Completion is something that may come next.
type Completion struct {
	Word  string // "" for what only Help describes
	Help  string // one line; for an open value beginning with "<address>" or the like
	State string // what it is set to at present, or by default
}

// Complete says what may come behind some words: at most limit completions
// that begin with partial, and one more that says how many are left out. It
// is nil when the words lead nowhere. Its cost grows with limit, and with the
// logarithm of how many names there are.
func (d *Document) Complete(verb Verb, words []string, partial string, limit int) []Completion {
	c := &completer{document: d, verb: verb, partial: partial, limit: max(1, limit)}
	switch verb {
	case VerbRename, VerbCopy:
		c.rename(words)
	case VerbInsert:
		c.insert(words)
	default:
		c.words(words)
	}
	if c.more > 0 {
		c.found = append(c.found, Completion{Help: fmt.Sprintf("and %d more", c.more)})
	}
	return c.found
}

// completer collects completions.
type completer struct {
	document *Document
	verb     Verb
	partial  string
	limit    int
	found    []Completion
	more     int // how many were left out
}

// rename completes PATH to NAME.
func (c *completer) rename(words []string) {
	to := lastIndex(words, "to")
	if to < 1 {
		c.words(words)
		if at, err := c.document.locate(words); err == nil && at.node().part == memberPart {
			c.found = nil
			c.offer(Completion{Word: "to", Help: "the new name"})
		}
		return
	}
	at, err := c.document.locate(words[:to])
	if err != nil || at.node().part != memberPart || to != len(words)-1 {
		return
	}
	c.placeholder(nameHelp(at.owner().shape), "")
}

func nameHelp(shape *config.Schema) string {
	if shape.Kind == config.KindEntries {
		return "<name>: " + shape.Entry
	}
	first, _ := shape.Find(shape.Identity[0])
	return placeholderOf(&first) + ": " + first.Help
}

// insert completes PATH ITEM before|after OTHER.
func (c *completer) insert(words []string) {
	where := max(lastIndex(words, "before"), lastIndex(words, "after"))
	if where < 1 {
		c.words(words)
		if at, err := c.document.locate(words); err == nil && len(at.chain) > 1 && at.owner().listed() {
			c.found = nil
			c.offer(Completion{Word: "before", Help: "another item"})
			c.offer(Completion{Word: "after", Help: "another item"})
		}
		return
	}
	if at, err := c.document.locate(words[:where]); err == nil && len(at.chain) > 1 {
		c.words(append(describePath(at.chain[1:len(at.chain)-1]), words[where+1:]...))
	}
}

// words completes what comes behind words that lead along a path.
func (c *completer) words(words []string) {
	r := c.document.reader(c.verb != VerbSet)
	for _, word := range words {
		if r.next(word) != nil {
			return
		}
	}
	if r.pending != nil {
		c.identifying(r)
		return
	}
	open := r.identity
	r.endIdentity()
	if r.state == wantKey {
		r.section()
	}
	chain, missing := c.document.follow(r)
	var here *node
	if missing == nil {
		here = chain[len(chain)-1]
	}
	c.expected(r, here, open)
}

// expected offers what fits a reader's state; here is where it is in the
// document, nil when there is nothing yet.
func (c *completer) expected(r *reader, here *node, open map[string]string) {
	shape := r.in().shape
	switch r.state {
	case wantKey:
		c.keys(r.in(), here, open)
	case wantName, wantItem:
		c.members(here)
		if c.verb == VerbSet {
			c.placeholder(nameHelp(shape), "")
		}
	case wantValue, wantMore:
		c.values(r, here)
	}
}

// keys offers the keys of a section: for set all, otherwise those that are
// there.
func (c *completer) keys(section, here *node, open map[string]string) {
	for i := range section.shape.Keys {
		key := &section.shape.Keys[i]
		if !strings.HasPrefix(key.Name, c.partial) {
			continue
		}
		var now *node
		if here != nil {
			now = here.child(key.Name)
		}
		identifies := section.part == memberPart && slices.Contains(section.shape.Identity, key.Name)
		switch {
		case identifies && (c.verb != VerbSet || open == nil || open[key.Name] != ""):
		case c.verb != VerbSet && now == nil:
		case now != nil:
			c.offer(Completion{Word: key.Name, Help: key.Help, State: summary(now)})
		default:
			c.offer(Completion{Word: key.Name, Help: key.Help, State: defaultOf(key)})
		}
	}
}

func defaultOf(key *config.Schema) string {
	switch {
	case key.Default != "":
		return "default " + key.Default
	case key.Required:
		return "must be given"
	}
	return ""
}

// members offers the entries or items of a list.
func (c *completer) members(list *node) {
	if list == nil {
		return
	}
	last := ""
	for _, member := range c.beginning(list.ordered()) {
		word := member.words()[0]
		if word != last {
			c.offer(Completion{Word: word, State: summary(member)})
		}
		last = word
	}
}

// beginning gives those of some nodes in the order of names that begin with
// what was typed, as many as may be offered, in the order in which people
// count; it notes how many more there are.
func (c *completer) beginning(sorted []*node) []*node {
	first, _ := search(sorted, c.partial)
	rest := sorted[first:]
	count, _ := slices.BinarySearchFunc(rest, c.partial, func(n *node, prefix string) int {
		if strings.HasPrefix(n.name, prefix) {
			return -1
		}
		return 1
	})
	offered := slices.Clone(rest[:min(count, c.limit)])
	c.more += count - len(offered)
	slices.SortStableFunc(offered, func(a, b *node) int { return compareNatural(a.name, b.name) })
	return offered
}

// compareNatural orders 192.168.4.9 before 192.168.4.10.
func compareNatural(a, b string) int {
	for a != "" && b != "" {
		digitsA, digitsB := digits(a), digits(b)
		switch {
		case len(digitsA) > 0 && len(digitsB) > 0 && digitsA != digitsB:
			if len(digitsA) != len(digitsB) {
				return len(digitsA) - len(digitsB)
			}
			return strings.Compare(digitsA, digitsB)
		case len(digitsA) > 0 && len(digitsB) > 0:
			a, b = a[len(digitsA):], b[len(digitsB):]
		case a[0] != b[0]:
			return int(a[0]) - int(b[0])
		default:
			a, b = a[1:], b[1:]
		}
	}
	return len(a) - len(b)
}

func digits(text string) string {
	end := strings.IndexFunc(text, func(r rune) bool { return r < '0' || r > '9' })
	if end < 0 {
		return text
	}
	return text[:end]
}

// identifying offers values of a further key that tells an item apart.
func (c *completer) identifying(r *reader) {
	if c.verb == VerbSet {
		c.placeholder(placeholderOf(r.pending)+": "+r.pending.Help, defaultOf(r.pending))
	}
}

// values offers values of a key.
func (c *completer) values(r *reader, here *node) {
	shape := r.in().shape
	current := ""
	if here != nil {
		current = summary(here)
	}
	if c.verb != VerbSet {
		c.present(here)
		return
	}
	switch {
	case len(shape.Allowed) > 0:
		c.choices(shape, shape.Allowed, current)
	case shape.Type == config.TypeBoolean:
		c.choices(shape, []string{"true", "false"}, current)
	default:
		if shape.Reference == config.RefInterface {
			c.members(c.document.root.path("network", "interfaces"))
		}
		if current == "" {
			current = defaultOf(shape)
		}
		c.placeholder(placeholderOf(shape)+": "+valueHelp(shape), current)
	}
	switch {
	case r.state == wantMore && c.partial == "":
		c.offer(Completion{Word: "]", Help: "ends the list"})
	case shape.Kind == config.KindValues && c.partial == "":
		c.offer(Completion{Word: "[", Help: "several, up to ]"})
	}
}

// path gives what is below a node, nil when there is nothing.
func (n *node) path(names ...string) *node {
	for _, name := range names {
		if n = n.child(name); n == nil {
			return nil
		}
	}
	return n
}

// present offers values that are there.
func (c *completer) present(here *node) {
	switch {
	case here == nil || here.shape.Secret:
	case here.listed():
		for _, value := range c.beginning(here.ordered()) {
			c.offer(Completion{Word: value.name, Help: here.shape.Help})
		}
	case c.verb == VerbDelete && strings.HasPrefix(here.text, c.partial):
		c.offer(Completion{Word: here.text, Help: here.shape.Help})
	}
}

func (c *completer) choices(shape *config.Schema, words []string, current string) {
	for _, word := range words {
		if !strings.HasPrefix(word, c.partial) {
			continue
		}
		state := ""
		if word == current {
			state = "as it is"
		}
		c.offer(Completion{Word: word, Help: shape.Meaning(word), State: state})
	}
}

func (c *completer) offer(completion Completion) {
	if len(c.found) >= c.limit {
		c.more++
		return
	}
	c.found = append(c.found, completion)
}

// placeholder offers words about an open value, whatever was typed of it.
func (c *completer) placeholder(help, state string) {
	c.offer(Completion{Help: help, State: state})
}

func valueHelp(shape *config.Schema) string {
	help := shape.Help
	if shape.Expected != "" {
		help += "; " + shape.Expected
	}
	return help
}

// placeholderOf names a type of values: "<address>".
func placeholderOf(shape *config.Schema) string {
	switch shape.Type {
	case config.TypeNumber:
		if shape.Low != "" {
			return "<" + shape.Low + ".." + shape.High + ">"
		}
	case config.TypeDuration:
		return "<time>"
	case config.TypeEndpoint:
		return "<address[:port]>"
	case config.TypePrefix:
		return "<address/length>"
	case config.TypeMask:
		return "<netmask>"
	}
	return "<" + string(shape.Type) + ">"
}

// summaryWidth is how much of a state is said.
const summaryWidth = 56

// summary says in a few words what a node holds. Secrets are not among them.
func summary(n *node) string {
	switch {
	case n.shape.Secret:
		return Redacted
	case n.leaf():
		return shorten(n.value())
	case n.listed() && n.shape.Kind == config.KindValues:
		return shorten(joinSome(n.children, ", ", (*node).value))
	case n.listed() || n.named():
		return fmt.Sprintf("%d", len(n.children))
	}
	return shorten(joinSome(n.children, ", ", func(child *node) string {
		if n.identifies(child) {
			return ""
		}
		return child.name + " " + summary(child)
	}))
}

// joinSome joins no more than is shown.
func joinSome(nodes []*node, separator string, text func(*node) string) string {
	var b strings.Builder
	for _, n := range nodes {
		part := text(n)
		if part == "" {
			continue
		}
		if b.Len() > 0 {
			b.WriteString(separator)
		}
		b.WriteString(part)
		if b.Len() > summaryWidth {
			break
		}
	}
	return b.String()
}

func shorten(text string) string {
	if utf8.RuneCountInString(text) <= summaryWidth {
		return text
	}
	return string([]rune(text)[:summaryWidth-3]) + "..."
}

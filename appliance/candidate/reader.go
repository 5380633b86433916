package candidate

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"dipper/appliance/config"
)

// state is what a reader expects next.
type state int

const (
	wantKey   state = iota // a key of the innermost section, or nothing more
	wantName               // the name of an entry
	wantItem               // what tells an item apart
	wantValue              // a value, or a list of them in [ ]
	wantMore               // more values, or ]
	wantEnd                // nothing more: a path ended at a value
)

// reader makes a small document of the words of one command, which is then
// merged into a document, or looked up in it.
type reader struct {
	document *Document
	path     bool // the words lead to one place, as behind delete: at most one value, any old one
	root     *node
	chain    []*node // from the root to where the words lead
	starts   []int   // which word each of them begins with
	keys     []string
	state    state
	identity map[string]string // of the item last read, while its identifying keys may follow
	pending  *config.Schema    // the identifying key whose value comes next
}

func (d *Document) reader(path bool) *reader {
	root := &node{shape: d.schema, part: keyPart}
	return &reader{document: d, path: path, root: root, chain: []*node{root}}
}

// read takes all words of a command.
func (r *reader) read(words []string) *WordError {
	for i, word := range words {
		if err := r.next(word); err != nil {
			err.Word = i
			return err
		}
		r.starts = r.starts[:min(len(r.starts), len(r.chain))]
		for len(r.starts) < len(r.chain) {
			r.starts = append(r.starts, i)
		}
	}
	r.endIdentity()
	if r.pending == nil && (r.path || r.state == wantKey || r.state == wantEnd) {
		return nil
	}
	return r.missing(len(words))
}

// missing says what is expected behind the last word.
func (r *reader) missing(count int) *WordError {
	in := r.in()
	switch {
	case r.pending != nil:
		return &WordError{Word: count, Problem: fmt.Sprintf("%s needs a value", r.pending.Name), Expected: r.pending.Expected}
	case r.state == wantName:
		return &WordError{Word: count, Problem: fmt.Sprintf("%s needs a name", in.name), Expected: in.shape.Entry}
	case r.state == wantItem:
		first, _ := in.shape.Find(in.shape.Identity[0])
		return &WordError{Word: count, Problem: fmt.Sprintf("%s needs one of its items", in.name), Expected: first.Expected}
	case r.state == wantMore:
		return &WordError{Word: count, Problem: "the list has no end", Expected: "]"}
	}
	return &WordError{Word: count, Problem: fmt.Sprintf("%s needs a value", in.name), Expected: in.shape.Expected}
}

// in is the innermost part that the words lead to.
func (r *reader) in() *node { return r.chain[len(r.chain)-1] }

func (r *reader) next(word string) *WordError {
	if !utf8.ValidString(word) {
		return &WordError{Problem: "not UTF-8", Expected: "text in UTF-8"}
	}
	switch {
	case r.pending != nil:
		return r.identifyingValue(word)
	case r.state == wantKey:
		return r.key(word)
	case r.state == wantName:
		return r.entry(word)
	case r.state == wantItem:
		return r.item(word)
	case r.state == wantValue || r.state == wantMore:
		return r.values(word)
	}
	return &WordError{Problem: fmt.Sprintf("%q is too much: %s is one value", clip(word), r.in().name)}
}

// key reads a key of the section that the words are in.
func (r *reader) key(word string) *WordError {
	section := r.section()
	shape, err := findKey(section.shape, word)
	if err != nil {
		return err
	}
	if section.part == memberPart && slices.Contains(section.shape.Identity, shape.Name) {
		return r.identifyingKey(section, shape)
	}
	r.endIdentity()
	section = r.section()
	r.enter(section.key(shape))
	return nil
}

// section gives the innermost section, dropping what the words went into
// since, such as a value.
func (r *reader) section() *node {
	for !r.in().keyed() {
		r.leave()
	}
	return r.in()
}

func (r *reader) leave() {
	r.chain = r.chain[:len(r.chain)-1]
	r.keys = r.keys[:len(r.keys)-1]
}

// enter goes into the node of a key.
func (r *reader) enter(n *node) {
	r.chain, r.keys = append(r.chain, n), append(r.keys, n.name)
	switch n.shape.Kind {
	case config.KindSection:
		r.state = wantKey
	case config.KindEntries:
		r.state = wantName
	case config.KindSections:
		r.state = wantItem
	default:
		r.state = wantValue
	}
}

// findKey finds a key by its name or a unique beginning of it.
func findKey(shape *config.Schema, word string) (*config.Schema, *WordError) {
	var meant []int
	for i, key := range shape.Keys {
		if key.Name == word {
			return &shape.Keys[i], nil
		}
		if word != "" && strings.HasPrefix(key.Name, word) {
			meant = append(meant, i)
		}
	}
	if len(meant) == 1 {
		return &shape.Keys[meant[0]], nil
	}
	var names []string
	for _, i := range meant {
		names = append(names, shape.Keys[i].Name)
	}
	if len(meant) > 1 {
		return nil, &WordError{Problem: fmt.Sprintf("%q is ambiguous", clip(word)), Expected: list(names)}
	}
	for _, key := range shape.Keys {
		names = append(names, key.Name)
	}
	unknown := &WordError{Problem: fmt.Sprintf("unknown key %q", clip(word)), Expected: "one of " + strings.Join(names, ", ")}
	if close := config.Closest(word, names); close != "" {
		unknown.Hint = fmt.Sprintf("did you mean %q?", close)
	}
	return nil, unknown
}

// entry reads the name of an entry.
func (r *reader) entry(word string) *WordError {
	entries := r.in()
	if !r.path {
		if err := r.check(word, append(slices.Clone(r.keys), word)); err != nil {
			return err
		}
	}
	r.member(entries, word, word)
	return nil
}

// member goes into an entry or item, made if it is not there; key is how its
// path names it to the checker.
func (r *reader) member(list *node, name, key string) *node {
	member := list.child(name)
	if member == nil {
		member = list.add(list.entry(name))
	}
	r.chain, r.keys = append(r.chain, member), append(r.keys, key)
	r.state = wantKey
	return member
}

// item reads the first word of what tells an item apart. The words of a
// quoted name, "default metric 5", are read one after the other.
func (r *reader) item(word string) *WordError {
	items := r.in()
	words := strings.Fields(word)
	if len(words) == 0 {
		words = []string{word}
	}
	first, _ := items.shape.Find(items.shape.Identity[0])
	if err := r.checkKey(first.Name, words[0]); err != nil {
		return err
	}
	r.identity = map[string]string{first.Name: words[0]}
	// The item gets its name when all that tells it apart was read.
	r.chain, r.keys = append(r.chain, &node{shape: items.shape, part: memberPart}), append(r.keys, "")
	r.state = wantKey
	for _, more := range words[1:] {
		if err := r.next(more); err != nil {
			return err
		}
	}
	return nil
}

// identifyingKey reads one of the further keys that tell an item apart.
func (r *reader) identifyingKey(section *node, shape *config.Schema) *WordError {
	if r.identity == nil || r.identity[shape.Name] != "" || hasEndpoint(section.shape) && shape.Name == "port" && endpointHasPort(r.identity["address"]) {
		if r.path {
			r.enter(&node{shape: shape, name: shape.Name})
			return nil
		}
		return &WordError{Problem: fmt.Sprintf("%s is part of what tells the item apart", shape.Name),
			Hint: "write it directly behind " + section.shape.Identity[0] + ", or use rename"}
	}
	r.pending = shape
	return nil
}

func endpointHasPort(text string) bool {
	values := map[string]string{"address": text}
	canonicalIdentity(&config.Schema{Identity: []string{"address", "port"}}, values, "")
	return values["port"] != ""
}

func (r *reader) identifyingValue(word string) *WordError {
	if err := r.checkKey(r.pending.Name, word); err != nil {
		return err
	}
	r.identity[r.pending.Name] = word
	r.pending = nil
	return nil
}

// checkKey checks a value of a key of the innermost member.
func (r *reader) checkKey(key, word string) *WordError {
	path := slices.DeleteFunc(append(slices.Clone(r.keys), key), func(step string) bool { return step == "" })
	return r.check(word, path)
}

// endIdentity names the item that was begun, now that all that tells it apart
// is known.
func (r *reader) endIdentity() {
	if r.identity == nil || r.pending != nil {
		return
	}
	values := r.identity
	r.identity = nil
	place := slices.IndexFunc(r.chain, func(n *node) bool { return n.part == memberPart && n.name == "" })
	item := r.chain[place]
	canonicalIdentity(item.shape, values, "")
	identify(item, values)
	r.chain[place-1].add(item)
}

// identify gives an item its name and the keys that make it.
func identify(item *node, values map[string]string) {
	item.name = itemName(item.shape, values)
	for i := range item.shape.Keys {
		key := &item.shape.Keys[i]
		if !slices.Contains(item.shape.Identity, key.Name) {
			continue
		}
		old := item.child(key.Name)
		switch {
		case old == nil && values[key.Name] != "":
			item.key(key).text = values[key.Name]
		case values[key.Name] != "":
			item.swap(old, &node{shape: key, name: key.Name, text: values[key.Name], comment: old.comment})
		case old != nil:
			item.remove(old)
		}
	}
}

// values reads values of the innermost key.
func (r *reader) values(word string) *WordError {
	in := r.in()
	multiple := in.shape.Kind == config.KindValues
	switch {
	case word == "[" && multiple && r.state == wantValue && !r.path:
		r.state = wantMore
		return nil
	case word == "]" && r.state == wantMore:
		if len(in.children) == 0 && !in.mayBeEmpty() {
			return &WordError{Problem: "the list is empty", Expected: in.shape.Expected}
		}
		r.state = wantKey
		return nil
	}
	if !r.path {
		if err := r.checkKeys(word); err != nil {
			if multiple && (strings.HasPrefix(word, "[") || strings.Contains(word, ",")) { // as YAML has it
				err.Hint = "several are written [ A B ]"
			}
			return err
		}
	}
	r.put(in, canonicalValue(in.shape, word))
	return nil
}

// put sets a value that was checked.
func (r *reader) put(in *node, word string) {
	if in.shape.Kind == config.KindValue {
		in.text = word
	} else if value := in.child(word); value == nil {
		value = in.add(&node{shape: in.shape, part: valuePart, name: word})
		if r.path {
			r.chain, r.keys = append(r.chain, value), append(r.keys, "")
		}
	}
	switch {
	case r.path:
		r.state = wantEnd
	case r.state == wantValue:
		r.state = wantKey
		if in.name == "via" {
			r.reidentify()
		}
	}
}

// reidentify names the default route that the words are in by the family of
// its gateway.
func (r *reader) reidentify() {
	if item := len(r.chain) - 2; item > 0 && r.chain[item].part == memberPart {
		r.chain[item-1].reidentify(r.chain[item])
	}
}

func (r *reader) checkKeys(word string) *WordError {
	return r.check(word, slices.DeleteFunc(slices.Clone(r.keys), func(step string) bool { return step == "" }))
}

// check says what is wrong with a value or a name at a path, in words for
// somebody who typed it.
func (r *reader) check(word string, path []string) *WordError {
	err := r.document.check(word, path)
	var fault config.Error
	switch {
	case err == nil:
		return nil
	case !errors.As(err, &fault):
		return &WordError{Problem: err.Error()}
	}
	return &WordError{Problem: fault.Problem, Expected: fault.Expected, Hint: fault.Hint}
}

func clip(text string) string {
	const longest = 60
	if runes := []rune(text); len(runes) > longest {
		return string(runes[:longest]) + "..."
	}
	return text
}

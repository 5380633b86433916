package config

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// place is where a value stands in the file, and its path.
type place struct {
	line, column int32
	path         string
}

// field is a value of the file with its place. Sections and lists stand at
// their key, scalars at their value.
type field[T any] struct {
	value T
	at    place
	given bool // the key is there
	valid bool // and value holds what it says
}

// named is an entry of a mapping whose keys the user chooses.
type named[T any] struct {
	name string
	field[T]
}

// fault is what is wrong with a value, apart from its place.
type fault struct {
	problem, expected, hint string
}

// key is one key that a section may have: its help line, and what reads its
// value.
type key struct {
	name, help string
	reader
}

// reader reads the value of a key, whose place it is given, into where it
// belongs, and reports what is wrong with it; about says what it takes.
type reader struct {
	read  func(d *decoder, at place, n *node)
	about func() Schema
}

// scalarParser turns a scalar into a value.
type scalarParser[T any] func(n *node) (T, *fault)

// scalarType is a type of values: what reads them, and what the schema says.
type scalarType[T any] struct {
	parse scalarParser[T]
	about Schema
}

// typed makes a type of a parser that stands for itself.
func typed[T any](is ValueType, example string, parse scalarParser[T]) scalarType[T] {
	_, empty := parse(&node{kind: scalarNode, class: nullScalar})
	return scalarType[T]{parse, Schema{Kind: KindValue, Type: is, Expected: expectedOf(empty), Example: example}}
}

// otherwise says what a key is when it is not given.
func (t scalarType[T]) otherwise(value string) scalarType[T] {
	t.about.Default = value
	return t
}

// of says what the value names.
func (t scalarType[T]) of(reference Reference) scalarType[T] {
	t.about.Reference = reference
	return t
}

// table is the keys of a section, bound to one value that every section of
// its kind is read into in turn: making the keys for each of 100,000 real
// servers would cost more than reading them. They are made when the first one
// is read: most files have few kinds.
type table[T any] struct {
	current T
	bind    func(*T) []key
	bound   []key // nil: not yet
}

func tableOf[T any](keys func(*T) []key) *table[T] { return &table[T]{bind: keys} }

func (t *table[T]) keys() []key {
	if t.bound == nil {
		t.bound = t.bind(&t.current)
	}
	return t.bound
}

// required marks a key that must be there.
func required(r reader) reader {
	return r.with(func(s *Schema) { s.Required = true })
}

// secret marks a key whose value is never shown.
func secret(r reader) reader {
	return r.with(func(s *Schema) { s.Secret = true })
}

func (r reader) with(change func(*Schema)) reader {
	about := r.about
	r.about = func() Schema {
		s := about()
		change(&s)
		return s
	}
	return r
}

// decoder collects the faults of one file.
type decoder struct {
	file   string
	errors Errors
	// misspelled are the keys that were meant by unknown ones, by the path of
	// their section.
	misspelled map[string][]string
}

// enoughErrors is how many faults are collected before reading stops: more
// than are reported, and few enough that a file of nothing else takes no time.
const enoughErrors = 20 * maxErrors

// full says that no more need be read.
func (d *decoder) full() bool { return len(d.errors) >= enoughErrors }

func (d *decoder) report(at place, f fault) {
	d.errors = append(d.errors, Error{
		File: d.file, Line: int(at.line), Column: int(at.column), Path: at.path,
		Problem: f.problem, Expected: f.expected, Hint: f.hint,
	})
}

// scalar reads one value.
func scalar[T any](into *field[T], of scalarType[T]) reader {
	return reader{
		read: func(d *decoder, at place, n *node) {
			*into = readScalar(d, place{n.line, n.column, at.path}, n, of.parse)
		},
		about: func() Schema { return of.about },
	}
}

func readScalar[T any](d *decoder, at place, n *node, parse scalarParser[T]) field[T] {
	read := field[T]{at: at, given: true}
	value, bad := parseScalar(n, parse)
	if bad != nil {
		d.report(at, *bad)
		return read
	}
	read.value, read.valid = value, true
	return read
}

func parseScalar[T any](n *node, parse scalarParser[T]) (T, *fault) {
	var none T
	switch {
	case n.kind != scalarNode:
		_, bad := parse(&node{kind: scalarNode, class: nullScalar})
		return none, &fault{problem: "is a " + n.kind.String(), expected: expectedOf(bad)}
	case n.multiline:
		_, bad := parse(&node{kind: scalarNode, class: nullScalar})
		return none, &fault{problem: fmt.Sprintf("the value %q goes on over several lines", clip(n.text)),
			expected: expectedOf(bad), hint: "look at the indentation of the lines below"}
	}
	return parse(n)
}

func expectedOf(f *fault) string {
	if f == nil {
		return ""
	}
	return f.expected
}

// scalars reads a list of values.
func scalars[T any](into *field[[]field[T]], of scalarType[T]) reader {
	return reader{
		read: func(d *decoder, at place, n *node) {
			*into = readList(d, at, n, func(at place, n *node) field[T] {
				return readScalar(d, at, n, of.parse)
			})
		},
		about: func() Schema {
			about := of.about
			about.Kind = KindValues
			return about
		},
	}
}

// oneOrMore reads a list of values or a single one.
func oneOrMore[T any](into *field[[]field[T]], of scalarType[T]) reader {
	list := scalars(into, of)
	return reader{
		read: func(d *decoder, at place, n *node) {
			if n.kind == sequenceNode {
				list.read(d, at, n)
				return
			}
			at = place{n.line, n.column, at.path}
			item := readScalar(d, at, n, of.parse)
			*into = field[[]field[T]]{value: []field[T]{item}, at: at, given: true, valid: item.valid}
		},
		about: list.with(func(s *Schema) { s.Single = true }).about,
	}
}

// sections reads a list of mappings, each with the same keys; identity names
// those that tell them apart.
func sections[T any](into *field[[]field[T]], keys func(*T) []key, identity ...string) reader {
	items := tableOf(keys)
	return reader{
		read: func(d *decoder, at place, n *node) {
			*into = readList(d, at, n, func(at place, n *node) field[T] {
				return items.read(d, at, n)
			})
		},
		about: func() Schema { return Schema{Kind: KindSections, Keys: describe(items.keys()), Identity: identity} },
	}
}

func readList[T any](d *decoder, at place, n *node, item func(place, *node) field[T]) field[[]field[T]] {
	read := field[[]field[T]]{at: at, given: true}
	if n.kind != sequenceNode {
		d.report(at, wrongKind(n, "a list", "write each item on a line of its own behind \"- \", or all of them in [ ]"))
		return read
	}
	read.valid = true
	read.value = make([]field[T], 0, min(len(n.items), 1<<16))
	for i, child := range n.items {
		if d.full() {
			break
		}
		path := at.path + "[" + strconv.Itoa(i) + "]"
		read.value = append(read.value, item(place{child.line, child.column, path}, child))
	}
	return read
}

// section reads a mapping with known keys.
func section[T any](into *field[T], keys func(*T) []key) reader {
	known := tableOf(keys)
	return reader{
		read:  func(d *decoder, at place, n *node) { *into = known.read(d, at, n) },
		about: func() Schema { return Schema{Kind: KindSection, Keys: describe(known.keys())} },
	}
}

func (t *table[T]) read(d *decoder, at place, n *node) field[T] {
	read := field[T]{at: at, given: true}
	if n.kind != mappingNode {
		d.report(at, wrongKind(n, "a mapping with the keys "+keyNames(t.keys()), missingSpace(n.text)))
		return read
	}
	read.valid = true
	var none T
	t.current = none
	d.mapping(at.path, n, t.keys())
	read.value = t.current
	return read
}

// entries reads a mapping from names that the user chooses to sections; what
// says what is named.
func entries[T any](into *field[[]named[T]], what string, name func(string) *fault, keys func(*T) []key) reader {
	items := tableOf(keys)
	read := func(d *decoder, at place, n *node) {
		into.at, into.given = at, true
		if n.kind != mappingNode {
			d.report(at, wrongKind(n, "a mapping from names to their settings", ""))
			return
		}
		into.valid = true
		d.eachKey(at.path, n, func(key, value *node) {
			at := place{key.line, key.column, join(at.path, key.text)}
			if bad := name(key.text); bad != nil {
				d.report(at, *bad)
			}
			into.value = append(into.value, named[T]{key.text, items.read(d, at, value)})
		})
	}
	return reader{
		read:  read,
		about: func() Schema { return Schema{Kind: KindEntries, Keys: describe(items.keys()), Entry: what} },
	}
}

// mapping reads a mapping whose keys are known, and keeps those that were
// meant by unknown ones.
func (d *decoder) mapping(path string, n *node, keys []key) {
	d.eachKey(path, n, func(name, value *node) {
		at := place{name.line, name.column, join(path, name.text)}
		for _, known := range keys {
			if known.name == name.text {
				known.read(d, at, value)
				return
			}
		}
		if d.misspelled == nil {
			d.misspelled = make(map[string][]string)
		}
		d.misspelled[path] = append(d.misspelled[path], meantKey(name.text, keys))
		d.report(place{name.line, name.column, path}, unknownKey(name.text, keys))
	})
}

// meant says that a key of a section is there misspelled.
func (d *decoder) meant(section place, name string) bool {
	return slices.Contains(d.misspelled[section.path], name)
}

// eachKey calls visit for every key of a mapping, and reports keys that are
// there twice or are no words.
func (d *decoder) eachKey(path string, n *node, visit func(key, value *node)) {
	first := firstKeys{}
	for _, e := range n.entries {
		if d.full() {
			return
		}
		at := place{e.key.line, e.key.column, path}
		if e.key.kind != scalarNode || e.key.class == nullScalar || e.key.multiline {
			d.report(at, fault{problem: "a key that is no word", expected: "key: value", hint: "look at the indentation"})
			continue
		}
		if earlier := first.add(e.key); earlier != nil {
			d.report(at, fault{problem: fmt.Sprintf("%q is given twice, first on line %d", clip(e.key.text), earlier.line),
				hint: "remove one of the two"})
			continue
		}
		visit(e.key, e.value)
	}
}

// firstKeys finds keys that are there twice. Most mappings have a handful.
type firstKeys struct {
	few  [16]*node
	used int
	many map[string]*node
}

// add gives the earlier key of the same text, if there is one.
func (f *firstKeys) add(key *node) (earlier *node) {
	for _, k := range f.few[:f.used] {
		if k.text == key.text {
			return k
		}
	}
	if f.used < len(f.few) {
		f.few[f.used] = key
		f.used++
		return nil
	}
	if earlier = f.many[key.text]; earlier != nil {
		return earlier
	}
	if f.many == nil {
		f.many = make(map[string]*node)
	}
	f.many[key.text] = key
	return nil
}

func unknownKey(name string, keys []key) fault {
	unknown := fault{problem: fmt.Sprintf("unknown key %q", clip(name)), expected: "one of " + keyNames(keys)}
	switch meant := meantKey(name, keys); {
	case missingSpace(name) != "":
		unknown.hint = missingSpace(name)
	case meant != "" && meant == keySynonym(name):
		unknown.hint = fmt.Sprintf("here it is called %q", meant)
	case meant != "":
		unknown.hint = fmt.Sprintf("did you mean %q?", meant)
	}
	return unknown
}

// meantKey guesses which key was meant by an unknown one: another tool's word
// for it or a misspelled one. "" when there is none.
func meantKey(name string, keys []key) string {
	names := make([]string, len(keys))
	for i, known := range keys {
		names[i] = known.name
	}
	if ours := keySynonym(name); slices.Contains(names, ours) {
		return ours
	}
	return closest(name, names)
}

// keySynonym gives our word for a key of keepalived.conf or netplan.
func keySynonym(name string) string {
	switch name {
	case "virtual_server", "virtual_servers":
		return "services"
	case "lb_algo", "lvs_sched", "algorithm":
		return "scheduler"
	case "lb_kind", "lvs_method", "method", "mode":
		return "forward"
	case "vip", "virtual_ipaddress", "virtual_address":
		return "listen"
	case "nameservers", "dns":
		return "name-servers"
	case "dhcp4":
		return "dhcp"
	case "ethernets", "vlans", "bonds":
		return "interfaces"
	}
	return ""
}

func keyNames(keys []key) string {
	names := make([]string, len(keys))
	for i, known := range keys {
		names[i] = known.name
	}
	return strings.Join(names, ", ")
}

func wrongKind(n *node, expected, hint string) fault {
	switch {
	case n.kind != scalarNode:
		return fault{problem: "is a " + n.kind.String(), expected: expected, hint: hint}
	case n.class == nullScalar:
		return fault{problem: "is empty", expected: expected, hint: "remove the key, or look at the indentation of what follows"}
	}
	return fault{problem: fmt.Sprintf("is the single value %q", clip(n.text)), expected: expected, hint: hint}
}

// missingSpace hints at key:value, which YAML takes for one word.
func missingSpace(text string) string {
	if strings.Contains(text, ":") && !strings.ContainsAny(text, " \n") {
		return "a space must follow the colon behind a key"
	}
	return ""
}

// join appends a key to a path; a key that holds a dot itself stands in quotes.
func join(path, name string) string {
	if name == "" || strings.ContainsAny(name, ".[] :") || !printable(name) {
		name = strconv.Quote(clip(name))
	}
	if path == "" {
		return name
	}
	return path + "." + name
}

func printable(text string) bool {
	return !strings.ContainsFunc(text, func(r rune) bool { return !strconv.IsPrint(r) })
}

// clip shortens what the user wrote to what an error message can hold.
func clip(text string) string {
	if confidential(text) {
		return redacted
	}
	const longest = 60
	if runes := []rune(text); len(runes) > longest {
		return string(runes[:longest]) + "..."
	}
	return text
}

package config

import (
	"fmt"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/token"
)

// Source is a configuration as it is written, with its comments: what an
// editor works on. Its values are valid each by itself; whether they are
// complete and fit each other is Parse's to say.
type Source struct {
	Comment string // stands above the node or behind it; without "#"; lines end in "\n"
	Line    int    // of the key, or of the item
	Text    string // of a value
	// A node has members, items or neither.
	Members []SourceMember // in the file's order
	Items   []*Source
}

// SourceMember is one key of a mapping, or one name, with what is below it.
type SourceMember struct {
	Name string
	*Source
}

// ReadSource reads a configuration's tree. The name stands for the file in
// errors, which are Errors. A file without any key is an empty tree.
func ReadSource(name string, src []byte) (*Source, error) {
	text, err := readText(src)
	if err != nil {
		return nil, unreadable(name, src, err)
	}
	comments := commentsOf(text)
	if blank(text, comments) {
		return &Source{Comment: joinComments(comments)}, nil
	}
	root, err := readYAML(src)
	if err != nil {
		return nil, unreadable(name, src, err)
	}
	d := &decoder{file: name}
	d.root(root)
	if len(d.errors) > 0 {
		return nil, d.errors.ordered(src)
	}
	source := root.source()
	source.attach(comments, strings.Split(text, "\n"))
	return source, nil
}

// source turns a node into a source, and lets go of what is below the node: of
// a large file both take much memory.
func (n *node) source() *Source {
	source := &Source{Line: int(n.line), Text: n.text}
	if len(n.entries) > 0 {
		source.Members = make([]SourceMember, 0, len(n.entries))
	}
	if len(n.items) > 0 {
		source.Items = make([]*Source, 0, len(n.items))
	}
	for _, e := range n.entries {
		value := e.value.source()
		value.Line = int(e.key.line)
		source.Members = append(source.Members, SourceMember{e.key.text, value})
	}
	for _, item := range n.items {
		source.Items = append(source.Items, item.source())
	}
	n.entries, n.items = nil, nil
	return source
}

// comment is one comment of a file.
type comment struct {
	line int
	text string
	own  bool // nothing else is on its line
}

func commentsOf(text string) []comment {
	if !strings.Contains(text, "#") {
		return nil
	}
	if _, _, err := readPlain(text); err == nil {
		return plainComments(text)
	}
	return oddComments(text)
}

// oddComments asks the library, which takes much memory for a large file.
func oddComments(text string) []comment {
	lines := strings.Split(text, "\n")
	var comments []comment
	for _, t := range lexer.Tokenize(text) {
		if t.Type != token.CommentType || t.Position.Line > len(lines) {
			continue
		}
		before, _, _ := strings.Cut(lines[t.Position.Line-1], "#")
		comments = append(comments, comment{t.Position.Line, commentText(t.Value), strings.TrimSpace(before) == ""})
	}
	return comments
}

// commentText takes off the space that follows the sign by custom.
func commentText(text string) string {
	return strings.TrimRight(strings.TrimPrefix(text, " "), " \t\r")
}

func joinComments(comments []comment) string {
	var lines []string
	for _, c := range comments {
		lines = append(lines, c.text)
	}
	return strings.Trim(strings.Join(lines, "\n"), "\n")
}

// blank holds for a file without anything but comments.
func blank(text string, comments []comment) bool {
	if len(comments) == 0 {
		return strings.TrimSpace(text) == ""
	}
	for line := range strings.SplitSeq(text, "\n") {
		if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
			return false
		}
	}
	return true
}

// attach gives each comment to the node that it stands above or behind: of
// several that begin on a line to the outermost. What stands apart at the top
// of the file, or below all else, belongs to the whole.
func (s *Source) attach(comments []comment, lines []string) {
	places := s.places(nil)
	heading := 0
	if len(places) > 0 {
		heading = headingEnd(lines, places[0].Line)
	}
	for _, c := range comments {
		holder := s
		if c.line > heading {
			holder = c.holder(places, s)
		}
		holder.Comment = strings.Trim(holder.Comment+"\n"+c.text, "\n")
	}
}

// headingEnd gives the last blank line before the first key: comments above
// it are about the file.
func headingEnd(lines []string, first int) int {
	for line := first - 1; line > 0; line-- {
		if strings.TrimSpace(lines[line-1]) == "" {
			return line
		}
	}
	return 0
}

func (c comment) holder(places []*Source, whole *Source) *Source {
	after := slices.IndexFunc(places, func(p *Source) bool { return p.Line >= c.line })
	switch {
	case after >= 0 && (c.own || places[after].Line == c.line):
		return places[after]
	case c.own:
		return whole
	case after < 0:
		return places[len(places)-1]
	case after == 0:
		return whole
	}
	return places[after-1] // behind a closing bracket
}

// places gives the nodes that a comment can belong to, in the file's order.
func (s *Source) places(places []*Source) []*Source {
	for _, member := range s.Members {
		places = member.places(append(places, member.Source))
	}
	for _, item := range s.Items {
		places = item.places(append(places, item))
	}
	return places
}

// Checker checks single values by the tables that Parse reads by. It is not
// safe for concurrent use.
type Checker struct {
	schema Schema
	known  *table[fileConfig]
}

// NewChecker makes a Checker.
func NewChecker() *Checker {
	return &Checker{Describe(), tableOf((*fileConfig).keys)}
}

// Check says what is wrong with a value, or with a name when the path ends at
// one. The path is made of keys and of names of entries; items of lists have
// no name in it: "services", "web", "real-servers", "weight". A returned error
// is of type Error, without a place.
func (c *Checker) Check(text string, path ...string) error {
	d := &decoder{}
	c.known.read(d, place{}, chain(c.schema, path, text))
	if len(d.errors) == 0 {
		return nil
	}
	first := d.errors[0]
	first.Line, first.Column = 0, 0
	return first
}

// chain makes the tree of a file that holds nothing but one value.
func chain(s Schema, path []string, text string) *node {
	switch s.Kind {
	case KindValue:
		return scalarOf(s, text)
	case KindValues:
		return &node{kind: sequenceNode, items: []*node{scalarOf(s, text)}}
	case KindSections:
		s.Kind = KindSection
		return &node{kind: sequenceNode, items: []*node{chain(s, path, text)}}
	}
	mapping := &node{kind: mappingNode}
	if len(path) == 0 {
		return mapping
	}
	below := s
	if s.Kind == KindEntries {
		below.Kind = KindSection
	} else if known, ok := s.Find(path[0]); ok {
		below = known
	} else {
		panic(fmt.Sprintf("BUG: no key %q in the schema", path[0]))
	}
	key := &node{kind: scalarNode, class: quotedScalar, text: path[0]}
	mapping.entries = []entry{{key, chain(below, path[1:], text)}}
	return mapping
}

// scalarOf gives a value the class that it would have if it were written as
// its type demands.
func scalarOf(s Schema, text string) *node {
	n := &node{kind: scalarNode, class: textScalar, text: text}
	switch {
	case s.Type == TypeNumber && decimal(text):
		n.class = integerScalar
	case s.Type == TypeBoolean && (text == "true" || text == "false"):
		n.class = booleanScalar
	case s.Type == TypeText || s.Type == TypeWord:
		n.class = quotedScalar
	}
	return n
}

// Written gives a value as it is written in YAML.
func (s Schema) Written(text string) string {
	if s.Type == TypeNumber && decimal(text) || s.Type == TypeBoolean && (text == "true" || text == "false") {
		return text
	}
	return quote(text)
}

// WrittenName gives a name of an entry as it is written in YAML.
func WrittenName(name string) string {
	return quote(name)
}

// Closest gives the candidate that was probably meant by what was written, ""
// when none is close.
func Closest(written string, candidates []string) string {
	return closest(written, candidates)
}

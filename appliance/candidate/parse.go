package candidate

import (
	"fmt"
	"slices"
	"strings"

	"dipper/appliance/config"
)

// Parse reads a document from YAML, with its comments. Keys and values are
// checked each by itself; the name stands for the file in errors, which are
// config.Errors.
func Parse(name string, yaml []byte) (*Document, error) {
	source, err := config.ReadSource(name, yaml)
	if err != nil {
		return nil, err
	}
	d := New()
	l := loader{file: name}
	l.fill(d.root, source)
	if len(l.errors) > 0 {
		return nil, l.errors
	}
	return d, nil
}

// Salvage reads what is right of a configuration with mistakes, to be mended by
// commands, and answers the mistakes whose keys and items were left out. A file
// that is no YAML gives config.Errors.
func Salvage(name string, yaml []byte) (*Document, config.Errors, error) {
	source, left, err := config.SalvageSource(name, yaml)
	if err != nil {
		return nil, nil, err
	}
	d := New()
	l := loader{file: name}
	l.fill(d.root, source)
	return d, append(left, l.errors...), nil
}

// loader turns a source into nodes, and lets go of what it has read: of a large
// file both take much memory.
type loader struct {
	file   string
	errors config.Errors
}

func (l *loader) fill(n *node, source *config.Source) {
	n.comment = source.Comment
	defer func() { source.Members, source.Items = nil, nil }()
	switch {
	case n.keyed():
		l.section(n, source)
	case n.named():
		for _, member := range source.Members {
			entry := n.entry(member.Name)
			l.fill(entry, member.Source)
			n.children = append(n.children, entry)
		}
		slices.SortFunc(n.children, byName)
	case n.leaf():
		n.text = canonicalValue(n.shape, source.Text)
	case n.shape.Kind == config.KindValues:
		l.values(n, source)
	default:
		l.items(n, source.Items)
	}
}

func (l *loader) section(n *node, source *config.Source) {
	for _, member := range source.Members {
		shape := &n.shape.Keys[keyIndex(n.shape, member.Name)]
		l.fill(n.key(shape), member.Source)
		if child := n.child(member.Name); len(child.children) == 0 && (child.listed() || child.named()) && !child.mayBeEmpty() {
			n.remove(child)
		}
	}
}

// values reads a list of values, or the one that stands for it. What is there
// twice is there once.
func (l *loader) values(n *node, source *config.Source) {
	items := source.Items
	if len(items) == 0 && n.shape.Single && source.Text != "" {
		items = []*config.Source{{Text: source.Text}}
	}
	there := make(map[string]bool, len(items))
	for _, item := range items {
		name := canonicalValue(n.shape, item.Text)
		if !there[name] {
			n.children = append(n.children, &node{shape: n.shape, part: valuePart, name: name, comment: item.Comment})
		}
		there[name] = true
	}
	n.sort()
}

// items reads a list of sections, which may be 100,000: its index is made
// once.
func (l *loader) items(list *node, sources []*config.Source) {
	there := make(map[string]bool, len(sources))
	for _, source := range sources {
		item := l.item(list, source)
		switch {
		case item == nil:
		case there[item.name]:
			l.report(source, fmt.Sprintf("%s is in %s twice", item.name, list.name))
		default:
			list.children = append(list.children, item)
			there[item.name] = true
		}
	}
	list.sort()
}

// item reads an item, nil when it has no name.
func (l *loader) item(list *node, source *config.Source) *node {
	item := &node{shape: list.shape, part: memberPart}
	l.fill(item, source)
	first := list.shape.Identity[0]
	if item.child(first) == nil {
		l.report(source, fmt.Sprintf("an item of %s without its %s", list.name, first))
		return nil
	}
	for _, child := range item.children {
		if item.identifies(child) { // they are the item's name
			item.comment = strings.Trim(item.comment+"\n"+child.comment, "\n")
			child.comment = ""
		}
	}
	identify(item, item.identity())
	return item
}

func (l *loader) report(at *config.Source, problem string) {
	l.errors = append(l.errors, config.Error{File: l.file, Line: at.Line, Column: 1, Problem: problem})
}

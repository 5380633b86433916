package config

import (
	"errors"
	"fmt"
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// The bounds of a configuration file. They keep a hostile or mistaken file
// from taking the machine's memory or time. Those of the library are narrower:
// it recurses per level and per key of a block mapping, and takes time
// quadratic in the latter.
const (
	// MaxSize is the largest configuration in bytes: room for 100,000 real
	// servers and more.
	MaxSize     = 16 << 20
	maxOdd      = 1 << 20 // of a file that is not plain
	maxTokens   = 1 << 18
	maxDepth    = 24   // the configuration itself needs 7
	maxSiblings = 8192 // keys of one mapping
	maxTabs     = 100  // in one line: the scanner looks at the rest of it for each
)

// nodeKind is the shape of a node.
type nodeKind uint8

const (
	scalarNode nodeKind = iota
	mappingNode
	sequenceNode
)

func (k nodeKind) String() string { return [...]string{"scalar", "mapping", "list"}[k] }

// scalarClass is what YAML takes a scalar for.
type scalarClass uint8

const (
	textScalar scalarClass = iota
	quotedScalar
	integerScalar
	numberScalar
	booleanScalar
	nullScalar
)

func (c scalarClass) String() string {
	return [...]string{"text", "quoted text", "a number", "a number with a fraction or in another notation", "true or false", "nothing"}[c]
}

// node is one value of the file: the part of YAML that configurations use,
// without what the parser library adds to it. There may be a million of them.
type node struct {
	line, column int32
	kind         nodeKind
	class        scalarClass // scalar
	multiline    bool        // scalar: unquoted over several lines
	text         string      // scalar
	entries      []entry     // mapping, in the file's order, repetitions included
	items        []*node     // list
}

// entry is one key of a mapping with its value.
type entry struct {
	key, value *node
}

// readYAML turns a file into its one node. A returned error is of type Error.
func readYAML(src []byte) (*node, error) {
	text, err := readText(src)
	if err != nil {
		return nil, err
	}
	root, where, err := readPlain(text)
	switch {
	case err == nil:
		return root, nil
	case errors.Is(err, errTooMany):
		return nil, Error{Line: where, Column: 1, Problem: fmt.Sprintf("more than %d keys and values up to here", maxNodes)}
	case len(text) > maxOdd:
		return nil, Error{Line: max(where, 1), Column: 1,
			Problem:  fmt.Sprintf("a file of more than %d MiB is read in the plain way only, and this line or the one above is not plain", maxOdd>>20),
			Expected: "key: value, - item, and lists and mappings in [ ] and { } on one line"}
	}
	return readOdd(text)
}

// readOdd reads a file by the library.
func readOdd(text string) (*node, error) {
	file, err := parseBounded(text)
	if err != nil {
		return nil, err
	}
	return convert(file.Docs)
}

// parseBounded runs the YAML library within the bounds above. The library has
// panicked on odd input before; that is the file's fault, not the machine's.
func parseBounded(text string) (file *ast.File, err error) {
	defer func() {
		if r := recover(); r != nil {
			file, err = nil, Error{Line: 1, Column: 1, Problem: fmt.Sprintf("the YAML parser cannot read this file (%v)", r),
				Hint: "look for unbalanced quotes or brackets"}
		}
	}()
	tokens := rejoin(lexer.Tokenize(text))
	if err := checkTokens(tokens, strings.Split(text, "\n")); err != nil {
		return nil, err
	}
	file, err = parser.Parse(tokens, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		return nil, syntaxError(err, text)
	}
	return file, nil
}

// checkTokens refuses the parts of YAML that a configuration has no use for
// and what would exceed the bounds.
func checkTokens(tokens token.Tokens, lines []string) error {
	if len(tokens) > maxTokens {
		return Error{Line: 1, Column: 1, Problem: fmt.Sprintf("the file has %d words and signs", len(tokens)),
			Expected: fmt.Sprintf("at most %d", maxTokens)}
	}
	var depth nesting
	for i, t := range tokens {
		if problem, hint := unusedYAML(t, i > 0); problem != "" {
			return Error{Line: t.Position.Line, Column: t.Position.Column, Problem: problem, Hint: hint}
		}
		if problem := depth.add(t); problem != "" {
			return Error{Line: t.Position.Line, Column: t.Position.Column, Problem: problem}
		}
		if problem, expected, hint := checkQuoted(t, lines); problem != "" {
			return Error{Line: t.Position.Line, Column: t.Position.Column, Problem: problem, Expected: expected, Hint: hint}
		}
	}
	return nil
}

// unusedYAML names the feature that a token belongs to when configurations may
// not use it.
func unusedYAML(t *token.Token, later bool) (problem, hint string) {
	switch t.Type {
	case token.AnchorType, token.AliasType, token.MergeKeyType:
		return fmt.Sprintf("YAML anchors, aliases and merge keys (%q) are not supported", t.Value),
			"write the value out, so that every line says what it means; a text that begins with this sign needs quotes"
	case token.TagType:
		return fmt.Sprintf("YAML tags (%q) are not supported", clip(t.Value)), "a text that begins with ! needs quotes"
	case token.DirectiveType:
		return "YAML directives (%) are not supported", "remove the line"
	case token.MappingKeyType:
		return "complex keys (?) are not supported", "write key: value"
	case token.DocumentHeaderType:
		if later {
			return "a second document begins here", "one file holds one configuration: remove the line or split the file"
		}
	}
	return "", ""
}

// convert turns the library's documents into the one node of the file.
func convert(documents []*ast.DocumentNode) (*node, error) {
	for _, document := range documents {
		if document.Body != nil {
			return convertNode(document.Body)
		}
	}
	return nil, Error{Line: 1, Column: 1, Problem: "the configuration is empty",
		Expected: "at least a role", Hint: "begin with role: director or role: real-server"}
}

func convertNode(n ast.Node) (*node, error) {
	switch n := n.(type) {
	case *ast.MappingNode:
		return convertMapping(n)
	case *ast.MappingValueNode:
		return convertMapping(&ast.MappingNode{Start: n.GetToken(), Values: []*ast.MappingValueNode{n}})
	case *ast.SequenceNode:
		return convertSequence(n)
	case *ast.LiteralNode:
		converted := at(n.Start)
		converted.class, converted.text = quotedScalar, n.Value.Value
		return converted, nil
	case ast.ScalarNode:
		return convertScalar(n)
	}
	where := at(n.GetToken())
	return nil, Error{Line: int(where.line), Column: int(where.column),
		Problem: fmt.Sprintf("YAML's %s is not supported here", strings.ToLower(n.Type().String()))}
}

func at(t *token.Token) *node {
	return &node{kind: scalarNode, line: int32(t.Position.Line), column: int32(t.Position.Column)}
}

func convertMapping(n *ast.MappingNode) (*node, error) {
	converted := at(n.Start)
	converted.kind = mappingNode
	for i, value := range n.Values {
		key, err := convertNode(value.Key)
		if err != nil {
			return nil, err
		}
		if i == 0 && !n.IsFlowStyle {
			converted.line, converted.column = key.line, key.column
		}
		content, err := convertNode(value.Value)
		if err != nil {
			return nil, err
		}
		if content.class == nullScalar || content.multiline {
			content.line, content.column = key.line, key.column
		}
		converted.entries = append(converted.entries, entry{key, content})
	}
	return converted, nil
}

func convertSequence(n *ast.SequenceNode) (*node, error) {
	converted := at(n.Start)
	converted.kind = sequenceNode
	for _, value := range n.Values {
		item, err := convertNode(value)
		if err != nil {
			return nil, err
		}
		if item.class == nullScalar || item.multiline {
			item.line, item.column = converted.line, converted.column
		}
		converted.items = append(converted.items, item)
	}
	return converted, nil
}

func convertScalar(n ast.ScalarNode) (*node, error) {
	t := n.GetToken()
	converted := at(t)
	converted.text, converted.class = t.Value, classOf(t)
	if converted.class == textScalar {
		converted.multiline = strings.Contains(strings.TrimSpace(t.Origin), "\n")
	}
	return converted, nil
}

func classOf(t *token.Token) scalarClass {
	switch t.Type {
	case token.NullType, token.ImplicitNullType:
		return nullScalar
	case token.BoolType:
		return booleanScalar
	case token.IntegerType:
		return integerScalar
	case token.FloatType, token.InfinityType, token.NanType,
		token.BinaryIntegerType, token.OctetIntegerType, token.HexIntegerType:
		return numberScalar
	case token.SingleQuoteType, token.DoubleQuoteType:
		return quotedScalar
	}
	return textScalar
}

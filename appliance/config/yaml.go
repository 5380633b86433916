package config

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// The bounds of a configuration file. They keep a hostile or mistaken file
// from taking the machine's memory or time: the YAML parser recurses per level
// and per key of a block mapping, and takes time quadratic in the latter.
const (
	// MaxSize is the largest configuration in bytes: room for 10,000 real servers.
	MaxSize     = 1 << 20
	maxTokens   = 1 << 18
	maxDepth    = 24   // the configuration itself needs 7
	maxSiblings = 8192 // keys of one mapping
	maxTabs     = 100  // in one line: the scanner looks at the rest of it for each
)

const byteOrderMark = "\ufeff"

// nodeKind is the shape of a node.
type nodeKind string

const (
	scalarNode   nodeKind = "scalar"
	mappingNode  nodeKind = "mapping"
	sequenceNode nodeKind = "list"
)

// scalarClass is what YAML takes a scalar for.
type scalarClass string

const (
	textScalar    scalarClass = "text"
	quotedScalar  scalarClass = "quoted text"
	integerScalar scalarClass = "a number"
	numberScalar  scalarClass = "a number with a fraction or in another notation"
	booleanScalar scalarClass = "true or false"
	nullScalar    scalarClass = "nothing"
)

// node is one value of the file: the part of YAML that configurations use,
// without what the parser library adds to it.
type node struct {
	kind         nodeKind
	line, column int
	class        scalarClass // scalar
	text         string      // scalar
	multiline    bool        // scalar: unquoted over several lines
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
	file, err := parseBounded(text)
	if err != nil {
		return nil, err
	}
	return convert(file.Docs)
}

// readText checks what must hold before any YAML is read: size, encoding and
// characters.
func readText(src []byte) (string, error) {
	if len(src) > MaxSize {
		return "", Error{Line: 1, Column: 1,
			Problem: fmt.Sprintf("the file has %d bytes", len(src)), Expected: fmt.Sprintf("at most %d", MaxSize)}
	}
	src = bytes.TrimPrefix(src, []byte(byteOrderMark))
	line, column, tabs := 1, 1, 0
	for i := 0; i < len(src); {
		r, size := utf8.DecodeRune(src[i:])
		if r == '\t' {
			tabs++
		}
		if tabs > maxTabs {
			return "", Error{Line: line, Column: column, Problem: fmt.Sprintf("more than %d tabs in one line", maxTabs), Expected: "spaces"}
		}
		if problem := badCharacter(src[i:], r, size); problem != "" {
			return "", Error{Line: line, Column: column, Problem: problem,
				Expected: "a text file in UTF-8", Hint: encodingHint(src)}
		}
		i, column = i+size, column+1
		if r == '\n' {
			line, column, tabs = line+1, 1, 0
		}
	}
	// The library counts lines wrongly where comments end in both characters.
	return strings.ReplaceAll(string(src), "\r\n", "\n"), nil
}

// badCharacter says what is wrong with the character that begins rest, "" when
// nothing is.
func badCharacter(rest []byte, r rune, size int) string {
	switch {
	case r == utf8.RuneError && size == 1:
		return fmt.Sprintf("byte 0x%02x is not UTF-8", rest[0])
	case r == '\r' && !bytes.HasPrefix(rest, []byte("\r\n")):
		return "a carriage return without a line feed"
	case r == '\t' || r == '\n' || r == '\r':
		return ""
	case r < 0x20 || r >= 0x7f && r < 0xa0 || r == '\u2028' || r == '\u2029' || r == '\ufeff':
		return fmt.Sprintf("control character U+%04X", r)
	}
	return ""
}

func encodingHint(src []byte) string {
	if bytes.HasPrefix(src, []byte{0xff, 0xfe}) || bytes.HasPrefix(src, []byte{0xfe, 0xff}) {
		return "this looks like UTF-16: save it as UTF-8"
	}
	return ""
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

// rejoin puts together what the library's scanner takes apart: in a list
// inside a flow mapping it ends a word at every colon, so that
// {addresses: [2001:db8::5/64]} would hold a mapping. A colon ends a key only
// when a space follows (YAML 1.2.2, section 7.3.3, ns-plain-safe) or when the
// key is quoted, as in JSON.
func rejoin(tokens token.Tokens) token.Tokens {
	var joined token.Tokens
	for _, t := range tokens {
		if last := len(joined) - 1; last >= 0 && partOfWord(joined, t) {
			t = token.New(joined[last].Value+t.Value, joined[last].Origin+t.Origin, joined[last].Position)
			joined = joined[:last]
			if last > 0 && joined[last-1].Type != token.MappingValueType && adjacent(joined[last-1], t) {
				t = token.New(joined[last-1].Value+t.Value, joined[last-1].Origin+t.Origin, joined[last-1].Position)
				joined = joined[:last-1]
			}
		}
		joined.Add(t)
	}
	return joined
}

// partOfWord says that the last token is a colon inside the word that t goes
// on with.
func partOfWord(before token.Tokens, t *token.Token) bool {
	colon := before[len(before)-1]
	if colon.Type != token.MappingValueType || t.Type == token.MappingValueType || !adjacent(colon, t) {
		return false
	}
	return len(before) < 2 || !quoted(before[len(before)-2])
}

func quoted(t *token.Token) bool {
	return t.Type == token.SingleQuoteType || t.Type == token.DoubleQuoteType
}

// adjacent says that two parts of an unquoted word follow each other without
// anything between them.
func adjacent(a, b *token.Token) bool {
	return joinable(a) && joinable(b) && a.Position.Line == b.Position.Line &&
		a.Position.Column+utf8.RuneCountInString(a.Value) == b.Position.Column
}

func joinable(t *token.Token) bool {
	return t.CharacterType == token.CharacterTypeMiscellaneous && !quoted(t) || t.Type == token.MappingValueType
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

// nesting follows how deeply collections lie in each other and how many keys
// they have, from tokens alone.
type nesting struct {
	open []collection
}

type collection struct {
	flow   bool
	column int // block: of its keys or dashes
	keys   int
}

// add takes the next token and says which bound it breaks.
func (n *nesting) add(t *token.Token) string {
	switch t.Type {
	case token.MappingStartType, token.SequenceStartType:
		n.open = append(n.open, collection{flow: true})
	case token.MappingEndType, token.SequenceEndType:
		n.closeFlow()
	case token.SequenceEntryType:
		n.block(t.Position.Column)
	case token.CollectEntryType:
		return n.key()
	case token.MappingValueType:
		if t.Prev != nil && !n.inFlow() {
			n.block(t.Prev.Position.Column)
			return n.key()
		}
	}
	if len(n.open) > maxDepth {
		return fmt.Sprintf("more than %d collections inside each other", maxDepth)
	}
	return ""
}

func (n *nesting) inFlow() bool {
	return len(n.open) > 0 && n.open[len(n.open)-1].flow
}

// block enters or returns to the block collection at a column.
func (n *nesting) block(column int) {
	if n.inFlow() {
		return
	}
	for !n.inFlow() && len(n.open) > 0 && n.open[len(n.open)-1].column > column {
		n.open = n.open[:len(n.open)-1]
	}
	if len(n.open) == 0 || n.inFlow() || n.open[len(n.open)-1].column < column {
		n.open = append(n.open, collection{column: column})
	}
}

func (n *nesting) closeFlow() {
	for len(n.open) > 0 {
		last := n.open[len(n.open)-1]
		n.open = n.open[:len(n.open)-1]
		if last.flow {
			return
		}
	}
}

// key counts one more key or item of the innermost collection.
func (n *nesting) key() string {
	if len(n.open) == 0 {
		return ""
	}
	last := &n.open[len(n.open)-1]
	if last.keys++; last.keys > maxSiblings {
		return fmt.Sprintf("more than %d keys in one mapping", maxSiblings)
	}
	return ""
}

// syntaxError puts the library's complaint into our words.
func syntaxError(err error, text string) error {
	var syntax yaml.Error
	if !errors.As(err, &syntax) || syntax.GetToken() == nil {
		return Error{Line: 1, Column: 1, Problem: "not valid YAML: " + err.Error()}
	}
	at := syntax.GetToken().Position
	fault := Error{Line: at.Line, Column: at.Column, Problem: "not valid YAML: " + syntax.GetMessage()}
	line := lineOf([]byte(text), at.Line)
	if indentation := line[:len(line)-len(strings.TrimLeft(line, " \t"))]; strings.Contains(indentation, "\t") {
		fault.Problem, fault.Expected = "a tab indents this line", "spaces"
		return fault
	}
	fault.Hint = syntaxHint(line, syntax.GetMessage())
	return fault
}

// syntaxHint knows the mistakes that people make most.
func syntaxHint(line, message string) string {
	switch {
	case unquotedIPv6(line):
		return "an IPv6 address with a port needs quotes: \"[2001:db8::1]:80\""
	case strings.Contains(message, "mapping value is not allowed"):
		return "a value that contains \": \" needs quotes; otherwise look at the indentation"
	case strings.Contains(message, "escape"):
		return `in double quotes a backslash begins an escape such as \n: write \\ for a backslash`
	case strings.Contains(message, "reserved character"):
		return "a text that begins with this character needs quotes"
	case strings.Contains(message, "not allowed in this context"), strings.Contains(message, "non-map value"):
		return "look at the indentation of this line and the one above"
	}
	return ""
}

// unquotedIPv6 finds [2001:db8::1]:80, which is a YAML list with rubbish
// behind it unless quoted.
func unquotedIPv6(line string) bool {
	before, after, found := strings.Cut(line, "]:")
	if !found || after == "" || after[0] < '0' || after[0] > '9' {
		return false
	}
	opening := strings.LastIndexByte(before, '[')
	if opening < 0 || opening > 0 && before[opening-1] == '"' {
		return false
	}
	return strings.Trim(before[opening+1:], "0123456789abcdefABCDEF:.") == ""
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
	return nil, Error{Line: where.line, Column: where.column,
		Problem: fmt.Sprintf("YAML's %s is not supported here", strings.ToLower(n.Type().String()))}
}

func at(t *token.Token) *node {
	return &node{kind: scalarNode, line: t.Position.Line, column: t.Position.Column}
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

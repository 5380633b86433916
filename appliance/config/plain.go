package config

import (
	"errors"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml/token"
)

// plainReader reads the part of YAML that configurations are made of: keys
// and dashes on lines of their own, lists and mappings in brackets on one
// line, plain and quoted words, comments. It takes a fifteenth of the time and
// a twelfth of the memory that the library does (BenchmarkYAML), whose scanner
// copies and whose parser recurses. What it is not sure of it leaves to the
// library as a whole (ok is false), so that it has no errors of its own and
// both always agree: FuzzPlainAgrees holds them to each other.
type plainReader struct {
	rest  string // behind the current line
	line  plainLine
	count int // nodes
	depth int
	slab  []node
}

// plainLine is a line that has something on it.
type plainLine struct {
	text   string // without its indentation, comment or end
	indent int
	number int
	column int // of text, from 1
	ascii  bool
	end    bool // there is none any more
}

// maxNodes bounds the memory that a tree takes, at about 100 bytes each: room
// for 100,000 real servers with ten keys each.
const maxNodes = 2_500_000

// The reasons not to read a file plainly.
var (
	errNotPlain = errors.New("not plain")
	errTooMany  = errors.New("too many values")
)

// readPlain reads a whole file. Its errors are errNotPlain and errTooMany, and
// where is the line at which that was seen.
func readPlain(text string) (root *node, where int, err error) {
	r := &plainReader{rest: text}
	ok := r.next() && !r.line.end
	if ok {
		root, ok = r.block(r.line.indent)
	}
	switch {
	case r.count > maxNodes:
		return nil, r.line.number, errTooMany
	case !ok || !r.line.end:
		return nil, r.line.number, errNotPlain
	}
	return root, r.line.number, nil
}

// next goes to the next line with something on it.
func (r *plainReader) next() bool {
	for r.rest != "" {
		var text string
		text, r.rest, _ = strings.Cut(r.rest, "\n")
		r.line.number++
		content := strings.TrimLeft(text, " ")
		if content == "" || content[0] == '#' {
			continue
		}
		r.line.indent = len(text) - len(content)
		r.line.column = r.line.indent + 1
		r.line.text = content
		r.line.ascii = isASCII(content)
		return !strings.Contains(content, "\t") && !strings.HasPrefix(content, "---") && !strings.HasPrefix(content, "...")
	}
	r.line.end = true
	return true
}

func isASCII(text string) bool {
	for i := range len(text) {
		if text[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// node makes a node at an offset into the current line.
func (r *plainReader) node(offset int) *node {
	if len(r.slab) == 0 {
		r.slab = make([]node, 256)
	}
	n := &r.slab[0]
	r.slab = r.slab[1:]
	r.count++
	n.kind = scalarNode
	n.line, n.column = int32(r.line.number), int32(r.line.column+offset)
	if !r.line.ascii {
		n.column = int32(r.line.column + utf8.RuneCountInString(r.line.text[:offset]))
	}
	return n
}

// block reads the mapping or list whose lines have this indentation.
func (r *plainReader) block(indent int) (*node, bool) {
	if r.depth++; r.depth > maxDepth || r.count > maxNodes {
		return nil, false
	}
	defer func() { r.depth-- }()
	if isDash(r.line.text) {
		return r.list(indent)
	}
	return r.mapping(indent)
}

func isDash(text string) bool { return text == "-" || strings.HasPrefix(text, "- ") }

func (r *plainReader) list(indent int) (*node, bool) {
	list := r.node(0)
	list.kind = sequenceNode
	for !r.line.end && r.line.indent == indent && isDash(r.line.text) && r.count <= maxNodes {
		item, ok := r.item(list, indent)
		if !ok {
			return nil, false
		}
		item.missingAt(list)
		list.items = append(list.items, item)
	}
	return list, (r.line.end || r.line.indent <= indent) && r.count <= maxNodes
}

// item reads what stands behind a dash.
func (r *plainReader) item(list *node, indent int) (*node, bool) {
	content := strings.TrimLeft(r.line.text[1:], " ")
	if content == "" || content[0] == '#' {
		return r.below(list, indent)
	}
	offset := len(r.line.text) - len(content)
	if isDash(content) {
		return nil, false
	}
	if r.keyLength(content) > 0 {
		// A mapping that begins behind the dash.
		r.line.text, r.line.indent, r.line.column = content, r.line.indent+offset, r.line.column+offset
		return r.block(r.line.indent)
	}
	return r.remainder(offset)
}

// below reads what stands on the lines below a key or a list's dash: nothing,
// or a block that is indented further. A list below a key need not be.
func (r *plainReader) below(at *node, indent int) (*node, bool) {
	empty := r.node(0)
	if !r.next() {
		return nil, false
	}
	listBelowKey := r.line.indent == indent && at.kind == scalarNode && isDash(r.line.text)
	if !r.line.end && (r.line.indent > indent || listBelowKey) {
		return r.block(r.line.indent)
	}
	empty.class, empty.text = nullScalar, "null"
	empty.missingAt(at)
	// The library takes a key below an empty dash for its item.
	return empty, at.kind == scalarNode || r.line.end || r.line.indent < indent || isDash(r.line.text)
}

// missingAt places what is nothing at its key or list.
func (n *node) missingAt(at *node) {
	if n.class == nullScalar {
		n.line, n.column = at.line, at.column
	}
}

func (r *plainReader) mapping(indent int) (*node, bool) {
	mapping := r.node(0)
	mapping.kind = mappingNode
	for !r.line.end && r.line.indent == indent && !isDash(r.line.text) && r.count <= maxNodes {
		entry, ok := r.entry(indent)
		if !ok {
			return nil, false
		}
		mapping.entries = append(mapping.entries, entry)
	}
	return mapping, (r.line.end || r.line.indent <= indent) && r.count <= maxNodes
}

// entry reads one key of a block mapping and what belongs to it.
func (r *plainReader) entry(indent int) (entry, bool) {
	length := r.keyLength(r.line.text)
	if length == 0 {
		return entry{}, false
	}
	key, ok := r.word(0, length)
	if !ok {
		return entry{}, false
	}
	content := strings.TrimLeft(r.line.text[length+1:], " ")
	if content != "" && content[0] != '#' {
		value, ok := r.remainder(len(r.line.text) - len(content))
		if ok {
			value.missingAt(key)
		}
		return entry{key, value}, ok
	}
	value, ok := r.below(key, indent)
	return entry{key, value}, ok
}

// keyLength gives the length of the key that begins a text, 0 when none does.
func (r *plainReader) keyLength(text string) int {
	end := 0
	switch {
	case text[0] == '"':
		end = strings.IndexByte(text[1:], '"') + 2
		if end < 2 || strings.Contains(text[:end], `\`) {
			return 0
		}
	default:
		for end < len(text) && keyCharacter(text[end]) {
			end++
		}
	}
	if end == 0 || end == len(text) || text[end] != ':' || end+1 < len(text) && text[end+1] != ' ' {
		return 0
	}
	return end
}

func keyCharacter(c byte) bool {
	return isLetterOrDigit(rune(c)) || c == '-' || c == '_' || c == '.' || c == '/'
}

// remainder reads the value that fills the rest of the line, and goes to the next.
func (r *plainReader) remainder(offset int) (*node, bool) {
	indent := r.line.indent
	value, end, ok := r.value(offset, false)
	if !ok {
		return nil, false
	}
	if behind := r.line.text[end:]; strings.TrimLeft(behind, " ") != "" && !strings.HasPrefix(strings.TrimLeft(behind, " "), "#") || strings.HasPrefix(behind, "#") {
		return nil, false
	}
	// A line that is indented further would go on with the value.
	return value, r.next() && (r.line.end || r.line.indent <= indent)
}

// value reads a value at an offset into the line and gives where it ends.
func (r *plainReader) value(offset int, flow bool) (value *node, end int, ok bool) {
	if offset >= len(r.line.text) || r.count > maxNodes {
		return nil, 0, false
	}
	switch c := r.line.text[offset]; {
	case c == '{':
		return r.flowMapping(offset)
	case c == '[':
		return r.flowList(offset)
	case c == '"':
		return r.quoted(offset)
	case isLetterOrDigit(rune(c)) || strings.IndexByte("./$~:", c) >= 0:
		end = r.plainEnd(offset, flow)
		value, ok = r.word(offset, end)
		return value, end, ok
	}
	return nil, 0, false
}

// plainEnd gives where a plain word ends: at a comment, or in brackets at a
// sign of theirs.
func (r *plainReader) plainEnd(offset int, flow bool) int {
	text := r.line.text
	end := offset
	for end < len(text) && !(flow && strings.IndexByte(",]}", text[end]) >= 0) && !strings.HasPrefix(text[end:], " #") {
		end++
	}
	return offset + len(strings.TrimRight(text[offset:end], " "))
}

// word makes a scalar of a part of the line: a quoted word without escapes, or
// a plain one without signs that mean something in YAML.
func (r *plainReader) word(offset, end int) (*node, bool) {
	text := r.line.text[offset:end]
	n := r.node(offset)
	if text[0] == '"' {
		n.class, n.text = quotedScalar, text[1:len(text)-1]
		return n, true
	}
	for i := range len(text) {
		c := text[i]
		if !isLetterOrDigit(rune(c)) && strings.IndexByte("._/:+=$@~^;() -", c) < 0 || c == ':' && (i+1 == len(text) || text[i+1] == ' ') {
			return nil, false
		}
	}
	n.text, n.class = text, plainClass(text)
	return n, true
}

// plainClass is what YAML takes a plain word for. The usual words are told
// apart without the library.
func plainClass(text string) scalarClass {
	first := text[0]
	letter := first >= 'a' && first <= 'z' || first >= 'A' && first <= 'Z'
	switch {
	case letter && len(text) > 5, strings.Count(text, ".") > 1, first >= '0' && first <= '9' && strings.Contains(text, ":"):
		return textScalar
	case decimal(text) && len(text) < 18:
		return integerScalar
	}
	return classOf(token.New(text, text, &token.Position{}))
}

func (r *plainReader) flowMapping(offset int) (*node, int, bool) {
	mapping := r.node(offset)
	mapping.kind = mappingNode
	end, ok := r.flow(offset, '}', func(at int) (int, bool) {
		length := r.keyLength(r.line.text[at:])
		if length == 0 {
			return 0, false
		}
		key, ok := r.word(at, at+length)
		if !ok {
			return 0, false
		}
		value, end, ok := r.value(r.skip(at+length+1), true)
		if ok {
			value.missingAt(key)
		}
		mapping.entries = append(mapping.entries, entry{key, value})
		return end, ok
	})
	return mapping, end, ok
}

func (r *plainReader) flowList(offset int) (*node, int, bool) {
	list := r.node(offset)
	list.kind = sequenceNode
	end, ok := r.flow(offset, ']', func(at int) (int, bool) {
		item, end, ok := r.value(at, true)
		if ok {
			item.missingAt(list)
		}
		list.items = append(list.items, item)
		return end, ok
	})
	return list, end, ok
}

// flow reads the parts of a collection in brackets, which must end on this
// line.
func (r *plainReader) flow(offset int, closing byte, part func(at int) (end int, ok bool)) (end int, ok bool) {
	if r.depth++; r.depth > maxDepth {
		return 0, false
	}
	defer func() { r.depth-- }()
	at := r.skip(offset + 1)
	if at < len(r.line.text) && r.line.text[at] == closing {
		return at + 1, true
	}
	for {
		if at >= len(r.line.text) {
			return 0, false
		}
		if at, ok = part(at); !ok {
			return 0, false
		}
		at = r.skip(at)
		switch {
		case at >= len(r.line.text):
			return 0, false
		case r.line.text[at] == closing:
			return at + 1, true
		case r.line.text[at] != ',':
			return 0, false
		}
		at = r.skip(at + 1)
	}
}

// skip gives the offset behind spaces.
func (r *plainReader) skip(offset int) int {
	for offset < len(r.line.text) && r.line.text[offset] == ' ' {
		offset++
	}
	return offset
}

// quoted reads a text in double quotes.
func (r *plainReader) quoted(offset int) (*node, int, bool) {
	text := r.line.text[offset+1:]
	end := strings.IndexAny(text, `"\`)
	if end < 0 {
		return nil, 0, false
	}
	n := r.node(offset)
	n.class = quotedScalar
	if text[end] == '"' {
		n.text = text[:end]
		return n, offset + 1 + end + 1, true
	}
	value, length, ok := unescape(text)
	n.text = value
	return n, offset + 1 + length, ok
}

// plainComments finds the comments of a file that is all plain: quotes are
// double there, and lie on one line.
func plainComments(text string) []comment {
	var comments []comment
	number := 0
	for line := range strings.SplitSeq(text, "\n") {
		number++
		if start := commentStart(line); start >= 0 {
			own := strings.TrimSpace(line[:start]) == ""
			comments = append(comments, comment{number, commentText(line[start+1:]), own})
		}
	}
	return comments
}

// commentStart gives where the comment of a line begins, -1 when it has none.
func commentStart(line string) int {
	quoted := false
	for i := 0; i < len(line); i++ {
		switch c := line[i]; {
		case c == '\\' && quoted:
			i++
		case c == '"':
			quoted = !quoted
		case c == '#' && !quoted && (i == 0 || line[i-1] == ' '):
			return i
		}
	}
	return -1
}

// unescape reads a text with the escapes that Render writes up to its closing
// quote, and gives how long it is with that.
func unescape(text string) (value string, length int, ok bool) {
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '"':
			return b.String(), i + 1, true
		case c != '\\':
			b.WriteByte(c)
		case i+1 == len(text):
			return "", 0, false
		default:
			i++
			plain := strings.IndexByte(`ntr"\`, text[i])
			if plain < 0 {
				return "", 0, false
			}
			b.WriteByte("\n\t\r\"\\"[plain])
		}
	}
	return "", 0, false
}

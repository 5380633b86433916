package candidate

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"

	"dipper/appliance/config"
)

// JSON gives what the words lead to as indented JSON with the keys in the
// document's order: null when they lead to nothing yet. A returned error is of
// type *WordError.
func (d *Document) JSON(view View, words ...string) ([]byte, error) {
	n, err := d.shown(words)
	if err != nil {
		return nil, err
	}
	if n == nil {
		return []byte("null\n"), nil
	}
	var compact, indented bytes.Buffer
	view.json(&compact, n)
	if err := json.Indent(&indented, compact.Bytes(), "", "  "); err != nil {
		panic("BUG: JSON that is none: " + err.Error())
	}
	indented.WriteByte('\n')
	return indented.Bytes(), nil
}

func (v View) json(b *bytes.Buffer, n *node) {
	if n.leaf() {
		b.WriteString(v.jsonValue(n))
		return
	}
	if n.listed() && n.shape.Single && len(n.children) == 1 {
		v.json(b, n.children[0])
		return
	}
	opening, closing := byte('{'), byte('}')
	if n.listed() {
		opening, closing = '[', ']'
	}
	b.WriteByte(opening)
	for i, child := range n.children {
		if i > 0 {
			b.WriteByte(',')
		}
		if !n.listed() {
			b.WriteString(jsonText(child.name) + ":")
		}
		v.json(b, child)
	}
	b.WriteByte(closing)
}

func (v View) jsonValue(n *node) string {
	text := n.value()
	if n.shape.Secret && !v.Secrets {
		text = Redacted
	}
	_, err := strconv.ParseInt(text, 10, 64)
	if n.shape.Type == config.TypeNumber && err == nil || n.shape.Type == config.TypeBoolean && (text == "true" || text == "false") {
		return text
	}
	return jsonText(text)
}

// jsonText writes a text as it is: nothing of it stands in HTML, where "<secret>"
// would have to be escaped.
func jsonText(text string) string {
	var encoded strings.Builder
	e := json.NewEncoder(&encoded)
	e.SetEscapeHTML(false)
	if err := e.Encode(text); err != nil {
		panic("BUG: a text that JSON does not take: " + err.Error())
	}
	return strings.TrimSuffix(encoded.String(), "\n")
}

package config

import (
	"bytes"
	"strings"
)

// Render writes a configuration as YAML, with every default said. Parse reads
// it back to an equal Config.
func Render(c *Config) []byte {
	var b bytes.Buffer
	for _, section := range outlineOf(c).children {
		section.render(&b, "")
	}
	return b.Bytes()
}

func (o outline) render(b *bytes.Buffer, indent string) {
	b.WriteString(indent + quote(o.name) + ":")
	switch o.form {
	case mapping:
		b.WriteString("\n")
		for _, child := range o.children {
			child.render(b, indent+"  ")
		}
	case items:
		b.WriteString("\n")
		for _, item := range o.children {
			b.WriteString(indent + "  - " + item.onOneLine() + "\n")
		}
	default:
		b.WriteString(" " + o.onOneLine() + "\n")
	}
}

// onOneLine writes the value of a part.
func (o outline) onOneLine() string {
	parts := make([]string, len(o.children))
	switch o.form {
	case leaf:
		return o.value
	case words:
		for i, word := range o.children {
			parts[i] = quote(word.name)
		}
		return "[" + strings.Join(parts, ", ") + "]"
	}
	for i, child := range o.children {
		parts[i] = quote(child.name) + ": " + child.onOneLine()
	}
	return "{" + strings.Join(parts, ", ") + "}"
}

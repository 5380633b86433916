package config

import (
	"bytes"
	"strings"
)

// Render writes a configuration as YAML, with the defaults of services, real
// servers and the network said. Parse reads it back to an equal Config. It
// holds the secrets.
func Render(c *Config) []byte {
	var b bytes.Buffer
	for _, section := range outlineOf(c).children {
		section.render(&b, "")
	}
	return b.Bytes()
}

// shown is a part's value for eyes.
func (o outline) shown() string {
	if o.hidden {
		return quote(redacted)
	}
	return o.value
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
	case list:
		for i, word := range o.children {
			if parts[i] = quote(word.name); word.hidden {
				parts[i] = word.value
			}
		}
		return "[" + strings.Join(parts, ", ") + "]"
	}
	for i, child := range o.children {
		parts[i] = quote(child.name) + ": " + child.onOneLine()
	}
	return "{" + strings.Join(parts, ", ") + "}"
}

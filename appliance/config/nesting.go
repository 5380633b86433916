package config

import (
	"fmt"

	"github.com/goccy/go-yaml/token"
)

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

package config

import (
	"unicode/utf8"

	"github.com/goccy/go-yaml/token"
)

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

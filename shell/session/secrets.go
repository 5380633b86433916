package session

import (
	"slices"
	"strings"

	"dipper/shell/grammar"
)

// announcesSecret tells whether a text has one of the words after which a secret
// stands, in whatever case. It is no regular expression, which every process of the
// image would compile when it starts.
func announcesSecret(text string) bool {
	words := []string{"passw", "pwd", "passphrase", "secret", "private", "host-key", "auth-key", "community", "token"}
	text = strings.ToLower(text)
	return slices.ContainsFunc(words, func(word string) bool { return strings.Contains(text, word) })
}

// stars stand for what may be secret.
const stars = "********"

// redacted writes a command for the audit log: in full when it was understood,
// and with stars for what may be secret.
func redacted(words []grammar.Word, parsed ...*grammar.Call[verb]) string {
	var out []string
	hidden := false
	for _, w := range words {
		if hidden = hidden || announced(out); hidden {
			// What follows a secret may be the rest of it: a key that was pasted
			// without quotes is many words.
			out = append(out, stars)
			break
		}
		out = append(out, grammar.Quote(cleaned(w.Text)))
	}
	text := strings.Join(out, " ")
	if len(parsed) == 1 && !hasSecret(words) {
		text = parsed[0].String()
	}
	if len(text) > maxAudit {
		text = text[:maxAudit] + "..."
	}
	return text
}

// announced reports whether a secret follows what was written so far.
func announced(words []string) bool {
	return len(words) > 0 && announcesSecret(words[len(words)-1])
}

// cleaned is a word without what is secret within it: behind a "=", in a URL, or
// because it is a line of a private key.
func cleaned(word string) string {
	if scheme, rest, found := strings.Cut(word, "://"); found {
		authority, _, _ := strings.Cut(rest, "/")
		if at := strings.LastIndexByte(authority, '@'); at >= 0 {
			word = scheme + "://" + stars + rest[at:]
		}
		// What a query holds is the server's business, and may be a token.
		if path, query, found := strings.Cut(word, "?"); found && announcesSecret(query) {
			word = path + "?" + stars
		}
		return word
	}
	if name, _, found := strings.Cut(word, "="); found && announcesSecret(name) {
		return name + "=" + stars
	}
	if keyLine(word) {
		return stars
	}
	return word
}

// keyLine reports whether a word could be a line of a private key: a long piece
// of base64 that does not begin as public keys do.
func keyLine(word string) bool {
	const short = 32
	other := func(r rune) bool {
		return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || r == '+' || r == '/' || r == '=')
	}
	return len(word) > short && !strings.HasPrefix(word, "AAAA") && strings.IndexFunc(word, other) < 0
}

// maxAudit bounds a command in the audit log, in bytes.
const maxAudit = 2048

// hasSecret reports whether a secret stands among words.
func hasSecret(words []grammar.Word) bool {
	for i, w := range words {
		if announcesSecret(w.Text) && i+1 < len(words) || cleaned(w.Text) != w.Text {
			return true
		}
	}
	return false
}

// memorable reports whether a line may be kept in the history.
func memorable(line string) bool {
	statements, err := grammar.Split(line)
	if err != nil {
		return !announcesSecret(line)
	}
	for _, s := range statements {
		for _, stage := range s {
			if hasSecret(stage.Words) {
				return false
			}
		}
	}
	return true
}

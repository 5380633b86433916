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
	words := []string{"password", "passphrase", "secret", "private-key", "host-key", "auth-key", "community", "token"}
	text = strings.ToLower(text)
	return slices.ContainsFunc(words, func(word string) bool { return strings.Contains(text, word) })
}

// redacted writes a command for the audit log: in full when it was understood,
// and with stars for what may be secret.
func redacted(words []grammar.Word, parsed ...*grammar.Call[verb]) string {
	var out []string
	hidden := false
	for _, w := range words {
		if secret := hidden; secret {
			out = append(out, "********")
		} else {
			out = append(out, grammar.Quote(w.Text))
		}
		hidden = announcesSecret(w.Text)
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

// maxAudit bounds a command in the audit log, in bytes.
const maxAudit = 2048

// hasSecret reports whether a secret stands among words.
func hasSecret(words []grammar.Word) bool {
	for i, w := range words {
		if announcesSecret(w.Text) && i+1 < len(words) {
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

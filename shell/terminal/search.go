package terminal

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// search is Ctrl-R: the newest line of the history that contains what is
// typed; again Ctrl-R goes on to older ones.
type search struct {
	word   string
	skip   int // how many that match were passed over
	own    string
	failed bool
}

func (s *search) prompt() string {
	failed := ""
	if s.failed {
		failed = "nothing for "
	}
	return fmt.Sprintf("(search) %s%q: ", failed, s.word)
}

// searching acts on a key while searching. It answers true for a key that ends
// the search and is still to be acted on.
func (e *Editor) searching(k key) bool {
	s := e.search
	switch k.code {
	case keyText, keyPasted:
		s.word, s.skip = s.word+k.text, 0
	case keyBackspace:
		_, size := utf8.DecodeLastRuneInString(s.word)
		s.word, s.skip = s.word[:len(s.word)-size], 0
	case keySearch:
		s.skip++
	case keyCancel, keyInterrupt:
		e.line.set(s.own)
		e.search = nil
		return false
	case keyResized, keyRefresh:
		return false
	default:
		e.search = nil
		return true
	}
	e.find()
	return false
}

// find shows the line that the search asks for.
func (e *Editor) find() {
	s := e.search
	lines := e.history.Lines()
	passed := 0
	seen := map[string]bool{}
	for i := len(lines) - 1; i >= 0; i-- {
		if s.word == "" || !strings.Contains(lines[i], s.word) || seen[lines[i]] {
			continue
		}
		seen[lines[i]] = true
		if passed == s.skip {
			s.failed = false
			e.line.set(lines[i])
			return
		}
		passed++
	}
	s.failed = s.word != ""
	s.skip = max(0, min(s.skip, passed-1))
}

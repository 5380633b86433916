// Package ipvsadmtest tells whether two programs list the same table while it
// is at work: seconds pass and packets are counted between two listings, on a
// busy machine always.
package ipvsadmtest

import (
	"strconv"
	"strings"
	"unicode"

	"github.com/google/go-cmp/cmp"
)

// Between returns how a listing differs from two others that were made before
// and after it, or "" if it does not. What is the same in both must be the
// same, byte by byte; of a number or a time that changed from the one to the
// other, the value must lie between theirs, and end in the same column.
//
// The two others may differ in more than numbers, by a connection that was
// opened for example: then there is a difference that proves nothing.
func Between(before, got, after string) string {
	earlier, now, later := strings.Split(before, "\n"), strings.Split(got, "\n"), strings.Split(after, "\n")
	if len(earlier) == len(now) && len(now) == len(later) {
		for i := range now {
			if lineBetween(earlier[i], now[i], later[i]) {
				now[i] = earlier[i]
			}
		}
	}
	return cmp.Diff(earlier, now)
}

func lineBetween(before, got, after string) bool {
	earlier, now, later := words(before), words(got), words(after)
	if len(earlier) != len(now) || len(now) != len(later) {
		return false
	}
	for i := range now {
		if !wordBetween(earlier[i], now[i], later[i]) {
			return false
		}
	}
	return true
}

// A word is printed in a line, and ends at a column of it.
type word struct {
	text string
	end  int
}

func words(line string) []word {
	var all []word
	for _, text := range strings.Fields(line) {
		start := 0
		if len(all) > 0 {
			start = all[len(all)-1].end
		}
		all = append(all, word{text, start + strings.Index(line[start:], text) + len(text)})
	}
	return all
}

func wordBetween(before, got, after word) bool {
	if before == after {
		return got == before
	}
	earlier, ok1 := value(before.text)
	now, ok2 := value(got.text)
	later, ok3 := value(after.text)
	return ok1 && ok2 && ok3 && before.end == got.end && got.end == after.end &&
		min(earlier, later) <= now && now <= max(earlier, later)
}

// value is that of a counter as ipvsadm writes it ("1187", "13M"), or of the
// time after which a connection expires, in seconds ("14:59").
func value(text string) (uint64, bool) {
	if minutes, seconds, ok := strings.Cut(text, ":"); ok {
		m, err1 := strconv.ParseUint(minutes, 10, 32)
		s, err2 := strconv.ParseUint(seconds, 10, 32)
		return 60*m + s, err1 == nil && err2 == nil
	}
	digits := strings.TrimRightFunc(text, unicode.IsLetter)
	n, err := strconv.ParseUint(digits, 10, 64)
	scale, known := map[string]uint64{"": 1, "K": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}[text[len(digits):]]
	return n * scale, err == nil && known
}

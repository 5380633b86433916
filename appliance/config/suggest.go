package config

import (
	"fmt"
	"strings"
)

// suggest gives a hint that names the candidate closest to what was written,
// or "" when none is close.
func suggest(written string, candidates []string) string {
	if best := closest(written, candidates); best != "" {
		return fmt.Sprintf("did you mean %q?", best)
	}
	return ""
}

// closest gives the candidate that was probably meant, "" when none is close.
func closest(written string, candidates []string) string {
	best, bestDistance := "", 0
	for _, candidate := range candidates {
		distance := editDistance(plain(written), plain(candidate))
		if best == "" || distance < bestDistance {
			best, bestDistance = candidate, distance
		}
	}
	if best == "" || bestDistance > tolerance(best) {
		return longestPrefix(written, candidates)
	}
	return best
}

// longestPrefix gives the longest candidate that begins what was written: "lc"
// for "lcss", "weight" for "weight-factor".
func longestPrefix(written string, candidates []string) string {
	longest := ""
	for _, candidate := range candidates {
		if len(candidate) > len(longest) && strings.HasPrefix(plain(written), plain(candidate)) {
			longest = candidate
		}
	}
	return longest
}

// tolerance is how many edits away from a word may still be taken for it: a
// third of its length, since anything is two edits away from "rr".
func tolerance(word string) int {
	return max(1, len(word)/3)
}

// plain removes what people confuse between naming styles, so that realServers
// and real_servers are no edit away from real-servers.
func plain(word string) string {
	return strings.NewReplacer("-", "", "_", "", " ", "").Replace(strings.ToLower(word))
}

const longestWord = 64

type distances [longestWord + 1][longestWord + 1]int

// editDistance counts insertions, deletions, replacements and swaps of
// neighbouring characters between two words (optimal string alignment). Words
// longer than any key count as far away, which bounds the work.
func editDistance(a, b string) int {
	if len(a) > longestWord || len(b) > longestWord {
		return longestWord
	}
	var rows distances
	for i := range len(a) + 1 {
		for j := range len(b) + 1 {
			rows[i][j] = distanceAt(&rows, a, b, i, j)
		}
	}
	return rows[len(a)][len(b)]
}

// distanceAt is the distance between the first i bytes of a and the first j
// bytes of b, given all smaller ones.
func distanceAt(rows *distances, a, b string, i, j int) int {
	if i == 0 || j == 0 {
		return i + j
	}
	replaced := rows[i-1][j-1]
	if a[i-1] != b[j-1] {
		replaced++
	}
	distance := min(rows[i-1][j]+1, rows[i][j-1]+1, replaced)
	if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
		distance = min(distance, rows[i-2][j-2]+1)
	}
	return distance
}

package journal

import (
	"slices"
	"time"
)

// ring keeps the latest lines, bounded in number and in bytes.
type ring struct {
	maxLines, maxBytes int

	lines []Line // oldest first
	bytes int
}

func (r *ring) add(l Line) {
	r.lines = append(r.lines, l)
	r.bytes += len(l.Text)
	for len(r.lines) > r.maxLines || r.bytes > r.maxBytes && len(r.lines) > 1 {
		r.bytes -= len(r.lines[0].Text)
		r.lines[0] = Line{} // release the text
		r.lines = r.lines[1:]
	}
}

// tail answers the texts of the latest n lines of source, oldest first, none
// of them older than since.
func (r *ring) tail(source string, since time.Duration, n int) []string {
	var texts []string
	for i := len(r.lines) - 1; i >= 0 && len(texts) < n && r.lines[i].At >= since; i-- {
		if r.lines[i].Source == source {
			texts = append(texts, r.lines[i].Text)
		}
	}
	slices.Reverse(texts)
	return texts
}

package terminal

import (
	"strings"
	"sync"
)

// Bounds of a History.
const (
	maxHistory     = 500      // lines
	maxHistoryLine = 4096     // bytes; longer lines are not kept
	maxHistorySize = 64 << 10 // bytes of all lines
)

// History is what a user typed before, in memory. The zero History is empty;
// several sessions of one user may share one.
type History struct {
	mu    sync.Mutex
	lines []string // oldest first
	size  int      // bytes of them
}

// Add keeps a line, unless it is empty or the same as the one before.
func (h *History) Add(line string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := len(h.lines)
	if strings.TrimSpace(line) == "" || len(line) > maxHistoryLine || n > 0 && h.lines[n-1] == line {
		return
	}
	h.lines, h.size = append(h.lines, line), h.size+len(line)
	for len(h.lines) > maxHistory || h.size > maxHistorySize {
		h.size -= len(h.lines[0])
		h.lines = h.lines[1:]
	}
}

// Lines answers the lines, oldest first.
func (h *History) Lines() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]string(nil), h.lines...)
}

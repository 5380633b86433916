package terminal

import (
	"strings"
	"sync"
)

// Bounds of a History.
const (
	maxHistory     = 500  // lines
	maxHistoryLine = 4096 // bytes; longer lines are not kept
)

// History is what a user typed before, in memory. The zero History is empty;
// several sessions of one user may share one.
type History struct {
	mu    sync.Mutex
	lines []string // oldest first
}

// Add keeps a line, unless it is empty or the same as the one before.
func (h *History) Add(line string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := len(h.lines)
	if strings.TrimSpace(line) == "" || len(line) > maxHistoryLine || n > 0 && h.lines[n-1] == line {
		return
	}
	h.lines = append(h.lines, line)
	if len(h.lines) > maxHistory {
		h.lines = append([]string(nil), h.lines[len(h.lines)-maxHistory:]...)
	}
}

// Lines answers the lines, oldest first.
func (h *History) Lines() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]string(nil), h.lines...)
}

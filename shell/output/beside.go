package output

import (
	"dipper/shell/cells"
)

// besideGap is between two tables that stand beside each other, in cells.
const besideGap = 4

// Beside puts tables beside each other, and reports whether a window is wide
// enough for that; 0 is none.
func Beside(tables [][]string, width int) (lines []string, fits bool) {
	at := 0
	for _, table := range tables {
		widest := 0
		for i, l := range table {
			if i == len(lines) {
				lines = append(lines, "")
			}
			lines[i] = cells.Pad(lines[i], at, false) + l
			widest = max(widest, cells.Width(l))
		}
		at += widest + besideGap
	}
	return lines, at-besideGap <= width
}

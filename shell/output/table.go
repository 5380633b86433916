package output

import (
	"io"
	"strings"

	"dipper/shell/cells"
)

// Table is rows with aligned columns. A heading that begins with '>' has its
// column aligned to the right, as numbers are read. One that begins with '~',
// before that, can be done without: in a window that is too narrow, such columns
// are left out from the right, until the rest fits or none is left.
type Table struct {
	style    Style
	headings []string
	right    []bool
	spare    []bool
	rows     [][]string
}

// Table begins a table.
func (s Style) Table(headings ...string) *Table {
	t := &Table{style: s, right: make([]bool, len(headings)), spare: make([]bool, len(headings))}
	for i, h := range headings {
		h, t.spare[i] = strings.CutPrefix(h, "~")
		h, t.right[i] = strings.CutPrefix(h, ">")
		t.headings = append(t.headings, h)
	}
	return t
}

// Row adds a row; what comes from outside may hold anything.
func (t *Table) Row(values ...string) { t.rows = append(t.rows, values) }

// Len is how many rows there are.
func (t *Table) Len() int { return len(t.rows) }

// gap is between two columns, in cells.
const gap = 2

// Lines are the table's lines, the headings first.
func (t *Table) Lines() []string {
	lines, _ := t.fitted()
	return lines
}

// fitted answers the lines, and the headings that are left out of them.
func (t *Table) fitted() (lines, missing []string) {
	widths := make([]int, len(t.headings))
	all := append([][]string{t.headings}, t.rows...)
	for _, row := range all {
		for i, v := range row {
			widths[i] = max(widths[i], cells.Width(v))
		}
	}
	left := t.leave(widths)
	lines = make([]string, len(all))
	for n, row := range all {
		var b strings.Builder
		for i, v := range row {
			if left[i] {
				continue
			}
			if b.Len() > 0 {
				b.WriteString(strings.Repeat(" ", gap))
			}
			b.WriteString(cells.Pad(v, widths[i], t.right[i]))
		}
		lines[n] = strings.TrimRight(b.String(), " ")
	}
	lines[0] = t.style.Bold(lines[0])
	return lines, t.names(left)
}

// leave says which columns are left out.
func (t *Table) leave(widths []int) (left []bool) {
	left = make([]bool, len(widths))
	total := -gap
	for _, w := range widths {
		total += w + gap
	}
	for i := len(widths) - 1; i >= 0 && t.style.Width > 0 && total > t.style.Width; i-- {
		if t.spare[i] {
			left[i] = true
			total -= widths[i] + gap
		}
	}
	return left
}

func (t *Table) names(chosen []bool) []string {
	var names []string
	for i, h := range t.headings {
		if chosen[i] {
			names = append(names, h)
		}
	}
	return names
}

// Write writes the table, and what was left out of it.
func (t *Table) Write(w io.Writer) error {
	lines, missing := t.fitted()
	if len(missing) > 0 {
		lines = append(lines, t.style.Paint(Faint, "not shown in a window this narrow: "+strings.Join(missing, ", ")))
	}
	_, err := io.WriteString(w, strings.Join(lines, "\n")+"\n")
	return err
}

// Facts is a list of names and what they are.
type Facts struct {
	style Style
	rows  [][2]string
}

// Facts begins a list.
func (s Style) Facts() *Facts { return &Facts{style: s} }

// Add adds a fact; further values stand below the first. Without any, nothing
// is added.
func (f *Facts) Add(name string, values ...string) {
	for _, v := range values {
		f.rows = append(f.rows, [2]string{name, v})
		name = ""
	}
}

// Lines are the list's lines.
func (f *Facts) Lines() []string {
	width := 0
	for _, r := range f.rows {
		width = max(width, cells.Width(r[0]))
	}
	var lines []string
	for _, r := range f.rows {
		lines = append(lines, strings.TrimRight(f.style.Paint(Faint, cells.Pad(r[0], width, false))+"  "+r[1], " "))
	}
	return lines
}

// Write writes the list.
func (f *Facts) Write(w io.Writer) error {
	for _, l := range f.Lines() {
		if _, err := io.WriteString(w, l+"\n"); err != nil {
			return err
		}
	}
	return nil
}

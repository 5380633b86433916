package output

import (
	"io"
	"strings"

	"dipper/shell/cells"
)

// Table is rows with aligned columns. A heading that begins with '>' has its
// column aligned to the right, as numbers are read.
type Table struct {
	style    Style
	headings []string
	right    []bool
	rows     [][]string
}

// Table begins a table.
func (s Style) Table(headings ...string) *Table {
	t := &Table{style: s, right: make([]bool, len(headings))}
	for i, h := range headings {
		name, right := strings.CutPrefix(h, ">")
		t.headings, t.right[i] = append(t.headings, name), right
	}
	return t
}

// Row adds a row; what comes from outside may hold anything.
func (t *Table) Row(values ...string) { t.rows = append(t.rows, values) }

// Len is how many rows there are.
func (t *Table) Len() int { return len(t.rows) }

// Lines are the table's lines, the headings first.
func (t *Table) Lines() []string {
	widths := make([]int, len(t.headings))
	all := append([][]string{t.headings}, t.rows...)
	for _, row := range all {
		for i, v := range row {
			widths[i] = max(widths[i], cells.Width(v))
		}
	}
	lines := make([]string, len(all))
	for n, row := range all {
		var b strings.Builder
		for i, v := range row {
			if i > 0 {
				b.WriteString("  ")
			}
			b.WriteString(cells.Pad(v, widths[i], t.right[i]))
		}
		lines[n] = strings.TrimRight(b.String(), " ")
	}
	lines[0] = t.style.Bold(lines[0])
	return lines
}

// Write writes the table.
func (t *Table) Write(w io.Writer) error {
	_, err := io.WriteString(w, strings.Join(t.Lines(), "\n")+"\n")
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

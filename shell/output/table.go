package output

import (
	"io"
	"slices"
	"strings"

	"dipper/shell/cells"
)

// Table is rows with aligned columns. A heading that begins with '>' has its
// column aligned to the right, as numbers are read. One that begins with '~',
// before that, can be done without: in a window that is too narrow, such columns
// are left out from the right, until the rest fits or none is left. What is still
// too wide goes on below itself, if the last column is text with room for some
// words, and the longest values of other columns have lines of their own, from
// which the row goes on below.
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

// leastText is the room below which a text is not folded, in cells: a word on
// each line is harder to read than what the terminal makes of a long one.
const leastText = 14

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
	t.narrow(widths, left)
	for i, row := range t.folded(all, widths, left) {
		for _, l := range t.line(row, widths, left) {
			if i == 0 {
				l = t.style.Bold(l)
			}
			lines = append(lines, l)
		}
	}
	return lines, t.names(left)
}

// line writes one row's columns, without those that are left out. A value that is
// wider than its column, or goes over the margin, ends its line, and begins one
// when there is too little room behind what stands before it.
func (t *Table) line(row []string, widths []int, left []bool) (lines []string) {
	var b strings.Builder
	end := func() {
		lines = append(lines, strings.TrimRight(b.String(), " "))
		b.Reset()
	}
	written, taken, at := 0, 0, 0 // cells of the line, those that no value may stand in, and where the column begins
	for i, v := range row {
		if left[i] {
			continue
		}
		start, width := at, widths[i]
		if w := cells.Width(v); w > width || t.style.Width > 0 && !t.right[i] && at+w > t.style.Width {
			start, width = max(0, min(at, t.style.Width-w)), w
		}
		if start < taken {
			end()
			written = 0
		}
		b.WriteString(strings.Repeat(" ", start-written))
		b.WriteString(cells.Pad(v, widths[i], t.right[i]))
		written, taken, at = start+width, start+width+1, at+widths[i]+gap
	}
	if strings.TrimSpace(b.String()) != "" || len(lines) == 0 {
		end()
	}
	return lines
}

// narrow makes columns of text narrower than their longest values, the widest
// column first, until the table fits or none is wider than its heading. Columns
// that were left out are back when that has made room for them.
func (t *Table) narrow(widths []int, left []bool) {
	if t.style.Width <= 0 || t.least(widths, left) <= t.style.Width {
		return
	}
	steps := make([][]int, len(widths)-1) // narrower ones that some value would fill, the widest last
	for i := range steps {
		if !left[i] && !t.right[i] {
			steps[i] = t.valueWidths(i)
		}
	}
	for t.least(widths, left) > t.style.Width {
		widest := -1
		for i, narrower := range steps {
			if len(narrower) > 0 && (widest < 0 || widths[i] > widths[widest]) {
				widest = i
			}
		}
		if widest < 0 {
			return
		}
		last := len(steps[widest]) - 1
		widths[widest], steps[widest] = steps[widest][last], steps[widest][:last]
	}
	for i := range left {
		if !left[i] {
			continue
		}
		if left[i] = false; t.least(widths, left) > t.style.Width {
			left[i] = true
			return
		}
	}
}

// valueWidths are the widths of a column's values but for the widest, and of its
// heading, than which it is not made narrower.
func (t *Table) valueWidths(column int) []int {
	least := cells.Width(t.headings[column])
	all := []int{least}
	for _, row := range t.rows {
		if column < len(row) {
			all = append(all, max(least, cells.Width(row[column])))
		}
	}
	slices.Sort(all)
	all = slices.Compact(all)
	return all[:len(all)-1]
}

// folded gives rows whose last column is too wide for the window further rows
// below, which have that column alone.
func (t *Table) folded(rows [][]string, widths []int, left []bool) [][]string {
	last := len(widths) - 1
	room := t.style.Width - total(widths[:last], left) - gap
	if t.style.Width <= 0 || left[last] || t.right[last] || room >= widths[last] || room < leastText {
		return rows
	}
	var all [][]string
	for _, row := range rows {
		if len(row) <= last {
			all = append(all, row)
			continue
		}
		for i, part := range broken(row[last], room) {
			if i > 0 {
				row = make([]string, last+1)
			} else {
				row = slices.Clone(row)
			}
			row[last] = part
			all = append(all, row)
		}
	}
	return all
}

// broken cuts a text between words, and words that are longer than a line
// within.
func broken(text string, width int) []string {
	var lines []string
	for _, line := range cells.Wrap(text, width) {
		if cells.Width(line) <= width {
			lines = append(lines, line)
			continue
		}
		var part string
		cells.Clusters(line, func(cluster string, _ int) bool {
			if cells.Width(part+cluster) > width {
				lines, part = append(lines, part), ""
			}
			part += cluster
			return true
		})
		lines = append(lines, part)
	}
	return lines
}

// total is how wide columns are together, without those that are left out.
func total(widths []int, left []bool) int {
	sum := -gap
	for i, w := range widths {
		if !left[i] {
			sum += w + gap
		}
	}
	return sum
}

// leave says which columns are left out.
func (t *Table) leave(widths []int) (left []bool) {
	left = make([]bool, len(widths))
	for i := len(widths) - 1; i >= 0 && t.style.Width > 0 && t.least(widths, left) > t.style.Width; i-- {
		left[i] = t.spare[i]
	}
	return left
}

// least is how wide the columns are when a text in the last one is folded.
func (t *Table) least(widths []int, left []bool) int {
	last := len(widths) - 1
	if !left[last] && !t.right[last] && !t.spare[last] {
		widths = append(widths[:last:last], min(widths[last], max(leastText, cells.Width(t.headings[last]))))
	}
	return total(widths, left)
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
		for _, l := range cells.Wrap("not shown in a window this narrow: "+strings.Join(missing, ", "), t.style.Width) {
			lines = append(lines, t.style.Paint(Faint, l))
		}
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
	room := f.style.Width - width - gap
	if room < leastText {
		room = 0 // which Wrap leaves to the terminal
	}
	var lines []string
	for _, r := range f.rows {
		name := r[0]
		for _, part := range cells.Wrap(r[1], room) {
			lines = append(lines, strings.TrimRight(f.style.Paint(Faint, cells.Pad(name, width, false))+strings.Repeat(" ", gap)+part, " "))
			name = ""
		}
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

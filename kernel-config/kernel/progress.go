package kernel

import (
	"bytes"
	"strings"
)

const (
	reportEvery = 250 // lines of make: ten seconds or so on two cores
	tailLines   = 30
)

// compileProgress reads make's output: it reports now and then where the build
// is, and keeps the last lines for an error.
type compileProgress struct {
	report  func(string, ...any)
	partial []byte
	lines   int
	last    [tailLines]string
}

// Write never fails: a build does not end because nobody watches.
func (p *compileProgress) Write(chunk []byte) (int, error) {
	p.partial = append(p.partial, chunk...)
	for {
		line, rest, found := bytes.Cut(p.partial, []byte("\n"))
		if !found {
			return len(chunk), nil
		}
		p.line(string(line))
		p.partial = rest
	}
}

func (p *compileProgress) line(line string) {
	p.last[p.lines%tailLines] = line
	p.lines++
	if p.lines%reportEvery == 0 {
		p.report("%5d steps, now %s", p.lines, strings.TrimSpace(line))
	}
}

func (p *compileProgress) tail() string {
	var lines []string
	for i := max(0, p.lines-tailLines); i < p.lines; i++ {
		lines = append(lines, p.last[i%tailLines])
	}
	return strings.Join(append(lines, string(p.partial)), "\n")
}

package session

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"dipper/shell/grammar"
	"dipper/shell/terminal"
)

// leave closes what the session has open, and answers the exit status.
func (c *conversation) leave(ctx context.Context, status int) int {
	if c.candidate == nil {
		return status
	}
	if c.candidate.Changed && !c.candidate.Shared {
		fmt.Fprintln(c.errOut, "warning: the changes were not committed and are gone")
		if status == 0 && c.screen == nil {
			status = exitFailed
		}
	}
	c.closeCandidate(ctx)
	return status
}

// closeCandidate leaves configuration mode. Whether a shared candidate stays is
// the control plane's to know.
func (c *conversation) closeCandidate(ctx context.Context) {
	if err := c.API.CloseCandidate(ctx, c.candidate.ID); err != nil {
		c.complain("the candidate could not be closed: " + err.Error())
	}
	c.enterCandidate(nil)
}

// scriptLine reads a script's line, which goes on over line ends within
// quotes, and answers how many lines it took.
func (c *conversation) scriptLine() (line string, taken int, err error) {
	for {
		part, err := c.lines.ReadString('\n')
		taken++
		line += part
		if len(line) > maxScriptLine {
			return "", taken, fmt.Errorf("line longer than %d bytes", maxScriptLine)
		}
		if err != nil || !grammar.Incomplete(line) {
			return strings.TrimRight(line, "\r\n"), taken, err
		}
	}
}

// maxScriptLine bounds a line of a script, in bytes.
const maxScriptLine = 1 << 20

// text reads what follows a command: up to a line with a single period, or to
// the end of input; from a terminal also up to Ctrl-D.
func (c *conversation) text(ctx context.Context) (string, error) {
	switch {
	case c.screen != nil:
		return c.typedText(ctx)
	case c.lines != nil:
		return c.scriptText()
	case c.stdin == nil:
		return "", errors.New("there is no standard input")
	}
	text, err := io.ReadAll(io.LimitReader(c.stdin, maxText+1))
	if err == nil && len(text) > maxText {
		err = fmt.Errorf("more than %d bytes", maxText)
	}
	return string(text), err
}

func (c *conversation) scriptText() (string, error) {
	var b strings.Builder
	for b.Len() <= maxText {
		line, err := c.lines.ReadString('\n')
		if strings.TrimRight(line, "\r\n") == "." {
			return b.String(), nil
		}
		b.WriteString(line)
		if errors.Is(err, io.EOF) {
			return b.String(), nil
		}
		if err != nil {
			return "", err
		}
	}
	return "", fmt.Errorf("more than %d bytes", maxText)
}

func (c *conversation) typedText(ctx context.Context) (string, error) {
	fmt.Fprintln(c.out, "end with Ctrl-D or a line with a single period; Ctrl-C gives up")
	var b strings.Builder
	for b.Len() <= maxText {
		line, err := c.typedLine(ctx)
		if errors.Is(err, io.EOF) || err == nil && line == "." {
			return b.String(), nil
		}
		if err != nil {
			return "", err
		}
		b.WriteString(line + "\n")
	}
	return "", fmt.Errorf("more than %d bytes", maxText)
}

// typedLine reads a line of text from the terminal, without help or history.
func (c *conversation) typedLine(ctx context.Context) (string, error) {
	return terminal.NewEditor(c.screen, nil).ReadLine(ctx, bare{})
}

// bare is no prompt at all.
type bare struct{}

func (bare) Prompt() string { return "" }

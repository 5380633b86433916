package machine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"regexp"
	"strings"
	"sync"
)

// keptOutput bounds what a Console remembers, in bytes. The log file has all.
const keptOutput = 4 << 20

// errConsoleEnded is wrapped by what waits for output that will never come.
var errConsoleEnded = errors.New("the machine has ended")

// Console is a machine's serial console. All methods may be called at any time
// by anybody; Expect has one reading position per console.
type Console struct {
	conn net.Conn

	mu      sync.Mutex
	kept    []byte
	dropped int           // bytes before kept
	read    int           // Expect's position since the machine's start
	ended   bool          // no more output
	changed chan struct{} // closed and replaced when any of the above changes
	sending sync.Mutex
}

func newConsole(conn net.Conn) *Console {
	c := &Console{conn: conn, changed: make(chan struct{})}
	go c.receive()
	return c
}

func (c *Console) receive() {
	buffer := make([]byte, 32<<10)
	for {
		n, err := c.conn.Read(buffer)
		c.add(buffer[:n], err != nil)
		if err != nil {
			return
		}
	}
}

func (c *Console) add(output []byte, last bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.kept = append(c.kept, output...)
	if excess := len(c.kept) - keptOutput; excess > 0 {
		c.kept = append([]byte(nil), c.kept[excess:]...)
		c.dropped += excess
	}
	c.ended = c.ended || last
	close(c.changed)
	c.changed = make(chan struct{})
}

func (c *Console) close() { c.conn.Close() }

// Output is everything that is remembered.
func (c *Console) Output() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return string(c.kept)
}

// Send types text. "\r" is the enter key.
func (c *Console) Send(text string) error {
	c.sending.Lock()
	defer c.sending.Unlock()
	_, err := io.WriteString(c.conn, text)
	return err
}

// Expect waits until pattern matches what the machine has said since the match
// before, and returns the text that matches. The error of a pattern that never
// comes shows the last lines that did.
func (c *Console) Expect(ctx context.Context, pattern *regexp.Regexp) (string, error) {
	for {
		match, found, ended, changed := c.match(pattern)
		if found {
			return match, nil
		}
		if ended {
			return "", fmt.Errorf("console: %q: %w; last lines:\n%s", pattern, errConsoleEnded, c.tail())
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return "", fmt.Errorf("console: %q: %w; last lines:\n%s", pattern, ctx.Err(), c.tail())
		}
	}
}

func (c *Console) match(pattern *regexp.Regexp) (text string, found, ended bool, changed <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	unread := c.kept[max(c.read-c.dropped, 0):]
	at := pattern.FindIndex(unread)
	if at == nil {
		return "", false, c.ended, c.changed
	}
	c.read = c.dropped + len(c.kept) - len(unread) + at[1]
	return string(unread[at[0]:at[1]]), true, c.ended, c.changed
}

func (c *Console) tail() string {
	const lines = 20
	all := strings.Split(strings.TrimSpace(c.Output()), "\n")
	return strings.Join(all[max(len(all)-lines, 0):], "\n")
}

// Attach connects a terminal: it shows what is remembered and what comes, and
// types what is typed, until either side or ctx ends. A terminal too slow for
// the output misses some.
func (c *Console) Attach(ctx context.Context, terminal io.ReadWriter) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		defer cancel()
		_, _ = io.Copy(consoleInput{c}, terminal) // either side's end is the end
	}()
	position := 0
	for {
		output, next, ended, changed := c.after(position)
		if _, err := terminal.Write(output); err != nil || ended {
			return err
		}
		position = next
		select {
		case <-changed:
		case <-ctx.Done():
			return nil
		}
	}
}

func (c *Console) after(position int) (output []byte, next int, ended bool, changed <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	output = append(output, c.kept[max(position-c.dropped, 0):]...)
	return output, c.dropped + len(c.kept), c.ended, c.changed
}

type consoleInput struct{ *Console }

func (c consoleInput) Write(p []byte) (int, error) { return len(p), c.Send(string(p)) }

package session

import (
	"bytes"
	"context"
	"sync"
)

// turns lets one in at a time. The zero turns are free.
type turns struct {
	once sync.Once
	free chan struct{} // holds a token while it is somebody's turn
}

// take waits for its turn, and answers how to end it.
func (t *turns) take(ctx context.Context) (end func(), err error) {
	t.once.Do(func() { t.free = make(chan struct{}, 1) })
	select {
	case t.free <- struct{}{}:
		return func() { <-t.free }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// inTurn runs what shows a whole table, or a whole configuration, when no other
// session is at such a thing: with 10,000 services it takes tens of MiB here and
// in the control plane, and a processor that other sessions' prompts want too.
// What it has to say is sent afterwards: a client that does not read it keeps
// nobody waiting.
func (c *call) inTurn(ctx context.Context, run func() error) error {
	if c.Registry == nil {
		return run()
	}
	end, err := c.Registry.tables.take(ctx)
	if err != nil {
		return err
	}
	out, text := c.out, bytes.Buffer{}
	c.out = &text
	err = func() error {
		defer end()
		return run()
	}()
	c.out = out
	if _, failed := text.WriteTo(out); err == nil {
		err = failed
	}
	return err
}

// inTurn makes a command wait for its turn.
func inTurn(k *command) *command {
	run := k.Run.do
	k.Run.do = func(ctx context.Context, c *call) error {
		return c.inTurn(ctx, func() error { return run(ctx, c) })
	}
	return k
}

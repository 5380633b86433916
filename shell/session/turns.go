package session

import (
	"bytes"
	"context"
	"io"
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

// maxHeld is how much a turn says, in bytes, before it is over: ipvsadm -Ln of
// 10,000 services with 10 real servers each says 7 MB, and -Lc of a million
// connections a hundred.
const maxHeld = 8 << 20

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
	out, text := c.out, &held{out: c.out, end: sync.OnceFunc(end)}
	c.out = text
	err = func() error {
		defer text.end()
		return run()
	}()
	c.out = out
	if failed := text.flush(); err == nil {
		err = failed
	}
	return err
}

// held is what is said in a turn. What is too much to be held ends the turn, and
// is sent as it comes: no more of it is kept than that, whoever reads it slowly.
type held struct {
	out  io.Writer
	end  func() // of the turn
	text bytes.Buffer
	over bool // sent as it comes
}

func (h *held) Write(p []byte) (int, error) {
	if !h.over && h.text.Len()+len(p) <= maxHeld {
		return h.text.Write(p)
	}
	h.over = true
	h.end()
	if err := h.flush(); err != nil {
		return 0, err
	}
	return h.out.Write(p)
}

func (h *held) flush() error {
	_, err := h.text.WriteTo(h.out)
	h.text = bytes.Buffer{} // its memory, too
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

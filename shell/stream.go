package shell

import (
	"errors"
	"io"
	"sync"

	"dipper/shell/terminal"
)

func (ch *channel) stdout() io.Writer { return wanted{output{ch.stream, ch}} }

// wanted is output until its reader is gone, as head is after ten lines.
type wanted struct{ output }

func (w wanted) Write(p []byte) (int, error) {
	if w.ch.unread.Load() {
		return 0, terminal.ErrEnough
	}
	return w.output.Write(p)
}

// stderr is the terminal where there is one, as on every system.
func (ch *channel) stderr() io.Writer {
	if ch.terminal != nil {
		return ch.stdout()
	}
	return output{ch.stream.Stderr(), ch}
}

// output notes when the connection breaks, and, unless there is a prompt, that
// it is in use. What a display shows to an empty chair is no sign that anybody
// sits there; a command that is all of its session is what a program waits for.
type output struct {
	io.Writer
	ch *channel
}

func (o output) Write(p []byte) (int, error) {
	n, err := o.Writer.Write(p)
	if !o.ch.prompts.Load() {
		o.ch.connection.touch()
	}
	o.ch.noted(err)
	return n, err
}

// noted keeps that one direction ended.
func (ch *channel) noted(err error) {
	if err != nil {
		ch.broken.Store(true)
	}
}

// receive reads what the client sends, which is a sign that it is in use.
func (ch *channel) receive(p []byte) (int, error) {
	n, err := ch.stream.Read(p)
	if n > 0 {
		ch.connection.touch()
	}
	ch.noted(err)
	return n, err
}

// input is what the client sends. On a terminal, a signal is a key.
type input struct {
	ch *channel

	once       sync.Once // starts the pump, on a terminal; else looks why the input ended
	chunks     chan []byte
	interrupts chan struct{}
	rest       []byte
	err        error
}

func newInput(ch *channel) *input {
	return &input{ch: ch, chunks: make(chan []byte), interrupts: make(chan struct{}, 1)}
}

func (in *input) interrupt() {
	select {
	case in.interrupts <- struct{}{}:
	default: // one is waiting to be read
	}
}

// ctrlC is what the key sends.
const ctrlC = 3

func (in *input) Read(p []byte) (int, error) {
	if in.ch.terminal == nil {
		return in.readWhole(p)
	}
	in.once.Do(func() {
		if !in.ch.connection.goes(in.pump) {
			in.err = io.EOF
			close(in.chunks)
		}
	})
	if len(in.rest) == 0 {
		select {
		case chunk, ok := <-in.chunks:
			if !ok {
				return 0, in.err
			}
			in.rest = chunk
		case <-in.interrupts:
			in.rest = []byte{ctrlC}
		}
	}
	n := copy(p, in.rest)
	in.rest = in.rest[n:]
	return n, nil
}

// readWhole reads what is no terminal's. What a broken connection left of it is
// no whole input: half a configuration may well be one that can be committed.
func (in *input) readWhole(p []byte) (int, error) {
	n, err := in.ch.receive(p)
	if errors.Is(err, io.EOF) {
		in.once.Do(func() {
			if in.err = io.EOF; !in.ch.there() {
				in.err = io.ErrUnexpectedEOF
			}
		})
		err = in.err
	}
	return n, err
}

// pump reads until the client's input ends, which it does with the channel.
func (in *input) pump() {
	defer close(in.chunks)
	for {
		chunk := make([]byte, 4096)
		n, err := in.ch.receive(chunk)
		if n > 0 {
			select {
			case in.chunks <- chunk[:n]:
			case <-in.ch.ran:
				return
			}
		}
		if err != nil {
			in.err = err
			return
		}
	}
}

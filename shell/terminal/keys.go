package terminal

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"unicode/utf8"
)

// keyCode says which key it was.
type keyCode int

const (
	keyText keyCode = iota // text has it
	keyEnter
	keyTab
	keyBackspace
	keyDelete
	keyLeft
	keyRight
	keyUp
	keyDown
	keyHome
	keyEnd
	keyWordLeft
	keyWordRight
	keyInterrupt      // Ctrl-C
	keyEOF            // Ctrl-D
	keyKill           // Ctrl-K: to the end of the line
	keyKillBefore     // Ctrl-U
	keyKillWord       // Ctrl-W: to the blank before
	keyKillWordBefore // Alt-Backspace: letters and digits before
	keyKillWordAfter  // Alt-D
	keyYank           // Ctrl-Y
	keyTranspose      // Ctrl-T
	keySearch         // Ctrl-R
	keyCancel         // Ctrl-G
	keyClear          // Ctrl-L
	keyLiteral        // Ctrl-V: the next key as text
	keyLastWord       // Alt-.
	keyPasted         // text from the clipboard: nothing in it is a command
	keyIgnored

	// What comes from elsewhere than the keyboard.
	keyResized
	keyNotice // text, or what late answers, is a message to show
	keyRefresh
	keyReport // text has "ROW;COLUMN"; never in the queue
)

// ErrGone tells that no more keys will come.
var ErrGone = errors.New("the terminal is gone")

type key struct {
	code keyCode
	text string
	late *func() string // of a notice: answers text when it is shown; nil: it is there
}

// maxWaiting bounds how many keys wait for somebody to read them. More stay
// where they are, which the other side notices.
const maxWaiting = 16 << 10

// keyQueue holds keys from when they are typed to when they are wanted.
type keyQueue struct {
	mu        sync.Mutex
	waiting   []key
	interrupt func()
	reported  func(Size)    // takes where the terminal says that its cursor is; nil: nobody asked
	err       error         // why there will be no more
	ready     chan struct{} // something came
	room      chan struct{} // something was taken
}

func (q *keyQueue) init() {
	q.ready, q.room = make(chan struct{}, 1), make(chan struct{}, 1)
}

// fill reads keys until in ends, or ctx does and nobody takes them any more.
func (q *keyQueue) fill(ctx context.Context, in io.Reader) {
	var d decoder
	buf := make([]byte, 4096)
	for {
		n, err := in.Read(buf)
		for _, c := range buf[:n] {
			switch k, whole := d.feed(c); {
			case !whole:
			case k.code == keyReport:
				q.report(k.text)
			default:
				q.pushTyped(ctx, k)
			}
		}
		if err != nil {
			q.end(err)
			return
		}
	}
}

// report hands on where the cursor is. It is asked for at the lower right.
func (q *keyQueue) report(text string) {
	var size Size
	if _, err := fmt.Sscanf(text, "%d;%d", &size.Height, &size.Width); err == nil && q.reported != nil {
		q.reported(size)
	}
}

func (q *keyQueue) end(err error) {
	q.mu.Lock()
	q.err = fmt.Errorf("%w: %w", ErrGone, err)
	q.mu.Unlock()
	signal(q.ready)
}

// pushTyped adds what the user typed, and waits while there is no room.
func (q *keyQueue) pushTyped(ctx context.Context, k key) {
	for {
		q.mu.Lock()
		if k.code == keyInterrupt && q.interrupt != nil {
			q.waiting = nil
			interrupt := q.interrupt
			q.mu.Unlock()
			interrupt()
			return
		}
		if len(q.waiting) < maxWaiting {
			q.waiting = append(q.waiting, k)
			q.mu.Unlock()
			signal(q.ready)
			return
		}
		q.mu.Unlock()
		select {
		case <-q.room:
		case <-ctx.Done():
			return
		}
	}
}

// push adds what comes from elsewhere: one that is waiting is enough.
func (q *keyQueue) push(k key) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, w := range q.waiting {
		if w == k {
			return
		}
	}
	if len(q.waiting) < 2*maxWaiting {
		q.waiting = append(q.waiting, k)
	}
	signal(q.ready)
}

// next takes a key when there is one.
func (q *keyQueue) next(ctx context.Context) (key, error) {
	for {
		q.mu.Lock()
		if len(q.waiting) > 0 {
			k := q.waiting[0]
			q.waiting = q.waiting[1:]
			q.mu.Unlock()
			signal(q.room)
			return k, nil
		}
		err := q.err
		q.mu.Unlock()
		if err != nil {
			return key{}, err
		}
		select {
		case <-q.ready:
		case <-ctx.Done():
			return key{}, ctx.Err()
		}
	}
}

// typedAhead reports whether the user typed what nobody has read yet.
func (q *keyQueue) typedAhead() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, k := range q.waiting {
		if k.code < keyResized {
			return true
		}
	}
	return false
}

func (q *keyQueue) onInterrupt(f func()) (restore func()) {
	q.mu.Lock()
	defer q.mu.Unlock()
	before := q.interrupt
	q.interrupt = f
	return func() {
		q.mu.Lock()
		defer q.mu.Unlock()
		q.interrupt = before
	}
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default: // it is set already
	}
}

// decoder makes keys from bytes: UTF-8, control characters, and the escape
// sequences of xterm and the linux console.
type decoder struct {
	state   decoderState
	bytes   []byte // of an unfinished rune or sequence
	pasting bool
	wasCR   bool
}

type decoderState int

const (
	ground  decoderState = iota
	escape               // after ESC
	control              // after ESC [
	single               // after ESC O
)

// feed takes one byte and answers a key when it is whole.
func (d *decoder) feed(c byte) (key, bool) {
	switch d.state {
	case escape:
		return d.escaped(c)
	case control:
		return d.sequence(c)
	case single:
		d.state = ground
		return key{code: finalKey(c)}, finalKey(c) != keyText
	}
	if c == 0x1b {
		d.state, d.bytes = escape, nil
		return key{}, false
	}
	// A line end is CR, LF or both.
	afterCR := d.wasCR
	d.wasCR = c == '\r'
	if c == '\n' && afterCR {
		return key{}, false
	}
	if c == '\r' || c == '\n' {
		return key{code: keyEnter}, true
	}
	if c < ' ' || c == 0x7f {
		d.bytes = nil
		if d.pasting {
			return key{code: keyPasted, text: " "}, c == '\t'
		}
		return key{code: controlKey(c)}, controlKey(c) != keyText
	}
	return d.rune(c)
}

// rune collects the bytes of a character. What is no UTF-8 is dropped.
func (d *decoder) rune(c byte) (key, bool) {
	d.bytes = append(d.bytes, c)
	if !utf8.FullRune(d.bytes) {
		return key{}, false
	}
	r, size := utf8.DecodeRune(d.bytes)
	if r == utf8.RuneError && size <= 1 || r >= 0x80 && r < 0xa0 {
		d.bytes = nil
		return key{}, false
	}
	k := key{code: keyText, text: string(d.bytes)}
	if d.pasting {
		k.code = keyPasted
	}
	d.bytes = nil
	return k, true
}

// escaped reads what follows ESC: Alt and a key, or a sequence.
func (d *decoder) escaped(c byte) (key, bool) {
	d.state = ground
	switch c {
	case '[':
		d.state, d.bytes = control, nil
		return key{}, false
	case 'O':
		d.state = single
		return key{}, false
	case 0x1b:
		d.state = escape
		return key{}, false
	case 'b', 'B':
		return key{code: keyWordLeft}, true
	case 'f', 'F':
		return key{code: keyWordRight}, true
	case 'd', 'D':
		return key{code: keyKillWordAfter}, true
	case '.', '_':
		return key{code: keyLastWord}, true
	case 0x7f, 0x08:
		return key{code: keyKillWordBefore}, true
	}
	return key{}, false
}

// maxSequence bounds an escape sequence that does not end.
const maxSequence = 32

// sequence collects a CSI sequence up to its final byte.
func (d *decoder) sequence(c byte) (key, bool) {
	if c < 0x40 || c > 0x7e {
		if d.bytes = append(d.bytes, c); len(d.bytes) > maxSequence || c < ' ' {
			d.state, d.bytes = ground, nil
		}
		return key{}, false
	}
	parameters := string(d.bytes)
	d.state, d.bytes = ground, nil
	switch c {
	case '~':
		return d.numbered(parameters)
	case 'R':
		return key{code: keyReport, text: parameters}, true
	}
	code := finalKey(c)
	if modified := len(parameters) > 2; modified && code == keyLeft {
		code = keyWordLeft
	} else if modified && code == keyRight {
		code = keyWordRight
	}
	return key{code: code}, code != keyText
}

// numbered reads "ESC [ n ~".
func (d *decoder) numbered(parameters string) (key, bool) {
	switch parameters {
	case "200":
		d.pasting = true
	case "201":
		d.pasting = false
	case "1", "7":
		return key{code: keyHome}, true
	case "4", "8":
		return key{code: keyEnd}, true
	case "3":
		return key{code: keyDelete}, true
	}
	return key{}, false
}

// finalKey is the key of a sequence that ends with c; keyText for none.
func finalKey(c byte) keyCode {
	switch c {
	case 'A':
		return keyUp
	case 'B':
		return keyDown
	case 'C':
		return keyRight
	case 'D':
		return keyLeft
	case 'H':
		return keyHome
	case 'F':
		return keyEnd
	}
	return keyText
}

// controlKey is the key of a control character; keyText for none.
func controlKey(c byte) keyCode {
	codes := [...]keyCode{
		0x01: keyHome, 0x02: keyLeft, 0x03: keyInterrupt, 0x04: keyEOF, 0x05: keyEnd, 0x06: keyRight,
		0x07: keyCancel, 0x08: keyBackspace, 0x09: keyTab, 0x0b: keyKill, 0x0c: keyClear, 0x0e: keyDown,
		0x10: keyUp, 0x12: keySearch, 0x14: keyTranspose, 0x15: keyKillBefore, 0x16: keyLiteral,
		0x17: keyKillWord, 0x19: keyYank, 0x7f: keyBackspace,
	}
	if int(c) >= len(codes) {
		return keyText
	}
	return codes[c]
}

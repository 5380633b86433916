package shell

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
	"time"

	"dipper/shell/session"
)

// keyboard reads a terminal device, for one reader after the other: what one
// does not read is there for the next, and a reader that has gone takes
// nothing with it.
type keyboard struct {
	chunks chan []byte
	done   chan struct{}
	once   sync.Once
	err    error // of the device; valid when chunks is closed

	mu   sync.Mutex
	rest []byte
}

// newKeyboard reads until the device fails or close.
func newKeyboard(device io.Reader) *keyboard {
	k := &keyboard{chunks: make(chan []byte), done: make(chan struct{})}
	go k.pump(device)
	return k
}

func (k *keyboard) pump(device io.Reader) {
	defer close(k.chunks)
	for {
		chunk := make([]byte, 256)
		n, err := device.Read(chunk)
		if n > 0 {
			select {
			case k.chunks <- chunk[:n]:
			case <-k.done:
				return
			}
		}
		if errors.Is(err, io.EOF) {
			err = errHangup // io.EOF is what a view says at its end
		}
		if err != nil {
			k.err = fmt.Errorf("keyboard: %w", err)
			return
		}
	}
}

func (k *keyboard) close() { k.once.Do(func() { close(k.done) }) }

// view is one reader of a keyboard. It reads a byte at a time, so that nothing
// is read ahead which the next reader should have.
type view struct {
	keys   *keyboard
	closed chan struct{}
	once   sync.Once

	mu     sync.Mutex
	active time.Time
}

func (k *keyboard) view() *view {
	return &view{keys: k, closed: make(chan struct{}), active: time.Now()}
}

// close ends all reading, with io.EOF.
func (v *view) close() { v.once.Do(func() { close(v.closed) }) }

func (v *view) Read(p []byte) (int, error) {
	return v.readOr(p, nil)
}

// readOr reads until timeout.
func (v *view) readOr(p []byte, timeout <-chan time.Time) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	k := v.keys
	for {
		select {
		case <-v.closed:
			return 0, io.EOF
		default:
		}
		if b, ok := k.next(); ok {
			p[0] = b
			v.touch()
			return 1, nil
		}
		select {
		case chunk, ok := <-k.chunks:
			if !ok {
				return 0, k.err
			}
			k.give(chunk)
		case <-v.closed:
		case <-timeout:
			return 0, errTimeout
		}
	}
}

var (
	errTimeout = errors.New("keyboard: no answer in time")
	errHangup  = errors.New("hung up")
)

func (k *keyboard) next() (byte, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.rest) == 0 {
		return 0, false
	}
	b := k.rest[0]
	k.rest = k.rest[1:]
	return b, true
}

func (k *keyboard) give(chunk []byte) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.rest = append(k.rest, chunk...)
}

func (v *view) touch() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.active = time.Now()
}

func (v *view) quiet() time.Duration {
	v.mu.Lock()
	defer v.mu.Unlock()
	return time.Since(v.active)
}

// idleCheck is how often a session on a console is looked at.
const idleCheck = 5 * time.Second

// onIdle calls end when nothing was typed for as long as limit says, 0 being
// for ever.
func (v *view) onIdle(limit func() time.Duration, end func()) (stop func()) {
	done := make(chan struct{})
	go func() {
		ticker := time.NewTicker(idleCheck)
		defer ticker.Stop()
		for {
			select {
			case <-done:
				return
			case <-v.closed:
				return
			case <-ticker.C:
				if most := limit(); most > 0 && v.quiet() >= most {
					end()
					return
				}
			}
		}
	}()
	return func() { close(done) }
}

// answerTime is how long a terminal may take to say its size. A serial line at
// 9600 baud needs 10 ms for the answer.
const answerTime = 500 * time.Millisecond

// assumed is the size of a terminal that does not say.
var assumed = session.Size{Width: 80, Height: 24}

// askSize moves the cursor as far down and right as it goes and asks where it
// is, which is the size of the window, unless no answer comes for patience. A
// serial line has no other way. Before that it has lines go on below at the margin (DECAWM): SeaBIOS turned it off,
// and what is longer would be lost.
func askSize(v *view, out io.Writer, patience time.Duration) session.Size {
	const wrapSaveMoveAskRestore = "\x1b[?7h\x1b7\x1b[999;999H\x1b[6n\x1b8"
	if _, err := io.WriteString(out, wrapSaveMoveAskRestore); err != nil {
		return assumed
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	var answer []byte
	for len(answer) < 32 {
		var one [1]byte
		if _, err := v.readOr(one[:], timer.C); err != nil {
			break
		}
		answer = append(answer, one[0])
		if typed, size, ok := cutReport(answer); ok {
			v.keys.give(typed)
			return size
		}
	}
	v.keys.give(answer) // was no answer, but typed
	return assumed
}

// cutReport takes a terminal's answer to where its cursor is, ESC [ ROW ;
// COLUMN R (ECMA-48, CPR), off the end of what came.
func cutReport(came []byte) (typed []byte, size session.Size, ok bool) {
	at := bytes.LastIndex(came, []byte("\x1b["))
	if at < 0 || came[len(came)-1] != 'R' {
		return nil, session.Size{}, false
	}
	row, column, ok := strings.Cut(string(came[at+2:len(came)-1]), ";")
	height, rowErr := strconv.ParseUint(row, 10, 14)
	width, columnErr := strconv.ParseUint(column, 10, 14)
	if !ok || rowErr != nil || columnErr != nil {
		return nil, session.Size{}, false
	}
	if height < 2 || width < 10 {
		return came[:at], assumed, true
	}
	return came[:at], session.Size{Width: int(width), Height: int(height)}, true
}

package api

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"sync"
)

// errCutOff tells that an answer ended before its end.
var errCutOff = errors.New("control socket: the answer was cut off: the control plane has gone away")

// A program's output is a stream of frames: one byte says what it is, four
// bytes give the length, big-endian, and then come that many bytes. The last
// frame is frameExit or frameError.
const (
	frameOut   byte = 1
	frameErr   byte = 2
	frameExit  byte = 3 // a decimal exit status
	frameError byte = 4 // an Error: the program did not run to its end
)

// maxFrame bounds what a reader believes, in bytes.
const maxFrame = 1 << 20

// frameWriter writes frames, each at once: somebody may be looking on.
type frameWriter struct {
	mu    sync.Mutex
	w     io.Writer
	flush func() error
}

func newFrameWriter(w http.ResponseWriter) *frameWriter {
	return &frameWriter{w: w, flush: http.NewResponseController(w).Flush}
}

func (f *frameWriter) frame(kind byte, payload []byte) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	head := binary.BigEndian.AppendUint32([]byte{kind}, uint32(len(payload)))
	if _, err := f.w.Write(append(head, payload...)); err != nil {
		return err
	}
	return f.flush()
}

// stream is one of a program's outputs.
type stream struct {
	frames *frameWriter
	kind   byte
}

func (s stream) Write(p []byte) (int, error) {
	for part := p; len(part) > 0; {
		n := min(len(part), maxFrame)
		if err := s.frames.frame(s.kind, part[:n]); err != nil {
			return 0, err
		}
		part = part[n:]
	}
	return len(p), nil
}

// readFrames hands a program's output on and answers its exit status.
func readFrames(r io.Reader, out, errOut io.Writer) (int, error) {
	in := bufio.NewReader(r)
	for {
		kind, payload, err := readFrame(in)
		if err != nil {
			return 0, err
		}
		switch kind {
		case frameOut:
			_, err = out.Write(payload)
		case frameErr:
			_, err = errOut.Write(payload)
		case frameExit:
			var status int
			_, err := fmt.Sscanf(string(payload), "%d", &status)
			finish(in)
			return status, err
		case frameError:
			finish(in)
			return 0, parseError(payload)
		default:
			return 0, fmt.Errorf("control socket: frame of unknown kind %d", kind)
		}
		if err != nil {
			return 0, err
		}
	}
}

// finish reads what HTTP sends after the last that counts. On a virtio port,
// which knows no end of a connection, the next one would be given it.
func finish(r io.Reader) {
	_, _ = io.Copy(io.Discard, r) // everything that was wanted is there
}

func readFrame(r io.Reader) (kind byte, payload []byte, err error) {
	var head [5]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, nil, errors.Join(errCutOff, err)
	}
	length := binary.BigEndian.Uint32(head[1:])
	if length > maxFrame {
		return 0, nil, fmt.Errorf("control socket: frame of %d bytes: at most %d are allowed", length, maxFrame)
	}
	payload = make([]byte, length)
	if _, err := io.ReadFull(r, payload); err != nil {
		return 0, nil, errors.Join(errCutOff, err)
	}
	return head[0], payload, nil
}

// line is one line of a list that is read while it is made. The last one has
// End or Error.
type line[T any] struct {
	Item  *T     `json:"item,omitempty"`
	Error *Error `json:"error,omitempty"`
	End   bool   `json:"end,omitempty"`
}

// writeLines answers a sequence line by line. With live, each line is sent at
// once; otherwise they are collected into packets.
func writeLines[T any](w http.ResponseWriter, items iter.Seq2[T, error], live bool) {
	w.Header().Set("Content-Type", "application/jsonl")
	flush := http.NewResponseController(w).Flush
	encoder := json.NewEncoder(w)
	for item, err := range items {
		if err != nil {
			// The client is gone when this fails, and needs no answer.
			_ = encoder.Encode(line[T]{Error: asError(err)})
			return
		}
		if encoder.Encode(line[T]{Item: &item}) != nil || live && flush() != nil {
			return // the client is gone
		}
	}
	_ = encoder.Encode(line[T]{End: true}) // as above
}

// readLines reads what writeLines wrote.
func readLines[T any](in io.Reader, yield func(T, error) bool) {
	var none T
	lines := bufio.NewReaderSize(in, 64<<10)
	decoder := json.NewDecoder(lines)
	for {
		var l line[T]
		err := decoder.Decode(&l)
		switch {
		case err != nil:
			yield(none, errors.Join(errCutOff, err))
			return
		case l.Error != nil:
			finish(lines)
			yield(none, l.Error)
			return
		case l.End:
			finish(lines)
			return
		case l.Item == nil:
			yield(none, errors.New("control socket: a line without anything in it"))
			return
		case !yield(*l.Item, nil):
			return
		}
	}
}

func asError(err error) *Error {
	if refused, ok := errors.AsType[*Error](err); ok {
		return refused
	}
	return &Error{Message: err.Error()}
}

func parseError(text []byte) error {
	refused := &Error{}
	if json.Unmarshal(text, refused) != nil || refused.Message == "" {
		refused.Message = string(text)
	}
	return refused
}

// marshal renders one of this package's types, which have nothing that JSON
// cannot say.
func marshal(v any) []byte {
	text, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("BUG: api: %T: %v", v, err))
	}
	return text
}
